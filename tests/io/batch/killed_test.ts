/** A batch that is killed, run twice at once, or divided: the result is that of an undisturbed run. */
import { assert, assertEquals } from "@std/assert";
import { arrayExpression, chooseShard, has } from "../../../io/batch/shards.ts";
import { batchLine } from "../../../io/batch/progress.ts";
import { assertInputError } from "../../engine/tiny_checkpoint.ts";
import { folderTest, names } from "../media.ts";
import { assertSchema } from "../schemas.ts";
import { contents } from "./same.ts";
import { batch, batchProcess, manifest, recordings } from "./support.ts";

const wav = ["--format", "wav"];

folderTest("killed at any change of a file, a batch goes on to the same bytes", async (at) => {
  const from = await recordings(at, 3);
  await batch(from, "-o", `${at}/whole`, ...wav);
  const whole = await contents(`${at}/whole`);
  const out = `${at}/out`;
  let kills = 0;
  // Strides that share nothing with the calls of an item meet every kind of call.
  for (let kill = 1;; kill += 31, kills++) {
    const { code } = await batchProcess([from, "-o", out, ...wav, "--quiet"], { kill });
    if (code === 0) break;
    assertEquals(code, 137, `killed at call ${kill}`);
    // What is there is whole: a rerun could stop at any moment too.
    for (const [path, content] of await contents(out).catch(() => new Map<string, string>())) {
      assertEquals(content, whole.get(path), `${path}, killed at call ${kill}`);
    }
    const { code: again } = await batch(from, "-o", out, ...wav);
    assertEquals([again, await contents(out)], [0, whole], `killed at call ${kill}`);
    assertEquals(names(`${out}/.wanstream`), ["items.jsonl"]);
    await Deno.remove(out, { recursive: true });
  }
  assert(kills >= 3, `${kills} kills`);
});

folderTest(
  "a lock that a killed process left of a settled item goes with the next run",
  async (at) => {
    const from = await recordings(at, 1);
    await batch(from, "-o", `${at}/out`, ...wav);
    const [id = ""] = names(`${at}/out`).filter((name) => !name.startsWith("."));
    await Deno.writeTextFile(`${at}/out/.wanstream/${id}.lock`, "");
    assertEquals((await batch(from, "-o", `${at}/out`, ...wav)).code, 0);
    assertEquals(names(`${at}/out/.wanstream`), ["items.jsonl"]);
  },
);

folderTest("two processes with the same items answer each once", async (at) => {
  const from = await recordings(at, 6);
  await batch(from, "-o", `${at}/whole`, ...wav);
  const args = [from, "-o", `${at}/out`, ...wav, "--json"];
  const runs = await Promise.all([batchProcess(args), batchProcess(args)]);
  const results = runs.map(({ code, stdout, stderr }) => {
    assertEquals(code, 0, stderr);
    return JSON.parse(stdout);
  });
  for (const result of results) {
    assertSchema(result);
    assertEquals(result.done + result.earlier, 6);
  }
  assertEquals(results.reduce((sum, { done }) => sum + done, 0), 6);
  assertEquals(await contents(`${at}/out`), await contents(`${at}/whole`));
});

folderTest("on a file system without locks two runs put the same results in place", async (at) => {
  const from = await recordings(at, 4);
  await batch(from, "-o", `${at}/whole`, ...wav);
  const { tryLock } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.tryLock = () =>
    Promise.reject(new Error("Function not implemented (os error 38)"));
  try {
    const run = () => batch(from, "-o", `${at}/out`, ...wav, "--workers", "2");
    const runs = await Promise.all([run(), run(), run()]);
    assertEquals(runs.map(({ code }) => code), [0, 0, 0]);
  } finally {
    Deno.FsFile.prototype.tryLock = tryLock;
  }
  assertEquals(await contents(`${at}/out`), await contents(`${at}/whole`));
  assertEquals(
    names(`${at}/out/.wanstream`).filter((name) => !name.endsWith(".lock")),
    ["items.jsonl"],
  );
});

folderTest("SIGINT leaves whole items alone, with exit code 130", async (at) => {
  const from = await recordings(at, 3);
  const program = new URL("./echo_batch.ts", import.meta.url).pathname;
  const args = ["run", "-q", "--no-check", "-A", program, "0", from, "-o", `${at}/out`, ...wav];
  // No answer comes before the signal: the network's way is a minute long.
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args, "--pace", "live", "--network", "60s"],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let isOver = false;
  child.status.finally(() => isOver = true);
  const isBegun = () =>
    names(at).includes("out") && names(`${at}/out`).length > 0 &&
    names(`${at}/out/.wanstream`).some((name) => /^a~/.test(name));
  while (!isOver && !isBegun()) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill("SIGINT");
  const { code, stderr } = await child.output();
  const said = new TextDecoder().decode(stderr);
  assertEquals(code, 130, said);
  // It speaks of the batch, not of what an item that is given up had answered.
  assertEquals(said.match(/interrupted/g)?.length, 1, said);
  assertEquals(names(`${at}/out`), [".wanstream"]);
  assertEquals((await batch(from, "-o", `${at}/out`, ...wav)).code, 0);
});

