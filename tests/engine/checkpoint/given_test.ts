/** What a script may push, and what is refused in one line. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { openCheckpoint } from "../../../engine/checkpoint/checkpoint.ts";
import { givenCheckpoint, givenObservation, givenSound } from "../../../engine/checkpoint/given.ts";
import { type Observation, unitLayout } from "../../../engine/checkpoint/unit.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { randomCheckpoint, tinyConfig } from "../support.ts";

const { user } = unitLayout(tinyConfig());
const sound = () => new Float32Array(2560);
const pictures = () => new Uint8Array(4 * 16 * 16 * 3);
const soundWith = (value: number) => sound().fill(value, 7, 8);

function refused(call: () => unknown, message: string): void {
  const error = assertThrows(call, InputError);
  assert(error.message.includes(message) && !error.message.includes("\n"), error.message);
}

Deno.test("an observation that isn't one is refused in a line that names it and what it may be", () => {
  const soundMay = "it may be a Float32Array of 2560 samples (160 ms) at 16000 Hz";
  const picturesMay = "it may be a Uint8Array of 3072 bytes: 4 frames of 16x16 RGB";
  const cases: [given: unknown, message: string][] = [
    [null, "observation: is null; it must be an object"],
    [sound(), "observation: is a Float32Array of 2560"],
    [{ audio: new Float32Array(5) }, `audio is a Float32Array of 5; ${soundMay}`],
    [{ audio: new Int16Array(2560) }, `audio is an Int16Array of 2560; ${soundMay}`],
    [{ audio: new Float64Array(2560) }, `audio is a Float64Array of 2560; ${soundMay}`],
    [{ audio: [0, 0] }, `audio is [0,0]; ${soundMay}`],
    [{ audio: sound().buffer }, `audio is an ArrayBuffer; ${soundMay}`],
    [{ audio: soundWith(NaN) }, "audio[7] is NaN; a sample may be a number from -1 to 1"],
    [{ audio: soundWith(-Infinity) }, "audio[7] is -Infinity"],
    [{ frames: new Uint8Array(5) }, `frames is a Uint8Array of 5; ${picturesMay}`],
    [{ frames: new Float32Array(3072) }, `frames is a Float32Array of 3072; ${picturesMay}`],
    [{ frames: "black" }, `frames is "black"; ${picturesMay}`],
    [{ text: 5 }, "text is 5; it may be text"],
    [{ audio: null, video: pictures() }, 'has the key "video"; it may have audio, frames, text'],
    [{ audio: null, frame: pictures() }, ": did you mean frames?"],
    // What an object inherits counts too.
    [Object.create({ audio: soundWith(NaN) }), "audio[7] is NaN"],
  ];
  for (const [given, message] of cases) {
    refused(() => givenObservation(given as Observation, user), message);
  }
});

Deno.test("an observation is copied, what is over full scale is cut, and what is left out is absent", () => {
  const audio = sound();
  audio.set([0.5, 2, -1e30, 1]);
  const frames = new Uint8ClampedArray(pictures().fill(9));
  const given = givenObservation({ audio, frames: frames as unknown as Uint8Array }, user);
  assertEquals([...given.audio?.slice(0, 4) ?? []], [0.5, 1, -1, 1]);
  assertEquals(given.frames, pictures().fill(9));
  audio[0] = frames[0] = 0;
  assertEquals([given.audio?.[0], given.frames?.[0]], [0.5, 9]);
  assertEquals(audio[1], 2);
  assertEquals(givenObservation({} as Observation, user), { audio: null, frames: null, text: "" });
});

Deno.test("memory that a script shares among its arrays isn't handed on", () => {
  const pool = Buffer.alloc(16 + 3072 + 2560 * 4, 1);
  const frames = pool.subarray(16, 16 + 3072);
  const audio = new Float32Array(pool.buffer, pool.byteOffset + 16 + 3072, 2560);
  const given = givenObservation({ audio, frames }, user);
  assertEquals([given.frames?.buffer.byteLength, given.audio?.buffer.byteLength], [3072, 10240]);
  assert(
    Object.getPrototypeOf(given.frames) === Uint8Array.prototype,
    "no Buffer, whose slices are views",
  );
  structuredClone(given, {
    transfer: [given.frames?.buffer, given.audio?.buffer] as ArrayBuffer[],
  });
  assertEquals([pool.length, frames[0], audio.length], [16 + 3072 + 10240, 1, 2560]);
});

Deno.test("a voice may have any length", () => {
  assertEquals(givenSound("voice", new Float32Array([3, 0]), user), new Float32Array([1, 0]));
  refused(
    () => givenSound("voice", [1], user),
    "voice is [1]; it may be a Float32Array at 16000 Hz",
  );
});

Deno.test("what isn't a checkpoint is named, a forgotten await too", async () => {
  const checkpoint = await randomCheckpoint(tinyConfig(), 1);
  assertEquals(givenCheckpoint(checkpoint), checkpoint);
  const may = "; it must be what `await openCheckpoint(folder)` gives";
  const cases: [given: unknown, message: string][] = [
    [null, "checkpoint: is null"],
    [undefined, "checkpoint: is missing"],
    ["engine/models/nano-1", 'checkpoint: is "engine/models/nano-1"'],
    [new URL("file:///tmp"), "checkpoint: is a URL"],
    [Promise.resolve(checkpoint), "checkpoint: is a Promise"],
    [{ config: checkpoint.config }, "checkpoint: is {"],
  ];
  for (const [given, message] of cases) {
    refused(() => givenCheckpoint(given as typeof checkpoint), message);
  }
  refused(() => givenCheckpoint(null as unknown as typeof checkpoint), may);
});

Deno.test("openCheckpoint() takes a path, a URL and a file: URL as text, and names anything else", async () => {
  const folder = new URL("../../../engine/models/nano-1/", import.meta.url);
  const digests = [];
  for (const named of [folder, folder.href, `file:${folder.pathname}`, folder.pathname]) {
    digests.push((await openCheckpoint(named)).digest);
  }
  assertEquals(new Set(digests).size, 1);
  const cases: [given: unknown, message: string][] = [
    ["https://example.org/nano", "https://example.org/nano, which isn't on this machine"],
    [new URL("data:,"), "a checkpoint's folder is data:,, which isn't on this machine"],
    ["http://", "a checkpoint's folder is http://, which isn't on this machine"],
    ["file://host/nano", "a checkpoint's folder is file://host/nano: "],
    ["file:///%zz", "a checkpoint's folder is file:///%zz: "],
    ["", 'a checkpoint\'s folder is ""; it may be a path or a file: URL'],
    [null, "a checkpoint's folder is null"],
    [Promise.resolve("x"), "a checkpoint's folder is a Promise"],
  ];
  for (const [given, message] of cases) {
    const error = await openCheckpoint(given as string).then(() => null, (error) => error);
    assert(error instanceof InputError && error.message.includes(message), `${error}`);
  }
});
