import { channelNorm } from "../../../kernels/codec/channel_norm.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { normal, random } from "../../reference/random.ts";
import {
  activationReference,
  block,
  rmsnormReference,
  type Shape4,
} from "../../reference/coder.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

const shapes: Shape4[] = [[1, 1, 1, 1], [2, 1, 1, 192], [1, 3, 5, 6], [1, 16, 16, 96], [
  3,
  1,
  1,
  21,
]];

withGpu(
  "channelNorm() equals the reference, with and without an activation, in place too",
  async (gpu) => {
    const next = random(10);
    for (const shape of shapes) {
      const count = shape.reduce((a, b) => a * b);
      const data = normal(next, count, 2);
      const weight = normal(next, shape[3], 0.2, 1);
      const normed = rmsnormReference(block(shape, data), weight);
      const options = { absolute: 1e-5, relative: 1e-5, shape };
      for (const offset of [4, 1]) {
        const x = surrounded(gpu, "x", shape, data, { offset });
        const w = surrounded(gpu, "weight", [shape[3]], weight, { offset });
        const y = poisoned(gpu, "y", shape, { offset });
        run(gpu, ...channelNorm(gpu, { label: "test", x, weight: w, y }));
        assertClose(await readTensor(gpu, y), normed.data, options);
        for (const activation of ["silu", "elu", "gelu"] as const) {
          run(gpu, ...channelNorm(gpu, { label: "test", x, weight: w, activation, y }));
          const expected = activationReference(normed, activation);
          assertClose(await readTensor(gpu, y), expected.data, options);
        }
        run(gpu, ...channelNorm(gpu, { label: "test", x, activation: "elu", y: x }));
        const alone = activationReference(block(shape, data), "elu");
        assertClose(await readTensor(gpu, x), alone.data, options);
      }
    }
  },
);

withGpu("channelNorm() keeps a row of zeros zero", async (gpu) => {
  const x = surrounded(gpu, "x", [1, 8], new Float32Array(8));
  const weight = surrounded(gpu, "weight", [8], new Float32Array(8).fill(1));
  run(gpu, ...channelNorm(gpu, { label: "test", x, weight, activation: "silu", y: x }));
  assertClose(await readTensor(gpu, x), new Float32Array(8), {});
});
