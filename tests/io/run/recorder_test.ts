/** What scripts read and write: recordings as observations, responses as recordings. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Checkpoint, Observation, Response } from "../../../engine/mod.ts";
import { observations, recorder, sideBySide } from "../../../io/mod.ts";
import { assertInputError, tinyConfig } from "../../engine/tiny_checkpoint.ts";
import { count, ffmpegTest, folderTest, make, names, picture, rms, tone } from "../media.ts";
import { unitLayout } from "../../../engine/checkpoint/unit.ts";

const layout = unitLayout(tinyConfig());
const model: Checkpoint = {
  config: tinyConfig(),
  tensors: new Map(),
  tokenizer: null,
  digest: "0",
};

/** A response as loud and as bright as its unit's number says. */
function response(unit: number): Response {
  const { samples, frames, width, height } = layout.agent;
  const stages = { encode: 1, pass: 1, sendSlice: 0, solve: 1, sendLatents: 0, decode: 1 };
  return {
    unit,
    text: ` w${unit}`,
    tokens: [unit],
    audio: new Float32Array(samples).fill(unit / 100),
    frames: new Uint8Array(frames * width * height * 3).fill(unit * 10),
    digest: `${unit}`.padStart(64, "0"),
    historyTokens: unit,
    stages: { ...stages, queue: 0, wait: 0, total: 4 },
  };
}

async function wav(folder: string): Promise<string> {
  const path = `${folder}/made.wav`;
  await using out = await recorder(path, { layout });
  for (let unit = 0; unit < 6; unit++) await out.write(response(unit));
  return path;
}

const levels = (units: Observation[]) => units.map(({ audio }) => Math.round(100 * rms(audio)));

folderTest("a recorder's file is there when it is closed, and reads as its units", async (at) => {
  const path = await wav(at);
  assertEquals(names(at), ["made.vtt", "made.wav"]);
  for (const source of [path, new URL(`file://${path}`), `file://${path}`]) {
    const talk = observations(source, { layout });
    assertEquals(levels(await Array.fromAsync(talk)), [0, 1, 2, 3, 4, 5]);
    assertEquals([talk.facts?.path, talk.facts?.reader, talk.cut], [path, "wav", null]);
  }
  const later = await Array.fromAsync(observations(path, { model, from: 4 }));
  assertEquals(levels(later), [4, 5]);
});

folderTest("a recorder's events are a run's: a header, a line a unit, a summary", async (at) => {
  const out = await recorder(`${at}/a.wav`, { model, events: `${at}/e.jsonl` });
  for (const unit of [7, 8]) await out.write(response(unit));
  assertEquals(out.spoken, [{ unit: 0, text: " w7" }, { unit: 1, text: " w8" }]);
  const summary = await out.close();
  const lines = (await Deno.readTextFile(`${at}/e.jsonl`)).trim().split("\n");
  const events = lines.map((line) => JSON.parse(line));
  assertEquals(events.map(({ type }) => type), ["header", "unit", "unit", "summary"]);
  assertEquals(events.slice(1, 3).map(({ unit }) => unit), [7, 8]);
  assertEquals(events[3].digest, summary?.digest);
  assertEquals([summary?.units, summary?.ended], [2, "complete"]);
  assertEquals(await out.close(), null);
  await assertRejects(() => out.write(response(9)), Error, "closed");
});

folderTest("a recorder that is aborted, or got nothing, leaves nothing", async (at) => {
  const out = await recorder(`${at}/new/a.wav`, { layout, events: `${at}/new/e.jsonl` });
  await out.write(response(0));
  await out.abort();
  await out.close();
  assertEquals(names(at), []);
  const none = await recorder(`${at}/new/a.wav`, { layout });
  assertEquals(await none.close(), null);
  assertEquals(names(at), []);
});

