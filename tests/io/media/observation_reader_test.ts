import { assert, assertEquals } from "@std/assert";
import type { Observation } from "../../../engine/checkpoint/unit.ts";
import { ByteQueue } from "../../../io/system/byte_queue.ts";
import { type MediaSource, ObservationReader } from "../../../io/media/observation_reader.ts";
import type { StreamShape } from "../../../io/media/stream_shape.ts";
import { random } from "../../reference/random.ts";

/** 4 frames of 6 bytes and 8 samples a unit. */
const shape: StreamShape = {
  unitMs: 160,
  fps: 25,
  frames: 4,
  width: 2,
  height: 1,
  sampleRate: 50,
  samples: 8,
};
const frame = 6;

/** Frame n is filled with n + 1; sample n is n / 1000. */
const frames = (count: number) =>
  Uint8Array.from({ length: count * frame }, (_, i) => 1 + Math.floor(i / frame));
const samples = (count: number) =>
  new Uint8Array(Float32Array.from({ length: count }, (_, i) => i / 1000).buffer);

async function* chunked(bytes: Uint8Array, next: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + Math.floor(next() * 40));
    await new Promise((resolve) => next() < 0.1 ? setTimeout(resolve, 0) : resolve(null));
    yield bytes.slice(at, end);
    at = end;
  }
}

interface Made {
  video?: Uint8Array;
  audio?: Uint8Array;
  reason?: string;
  seed?: number;
  maxAhead?: number;
  whole?: boolean;
}

async function read({ video, audio, reason, seed = 1, maxAhead, whole = false }: Made) {
  let closed = 0;
  const source: MediaSource = {
    video: video ? new ByteQueue(chunked(video, random(seed))) : null,
    audio: audio ? new ByteQueue(chunked(audio, random(seed + 99))) : null,
    finish: () => Promise.resolve(reason ?? null),
    close: () => Promise.resolve(void closed++),
  };
  const reader = new ObservationReader(source, shape, maxAhead);
  const units: Observation[] = [];
  for await (const unit of whole ? reader.whole() : reader) units.push(unit);
  assertEquals(closed, 1);
  return { units, cut: reader.cut };
}

Deno.test("ObservationReader gives the same units for any chunking of the byte streams", async () => {
  const video = frames(13);
  const audio = samples(29);
  const { units } = await read({ video, audio });
  assertEquals(units.length, 4);
  for (let seed = 2; seed < 40; seed++) {
    assertEquals((await read({ video, audio, seed })).units, units);
  }
  const joined = units.flatMap((unit) => [...unit.frames ?? []]);
  assertEquals(joined.slice(0, video.length), [...video]);
});

Deno.test("ObservationReader.whole() gives what is whole in every stream and nothing filled up", async () => {
  for (let seed = 1; seed < 60; seed++) {
    const next = random(seed);
    const [pictures, sounds] = [Math.floor(next() * 60), Math.floor(next() * 120)];
    const made = { video: frames(pictures), audio: samples(sounds), seed };
    const { units } = await read({ ...made, whole: true });
    const what = `${pictures} frames, ${sounds} samples`;
    assertEquals(units.length, Math.min(Math.floor(pictures / 4), Math.floor(sounds / 8)), what);
    assertEquals(units, (await read(made)).units.slice(0, units.length), what);
  }
});

Deno.test("ObservationReader pads the last unit with silence and its last frame", async () => {
  const { units } = await read({ video: frames(6), audio: samples(9) });
  assertEquals(units.length, 2);
  assertEquals([...units[1]?.frames ?? []].filter((_, i) => i % frame === 0), [5, 6, 6, 6]);
  assertEquals([...units[1]?.audio ?? []], [Math.fround(0.008), 0, 0, 0, 0, 0, 0, 0]);
});

Deno.test("ObservationReader counts units by the longer stream, whichever that is", async () => {
  assertEquals((await read({ video: frames(40), audio: samples(8) })).units.length, 10);
  assertEquals((await read({ video: frames(4), audio: samples(80) })).units.length, 10);
  assertEquals(
    (await read({ video: frames(40) })).units.map((unit) => unit.audio),
    Array(10).fill(null),
  );
  assertEquals(
    (await read({ audio: samples(80) })).units.map((unit) => unit.frames),
    Array(10).fill(null),
  );
});

Deno.test("ObservationReader leaves out a rest shorter than a frame, but no whole frame", async () => {
  // 8 samples a unit, 2 a frame.
  for (
    const [count, expected] of [[80, 10], [81, 10], [82, 11], [1, 1], [7, 1], [79, 10], [0, 0]]
  ) {
    assertEquals(
      (await read({ audio: samples(count ?? 0) })).units.length,
      expected,
      `${count} samples`,
    );
  }
  for (const [count, expected] of [[40, 10], [41, 11], [43, 11], [1, 1], [0, 0]]) {
    assertEquals(
      (await read({ video: frames(count ?? 0) })).units.length,
      expected,
      `${count} frames`,
    );
  }
});

