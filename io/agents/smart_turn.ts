/**
 * Smart Turn v3.2: is the user's turn over? A small network on the log-mel spectrum of the last 8 s, as
 * Pipecat ships it: its file stands in the wheel of PyPI's `pipecat-ai`.
 *
 * Source: Daily, Smart Turn v3.2 (BSD-2-Clause), https://github.com/pipecat-ai/smart-turn
 */
import { join } from "node:path";
import { InputError } from "../../engine/config/errors.ts";
import { ifThere } from "../system/errors.ts";

/** What reports call it. */
export const smartTurnVersion = "Smart Turn v3.2 (pipecat-ai 1.14.0)";

/** A probability above this says that the turn is over. */
export const overAbove = 0.5;

/** Samples at 16 kHz that are seen, bands and frames of what is made of them. */
export const seenSamples = 8 * 16000;
export const melBands = 80;
export const melFrames = 800;

/** The network's file among the judges' packages. @throws InputError when it isn't there. */
export async function smartTurnFile(judges: string): Promise<string> {
  const lib = join(judges, ".venv", Deno.build.os === "windows" ? "Lib" : "lib");
  const found = await findPackage(lib, "pipecat");
  const file = found &&
    join(found, "audio", "turn", "smart_turn", "data", "smart-turn-v3.2-cpu.onnx");
  if (file !== null && await ifThere(Deno.stat(file)) !== null) return file;
  throw new InputError("end=smart: Smart Turn isn't installed: run 'deno task setup --judges'");
}

/** A package's folder in a virtual environment; null: it isn't there. */
async function findPackage(lib: string, name: string): Promise<string | null> {
  const places = [join(lib, "site-packages", name)];
  if (await ifThere(Deno.stat(lib)) === null) return null;
  for await (const { name: python } of Deno.readDir(lib)) {
    places.push(join(lib, python, "site-packages", name));
  }
  for (const place of places) if (await ifThere(Deno.stat(place)) !== null) return place;
  return null;
}

/** Samples of a window and between windows, and its frequencies. */
const [windowLength, hop] = [400, 160];
const bins = windowLength / 2 + 1;

/** Hann's window, periodic. */
const hann = Float64Array.from(
  { length: windowLength },
  (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / windowLength),
);

/**
 * Whisper's log-mel spectrum of the last 8 s: zeros before what is shorter, mean 0 and variance 1, windows
 * of 25 ms every 10 ms with reflected ends, Slaney's bands, the logarithm cut 8 below its largest.
 * In float64, where the reference has float64 too.
 *
 * Source: `transformers.WhisperFeatureExtractor(chunk_length=8)` with `do_normalize=True`, of which
 * pipecat-ai ships a copy (audio/turn/smart_turn/_whisper_features.py); the zeros stand before the
 * sound as there.
 *
 * @param sound Mono samples at 16 kHz. @returns [80, 800]
 */
export function whisperFeatures(sound: Float32Array): Float32Array {
  const padded = reflected(normalized(sound.subarray(Math.max(0, sound.length - seenSamples))));
  const logs = new Float64Array(melBands * melFrames);
  const [re, im] = [new Float64Array(windowLength), new Float64Array(windowLength)];
  const powers = [new Float64Array(bins), new Float64Array(bins)] as const;
  let largest = -Infinity;
  // Two real windows in one complex transform.
  for (let frame = 0; frame < melFrames; frame += 2) {
    const at = frame * hop;
    for (let i = 0; i < windowLength; i++) {
      const weight = hann[i] as number;
      re[i] = (padded[at + i] as number) * weight;
      im[i] = (padded[at + hop + i] as number) * weight;
    }
    transform(re, im);
    for (let k = 0; k < bins; k++) {
      const other = (windowLength - k) % windowLength;
      const a = re[k] as number;
      const b = im[k] as number;
      const c = re[other] as number;
      const d = im[other] as number;
      powers[0][k] = ((a + c) * (a + c) + (b - d) * (b - d)) / 4;
      powers[1][k] = ((b + d) * (b + d) + (c - a) * (c - a)) / 4;
    }
    powers.forEach((power, second) =>
      filters.forEach(({ from, weights }, band) => {
        let energy = 0;
        for (let i = 0; i < weights.length; i++) {
          energy += (weights[i] as number) * (power[from + i] as number);
        }
        const log = Math.log10(Math.max(1e-10, energy));
        logs[band * melFrames + frame + second] = log;
        largest = Math.max(largest, log);
      })
    );
  }
  return Float32Array.from(logs, (log) => (Math.max(log, largest - 8) + 4) / 4);
}

