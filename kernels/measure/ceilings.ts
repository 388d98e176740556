/** What an adapter can do at most, and what its smallest pieces of work cost. */
import type { Gpu } from "../gpu/device.ts";
import { copy, dispatch } from "../gpu/plan.ts";
import { Readback } from "../gpu/readback.ts";
import { makeTensor } from "../gpu/tensor.ts";
import { matmul, packWeight } from "../matmul/matmul.ts";
import { freeWeight, type WeightType } from "../matmul/packed_weight.ts";
import { median } from "./quantile.ts";
import { timeSteps, type Timing } from "./stopwatch.ts";

/** 10^9 floating-point operations per second in registers, from independent chains of multiply-adds:
 * the best of few chains (that stay in a CPU's registers) and of many (that hide a GPU's latency). */
export async function multiplyAddCeiling(gpu: Gpu): Promise<number> {
  return Math.max(await chainRate(gpu, 2), await chainRate(gpu, 3), await chainRate(gpu, 8));
}

async function chainRate(gpu: Gpu, chains: number): Promise<number> {
  const all = Array.from({ length: chains }, (_, i) => i);
  const [turns, unroll, groups] = [512, 8, 256];
  const turn = all.map((i) => `    a${i} = a${i} * m + m;`).join("\n");
  const code = `@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  let m = 0.999 - f32(id.x) * 1e-9;
${all.map((i) => `  var a${i} = vec4f(f32(id.x + ${i}u));`).join("\n")}
  for (var i = 0u; i < ${turns}u; i++) {
${Array.from({ length: unroll }, () => turn).join("\n")}
  }
  out[id.x] = ${all.map((i) => `a${i}`).join(" + ")};
}`;
  const out = makeTensor(gpu, "multiply-add ceiling", [groups * 64, 4]);
  const pipeline = gpu.pipeline("multiply-add ceiling", code);
  const flops = 2 * 4 * chains * turns * unroll * groups * 64;
  const step = dispatch(gpu, "multiply-add", pipeline, [out], [groups, 1, 1], { flops });
  const { gigaflops } = await timeSteps(gpu, [step], { rounds: 5 });
  gpu.free(out.buffer);
  return gigaflops;
}

/** 10^9 bytes per second that a copy between buffers reads and writes together. */
export async function copyCeiling(gpu: Gpu): Promise<number> {
  const words = 8 << 20;
  const from = makeTensor(gpu, "copy from", [words]);
  const to = makeTensor(gpu, "copy to", [words]);
  const { ms } = await timeSteps(gpu, [copy("ceiling", from, to)], { rounds: 5 });
  gpu.free(from.buffer);
  gpu.free(to.buffer);
  return (2 * 4 * words) / ms / 1e6;
}

/** One row of a table: a matrix product of this shape, its copy into a texture included. */
export interface MatmulFigure extends Timing {
  rows: number;
  outputs: number;
  inputs: number;
  dtype: WeightType;
}

/** [rows, outputs, inputs] of nano's and of larger models' products. */
export const matmulShapes: readonly (readonly [number, number, number])[] = [
  [64, 1024, 1024],
  [27, 1024, 192],
  [27, 192, 1024],
  [27, 192, 192],
  [18, 512, 192],
  [1, 272, 192],
];

/** Measures matrix products. */
export async function matmulFigures(
  gpu: Gpu,
  shapes = matmulShapes,
  dtypes: readonly WeightType[] = ["f32", "f16"],
): Promise<MatmulFigure[]> {
  const figures: MatmulFigure[] = [];
  for (const [rows, outputs, inputs] of shapes) {
    for (const dtype of dtypes) {
      const zeros = new Float32Array(outputs * inputs);
      const weight = packWeight(gpu, "measured", zeros, outputs, inputs, dtype);
      const x = makeTensor(gpu, "measured x", [rows, inputs]);
      const y = makeTensor(gpu, "measured y", [rows, outputs]);
      const timing = await timeSteps(gpu, matmul(gpu, { label: "measured", x, weight, y }));
      figures.push({ rows, outputs, inputs, dtype, ...timing });
      freeWeight(gpu, weight);
      gpu.free(x.buffer);
      gpu.free(y.buffer);
    }
  }
  return figures;
}

/** What Deno's sleep after an awaited map costs on this device: whether reads skip it (readback.ts),
 * and the milliseconds that it adds to one read. */
export async function sleepCost(gpu: Gpu): Promise<{ skipped: boolean; ms: number }> {
  const nothing = makeTensor(gpu, "nothing", [4]);
  const direct = await new Readback(gpu, [nothing]).prepare();
  const awaited = await new Readback(gpu, [nothing], { skipsSleep: false }).prepare();
  const times = async (readback: Readback) => {
    const all: number[] = [];
    for (let i = 0; i < 7; i++) {
      const start = performance.now();
      await readback.run();
      all.push(performance.now() - start);
    }
    return median(all);
  };
  const skipped = direct.skipsSleep;
  // Where nothing can be skipped there is no faster read to compare with: all of it is the sleep.
  const ms = await times(awaited) - (skipped ? await times(direct) : 0);
  for (const readback of [direct, awaited]) readback.destroy();
  gpu.free(nothing.buffer);
  return { skipped, ms };
}

/** Milliseconds of a launch that does next to nothing and depends on the one before it. */
export async function launchCost(gpu: Gpu): Promise<number> {
  const code = `@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1) fn main() {
  out[0] += 1.0;
}`;
  const out = makeTensor(gpu, "launch", [4]);
  const pipeline = gpu.pipeline("launch", code);
  const steps = Array.from(
    { length: 50 },
    () => dispatch(gpu, "launch", pipeline, [out], [1, 1, 1]),
  );
  const { ms } = await timeSteps(gpu, steps, { rounds: 5 });
  gpu.free(out.buffer);
  return ms / steps.length;
}