Deno.test("ObservationReader gives only whole units of a recording that was cut off", async () => {
  const both = await read({ video: frames(19), audio: samples(35), reason: "torn" });
  assertEquals(both.units.length, 4, "35 samples are 4.4 units");
  assertEquals(both.cut, { seconds: 0.7, reason: "torn" });
  // Sound that ended long before the break ended in order.
  const early = await read({ video: frames(58), audio: samples(8), reason: "torn" });
  assertEquals(early.units.length, 14);
  assertEquals(early.cut?.seconds, 58 / 25);
  assertEquals((await read({ video: frames(3), reason: "torn" })).units.length, 0);
});

Deno.test("ObservationReader goes on when one stream pauses for longer than it may buffer", async () => {
  const video = frames(400);
  const audio = samples(800);
  let release = () => {};
  const gate = new Promise<void>((resolve) => release = resolve);
  async function* late(): AsyncGenerator<Uint8Array> {
    await gate;
    yield audio;
  }
  const source: MediaSource = {
    video: new ByteQueue(chunked(video, random(5))),
    audio: new ByteQueue(late()),
    finish: () => Promise.resolve(null),
    close: () => Promise.resolve(),
  };
  const units: Observation[] = [];
  for await (const unit of new ObservationReader(source, shape, 300)) {
    units.push(unit);
    if (units.length === 50) release();
  }
  assertEquals(units.length, 100);
  const heard = units.map((unit) => unit.audio?.some((x) => x !== 0));
  assert(heard.slice(0, 50).every((loud) => !loud));
  const first = heard.indexOf(true);
  assert(first >= 50 && first < 60, `sound from unit ${first}`);
  // What came too late was dropped: the rest is where it belongs.
  units.slice(first).forEach((unit, i) =>
    assertEquals(unit.audio?.[0], Math.fround(((first + i) * 8) / 1000))
  );
});

Deno.test("ObservationReader pairs two ways by position, and goes on when one of them pauses", async () => {
  const given = { video: frames(400), audio: samples(800) };
  const { units: expected } = await read(given);
  const paired = async (sound: AsyncIterable<Uint8Array>, pauseMs: number) => {
    const source: MediaSource = {
      video: new ByteQueue(chunked(given.video, random(2))),
      audio: new ByteQueue(sound),
      pauseMs,
      finish: () => Promise.resolve(null),
      close: () => Promise.resolve(),
    };
    return await Array.fromAsync(new ObservationReader(source, shape, undefined, 2));
  };
  // The sound comes in pieces and late, the pictures all at once.
  assertEquals(await paired(chunked(given.audio, random(3)), 60_000), expected);
  async function* pausing(): AsyncGenerator<Uint8Array> {
    yield given.audio.subarray(0, 8 * 4 * 10);
    await new Promise((resolve) => setTimeout(resolve, 300));
    yield given.audio.subarray(8 * 4 * 10);
  }
  assertEquals(await paired(pausing(), 60_000), expected);
  const units = await paired(pausing(), 30);
  assertEquals(units.slice(0, 10), expected.slice(0, 10));
  assertEquals(units[11]?.audio, new Float32Array(8));
});

Deno.test("ObservationReader makes samples finite and keeps them in [-1, 1]", async () => {
  const wild = [NaN, Infinity, -Infinity, 3, -3, 1, -1, 0.5];
  const { units } = await read({ audio: new Uint8Array(Float32Array.from(wild).buffer) });
  assertEquals([...units[0]?.audio ?? []], [0, 1, -1, 1, -1, 1, -1, 0.5]);
});

Deno.test("ObservationReader closes its source when the reader stops early, and passes errors on", async () => {
  let closed = 0;
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield frames(8);
    await Promise.resolve();
    throw new Error("torn");
  }
  const source = (): MediaSource => ({
    video: new ByteQueue(failing()),
    audio: null,
    finish: () => Promise.resolve(null),
    close: () => Promise.resolve(void closed++),
  });
  for await (const _ of new ObservationReader(source(), shape)) break;
  assertEquals(closed, 1);
  let message = "";
  try {
    for await (const _ of new ObservationReader(source(), shape));
  } catch (error) {
    message = String(error);
  }
  assertEquals(message, "Error: torn");
  assertEquals(closed, 2);
});

Deno.test("ByteQueue drops what is here and what is still to come", async () => {
  const queue = new ByteQueue(chunked(Uint8Array.from({ length: 100 }, (_, i) => i), random(3)));
  while (queue.size < 10) await queue.read();
  queue.drop(60);
  while (!queue.ended) await queue.read();
  const left = new Uint8Array(100);
  assertEquals(queue.take(left), 40);
  assertEquals([...left.subarray(0, 40)], Array.from({ length: 40 }, (_, i) => 60 + i));
  assertEquals(queue.received, 100);
});
