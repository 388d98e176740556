import { assertEquals, assertThrows } from "@std/assert";
import { carry } from "../../../kernels/codec/carry.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { normal, random } from "../../reference/random.ts";
import { run, surrounded, withGpu } from "../support.ts";

withGpu("carry() leaves the last frames of state and x, whichever is longer", async (gpu) => {
  const next = random(1);
  for (const [kept, frames] of [[1, 1], [1, 4], [5, 1], [5, 2], [5, 5], [5, 8], [7, 6]] as const) {
    for (const column of [[1, 1, 1], [2, 3, 5], [4, 4, 8]]) {
      const size = column.reduce((a, b) => a * b);
      const before = normal(next, kept * size);
      const x = normal(next, frames * size);
      const state = surrounded(gpu, "state", [kept, ...column], before);
      run(
        gpu,
        carry(gpu, { label: "test", x: surrounded(gpu, "x", [frames, ...column], x), state }),
      );
      const expected = [...before, ...x].slice(-kept * size);
      assertEquals([...await readTensor(gpu, state)], expected, `${kept} after ${frames}`);
    }
  }
});

withGpu("carry() refuses frames of another size", (gpu) => {
  const x = surrounded(gpu, "x", [1, 3], new Float32Array(3));
  const state = surrounded(gpu, "state", [1, 4], new Float32Array(4));
  assertThrows(() => carry(gpu, { label: "test", x, state }), RangeError, "can't follow");
});
