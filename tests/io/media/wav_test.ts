import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { openInput, readSound } from "../../../io/ends/observe.ts";
import { defaultTracks } from "../../../io/media/tracks.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { random } from "../../reference/random.ts";
import { ffmpegTest, folderTest, make, observe, tone, userShape } from "../media.ts";

const noFfmpeg = () => Promise.reject(new Error("FFmpeg was asked for"));

interface Header {
  tag?: number;
  channels?: number;
  rate?: number;
  bits?: number;
  mask?: number;
  stated?: number;
  before?: [id: string, bytes: number][];
}

/** A WAV file around raw sample bytes. */
function wav(data: Uint8Array, options: Header = {}): Uint8Array<ArrayBuffer> {
  const { tag = 1, channels = 1, rate = 16000, bits = 16, mask, stated, before = [] } = options;
  const frame = (channels * bits) / 8;
  const format = new DataView(new ArrayBuffer(mask === undefined ? 16 : 40));
  format.setUint16(0, mask === undefined ? tag : 0xfffe, true);
  format.setUint16(2, channels, true);
  format.setUint32(4, rate, true);
  format.setUint32(8, rate * frame, true);
  format.setUint16(12, frame, true);
  format.setUint16(14, bits, true);
  if (mask !== undefined) {
    format.setUint16(16, 22, true);
    format.setUint32(20, mask, true);
    format.setUint16(24, tag, true);
    // The rest of the codings' GUID.
    new Uint8Array(format.buffer).set([0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113], 28);
  }
  const chunk = (id: string, bytes: Uint8Array, length = bytes.length) => [
    ...new TextEncoder().encode(id),
    ...new Uint8Array(Uint32Array.of(length).buffer),
    ...bytes,
    ...(bytes.length % 2 ? [0] : []),
  ];
  const body = [
    ...new TextEncoder().encode("WAVE"),
    ...before.flatMap(([id, length]) => chunk(id, new Uint8Array(length))),
    ...chunk("fmt ", new Uint8Array(format.buffer)),
    ...chunk("data", data, stated),
  ];
  return Uint8Array.from(chunk("RIFF", Uint8Array.from(body)));
}

async function units(folder: string, file: Uint8Array) {
  await Deno.writeFile(`${folder}/a.wav`, file);
  return await observe(`${folder}/a.wav`);
}

/** Writes levels in [-1, 1] with a setter of DataView. */
function coded(
  levels: number[],
  bits: number,
  set: (view: DataView, at: number, x: number) => void,
) {
  const view = new DataView(new ArrayBuffer((levels.length * bits) / 8));
  levels.forEach((level, i) => set(view, (i * bits) / 8, level));
  return new Uint8Array(view.buffer);
}

const codings: [string, Header, Parameters<typeof coded>[2], number][] = [
  ["8-bit", { bits: 8 }, (v, at, x) => v.setUint8(at, Math.round(x * 127) + 128), 2e-2],
  ["16-bit", { bits: 16 }, (v, at, x) => v.setInt16(at, Math.round(x * 32767), true), 1e-4],
  ["24-bit", { bits: 24 }, (v, at, x) => {
    const level = Math.round(x * 8388607);
    v.setUint16(at, level & 0xffff, true);
    v.setInt8(at + 2, level >> 16);
  }, 1e-6],
  ["32-bit", { bits: 32 }, (v, at, x) => v.setInt32(at, Math.round(x * 2147483647), true), 1e-6],
  ["float32", { tag: 3, bits: 32 }, (v, at, x) => v.setFloat32(at, x, true), 1e-7],
  ["float64", { tag: 3, bits: 64 }, (v, at, x) => v.setFloat64(at, x, true), 1e-7],
];

for (const [name, header, set, tolerance] of codings) {
  folderTest(`WAV: ${name} samples are read, plain and extensible`, async (folder) => {
    const next = random(7);
    const levels = Array.from({ length: 2560 }, () => next() * 2 - 1);
    const data = coded(levels, header.bits ?? 16, set);
    for (
      const more of [{}, { mask: 4 }, { before: [["LIST", 33], ["junk", 0]] as [string, number][] }]
    ) {
      const { units: [unit], facts, cut } = await units(folder, wav(data, { ...header, ...more }));
      assertEquals(facts.reader, "wav");
      assertEquals(cut, null);
      levels.forEach((level, i) =>
        assertLess(Math.abs((unit?.audio?.[i] ?? 9) - level), tolerance)
      );
    }
  });
}