Deno.test("shards divide items: each has its own, and none is left", () => {
  for (let of = 1; of <= 9; of++) {
    for (let place = 0; place < 40; place++) {
      const owners = Array.from({ length: of }, (_, index) => has({ index, of }, place));
      assertEquals(owners.filter((owns) => owns).length, 1);
    }
  }
  assertEquals(arrayExpression([]), "");
  assertEquals(arrayExpression([7, 3, 3, 12, 13, 14, 15]), "3,7,12-15");
  assertEquals(arrayExpression([0, 1]), "0-1");
});

Deno.test("a shard's index comes from its option or from the array's variable", async () => {
  const from = (variables: Record<string, string>) => (name: string) => variables[name];
  assertEquals(chooseShard({}, from({ SLURM_ARRAY_TASK_ID: "3" })), { index: 0, of: 1 });
  assertEquals(chooseShard({ shard: "3/4" }, from({})), { index: 3, of: 4 });
  for (const name of ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"]) {
    assertEquals(chooseShard({ shards: 12 }, from({ [name]: "7" })), { index: 7, of: 12 });
    await assertInputError(() => chooseShard({ shards: 7 }, from({ [name]: "7" })), name, "0 to 6");
    await assertInputError(() => chooseShard({ shards: 7 }, from({ [name]: "x" })), name, "is x");
  }
  const both = from({ SLURM_ARRAY_TASK_ID: "1", JOB_COMPLETION_INDEX: "2" });
  await assertInputError(() => chooseShard({ shards: 4 }, both), "give --shard I/N");
  await assertInputError(() => chooseShard({ shards: 4 }, from({})), "SLURM_ARRAY_TASK_ID");
});

folderTest("shards write into one folder; status names what is left, merge sums up", async (at) => {
  const from = await recordings(at, 6);
  await Deno.copyFile(`${from}/b.wav`, `${from}/c.wav`);
  await Deno.writeTextFile(`${from}/e.wav`, "no sound");
  const out = `${at}/out`;
  await batch(from, "-o", `${at}/whole`, ...wav);
  const shard = (i: number) => batch(from, "-o", out, ...wav, "--shard", `${i}/4`);
  const variable = { env: { SLURM_ARRAY_TASK_ID: "2" } };
  const second = await batchProcess([from, "-o", out, ...wav, "--shards", "4"], variable);
  assertEquals(second.code, 0, second.stderr);
  const status = () => batchProcess(["status", out]);
  const first = await status();
  assertEquals([first.code, first.stdout], [1, "0-1,3\n"]);
  assert(first.stderr.includes("missing (5): a, b, d, e, f"), first.stderr);
  for (const i of [0, 3]) await shard(i);
  assertEquals((await batch("status", out)).stdout, "1\n");
  await shard(1);
  const last = await status();
  assertEquals([last.code, last.stdout], [4, ""]);
  assert(last.stderr.includes("b = c"), last.stderr);
  assertEquals(await contents(out), await contents(`${at}/whole`));

  await Deno.mkdir(`${out}/other`);
  const json = await batch("status", out, "--json");
  const result = JSON.parse(json.stdout);
  assertSchema(result);
  assertEquals([result.counts.done, result.extra, result.duplicates], [5, ["other"], [["b", "c"]]]);
  const merged = await batch("merge", out, "--json");
  assertEquals(merged.code, 4);
  assertSchema(JSON.parse(merged.stdout));
  const [header, ...lines] = (await Deno.readTextFile(`${out}/summary.jsonl`)).trimEnd()
    .split("\n").map((line) => JSON.parse(line));
  assertSchema(header);
  assertEquals(lines.map(({ id, state }) => `${id} ${state}`), [
    ...["a done", "b done", "c done", "d done", "e bad input", "f done"],
  ]);
  const page = await Deno.readTextFile(`${out}/summary.html`);
  assert(page.includes("5 of 6 items") && page.includes("bad input"));
  for (const marker of ["a/done.json", "e/error.json"]) {
    assertSchema(JSON.parse(await Deno.readTextFile(`${out}/${marker}`)));
  }
  // Other options make what is there stale.
  await batch(from, "-o", out, ...wav, "--seed", "5", "--shard", "0/4");
  const stale = await batch("status", out);
  assertEquals([stale.code, stale.stdout], [1, "1-3\n"]);
});

folderTest("items of one model are taken together, each model open once", async (at) => {
  await recordings(at, 4);
  const nano = new URL("../../../engine/models/nano-1", import.meta.url).pathname;
  for (const name of ["one", "two"]) await Deno.symlink(nano, `${at}/${name}`);
  const path = await manifest(
    at,
    ["a", "b", "c", "d"].map((id, i) => ({
      ...{ id, input: `recordings/${id}.wav`, model: i % 2 === 0 ? "one" : "two" },
    })),
  );
  const { code, opened } = await batch(path, "-o", `${at}/out`, ...wav);
  assertEquals([code, opened.models, opened.sessions, opened.closed], [0, 2, 4, 1]);
  assertEquals(opened.checkpoints, [`${at}/one`, `${at}/two`]);
});

Deno.test("progress says items, speed, failures and the time that is left", () => {
  const counts = { items: 100, earlier: 20, done: 30, failed: 2, seconds: 90 };
  assertEquals(
    batchLine(counts, 60),
    "52 of 100 items, 2 failed, 1.50 stream-seconds per second, 1:36 left",
  );
  const none = { items: 3, earlier: 0, done: 0, failed: 0, seconds: 0 };
  assertEquals(batchLine(none, 0), "0 of 3 items, 0 stream-seconds per second");
});
