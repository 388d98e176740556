import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { assertInputError } from "../../engine/tiny_checkpoint.ts";
import { folderTest, names } from "../media.ts";
import { contents } from "./same.ts";
import { batch, batchProcess, manifest, recording, recordings } from "./support.ts";

folderTest("a batch gives each item a folder, and a rerun leaves what is done", async (at) => {
  const from = await recordings(at, 5);
  const out = `${at}/out`;
  const first = await batch(from, "-o", out, "--format", "wav", "--workers", "2");
  assertEquals([first.code, first.opened.sessions], [0, 5]);
  // Each worker has its model, open once.
  assert(first.opened.models <= 2);
  assertEquals(names(out), [".wanstream", "a", "b", "c", "d", "e"]);
  assertEquals(names(`${out}/.wanstream`), ["items.jsonl"]);
  for (const id of ["a", "e"]) {
    assertEquals(names(`${out}/${id}`), [
      ...["done.json", "events.jsonl", "response.vtt", "response.wav"],
    ]);
  }
  const before = await contents(out);
  const again = await batch(from, "-o", out, "--format", "wav");
  assertEquals([again.code, again.opened.models, again.opened.sessions], [0, 0, 0]);
  assertEquals(await contents(out), before);
});

folderTest("a rerun answers what changed: input, options, files that options name", async (at) => {
  await recordings(at, 3);
  const typed = `${at}/typed.jsonl`;
  await Deno.writeTextFile(typed, '{"at": 0, "text": "hello"}\n');
  const lines = ["a", "b", "c"].map((id) => ({
    id,
    input: `recordings/${id}.wav`,
    ...(id === "c" ? { "user-text": "typed.jsonl" } : {}),
  }));
  const path = await manifest(at, lines);
  const run = () => batch(path, "-o", `${at}/out`, "--format", "wav");
  const sessions = async () => (await run()).opened.sessions;
  assertEquals(await sessions(), 3);
  assertEquals(await sessions(), 0);
  // A name alone is nothing.
  await Deno.rename(`${at}/recordings/a.wav`, `${at}/recordings/z.wav`);
  await manifest(at, [{ id: "a", input: "recordings/z.wav" }, ...lines.slice(1)]);
  assertEquals(await sessions(), 0);
  await recording(`${at}/recordings/z.wav`, 2, 77);
  assertEquals(await sessions(), 1);
  await manifest(at, [{ id: "a", input: "recordings/z.wav", seed: 3 }, ...lines.slice(1)]);
  assertEquals(await sessions(), 1);
  await Deno.writeTextFile(typed, '{"at": 0, "text": "goodbye"}\n');
  const third = await run();
  assertEquals([third.opened.sessions, third.seen.texts], [1, [[0, "goodbye"]]]);
  // What is damaged isn't done.
  await Deno.truncate(`${at}/out/b/response.wav`, 10);
  await Deno.writeTextFile(`${at}/out/c/done.json`, "{}");
  assertEquals(await sessions(), 2);
  assertEquals(await sessions(), 0);
});

folderTest("bad inputs are named and not tried again until they change", async (at) => {
  const from = await recordings(at, 2);
  await Deno.writeTextFile(`${from}/bad.wav`, "no sound at all");
  await Deno.writeTextFile(`${from}/empty.wav`, "");
  const path = await manifest(at, [
    ...["a", "bad", "b", "empty"].map((id) => ({ id, input: `recordings/${id}.wav` })),
    { id: "none", input: "recordings/none.wav" },
  ]);
  const args = [path, "-o", `${at}/out`, "--format", "wav"];
  const first = await batch(...args);
  assertEquals([first.code, names(`${at}/out/bad`)], [4, ["error.json"]]);
  const error = JSON.parse(await Deno.readTextFile(`${at}/out/none/error.json`));
  assertEquals([error.kind, error.input.sha256], ["input", null]);
  assertStringIncludes(error.message, "there is no such file");
  const again = await batchProcess([...args, "--json"]);
  assertEquals(again.code, 4, again.stderr);
  const { done, earlier, badInput } = JSON.parse(again.stdout);
  assertEquals([done, earlier, badInput.length], [0, 2, 3]);
  assertEquals(again.stderr.match(/bad input: /g)?.length, 3, again.stderr);
  await recording(`${from}/bad.wav`, 1, 5);
  await recording(`${from}/none.wav`, 1, 6);
  const mended = await batch(...args);
  assertEquals([mended.code, mended.opened.sessions], [4, 2]);
  await Deno.remove(`${at}/out/empty`, { recursive: true });
  await recording(`${from}/empty.wav`, 1, 7);
  assertEquals((await batch(...args)).code, 0);
});

