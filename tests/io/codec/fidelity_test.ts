/** Measures of a codec's fidelity against plain versions of their definitions. */
import { assert, assertEquals } from "@std/assert";
import { PictureFidelity, SoundFidelity, ssim } from "../../../io/codec/fidelity.ts";
import { integer, normal, random } from "../../reference/random.ts";

const close = (a: number | null, b: number) =>
  assert(Math.abs((a ?? NaN) - b) < 1e-9, `${a}, ${b}`);

/** SSIM window by window, each sum by itself. */
function plainSsim(a: Float64Array, b: Float64Array, width: number, height: number): number {
  const weights: number[] = [];
  for (let y = -5; y <= 5; y++) {
    for (let x = -5; x <= 5; x++) weights.push(Math.exp(-(x * x + y * y) / 4.5));
  }
  const total = weights.reduce((sum, weight) => sum + weight);
  const values: number[] = [];
  for (let y = 5; y < height - 5; y++) {
    for (let x = 5; x < width - 5; x++) {
      const mean = (of: (i: number) => number) =>
        weights.reduce((sum, weight, w) => {
          const at = (y - 5 + Math.floor(w / 11)) * width + x - 5 + (w % 11);
          return sum + (weight / total) * of(at);
        }, 0);
      const [ma, mb] = [mean((i) => a[i] ?? 0), mean((i) => b[i] ?? 0)];
      const va = mean((i) => ((a[i] ?? 0) - ma) ** 2);
      const vb = mean((i) => ((b[i] ?? 0) - mb) ** 2);
      const ab = mean((i) => ((a[i] ?? 0) - ma) * ((b[i] ?? 0) - mb));
      values.push(
        ((2 * ma * mb + 6.5025) * (2 * ab + 58.5225)) /
          ((ma * ma + mb * mb + 6.5025) * (va + vb + 58.5225)),
      );
    }
  }
  return values.reduce((sum, value) => sum + value) / values.length;
}

Deno.test("PSNR and SSIM are those of the definitions, and a picture equals itself", () => {
  const next = random(3);
  const [width, height, frames] = [17, 13, 2];
  const picture = () =>
    Uint8Array.from({ length: frames * width * height * 3 }, () => integer(next, 0, 255));
  const truth = picture();
  const near = truth.map((byte) => Math.max(0, Math.min(255, byte + integer(next, -20, 20))));
  const measure = new PictureFidelity({ width, height });
  // A frame at a time gives what all of them give.
  const half = truth.length / 2;
  measure.add(truth.subarray(0, half), near.subarray(0, half));
  measure.add(truth.subarray(half), near.subarray(half));
  const mse = truth.reduce((sum, byte, i) => sum + (byte - (near[i] ?? 0)) ** 2, 0) / truth.length;
  close(measure.result().psnr, 10 * Math.log10(255 ** 2 / mse));
  const luma = (rgb: Uint8Array) =>
    Float64Array.from(
      { length: rgb.length / 3 },
      (_, i) => [0.299, 0.587, 0.114].reduce((sum, w, c) => sum + w * (rgb[3 * i + c] ?? 0), 0),
    );
  const [a, b] = [luma(truth), luma(near)];
  const size = width * height;
  const each = [0, 1].map((f) =>
    plainSsim(
      a.subarray(f * size, (f + 1) * size),
      b.subarray(f * size, (f + 1) * size),
      width,
      height,
    )
  );
  close(measure.result().ssim, ((each[0] ?? 0) + (each[1] ?? 0)) / 2);
  close(ssim(a.subarray(0, 64), a.subarray(0, 64), 8, 8), 1);
  const same = new PictureFidelity({ width, height });
  same.add(truth, truth);
  assertEquals(same.result().psnr, null);
});

Deno.test("SI-SDR sees no gain and no offset, and the log-mel distance sees a gain", () => {
  const next = random(4);
  const truth = normal(next, 8000, 0.1);
  const noise = normal(next, 8000, 0.01);
  const estimate = truth.map((x, i) => 0.5 * (x + (noise[i] ?? 0)) + 0.02);
  const measure = new SoundFidelity(16000);
  for (let at = 0; at < 8000; at += 1600) {
    measure.add(truth.subarray(at, at + 1600), estimate.subarray(at, at + 1600));
  }
  const mean = (x: Float32Array) => x.reduce((sum, value) => sum + value, 0) / x.length;
  const centred = (x: Float32Array) => Float64Array.from(x, (value) => value - mean(x));
  const [s, e] = [centred(truth), centred(estimate)];
  const dot = (x: Float64Array, y: Float64Array) =>
    x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0);
  const alpha = dot(s, e) / dot(s, s);
  const rest = e.map((value, i) => value - alpha * (s[i] ?? 0));
  const expected = 10 * Math.log10((alpha * alpha * dot(s, s)) / dot(rest, rest));
  assert(Math.abs((measure.result().siSdr ?? NaN) - expected) < 1e-6);
  const gain = new SoundFidelity(16000);
  gain.add(truth, truth.map((x) => x / 2));
  assertEquals(gain.result().siSdr, null);
  // Half of the amplitude are 6.02 dB of energy in every band, but for what is added to each.
  assert(Math.abs((gain.result().logMel ?? NaN) - 6.02) < 0.05);
});