/** Zeros before it up to 8 s, then mean 0 and variance 1, rounded to float32 as the reference is. */
function normalized(sound: Float32Array): Float32Array {
  const all = new Float32Array(seenSamples);
  all.set(sound, seenSamples - sound.length);
  const mean = all.reduce((sum, value) => sum + value, 0) / seenSamples;
  const variance = all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / seenSamples;
  const scale = 1 / Math.sqrt(variance + 1e-7);
  return all.map((value) => (value - mean) * scale);
}

/** Half a window more at both ends, mirrored. */
function reflected(sound: Float32Array): Float32Array {
  const half = windowLength / 2;
  const all = new Float32Array(sound.length + windowLength);
  all.set(sound, half);
  for (let i = 1; i <= half; i++) {
    all[half - i] = sound[i] ?? 0;
    all[half + sound.length - 1 + i] = sound[sound.length - 1 - i] ?? 0;
  }
  return all;
}

/** Rows and columns of a transform of 400 = 20 * 20 values, and exp(-2 pi i a b / 20). */
const side = 20;
const turns = (part: (angle: number) => number, of: number) =>
  Float64Array.from(
    { length: side * side },
    (_, i) => part((-2 * Math.PI * Math.floor(i / side) * (i % side)) / of),
  );
const [sideCos, sideSin] = [turns(Math.cos, side), turns(Math.sin, side)];
/** exp(-2 pi i a b / 400). */
const [twistCos, twistSin] = [turns(Math.cos, side * side), turns(Math.sin, side * side)];
const [innerRe, innerIm] = [new Float64Array(windowLength), new Float64Array(windowLength)];

/** The discrete Fourier transform of 400 complex values, in place (Cooley, Tukey 1965): over columns,
 * a twist, over rows. */
function transform(re: Float64Array, im: Float64Array): void {
  sums(re, im, innerRe, innerIm, side, 1);
  for (let i = 0; i < windowLength; i++) {
    const [a, b] = [innerRe[i] as number, innerIm[i] as number];
    const [c, s] = [twistCos[i] as number, twistSin[i] as number];
    innerRe[i] = a * c - b * s;
    innerIm[i] = a * s + b * c;
  }
  sums(innerRe, innerIm, re, im, 1, side);
}

/** For each column n and each k: the sum over m of exp(-2 pi i k m / 20) times the value in row m, at
 * `byColumn` n + `byTurn` k. */
function sums(
  re: Float64Array,
  im: Float64Array,
  outRe: Float64Array,
  outIm: Float64Array,
  byColumn: number,
  byTurn: number,
): void {
  for (let n = 0; n < side; n++) {
    for (let k = 0; k < side; k++) {
      let sumRe = 0;
      let sumIm = 0;
      for (let m = 0; m < side; m++) {
        const c = sideCos[side * k + m] as number;
        const s = sideSin[side * k + m] as number;
        const a = re[side * m + n] as number;
        const b = im[side * m + n] as number;
        sumRe += a * c - b * s;
        sumIm += a * s + b * c;
      }
      outRe[byColumn * n + byTurn * k] = sumRe;
      outIm[byColumn * n + byTurn * k] = sumIm;
    }
  }
}

/** Slaney's bands from 0 to 8 kHz: triangles of area 1 on a scale that is linear below 1 kHz; of each
 * the first frequency with a weight, and the weights. */
const filters = (() => {
  const step = Math.log(6.4) / 27;
  const mel = (hertz: number) =>
    hertz < 1000 ? (3 * hertz) / 200 : 15 + Math.log(hertz / 1000) / step;
  const hertz = (mel: number) => mel < 15 ? (200 * mel) / 3 : 1000 * Math.exp(step * (mel - 15));
  const top = mel(8000);
  const edges = Array.from({ length: melBands + 2 }, (_, i) => hertz((top * i) / (melBands + 1)));
  return Array.from({ length: melBands }, (_, band) => {
    const [low = 0, peak = 0, high = 0] = edges.slice(band, band + 3);
    const weights = Array.from({ length: bins }, (_, bin) => {
      const frequency = (8000 * bin) / (bins - 1);
      const slope = Math.min((frequency - low) / (peak - low), (high - frequency) / (high - peak));
      return Math.max(0, slope) * (2 / (high - low));
    });
    const from = weights.findIndex((weight) => weight > 0);
    const to = weights.findLastIndex((weight) => weight > 0);
    return { from, weights: Float64Array.from(weights.slice(from, to + 1)) };
  });
})();
