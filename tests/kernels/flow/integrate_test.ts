import { assertThrows } from "@std/assert";
import { integrate } from "../../../kernels/flow/integrate.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { rows } from "../../../kernels/gpu/tensor.ts";
import { normal, random } from "../../reference/random.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

withGpu("integrate() adds z and up to four terms, in place too", async (gpu) => {
  const next = random(8);
  for (const count of [1, 63, 832]) {
    for (let terms = 1; terms <= 4; terms++) {
      const z = normal(next, count);
      const list = Array.from({ length: terms }, (_, i) => ({
        data: normal(next, count),
        coefficient: 0.3 * i - 0.25,
      }));
      const sum = (a: number) =>
        Array.from(
          z,
          (value, i) => list.reduce((s, t) => s + t.coefficient * (t.data[i] ?? NaN), a * value),
        );
      const tensors = list.map(({ data, coefficient }, i) => ({
        v: surrounded(gpu, "v", [count], data, { offset: i }),
        coefficient,
      }));
      const zTensor = surrounded(gpu, "z", [count], z, { offset: 5 });
      const y = poisoned(gpu, "y", [count]);
      run(gpu, integrate(gpu, { label: "test", z: zTensor, a: 0.5, terms: tensors, y }));
      assertClose(await readTensor(gpu, y), sum(0.5), { absolute: 1e-6 });
      run(gpu, integrate(gpu, { label: "test", terms: tensors, y }));
      assertClose(await readTensor(gpu, y), sum(0), { absolute: 1e-6 });
      run(gpu, integrate(gpu, { label: "test", z: zTensor, terms: tensors, y: zTensor }));
      assertClose(await readTensor(gpu, zTensor), sum(1), { absolute: 1e-6 });
    }
  }
});

withGpu(
  "integrate() combines the two sets of classifier-free guidance in one buffer",
  async (gpu) => {
    const [count, g] = [10, 3];
    const both = normal(random(9), 2 * count);
    const tensor = surrounded(gpu, "both", [2 * count], both);
    const y = poisoned(gpu, "y", [count]);
    const [v, u] = [rows(tensor, 0, count), rows(tensor, count, count)];
    const terms = [{ v, coefficient: g }, { v: u, coefficient: 1 - g }];
    run(gpu, integrate(gpu, { label: "guidance", terms, y }));
    const expected = Array.from({ length: count }, (_, i) => {
      const [vc = NaN, vu = NaN] = [both[i], both[count + i]];
      return vu + g * (vc - vu);
    });
    assertClose(await readTensor(gpu, y), expected, { absolute: 2e-6 });
  },
);

withGpu("integrate() refuses terms of another size, and none", (gpu) => {
  const y = poisoned(gpu, "y", [4]);
  const v = poisoned(gpu, "v", [3]);
  for (const terms of [[], [{ v, coefficient: 1 }]]) {
    assertThrows(() => integrate(gpu, { label: "test", terms, y }), RangeError, "for 4 elements");
  }
});
