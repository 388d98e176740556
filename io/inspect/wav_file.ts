/** A WAV file in memory. */
import { toPcm16 } from "../media/wav.ts";

/** Two channels of 16-bit PCM, the shorter one filled up with silence. */
export function wavFile(
  [left, right]: readonly [Float32Array, Float32Array],
  sampleRate: number,
): Uint8Array {
  const both = new Float32Array(2 * Math.max(left.length, right.length));
  left.forEach((sample, i) => both[2 * i] = sample);
  right.forEach((sample, i) => both[2 * i + 1] = sample);
  const samples = toPcm16(both);
  const file = new Uint8Array(44 + samples.length);
  const view = new DataView(file.buffer);
  for (const [at, text] of [[0, "RIFF"], [8, "WAVE"], [12, "fmt "], [36, "data"]] as const) {
    new TextEncoder().encodeInto(text, file.subarray(at));
  }
  view.setUint32(4, 36 + samples.length, true);
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 2, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * 4, true);
  view.setUint16(32, 4, true);
  view.setUint16(34, 16, true);
  view.setUint32(40, samples.length, true);
  file.set(samples, 44);
  return file;
}
