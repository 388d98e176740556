import { assertEquals, assertThrows } from "@std/assert";
import { frameAttention } from "../../../kernels/codec/frame_attention.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { elements } from "../../../kernels/gpu/tensor.ts";
import { normal, random } from "../../reference/random.ts";
import { block, frameAttentionReference, type Shape4 } from "../../reference/coder.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

withGpu("frameAttention() equals the reference, at odd sizes and in portions", async (gpu) => {
  const next = random(31);
  const shapes: Shape4[] = [[1, 1, 1, 4], [1, 3, 5, 8], [3, 2, 3, 12], [2, 1, 7, 32], [5, 1, 1, 8]];
  for (const [t, h, w, c] of shapes) {
    const from: Shape4 = [t, h, w, 3 * c];
    const data = normal(next, elements(from), 1.5);
    const expected = frameAttentionReference(block(from, data));
    // All at once, and a few queries at a time.
    for (const portionOf of [undefined, 5 * h * w]) {
      const x = surrounded(gpu, "x", from, data);
      const y = poisoned(gpu, "y", expected.shape);
      const given = { label: "test", x, y, ...(portionOf ? { portionOf } : {}) };
      run(gpu, ...frameAttention(gpu, given));
      assertClose(await readTensor(gpu, y), expected.data, {
        absolute: 1e-5,
        relative: 1e-5,
        shape: expected.shape,
      });
      const whole = await readTensor(gpu, { ...y, offset: 0, shape: [y.buffer.size / 4] });
      for (let i = 0; i < whole.length; i++) {
        if (i < 4 || i >= 4 + expected.data.length) assertEquals(whole[i], NaN, `word ${i}`);
      }
    }
  }
});

withGpu(
  "frameAttention() keeps to one key where its score is far above the others",
  async (gpu) => {
    const x = new Float32Array(5 * 12);
    for (let p = 0; p < 5; p++) {
      x.set([1000, 0, 0, 0, p === 2 ? 1000 : -1000, 0, 0, 0, p, p, p, p], 12 * p);
    }
    const y = poisoned(gpu, "y", [1, 1, 5, 4]);
    run(
      gpu,
      ...frameAttention(gpu, { label: "test", x: surrounded(gpu, "x", [1, 1, 5, 12], x), y }),
    );
    assertEquals([...await readTensor(gpu, y)], Array<number>(20).fill(2));
  },
);

withGpu("frameAttention() refuses tensors that don't fit", (gpu) => {
  const x = surrounded(gpu, "x", [1, 1, 2, 12], new Float32Array(24));
  const y = poisoned(gpu, "y", [1, 2, 1, 4]);
  assertThrows(() => frameAttention(gpu, { label: "test", x, y }), RangeError, "frameAttention");
});
