import { assert, assertEquals } from "@std/assert";
import {
  copyCeiling,
  matmulFigures,
  multiplyAddCeiling,
} from "../../../kernels/measure/ceilings.ts";
import { median } from "../../../kernels/measure/quantile.ts";
import { timeSteps } from "../../../kernels/measure/stopwatch.ts";
import { copy } from "../../../kernels/gpu/plan.ts";
import { makeTensor } from "../../../kernels/gpu/tensor.ts";
import { withGpu } from "../support.ts";

withGpu("timeSteps() times copies and products, and more work takes longer", async (gpu) => {
  const options = { rounds: 3, roundMs: 2 };
  const time = async (words: number) => {
    const [from, to] = [makeTensor(gpu, "from", [words]), makeTensor(gpu, "to", [words])];
    return await timeSteps(gpu, [copy("test", from, to)], options);
  };
  const [small, large] = [await time(1 << 10), await time(1 << 22)];
  // 0 where a disturbed empty round took as long as the copy.
  assert(small.bestMs >= 0 && small.bestMs <= small.ms);
  assert(large.bestMs > 4 * small.bestMs, `${large.bestMs} ms after ${small.bestMs} ms`);
  const [figure] = await matmulFigures(gpu, [[9, 64, 64]], ["f32"]);
  assert(figure);
  const flops = 2 * 9 * 64 * 64;
  assert(Math.abs(figure.gigaflops * figure.ms * 1e6 - flops) < 1e-3 * flops);
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
