import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { planarToRgb, rgbToPlanar, Y4mWriter } from "../../../io/media/y4m.ts";
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

ffmpegTest("Y4M: only the model's size and rate are read without FFmpeg", async (folder) => {
  const cases = [
    ["W64 H48 F25:1 Cmono", 64 * 48, 8, "y4m", 2],
    ["W64 H48 F50:2 A1:1 Cmono", 64 * 48, 8, "y4m", 2],
    ["W64 H48 F25:1 A2:1 Cmono", 64 * 48, 8, "ffmpeg", 2],
    ["W8 H6 F25:1 Cmono", 48, 8, "ffmpeg", 2],
    ["W64 H48 F50:1 Cmono", 64 * 48, 16, "ffmpeg", 2],
    ["W64 H48 F25:2 Cmono", 64 * 48, 4, "ffmpeg", 2],
    ["W64 H48 F30000:1001 Cmono", 64 * 48, 30, "ffmpeg", 7],
    ["W64 H48 F1:1 Cmono", 64 * 48, 1, "ffmpeg", 7],
  ] as const;
  for (const [header, bytes, frames, reader, count] of cases) {
    const { units: read, facts, cut } = await units(folder, y4m(frames, header, bytes));
    assertEquals([facts.reader, read.length, cut], [reader, count, null], header);
  }
});

folderTest("Y4M: every 8-bit chroma layout is read, odd sizes too", async (folder) => {
  const odd = { ...userShape, width: 5, height: 3 };
  const layouts: [string, number][] = [
    ["W5 H3 F25:1", 15 + 2 * 6],
    ["W5 H3 F25:1 C420jpeg A1:1 Ip XYSCSS=420JPEG", 15 + 2 * 6],
    ["W5 H3 F25:1 C422", 15 + 2 * 9],
    ["W5 H3 F25:1 C411", 15 + 2 * 6],
    ["W5 H3 F25:1 C444", 45],
    ["W5 H3 F25:1 Cmono", 15],
  ];
  for (const [header, bytes] of layouts) {
    await Deno.writeFile(`${folder}/a.y4m`, y4m(8, header, bytes));
    const { units: read, facts, cut } = await observe(`${folder}/a.y4m`, odd);
    assertEquals([read.length, facts.reader, cut], [2, "y4m", null], header);
    const levels = (frame: number) => read[frame >> 2]?.frames?.[(frame % 4) * 45];
    if (header.endsWith("mono")) assertEquals([levels(0), levels(7)], [0, 8]);
  }
});

ffmpegTest(
  "Y4M: a file cut off in the middle gives its whole units and the second",
  async (folder) => {
    for (const size of ["W64 H48", "W8 H6"]) {
      const [width = 0, height = 0] = size.match(/\d+/g)?.map(Number) ?? [];
      const file = y4m(20, `${size} F25:1 Cmono`, width * height);
      const part = file.subarray(0, Math.floor(file.length * 0.7));
      const { units: read, cut } = await units(folder, part);
      assertEquals([read.length, cut?.seconds], [3, 13 / 25]);
      assertMatch(cut?.reason ?? "", /^its last frame has \d+ of \d+ bytes$/);
    }
  },
);

ffmpegTest("Y4M: impossible headers and damaged frames are refused", async (folder) => {
  for (
    const file of [
      y4m(1, "W0 H6 F25:1", 48),
      y4m(1, "W8 H99999999 F25:1", 48),
      y4m(1, "W8 H6 F25:0", 48),
      y4m(1, "H6", 48),
      y4m(0, "W8 H6 F25:1 Cmono", 48),
      y4m(9, "W8 H6 F25:1 Cmono", 49),
      y4m(9, "W64 H48 F25:1 Cmono", 64 * 48 + 1),
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

ffmpegTest("Y4M: pictures agree with FFmpeg's, read and written", async (folder) => {
  await make(...picture(0.32, "64x48"), "-pix_fmt", "yuv444p", `${folder}/a.y4m`);
  const { units: read, facts } = await observe(`${folder}/a.y4m`);
  assertEquals([read.length, facts.reader], [2, "y4m"]);
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