folderTest(
  "a machine's failure gives 1, also beside bad inputs, and is tried again",
  async (at) => {
    const from = await recordings(at, 2);
    await Deno.writeTextFile(`${from}/bad.wav`, "no sound at all");
    const out = `${at}/out`;
    await Deno.mkdir(`${out}/a`, { recursive: true });
    await Deno.writeTextFile(`${out}/a/mine.txt`, "not a batch's");
    const args = [from, "-o", out, "--format", "wav"];
    assertEquals((await batch(...args)).code, 1);
    // What another put there stays.
    assertEquals(names(`${out}/a`), ["mine.txt"]);
    assertEquals((await batch("status", out)).code, 1);
    await Deno.remove(`${out}/a`, { recursive: true });
    assertEquals((await batch(...args)).code, 4);
    assertEquals((await batch("status", out)).code, 4);
  },
);

folderTest("nothing is written for a bad manifest, and its line is named", async (at) => {
  const from = await recordings(at, 1);
  const input = "recordings/a.wav";
  const cases: [lines: unknown[], ...parts: string[]][] = [
    [[], "manifest.jsonl", "holds no item"],
    [[{ id: "a", input }, "{"], "manifest.jsonl:2", "is no JSON"],
    [["[]"], "manifest.jsonl:1", "must be an object"],
    [[{ input }], "manifest.jsonl:1", "id is missing"],
    [[{ id: "a" }], "input is missing"],
    [[{ id: 7, input }], "id is 7"],
    [[{ id: "a", input, sede: 1 }], "manifest.jsonl:1", "did you mean --seed"],
    [[{ id: "a", input, seed: "x" }], "--seed", "'x' is not a whole number"],
    [[{ id: "a", input, seed: null }], "seed"],
    [[{ id: "a", input, seed: [1] }], "seed"],
    [[{ id: "a", input, "x=y --force": "1" }], "is no option"],
    [[{ id: "a", input, output: "/etc/x" }], "unknown option --output"],
    [[{ id: "a", input, network: "soon" }], "soon"],
    [[{ id: "a", input, late: "skip" }], "--pace live"],
    [[{ id: "a", input, "audio-track": "none", "video-track": "none" }], "nothing is left"],
    [[{ id: "a", input }, "", { id: "a", input }], "manifest.jsonl:3", "manifest.jsonl:1"],
    [[{ id: "a", input }, { id: "A", input }], "differs from it in case alone"],
    [[{ id: "Straße", input }, { id: "STRASSE", input }], "in case alone"],
    [[{ id: "\u00e9", input }, { id: "e\u0301", input }], "'s too"],
    ...["..", ".", "../x", "a/b", "/etc", "a\\b", "C:", "-rf", ".x", "a.", "a ", "con", "NUL.wav"]
      .map((id): [unknown[], string] => [[{ id, input }], "can't be used"]),
    ...["a\u0000", "a\nb", "a\u202e", "", "x".repeat(201), "summary.jsonl", "a~b", "\ud800"]
      .map((id): [unknown[], string] => [[{ id, input }], "id "]),
  ];
  for (const [lines, ...parts] of cases) {
    const path = await manifest(at, lines);
    await assertInputError(() => batch(path, "-o", `${at}/out`, "--format", "wav"), ...parts);
  }
  await Deno.writeFile(`${at}/manifest.jsonl`, new Uint8Array([0xff, 0xfe, 10]));
  await assertInputError(() => batch(`${at}/manifest.jsonl`, "-o", `${at}/out`), "is not UTF-8");
  const others: [string[], string][] = [
    [["-o", `${at}/out`], "needs a manifest"],
    [[from], "needs -o DIR"],
    [[`${at}/none.jsonl`, "-o", `${at}/out`], "there is no such file"],
    [[from, "-o", `${at}/out`, "--shard", "2/2"], "0 to 1"],
    [[from, "-o", `${at}/out`, "--shard", "1"], "--shard 1"],
    [[from, "-o", `${at}/out`, "--shards", "2", "--shard", "0/2"], "give one of them"],
    [["status", at], "is no batch's folder"],
    [["merge", at], "is no batch's folder"],
  ];
  for (const [args, part] of others) await assertInputError(() => batch(...args), part);
  assertEquals(names(at), ["manifest.jsonl", "recordings"]);
  // A list of items that was written by others leads nowhere.
  await batch(`${at}/recordings`, "-o", `${at}/out`, "--format", "wav");
  const list = `${at}/out/.wanstream/items.jsonl`;
  const text = await Deno.readTextFile(list);
  for (const id of ["../recordings", "a/../../recordings", ""]) {
    await Deno.writeTextFile(list, text.replace('"id":"a"', `"id":"${id}"`));
    await assertInputError(() => batch("status", `${at}/out`), "is damaged");
  }
});