folderTest("WAV: channels are mixed down, low-frequency effects left out", async (folder) => {
  const frame = [0.1, 0.2, 0.3, -1, 0.5, 0.6];
  const levels = Array.from({ length: 2560 }, () => frame).flat();
  const data = coded(levels, 16, (v, at, x) => v.setInt16(at, Math.round(x * 32767), true));
  const six = await units(folder, wav(data, { channels: 6, mask: 0x3f }));
  // Centre 1, front 0.707, back 0.5, divided by their sum.
  const mixed = (0.3 * Math.SQRT1_2 + 0.3 + 1.1 / 2) / (2 + Math.SQRT2);
  assertLess(Math.abs((six.units[0]?.audio?.[100] ?? 0) - mixed), 1e-3);
  const stereo = await units(folder, wav(data, { channels: 2 }));
  assertEquals(stereo.units.length, 3);
  assertLess(Math.abs((stereo.units[0]?.audio?.[0] ?? 0) - 0.15), 1e-3);
});

folderTest("WAV: a file of another rate has its length in units", async (folder) => {
  for (const rate of [8000, 11025, 44100, 48000, 96000]) {
    const data = new Uint8Array(rate * 2 * 1.6);
    assertEquals((await units(folder, wav(data, { rate }))).units.length, 10, `${rate} Hz`);
  }
});

folderTest(
  "WAV: a file cut off in the middle gives its whole units and the second",
  async (folder) => {
    const file = wav(new Uint8Array(16000 * 2 * 4).fill(17));
    const { units: read, cut } = await units(folder, file.subarray(0, 44 + 16000 * 2 * 2.5 + 1));
    assertEquals(read.length, 15);
    assertEquals(cut?.seconds, 2.5);
    assertEquals(cut?.reason, "its data chunk should have 128000 bytes, 80000 are there");
  },
);

folderTest("WAV: a length that the writer couldn't know means up to the end", async (folder) => {
  const guesses = [
    ...[0, 0xffffffff, 0xfffffe00, 0xffffffff - 36, 0x7ffff000, 0x7fffff00, 0x7fffffff, 0x80000000],
    ...[0x7ffff024, 0x80000024, 0x7fff0000, 0x40000000],
    // A few bytes too many: the writer counted its header, or a byte of padding.
    ...[32001, 32044],
  ];
  for (const stated of guesses) {
    const { units: read, cut } = await units(folder, wav(new Uint8Array(32000), { stated }));
    assertEquals([read.length, cut], [7, null], stated.toString(16));
  }
});

ffmpegTest(
  "WAV: other codings with a length that the writer couldn't know are whole",
  async (at) => {
    await make(...tone(1.6, 16000), "-c:a", "adpcm_ima_wav", `${at}/a.wav`);
    const file = await Deno.readFile(`${at}/a.wav`);
    const data = file.findIndex((_, i) =>
      "data" === String.fromCharCode(...file.subarray(i, i + 4))
    );
    for (const stated of [0x7ffff000, 0x80000000, 0xffffffff]) {
      const view = new DataView(file.buffer);
      view.setUint32(4, Math.min(stated + 36, 0xffffffff), true);
      view.setUint32(data + 4, stated, true);
      const { units: read, facts, cut } = await units(at, file);
      assertEquals([facts.reader, read.length, cut], ["ffmpeg", 10, null], stated.toString(16));
    }
  },
);

ffmpegTest("WAV: every layout is mixed as FFmpeg mixes it", async (folder) => {
  const masks: [channels: number, mask?: number][] = [
    ...[2, 3, 4, 5, 6, 7, 8].map((channels): [number] => [channels]),
    // 3.0, quad, 5.1, 5.1(side), 7.1, 7.1(wide), hexagonal
    ...[[3, 0x7], [4, 0x33], [6, 0x3f], [6, 0x60f], [8, 0x63f], [8, 0xff], [6, 0x137]] satisfies [
      number,
      number,
    ][],
  ];
  for (const [channels, mask] of masks) {
    // Each channel sounds alone for 160 ms.
    const levels = Array.from(
      { length: channels * 2560 * channels },
      (_, i) => i % channels === Math.floor(i / channels / 2560) ? 0.5 : 0,
    );
    const data = coded(levels, 16, (v, at, x) => v.setInt16(at, Math.round(x * 32767), true));
    const header = mask === undefined ? { channels } : { channels, mask };
    const { units: mine } = await units(folder, wav(data, header));
    await make("-i", `${folder}/a.wav`, "-c", "copy", `${folder}/a.w64`);
    const { units: theirs } = await observe(`${folder}/a.w64`);
    mine.forEach((unit, i) => {
      const [a, b] = [unit.audio?.[1280] ?? 9, theirs[i]?.audio?.[1280] ?? 0];
      assertLess(Math.abs(a - b), 2e-3, `channel ${i} of ${channels}, mask ${mask}`);
    });
  }
});

