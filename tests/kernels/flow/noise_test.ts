import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { noise } from "../../../kernels/flow/noise.ts";
import { philoxKey, philoxStream } from "../../../kernels/gpu/philox.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { normalOf, philox } from "../../reference/philox.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

async function make(gpu: Gpu, seed: number, unit: number, count: number): Promise<number[]> {
  const y = poisoned(gpu, "y", [count]);
  const params = surrounded(gpu, "params", [1], Uint32Array.of(unit), { offset: 3 });
  run(gpu, noise(gpu, { label: "test", y, unit: params, seed }));
  return [...await readTensor(gpu, y)];
}

withGpu("noise() equals Box-Muller on Philox's words to 3e-6", async (gpu) => {
  for (const [seed, unit, count] of [[0, 0, 1], [7, 3, 4095], [2 ** 40 + 5, 4e9, 20002]] as const) {
    const expected: number[] = [];
    for (let i = 0; i < count; i += 4) {
      expected.push(...normalOf(philox([unit, 0, i / 4, philoxStream.noise], philoxKey(seed))));
    }
    assertClose(await make(gpu, seed, unit, count), expected.slice(0, count), { absolute: 3e-6 });
  }
});

withGpu("noise() gives an element the same value whatever the tensor's size", async (gpu) => {
  const long = await make(gpu, 1, 2, 1000);
  for (const count of [1, 63, 257]) {
    assertEquals(await make(gpu, 1, 2, count), long.slice(0, count));
  }
});

withGpu("noise() differs by seed and unit, and is standard normal", async (gpu) => {
  const count = 100_000;
  const a = await make(gpu, 1, 2, count);
  for (const b of [await make(gpu, 2, 2, count), await make(gpu, 1, 3, count)]) {
    const products = a.reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0) / count;
    assert(Math.abs(products) < 0.02, `correlation ${products}`);
  }
  const mean = a.reduce((sum, value) => sum + value, 0) / count;
  const variance = a.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
  const fourth = a.reduce((sum, value) => sum + (value - mean) ** 4, 0) / count;
  assert(Math.abs(mean) < 0.02 && Math.abs(variance - 1) < 0.02, `mean ${mean}, ${variance}`);
  assert(Math.abs(fourth - 3) < 0.2, `fourth moment ${fourth}`);
});