folderTest("a folder, a glob and a list of recordings are manifests too", async (at) => {
  await recordings(at, 2);
  await Deno.mkdir(`${at}/recordings/talks/one`, { recursive: true });
  await Deno.mkdir(`${at}/recordings/.hidden`);
  await recording(`${at}/recordings/.hidden/x.wav`, 1, 1);
  await recording(`${at}/recordings/talks/one/user.wav`, 1, 2);
  await recording(`${at}/recordings/talks/one/agent.wav`, 1, 3);
  await recording(`${at}/recordings/talks/b.WAV`, 1, 4);
  await Deno.writeTextFile(`${at}/recordings/b.mp4`, "beside b.wav");
  await Deno.writeTextFile(`${at}/recordings/notes.txt`, "no recording");
  const out = `${at}/recordings/out`;
  const ids = () => names(out).filter((name) => !name.startsWith("."));
  await batch(`${at}/recordings`, "-o", out, "--format", "wav");
  assertEquals(ids(), ["a", "b.mp4", "b.wav", "talks_b", "talks_one"]);
  // What was written isn't taken for recordings.
  const again = await batch(`${at}/recordings`, "-o", out, "--format", "wav");
  assertEquals(again.opened.sessions, 0);
  // Nor where the answers lie beside the recordings, or another batch's among them.
  const talks = `${at}/recordings/talks`;
  await batch(talks, "-o", talks, "--format", "wav");
  assertEquals((await batch(talks, "-o", talks, "--format", "wav")).opened.sessions, 0);
  await batch(talks, "-o", `${at}/other`, "--format", "wav");
  assertEquals(names(`${at}/other`).filter((name) => !name.startsWith(".")), ["b", "one"]);
  await Deno.remove(out, { recursive: true });
  await batch(`${at}/recordings/*.wav`, "-o", out, "--format", "wav");
  assertEquals(ids(), ["a", "b"]);
  await Deno.remove(out, { recursive: true });
  const listed = ["talks/b.WAV", "a.wav"].map((name) => `${at}/recordings/${name}`);
  await batch(...listed, "-o", out, "--format", "wav");
  assertEquals(ids(), ["a", "talks_b"]);
});
