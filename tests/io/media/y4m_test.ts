import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { Fitter, planarToRgb, rgbToPlanar } from "../../../io/media/picture.ts";
import { Y4mWriter } from "../../../io/media/y4m.ts";
import { random } from "../../reference/random.ts";
import { count, ffmpegTest, folderTest, make, observe, picture, userShape } from "../media.ts";

/** A Y4M file of grey frames: frame n has luma 16 + n. */
function y4m(frames: number, header: string, bytes: number): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder();
  const parts = [...text.encode(`YUV4MPEG2 ${header}\n`)];
  for (let n = 0; n < frames; n++) {
    parts.push(...text.encode(n % 2 ? "FRAME\n" : "FRAME Ip\n"), ...Array(bytes).fill(16 + n));
  }
  return Uint8Array.from(parts);
}

async function units(folder: string, file: Uint8Array) {
  await Deno.writeFile(`${folder}/a.y4m`, file);
  return await observe(`${folder}/a.y4m`);
}

/** Which input frame every output frame shows, told by its grey level. */
async function shown(folder: string, frames: number, rate: string): Promise<number[]> {
  const { units: read } = await units(folder, y4m(frames, `W8 H6 F${rate} Cmono`, 48));
  return read.flatMap((unit) =>
    [0, 1, 2, 3].map((i) =>
      Math.round((unit.frames?.[i * 64 * 48 * 3 + 24 * 64 * 3 + 96] ?? 0) * 219 / 255)
    )
  );
}

folderTest("Y4M: frames are shown at the stream's rate, nearest first", async (folder) => {
  assertEquals(await shown(folder, 8, "25:1"), [0, 1, 2, 3, 4, 5, 6, 7]);
  assertEquals(await shown(folder, 16, "50:1"), [0, 2, 4, 6, 8, 10, 12, 14]);
  assertEquals(await shown(folder, 4, "25:2"), [0, 1, 1, 2, 2, 3, 3, 3]);
  assertEquals((await shown(folder, 30, "30000:1001")).length, 28);
  assertEquals(await shown(folder, 1, "1:1"), [...Array(25).fill(0), 0, 0, 0]);
});

folderTest("Y4M: every 8-bit chroma layout is read, odd sizes too", async (folder) => {
  const layouts: [string, number][] = [
    ["W5 H3 F25:1", 15 + 2 * 6],
    ["W5 H3 F25:1 C420jpeg A1:1 Ip XYSCSS=420JPEG", 15 + 2 * 6],
    ["W5 H3 F25:1 C422", 15 + 2 * 9],
    ["W5 H3 F25:1 C411", 15 + 2 * 6],
    ["W5 H3 F25:1 C444", 45],
    ["W5 H3 F25:1 Cmono", 15],
  ];
  for (const [header, bytes] of layouts) {
    const { units: read, facts, cut } = await units(folder, y4m(8, header, bytes));
    assertEquals([read.length, facts.reader, cut], [2, "y4m", null], header);
  }
});

folderTest(
  "Y4M: a file cut off in the middle gives its whole units and the second",
  async (folder) => {
    const file = y4m(20, "W8 H6 F25:1 Cmono", 48);
    const { units: read, cut } = await units(
      folder,
      file.subarray(0, Math.floor(file.length * 0.7)),
    );
    assertEquals(read.length, 3);
    assertEquals(cut?.seconds, 13 / 25);
  },
);

folderTest("Y4M: impossible headers and damaged frames are refused", async (folder) => {
  for (
    const file of [
      y4m(1, "W0 H6 F25:1", 48),
      y4m(1, "W8 H99999999 F25:1", 48),
      y4m(1, "W8 H6 F25:0", 48),
      y4m(1, "H6", 48),
      y4m(0, "W8 H6 F25:1 Cmono", 48),
      y4m(9, "W8 H6 F25:1 Cmono", 49),
    ]
  ) await assertRejects(() => units(folder, file), InputError, "a.y4m: ");
});