folderTest("WAV: --audio-channel takes one channel, and there must be one", async (folder) => {
  const levels = Array.from({ length: 2560 }, () => [0.1, 0.2, 0.3]).flat();
  const data = coded(levels, 16, (v, at, x) => v.setInt16(at, Math.round(x * 32767), true));
  await Deno.writeFile(`${folder}/a.wav`, wav(data, { channels: 3 }));
  const read = async (channel: "left" | "right" | number) => {
    const choice = { ...defaultTracks, channel };
    const { observations, facts } = await openInput(`${folder}/a.wav`, userShape, noFfmpeg, choice);
    const [unit] = await Array.fromAsync(observations);
    assertEquals([facts.tracks.audio?.channels, facts.tracks.audio?.channel], [3, channel]);
    return Math.round((unit?.audio?.[100] ?? 0) * 100) / 100;
  };
  assertEquals([await read("left"), await read("right"), await read(3)], [0.1, 0.2, 0.3]);
  await assertRejects(() => read(4), InputError, "its sound has 3 channels");
});

folderTest("WAV: impossible headers are refused in one line", async (folder) => {
  const bad: [string, Uint8Array<ArrayBuffer>][] = [
    ["no samples", wav(new Uint8Array(0))],
    ["cut header", wav(new Uint8Array(100)).subarray(0, 30)],
    ["no channels", wav(new Uint8Array(100), { channels: 0 })],
    ["17 bits", wav(new Uint8Array(100), { bits: 48 })],
    ["rate 0", wav(new Uint8Array(100), { rate: 0 })],
    ["huge rate", wav(new Uint8Array(100), { rate: 0xffffffff })],
  ];
  for (const [what, file] of bad) {
    const error = await assertRejects(() => units(folder, file), InputError, undefined, what);
    assertStringIncludes(error.message, "a.wav: ");
    assert(!error.message.includes("\n"));
  }
});

folderTest("WavWriter writes what openWav reads", async (folder) => {
  const next = random(3);
  const samples = Float32Array.from({ length: 5120 }, () => next() * 2 - 1);
  samples.set([1, -1, 2, -2]);
  const writer = await WavWriter.create(`${folder}/out.wav`, 16000);
  await writer.write(samples.subarray(0, 2560));
  await writer.write(samples.subarray(2560));
  await writer.close();
  assertEquals((await Deno.stat(`${folder}/out.wav`)).size, 44 + 10240);
  const { units: read, cut } = await observe(`${folder}/out.wav`);
  assertEquals([read.length, cut], [2, null]);
  samples.forEach((sample, i) => {
    const back = read[Math.floor(i / 2560)]?.audio?.[i % 2560] ?? 9;
    assertLess(Math.abs(back - Math.max(-1, Math.min(1, sample))), 4e-5, `sample ${i}`);
  });
});

folderTest("readSound() reads at most the seconds asked for", async (folder) => {
  await Deno.writeFile(`${folder}/a.wav`, wav(new Uint8Array(96000).fill(9)));
  const path = `${folder}/a.wav`;
  assertEquals((await readSound(path, userShape, 2, noFfmpeg)).length, 32000);
  assertEquals((await readSound(path, userShape, 9, noFfmpeg)).length, 48000);
});

ffmpegTest("WAV: samples equal what FFmpeg decodes", async (folder) => {
  await make(...tone(1, 44100), "-c:a", "pcm_s24le", "-ac", "2", `${folder}/a.wav`);
  await make("-i", `${folder}/a.wav`, `${folder}/a.flac`);
  const mine = await observe(`${folder}/a.wav`);
  const theirs = await observe(`${folder}/a.flac`);
  assertEquals([mine.facts.reader, theirs.facts.reader], ["wav", "ffmpeg"]);
  assertEquals(mine.units.length, theirs.units.length);
  for (let i = 1000; i < 15000; i++) {
    const [unit, at] = [Math.floor(i / 2560), i % 2560];
    const apart = (mine.units[unit]?.audio?.[at] ?? 9) - (theirs.units[unit]?.audio?.[at] ?? 0);
    assertLess(Math.abs(apart), 1e-4, `sample ${i}`);
  }
});

ffmpegTest("WAV: other codings go through FFmpeg", async (folder) => {
  await make(...tone(1), "-c:a", "adpcm_ima_wav", `${folder}/a.wav`);
  const { facts, units: read } = await observe(`${folder}/a.wav`);
  assertEquals([facts.reader, read.length], ["ffmpeg", 7]);
});
