/** Answers that others made, played as an agent. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { openConfig } from "../../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { openRecorded } from "../../../io/agents/recorded.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { streamShapes } from "../../../io/media/stream_shape.ts";
import { pump } from "../../../io/pace/pump.ts";

const config = await openConfig(new URL("../../../engine/models/nano-1", import.meta.url));
const { agent: shape } = streamShapes(config);
const noFfmpeg = () => Promise.reject(new Error("FFmpeg is needed"));
const units = 3;

/** A folder with an answer of so many units to the recording `one`, each sample its own. */
async function withAnswer(fn: (folder: string, sound: Float32Array) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "wanstream-test-" });
  try {
    await Deno.mkdir(`${folder}/one`);
    const sound = Float32Array.from({ length: units * shape.samples }, (_, i) => (i + 1) / 32768);
    const wav = await WavWriter.create(`${folder}/one/agent.wav`, shape.sampleRate);
    await wav.write(sound);
    await wav.close();
    await fn(folder, sound);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What it answers to so many units. */
async function answers(folder: string, delay: number | null, count: number, name = "one") {
  const agent = await openRecorded({ text: folder, folder, delay }, config, noFfmpeg);
  const session = await agent.open({ name, truth: null }, 0);
  async function* given() {
    for (let i = 0; i < count; i++) yield await Promise.resolve({ audio: null, frames: null });
  }
  const all = [];
  for await (const one of pump(session, given(), new AbortController().signal)) all.push(one);
  assertEquals(all.map(({ unit }) => unit), Array.from({ length: count }, (_, i) => i));
  const sound = Float32Array.from(all.flatMap(({ audio }) => [...audio]));
  return { sound, texts: all.map(({ text }) => text), all, lacks: session.lacks };
}

Deno.test("an answer is heard when its file says, as the response to the unit before", async () => {
  await withAnswer(async (folder, sound) => {
    const words = [["it", 0.01], ["is", 0.2], ["red", 0.33]].map(([text, from]) =>
      JSON.stringify({ text, from, to: 0.4 })
    );
    await Deno.writeTextFile(`${folder}/one/words.jsonl`, `${words.join("\n")}\n`);
    const { samples } = shape;
    const padded = new Float32Array(8 * samples);
    padded.set(sound, 3 * samples);
    const cases: [number | null, number, string[]][] = [
      // Of the file's first unit nothing can be an answer to a unit; its word comes as early as it can.
      [null, 1, [" it is", " red", "", ""]],
      [0.16, 0, [" it", " is", " red", ""]],
      [0.24, -0.5, [" it", " is", " red", ""]],
      [0.48, -2, ["", "", " it", " is"]],
    ];
    for (const [delay, skip, texts] of cases) {
      const got = await answers(folder, delay, 4);
      const from = (3 + skip) * samples;
      const wanted = padded.slice(from, from + 4 * samples);
      const worst = got.sound.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - (wanted[i] ?? NaN))),
        0,
      );
      assert(worst < 1 / 30000, `${delay}: ${worst}`);
      assertEquals(got.texts, texts, `${delay}`);
      assertEquals(got.lacks, { words: false, picture: true });
      const size = shape.frames * shape.width * shape.height * 3;
      assert(got.all.every(({ frames }) => frames.length === size));
    }
  });
});

Deno.test("a sample of Full-Duplex-Bench is found in its set, with its words", async () => {
  await withAnswer(async (folder) => {
    const sample = `${folder}/set/7`;
    await Deno.mkdir(sample, { recursive: true });
    await Deno.copyFile(`${folder}/one/agent.wav`, `${sample}/output.wav`);
    await Deno.copyFile(`${folder}/one/agent.wav`, `${sample}/input.wav`);
    await Deno.writeTextFile(`${sample}/pause.json`, "[]");
    const chunks = [{ text: "hello", timestamp: [0.35, 0.4] }];
    await Deno.writeTextFile(`${sample}/output.json`, JSON.stringify({ text: "hello", chunks }));
    const { texts } = await answers(folder, null, 3, "set-7");
    assertEquals(texts, ["", " hello", ""]);
    assertEquals((await answers(folder, null, 1)).lacks?.words, true);
  });
});

Deno.test("what holds no answer says what is missing", async () => {
  await withAnswer(async (folder) => {
    const open = () => openRecorded({ text: folder, folder, delay: null }, config, noFfmpeg);
    const agent = await open();
    const wrong = async (work: () => Promise<unknown>, message: RegExp) => {
      const { message: said } = await assertRejects(work, InputError);
      assert(message.test(said) && !said.includes("\n"), said);
    };
    await wrong(() => agent.open({ name: "other", truth: null }, 0), /other/);
    await Deno.writeTextFile(`${folder}/one/words.jsonl`, '{"text": "it", "from": -1, "to": 2}');
    await wrong(() => agent.open({ name: "one", truth: null }, 0), /from/);
    // Other answers are another agent.
    assert((await open()).checkpointDigest !== agent.checkpointDigest);
    await Deno.remove(`${folder}/one`, { recursive: true });
    await wrong(open, /neither config.json/);
    await wrong(
      () => openRecorded({ text: "", folder: `${folder}/none`, delay: null }, config, noFfmpeg),
      /none/,
    );
  });
});
