import { assertThrows } from "@std/assert";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { shuffle, unshuffle } from "../../../kernels/codec/shuffle.ts";
import { normal, random } from "../../reference/random.ts";
import { block, type Shape4, shuffleReference, unshuffleReference } from "../../reference/coder.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

type Triple = [number, number, number];

const factors: Triple[] = [[1, 1, 1], [4, 1, 1], [1, 2, 2], [4, 8, 8], [4, 2, 3], [2, 3, 1]];

withGpu("unshuffle() equals the reference, and shuffle() undoes it", async (gpu) => {
  const next = random(2);
  for (const factor of factors) {
    for (const [t, h, w, c] of [[1, 1, 1, 1], [1, 2, 3, 3], [2, 1, 2, 4]] as Shape4[]) {
      const [ft, fh, fw] = factor;
      const whole: Shape4 = [t * ft, h * fh, w * fw, c];
      const blocks: Shape4 = [t, h, w, c * ft * fh * fw];
      const data = normal(next, whole.reduce((a, b) => a * b));
      for (const offset of [4, 3]) {
        const x = surrounded(gpu, "x", whole, data, { offset });
        const y = poisoned(gpu, "y", blocks, { offset });
        const back = poisoned(gpu, "back", whole, { offset });
        run(
          gpu,
          ...unshuffle(gpu, { label: "test", x, y, factor }),
          ...shuffle(gpu, { label: "test", x: y, y: back, factor }),
        );
        const expected = unshuffleReference(block(whole, data), factor);
        assertClose(await readTensor(gpu, y), expected.data, {});
        assertClose(await readTensor(gpu, back), data, {});
        for (const { buffer } of [x, y, back]) gpu.free(buffer);
      }
    }
  }
});

withGpu("shuffle() equals the reference, as the presets use it", async (gpu) => {
  const next = random(3);
  const cases: [Shape4, Triple][] = [
    [[2, 1, 1, 512], [4, 1, 1]],
    [[1, 4, 4, 384], [1, 2, 2]],
    [[1, 4, 4, 768], [4, 8, 8]],
    [[1, 8, 8, 384], [1, 2, 2]],
    [[3, 2, 5, 18], [3, 2, 1]],
  ];
  for (const [shape, factor] of cases) {
    const data = normal(next, shape.reduce((a, b) => a * b));
    const expected = shuffleReference(block(shape, data), factor);
    const x = surrounded(gpu, "x", shape, data);
    const y = poisoned(gpu, "y", expected.shape);
    run(gpu, ...shuffle(gpu, { label: "test", x, y, factor }));
    assertClose(await readTensor(gpu, y), expected.data, {});
  }
});

withGpu("shuffle() refuses shapes that its factor doesn't lead to", (gpu) => {
  const x = surrounded(gpu, "x", [1, 2, 2, 6], new Float32Array(24));
  const y = poisoned(gpu, "y", [1, 4, 4, 2]);
  assertThrows(
    () => shuffle(gpu, { label: "test", x, y, factor: [1, 2, 2] }),
    RangeError,
    "in blocks of [1,2,2]",
  );
});