Deno.test("planarToRgb() inverts rgbToPlanar() to the rounding of limited levels", () => {
  const next = random(5);
  const rgb = Uint8Array.from({ length: 3 * 500 }, () => Math.floor(next() * 256));
  const back = planarToRgb(
    new Uint8Array(rgbToPlanar(rgb).buffer),
    50,
    10,
    { across: 1, down: 1 },
    false,
  );
  rgb.forEach((level, i) => assertLess(Math.abs((back[i] ?? 0) - level), 4));
});

Deno.test("Fitter scales without distortion and pads with black", () => {
  const white = (width: number, height: number) => new Uint8Array(width * height * 3).fill(255);
  const box = (out: Uint8Array, width: number) => {
    const lit = [...out.keys()].filter((i) => i % 3 === 0 && (out[i] ?? 0) > 250).map((i) => i / 3);
    const xs = lit.map((i) => i % width);
    const ys = lit.map((i) => Math.floor(i / width));
    return [Math.min(...xs), Math.max(...xs) + 1, Math.min(...ys), Math.max(...ys) + 1];
  };
  assertEquals(box(new Fitter(100, 50, 1, 64, 48).fit(white(100, 50)), 64), [0, 64, 8, 40]);
  assertEquals(box(new Fitter(9, 16, 1, 64, 48).fit(white(9, 16)), 64), [18, 45, 0, 48]);
  assertEquals(box(new Fitter(720, 480, 8 / 9, 64, 48).fit(white(720, 480)), 64), [0, 64, 0, 48]);
  assertEquals(box(new Fitter(1, 1, 1, 3, 2).fit(white(1, 1)), 3), [0, 2, 0, 2]);
});

Deno.test("Fitter keeps the mean when it shrinks", () => {
  const next = random(11);
  const noise = Uint8Array.from({ length: 300 * 300 * 3 }, () => Math.floor(next() * 256));
  const mean = (bytes: Uint8Array) => bytes.reduce((a, b) => a + b, 0) / bytes.length;
  assertLess(Math.abs(mean(new Fitter(300, 300, 1, 20, 20).fit(noise)) - mean(noise)), 1.5);
});

ffmpegTest("Y4M: pictures agree with FFmpeg's, read and written", async (folder) => {
  await make(...picture(0.32), "-pix_fmt", "yuv444p", `${folder}/a.y4m`);
  const { units: read } = await observe(`${folder}/a.y4m`);
  assertEquals(read.length, 2);
  await make("-i", `${folder}/a.y4m`, "-c:v", "ffv1", `${folder}/b.mkv`);
  const { units: theirs } = await observe(`${folder}/b.mkv`);
  let sum = 0;
  read[1]?.frames?.forEach((level, i) => sum += Math.abs(level - (theirs[1]?.frames?.[i] ?? 0)));
  assertLess(sum / (4 * 64 * 48 * 3), 6, "mean difference in levels");

  const writer = await Y4mWriter.create(`${folder}/c.y4m`, userShape);
  for (const unit of read) await writer.write(unit.frames ?? new Uint8Array());
  writer.close();
  const back = await count(`${folder}/c.y4m`, 64, 48);
  assertEquals(back.frames, 8);
  let worst = 0;
  read[0]?.frames?.forEach((level, i) =>
    worst = Math.max(worst, Math.abs(level - (back.video[i] ?? 0)))
  );
  assert(worst <= 6, `${worst} levels apart`);
});

ffmpegTest("Y4M: other codings go through FFmpeg", async (folder) => {
  await make(...picture(0.32), "-pix_fmt", "yuv420p10le", "-strict", "-1", `${folder}/a.y4m`);
  const { facts, units: read } = await observe(`${folder}/a.y4m`);
  assertEquals([facts.reader, read.length], ["ffmpeg", 2]);
});
