/** The scripts that people copy: each runs from a folder of its own, with nothing but an import map. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { listAdapters } from "../engine/mod.ts";
import { WavWriter } from "../io/media/wav.ts";
import { tinyConfig } from "./engine/support.ts";
import { withCheckpoint } from "./engine/tiny_checkpoint.ts";
import { count, ffmpeg, names } from "./io/media.ts";
import { random } from "./reference/random.ts";

const root = new URL("..", import.meta.url);
const scripts = new URL("scripts/examples/", root);
const examples = names(scripts.pathname).filter((name) => name.endsWith(".ts"));
const hasAdapter = (await listAdapters()).length > 0;
const units = 8;

/** Runs an example that stands in a folder, from that folder. */
async function run(folder: string, ...args: string[]) {
  const command = new Deno.Command(Deno.execPath(), {
    args: [...["run", "-q", "--no-check", "--no-prompt", "--allow-read", "--allow-write"], ...[
      ...["--allow-env", "--allow-net=127.0.0.1", "--allow-run"],
      ...args,
    ]],
    cwd: folder,
    env: { NO_COLOR: "1" },
    stdin: "null",
  });
  const { code, stdout, stderr } = await command.output();
  const said = new TextDecoder().decode(stdout);
  assertEquals([code, new TextDecoder().decode(stderr)], [0, ""], `${args[0]}: ${said}`);
  return said.trim().split("\n");
}

/** A folder with the examples, a checkpoint of some thousand parameters, and a recording. */
async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const imports = {
      "@wanstream/wanstream": new URL("engine/mod.ts", root).href,
      "@wanstream/wanstream/media": new URL("io/mod.ts", root).href,
    };
    const strict = {
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      noImplicitOverride: true,
      erasableSyntaxOnly: true,
    };
    const config = JSON.stringify({ imports, compilerOptions: strict });
    await Deno.writeTextFile(`${folder}/deno.json`, config);
    for (const name of examples) await Deno.copyFile(new URL(name, scripts), `${folder}/${name}`);
    await Deno.mkdir(`${folder}/talks`);
    const talk = await WavWriter.create(`${folder}/talks/talk.wav`, 16000);
    const next = random(5);
    await talk.write(Float32Array.from({ length: units * 2560 }, () => next() - 0.5));
    await talk.close();
    await body(folder);
  });
}

/** A test of one example; skipped without an adapter, or without FFmpeg where it needs that. */
function example(name: string, needsFfmpeg: boolean, body: (folder: string) => Promise<void>) {
  const why = !hasAdapter
    ? "no WebGPU adapter on this machine"
    : needsFfmpeg && ffmpeg === null
    ? "no FFmpeg was found"
    : null;
  Deno.test({
    name: why ? `${name} (skipped: ${why})` : name,
    ignore: why !== null,
    fn: () => inFolder(body),
  });
}

Deno.test("the examples pass strict checks wherever they stand, and are under forty lines", async () => {
  assert(examples.length >= 7);
  for (const name of examples) {
    const lines = (await Deno.readTextFile(new URL(name, scripts))).split("\n").length - 1;
    assert(lines < 40, `${name} has ${lines} lines`);
  }
  await inFolder(async (folder) => {
    for (const task of ["check", "lint"]) {
      const args = [task, "-q", ...examples];
      const options = { args, cwd: folder, env: { NO_COLOR: "1" } };
      const { success, stderr } = await new Deno.Command(Deno.execPath(), options).output();
      assert(success, new TextDecoder().decode(stderr));
    }
  });
});

example("replay_folder.ts writes recordings, events and a CSV", true, async (folder) => {
  const [line] = await run(folder, "replay_folder.ts", ".", "talks", "answers");
  assertMatch(line ?? "", /^talk\.wav: 8 units/);
  const made = ["answers.csv", "talk.wav.jsonl", "talk.wav.mkv", "talk.wav.vtt"];
  assertEquals(names(`${folder}/answers`), made);
  const rows = (await Deno.readTextFile(`${folder}/answers/answers.csv`)).trim().split("\n");
  assertEquals(rows.length, 1 + units);
  const { frames, samples } = await count(`${folder}/answers/talk.wav.mkv`, 16, 16);
  assertEquals([frames, samples], [units * 4, units * 2560]);
});

example("sweep.ts gives a row for each combination", false, async (folder) => {
  const rows = await run(folder, "sweep.ts", ".", "talks/talk.wav", "4");
  assertEquals(rows.length, 9);
  assertEquals(new Set(rows.slice(1).map((row) => row.split(",").at(-1))).size, 8);
});

example("fork.ts shows where three futures part", false, async (folder) => {
  const [same, seed, away] = await run(folder, "fork.ts", ".", "talks/talk.wav", "4");
  assertMatch(same ?? "", /^as it was: parts nowhere/);
  assertMatch(seed ?? "", /^another seed: parts at unit 4/);
  assertMatch(away ?? "", /^the user goes away.*: parts at unit 6/);
});

example("conversation.ts lets two agents talk, side by side", true, async (folder) => {
  const [line] = await run(folder, "conversation.ts", ".", ".", "out", "5");
  assertMatch(line ?? "", /^5 units; b says "/);
  assertEquals(names(`${folder}/out`), ["a.mkv", "a.vtt", "b.mkv", "b.vtt", "both.mkv"]);
});

example("causality.ts proves that the past stays", false, async (folder) => {
  const lines = await run(folder, "causality.ts", ".", "talks/talk.wav", "5");
  assertEquals(lines, ["unit 5 was changed; the answers differ from unit 5 on"]);
});

example("latents.ts writes safetensors", false, async (folder) => {
  const [line] = await run(folder, "latents.ts", ".", "talks/talk.wav", "latents.safetensors");
  const bytes = await Deno.readFile(`${folder}/latents.safetensors`);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  assertEquals(new TextDecoder().decode(bytes.subarray(8, 8 + length)), line);
  const { audio, video } = JSON.parse(line ?? "");
  assertEquals([audio.shape, video.shape], [[units, 2, 8], [units, 4, 12]]);
  assertEquals(bytes.length, 8 + length + video.data_offsets[1]);
});

example("workers.ts runs sessions in Workers of its own", false, async (folder) => {
  const lines = await run(folder, "workers.ts", ".", "talks/talk.wav");
  assertEquals([lines.length, new Set(lines).size], [2, 2]);
  for (const line of lines) assertMatch(line, /^seed \d on .+: [0-9a-f]{64}$/);
});