folderTest("what can't be read or written is said in one line", async (at) => {
  const path = await wav(at);
  const read = (source: string, options = {}) =>
    Array.fromAsync(observations(source, { layout, ...options }));
  await assertInputError(() => read(`${at}/none.wav`), "none.wav", "no such file");
  await assertInputError(() => read(path, { audioTrack: 3 }), "no track 3", "its tracks are");
  await assertInputError(() => read(path, { audioChannel: "left" }), "1 channel");
  await assertInputError(() => read("https://example.org/a.wav"), "isn't on this machine");
  await assertInputError(() => recorder(path, { layout }), "made.wav", "exists");
  await assertInputError(() => recorder(`${at}/a.doc`, { layout }), "a.doc", ".mkv");
  await assertInputError(() => recorder(`${at}/a.wav`, {} as never), "layout", "session.layout");
  await assertInputError(
    () => observations(path, { layout: {} as never }),
    "layout",
    "session.layout",
  );
  await assertInputError(() => read(path, { audioTrak: 1 }), "audioTrak", "audioTrack");
  await assertInputError(() => read(path, { from: -1 }), "from", "-1");
  const input = observations(path, { layout });
  await Array.fromAsync(input);
  await assertInputError(
    () => recorder(path, { layout, input: input.facts, force: true }),
    "made.wav: is an input as well",
  );
  await using out = await recorder(`${at}/b.wav`, { layout });
  const { samples } = layout.agent;
  const short = { ...response(0), audio: new Float32Array(samples - 1) };
  await assertInputError(
    () => out.write(short),
    `of ${samples - 1}`,
    `of ${samples} samples (40 ms)`,
  );
});

ffmpegTest("a stream's bytes become observations, responses a stream's bytes", async (at) => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const write = async () => {
    await using out = await recorder(writable, { layout, events: `${at}/e.jsonl` });
    for (let unit = 0; unit < 6; unit++) await out.write(response(unit));
  };
  const talk = observations(readable, { layout });
  const [units] = await Promise.all([Array.fromAsync(talk), write()]);
  assertEquals(levels(units), [0, 1, 2, 3, 4, 5]);
  assertEquals(units.map(({ frames }) => frames?.[0]), [0, 10, 20, 30, 40, 50]);
  assertEquals(talk.facts?.reader, "matroska");
  await assertInputError(() => Array.fromAsync(talk), "stream", "read already");
  const broken = new TransformStream<Uint8Array, Uint8Array>();
  const reading = assertRejects(() => new globalThis.Response(broken.readable).bytes());
  const out = await recorder(broken.writable, { layout });
  await out.abort();
  await reading;
});

ffmpegTest("recordings of any size and tracks become units of the size asked for", async (at) => {
  const path = `${at}/a.mkv`;
  await make(...picture(0.2), ...tone(0.2), "-c:v", "mpeg4", "-c:a", "pcm_s16le", path);
  const size = { width: 20, height: 10 };
  const units = await Array.fromAsync(observations(path, { model, size, audioTrack: "none" }));
  assertEquals(units.length, 5);
  assert(units.every(({ audio, frames }) => audio === null && frames?.length === 2 * 600));
  await using out = await recorder(`${at}/b.mkv`, { model });
  for (let unit = 0; unit < 5; unit++) await out.write(response(unit));
  await out.close();
  const { frames, samples } = await count(`${at}/b.mkv`, 8, 8);
  assertEquals([frames, samples], [10, 5 * layout.agent.samples]);
  await assertInputError(() => sideBySide(`${at}/both.avi`, path, out), "both.avi", ".mkv");
  await assertInputError(() => sideBySide(path, path, out), "a.mkv: is an input as well");
  const alone = { path: `${at}/a.wav`, shape: out.shape, units: 5, spoken: [] };
  await assertInputError(() => sideBySide(`${at}/both.mkv`, path, alone), "a.wav", "picture");
  await sideBySide(`${at}/both.mkv`, path, out);
  const both = await count(`${at}/both.mkv`, 480 + 360, 360 + 96);
  assertEquals(both.frames, 10);
});
