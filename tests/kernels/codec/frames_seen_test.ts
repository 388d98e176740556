import { assertEquals, assertThrows } from "@std/assert";
import { countFrames, holdFirst } from "../../../kernels/codec/frames_seen.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { elements } from "../../../kernels/gpu/tensor.ts";
import { normal, random } from "../../reference/random.ts";
import { run, surrounded, withGpu } from "../support.ts";

withGpu(
  "holdFirst() fills the past at a stream's start only, countFrames() counts on",
  async (gpu) => {
    const next = random(1);
    for (
      const [kept, frames, column] of [[1, 1, [1, 1, 1]], [3, 2, [1, 1, 5]], [2, 4, [
        2,
        3,
        4,
      ]]] as const
    ) {
      const size = elements(column);
      const seen = surrounded(gpu, "seen", [1], new Float32Array(1));
      const before = normal(next, kept * size);
      const past = surrounded(gpu, "past", [kept, ...column], before);
      const values = normal(next, frames * size);
      const x = surrounded(gpu, "x", [frames, ...column], values);
      const args = { label: "test", seen, x, past };
      run(gpu, holdFirst(gpu, args), countFrames(gpu, { ...args, frames }));
      const held = Array.from({ length: kept }, () => [...values.subarray(0, size)]).flat();
      assertEquals([...await readTensor(gpu, past)], held);
      assertEquals([...await readTensor(gpu, { ...seen, dtype: "u32" })], [frames]);
      const later = surrounded(gpu, "past", [kept, ...column], before);
      run(gpu, holdFirst(gpu, { ...args, past: later }), countFrames(gpu, { ...args, frames: 7 }));
      assertEquals([...await readTensor(gpu, later)], [...before]);
      assertEquals([...await readTensor(gpu, { ...seen, dtype: "u32" })], [frames + 7]);
    }
  },
);

withGpu("holdFirst() refuses frames of another size", (gpu) => {
  const seen = surrounded(gpu, "seen", [1], new Float32Array(1));
  const x = surrounded(gpu, "x", [1, 3], new Float32Array(3));
  const past = surrounded(gpu, "past", [1, 4], new Float32Array(4));
  assertThrows(() => holdFirst(gpu, { label: "test", seen, x, past }), RangeError, "past");
});
