/** The main job end to end: main.ts as a process, the shipped checkpoint, the real engine. */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { openConfig } from "../engine/checkpoint/checkpoint.ts";
import type { SessionInfo } from "../engine/mod.ts";
import { unitLayout } from "../engine/checkpoint/unit.ts";
import type { Event } from "../io/pace/events.ts";
import { count, digest, ffmpegTest, folderTest, names } from "./io/media.ts";
import { listAdapters } from "../kernels/gpu/probe.ts";
import { assertSchema } from "./io/schemas.ts";

const root = new URL("..", import.meta.url).pathname;
const sample = `${root}samples/voice.mp4`;
const adapters = await listAdapters();
/** The permissions of `deno task replay`; it may start any program. */
const deno = ["run", "-q", "--no-prompt", "-P=answer", "--allow-run"];

function start(args: string[], env: Record<string, string> = {}): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    // The user's cache is none of a test's business.
    args: [
      ...deno,
      `${root}main.ts`,
      ...args,
      ...(args[0] === "replay" && !args.includes("--tune-cache") ? ["--no-tune"] : []),
    ],
    cwd: root,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function finish(child: Deno.ChildProcess) {
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

const main = (args: string[], env?: Record<string, string>) => finish(start(args, env));

function adapterTest(name: string, fn: (folder: string) => Promise<void>): void {
  if (adapters.length > 0) return ffmpegTest(name, fn);
  const why = "no WebGPU adapter on this machine";
  Deno.test({ name: `${name} (skipped: ${why})`, ignore: true, fn: () => {} });
}

async function events(path: string): Promise<Event[]> {
  const text = await Deno.readTextFile(path);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

const layout = unitLayout(await openConfig(`${root}engine/models/nano-1`));

const unitDigests = (list: Event[]) =>
  list.flatMap((event) => event.type === "unit" ? [event.digest] : []);

ffmpegTest("a batch of a glob needs no permission that its task lacks", async (at) => {
  await Deno.writeTextFile(`${at}/a.wav`, "no sound");
  const { code, stderr } = await main(["batch", `${at}/*.wav`, "-o", `${at}/out`]);
  assertEquals(code, 4, stderr);
  assertEquals(names(`${at}/out`), [".wanstream", "a"]);
});

adapterTest("the main job gives the same files twice, and others for another seed", async (at) => {
  const replay = async (name: string, seed: string) => {
    const out = ["-o", `${at}/${name}.mkv`, "--events", `${at}/${name}.jsonl`];
    const sampling = ["--temperature", "1", "--top-k", "40", "--top-p", "0.95"];
    const options = ["--units", "7", "--seed", seed, "--prompt", "Be brief.", ...sampling];
    const { code, stdout, stderr } = await main(["replay", sample, ...out, ...options]);
    assertEquals([code, stdout], [0, ""], stderr);
    assertStringIncludes(stderr, "real-time factor");
    return {
      files: [await digest(`${at}/${name}.mkv`), await digest(`${at}/${name}.vtt`)],
      digests: unitDigests(await events(`${at}/${name}.jsonl`)),
    };
  };
  const first = await replay("first", "1");
  assertEquals(await replay("again", "1"), first);
  const other = await replay("other", "2");
  first.digests.forEach((unit, i) => assertNotEquals(other.digests[i], unit));
  assertNotEquals(other.files[0], first.files[0]);
  const { frames, samples } = await count(`${at}/first.mkv`, 128, 128);
  assertEquals([frames, samples], [7 * 4, 7 * 2560]);
});

adapterTest("the main job takes every kind of solver, guidance, persona and voice", async (at) => {
  const seen = new Set<string | undefined>();
  for (const solver of ["euler", "midpoint", "heun", "ab2"]) {
    const out = ["-o", `${at}/${solver}.mkv`, "--events", `${at}/${solver}.jsonl`];
    const persona = ["--persona", sample, "--voice", sample, "--history-units", "4"];
    const options = ["--units", "6", "--steps", "2", "--guidance", "1.5", "--shift", "2"];
    const { code, stderr } = await main(
      ["replay", sample, ...out, ...options, ...persona, "--solver", solver, "--quiet"],
    );
    assertEquals([code, stderr], [0, ""]);
    const [header, ...rest] = await events(`${at}/${solver}.jsonl`);
    assert(header?.type === "header");
    // 4 s of voice and one picture.
    assertEquals(header.session["prefillTokens"], 25 * layout.agentAudio + layout.agentVideo);
    seen.add(unitDigests(rest).at(-1));
  }
  assertEquals(seen.size, 4);
});

adapterTest("the main job measures kernels once and names them in the header", async (at) => {
  const replay = async (name: string, ...more: string[]) => {
    const out = ["-o", `${at}/${name}.mkv`, "--events", `${at}/${name}.jsonl`, "--units", "3"];
    const cache = ["--tune-cache", `${at}/cache/tune.json`];
    const { code, stderr } = await main(["replay", sample, ...out, ...cache, ...more]);
    assertEquals(code, 0, stderr);
    const list = await events(`${at}/${name}.jsonl`);
    const [first] = list;
    assert(first?.type === "header");
    const { thinker, performers } = first.session as unknown as SessionInfo;
    const { kernels } = thinker;
    for (const performer of performers) assertEquals(performer.kernels, kernels);
    const [role] = first.provenance.roles ?? [];
    assertEquals(role?.kernels.chosen, Object.keys(kernels).length);
    return { stderr, digests: unitDigests(list), kernels };
  };
  const first = await replay("first");
  assertStringIncludes(first.stderr, "measuring kernels on");
  assertStringIncludes(first.stderr, "kernels' variants");
  assert(Object.keys(first.kernels).some((name) => name.startsWith("matmul")));
  assertEquals(names(`${at}/cache`), ["tune.json"]);
  const again = await replay("again", "--placement", "fused");
  assert(!again.stderr.includes("measuring"), again.stderr);
  assertEquals([again.digests, again.kernels], [first.digests, first.kernels]);
  const fixed = await replay("fixed", "--no-tune");
  assertEquals(fixed.kernels, {});
});

adapterTest("the main job ends a file on SIGINT that plays, with exit code 130", async (at) => {
  // At the pace of a call, the signal comes before the end on any machine.
  const outputs = ["-o", `${at}/out.mkv`, "--events", `${at}/e.jsonl`];
  const child = start(["replay", sample, ...outputs, "--pace", "live"]);
  // The event log grows unit by unit, under its temporary name.
  const log = () =>
    [...Deno.readDirSync(at)].filter(({ name }) => name.includes("jsonl"))
      .reduce(
        (sum, { name }) => sum + Deno.readTextFileSync(`${at}/${name}`).split("\n").length,
        0,
      );
  const deadline = Date.now() + 60_000;
  while (log() < 5 && Date.now() < deadline) await new Promise((r) => setTimeout(r, 50));
  child.kill("SIGINT");
  const { code, stderr } = await finish(child);
  assertEquals(code, 130, stderr);
  assertEquals(names(at), ["e.jsonl", "out.mkv", "out.vtt"]);
  const units = unitDigests(await events(`${at}/e.jsonl`)).length;
  const { frames, samples } = await count(`${at}/out.mkv`, 128, 128);
  assertEquals([frames, samples], [units * 4, units * 2560]);
  assert(units >= 1 && units < 50, `${units} units`);
});

folderTest(
  "the main job without a Vulkan driver says so in one line and exits with 2",
  async (at) => {
    const env = { VK_DRIVER_FILES: "/none.json", VK_ICD_FILENAMES: "/none.json" };
    const { code, stdout, stderr } = await main(["replay", sample, "-o", `${at}/out.wav`], env);
    assertEquals([code, stdout], [2, ""], stderr);
    assertStringIncludes(stderr, "no Vulkan driver gives a WebGPU adapter");
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
    assertEquals(names(at), []);
  },
);

adapterTest(
  "the main job refuses an adapter that nothing matches, and leaves nothing",
  async (at) => {
    const out = ["-o", `${at}/out.mkv`];
    const { code, stderr } = await main(["replay", sample, ...out, "--performer", "no-such-card"]);
    assertEquals(code, 2);
    assertStringIncludes(stderr, "adapter 'no-such-card' matches nothing");
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
    assertEquals(names(at), []);
  },
);

adapterTest("adapters lists what can be reached", async () => {
  const listed = await main(["adapters", "--json"]);
  assertEquals(listed.code, 0, listed.stderr);
  const result = JSON.parse(listed.stdout);
  assertSchema(result);
  const list: { spec: string }[] = result.adapters;
  assertEquals(list.map(({ spec }) => spec), adapters.map(({ spec }) => spec));
});
