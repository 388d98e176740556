import { logmel, logmelTables, spectrumChannels } from "../../../kernels/codec/logmel.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { normal, random } from "../../reference/random.ts";
import { block, logmelReference } from "../../reference/coder.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

const shapes = [
  { window: 400, fft: 512, hop: 160, mels: 24, sampleRate: 16000, frames: 4 },
  { window: 400, fft: 512, hop: 160, mels: 80, sampleRate: 16000, frames: 2 },
  { window: 24, fft: 30, hop: 10, mels: 5, sampleRate: 8000, frames: 3 },
  { window: 16, fft: 16, hop: 16, mels: 3, sampleRate: 24000, frames: 5 },
];

withGpu("logmel() equals the reference, for noise, a tone and silence", async (gpu) => {
  const next = random(5);
  for (const shape of shapes) {
    const { window, hop, mels, frames } = shape;
    const past = window - hop;
    // Whole hops before the unit, of which the last samples are the state.
    const before = Math.ceil(past / hop);
    const length = (before + frames) * hop;
    const tone = Float32Array.from({ length }, (_, i) => 0.5 * Math.sin(0.3 * i));
    for (const samples of [normal(next, length, 0.1), tone, new Float32Array(length)]) {
      const expected = logmelReference(block([length, 1, 1, 1], samples), shape);
      const tables = logmelTables(gpu, "test", shape);
      const start = before * hop;
      const x = surrounded(gpu, "x", [frames * hop, 1, 1, 1], samples.slice(start));
      const state = past > 0
        ? { state: surrounded(gpu, "state", [past, 1, 1, 1], samples.slice(start - past, start)) }
        : {};
      const spectrum = poisoned(gpu, "spectrum", [frames, 1, 1, spectrumChannels(shape)]);
      const y = poisoned(gpu, "y", [frames, 1, 1, mels]);
      run(gpu, ...logmel(gpu, { label: "test", x, ...state, tables, spectrum, y }));
      assertClose(await readTensor(gpu, y), expected.data.subarray(before * mels), {
        absolute: 2e-4,
        shape: [frames, mels],
      });
    }
  }
});
