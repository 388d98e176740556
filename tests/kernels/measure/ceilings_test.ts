import { assert, assertEquals } from "@std/assert";
import {
  copyCeiling,
  matmulFigures,
  multiplyAddCeiling,
} from "../../../kernels/measure/ceilings.ts";
import { median } from "../../../kernels/measure/quantile.ts";
import { timesOfOneRun, timeSteps } from "../../../kernels/measure/stopwatch.ts";
import { copy } from "../../../kernels/gpu/plan.ts";
import { makeTensor } from "../../../kernels/gpu/tensor.ts";
import { withGpu } from "../support.ts";

withGpu(
  "timeSteps() times copies and products, and its rates are those of its times",
  async (gpu) => {
    const options = { rounds: 3, roundMs: 2 };
    for (const words of [4, 1 << 10, 1 << 20]) {
      const [from, to] = [makeTensor(gpu, "from", [words]), makeTensor(gpu, "to", [words])];
      const { ms, bestMs, quartiles } = await timeSteps(gpu, [copy("test", from, to)], options);
      assert(bestMs > 0 && bestMs <= quartiles[0] && quartiles[0] <= ms && ms <= quartiles[1]);
    }
    const [figure] = await matmulFigures(gpu, [[9, 64, 64]], ["f32"]);
    assert(figure);
    const flops = 2 * 9 * 64 * 64;
    assert(Math.abs(figure.gigaflops * figure.ms * 1e6 - flops) < 1e-3 * flops);
  },
);

Deno.test("one run's time leaves out the submit, and is never 0 where the machine was disturbed", () => {
  assertEquals(timesOfOneRun([30, 50], [12, 10, 40], 10), [2, 4]);
  assertEquals(timesOfOneRun([9, 10], [10], 100), [1e-5, 1e-5]);
});

withGpu("the ceilings are finite rates, and buffers are freed again", async (gpu) => {
  const before = gpu.allocatedBytes;
  for (const rate of [await multiplyAddCeiling(gpu), await copyCeiling(gpu)]) {
    assert(rate > 0.05 && Number.isFinite(rate), String(rate));
  }
  // The first use of a device adds its proof of readback and its constants.
  const after = gpu.allocatedBytes;
  await copyCeiling(gpu);
  assertEquals(gpu.allocatedBytes, after);
  assert(after - before < 1 << 20);
});

Deno.test("median() is the middle of sorted numbers, the lower one of two", () => {
  assertEquals(median([5, 1, 9]), 5);
  assertEquals(median([10, 9]), 9);
  assertEquals(median([]), NaN);
});
