/**
 * What benches share: how long steps take on the GPU, and what this adapter can do at most.
 *
 * A list of steps is run many times in one submit, so that the submit's own cost (about 0.1 ms, and
 * 10 ms more where reading back awaits, see readback.ts) is spread thin and then taken off.
 */
import type { Gpu } from "../gpu/device.ts";
import { matmul, packWeight } from "../matmul/matmul.ts";
import { freeWeight, type WeightType } from "../matmul/packed_weight.ts";
import { copy, dispatch, Plan, type Step } from "../gpu/plan.ts";
import { Readback } from "../gpu/readback.ts";
import { makeTensor } from "../gpu/tensor.ts";
import { median, quantile } from "./quantile.ts";

/** Time of one run of a list of steps. */
export interface Timing {
  /** Median over the rounds, and the best round: on a shared machine the quieter figure. */
  ms: number;
  bestMs: number;
  /** Lower and upper quartile of the rounds. */
  quartiles: [lower: number, upper: number];
  /** The same median between GPU timestamps, where the adapter has them and they agree. */
  gpuMs?: number;
  /** Per second, at the median: 10^9 floating-point operations and 10^9 bytes. */
  gigaflops: number;
  gigabytes: number;
}

/**
 * Times a list of steps.
 *
 * @param options rounds to take the median of (7), and the milliseconds that a round should last (20).
 */
export async function measure(
  gpu: Gpu,
  steps: readonly Step[],
  { rounds = 7, roundMs = 20 }: { rounds?: number; roundMs?: number } = {},
): Promise<Timing> {
  const clock = await Clock.create(gpu);
  // The first run compiles the pipelines.
  await clock.run([]);
  await clock.run(steps);
  const empty: number[] = [];
  for (let i = 0; i < 5; i++) empty.push((await clock.run([])).wall);
  const once = Math.max(0.01, (await clock.run(steps)).wall - median(empty));
  const repeats = Math.max(1, Math.min(200, Math.round(roundMs / once)));
  const many = Array.from({ length: repeats }, () => steps).flat();
  const walls: number[] = [];
  const stamps: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const { wall, stamp } = await clock.run(many);
    walls.push(Math.max(0, wall - Math.min(...empty)) / repeats);
    if (stamp !== undefined) stamps.push(stamp / repeats);
  }
  clock.destroy();
  const ms = median(walls);
  const gpuMs = median(stamps);
  const costs = steps.filter((step) => step.kind === "dispatch");
  const rate = (of: "flops" | "bytes") => costs.reduce((sum, step) => sum + step[of], 0) / ms / 1e6;
  return {
    ms,
    bestMs: Math.min(...walls),
    quartiles: [quantile(walls, 0.25), quantile(walls, 0.75)],
    // Some drivers' stamps tell nothing, or not in nanoseconds.
    ...(gpuMs > 0.1 * ms && gpuMs < 1.1 * ms ? { gpuMs } : {}),
    gigaflops: rate("flops"),
    gigabytes: rate("bytes"),
  };
}

/** Runs steps once in a submit of their own and says how long that took. */
class Clock {
  private constructor(
    private readonly gpu: Gpu,
    private readonly readback: Readback,
    private readonly stamps: { set: GPUQuerySet; resolved: GPUBuffer } | undefined,
  ) {}

  static async create(gpu: Gpu): Promise<Clock> {
    const has = gpu.device.features.has("timestamp-query");
    const { QUERY_RESOLVE, COPY_SRC, STORAGE } = GPUBufferUsage;
    const resolved = gpu.buffer("timestamps", 16, (has ? QUERY_RESOLVE : STORAGE) | COPY_SRC);
    const words = { buffer: resolved, offset: 0, shape: [4], dtype: "u32" } as const;
    const readback = await Readback.create(gpu, [words]);
    const set = has ? gpu.device.createQuerySet({ type: "timestamp", count: 2 }) : undefined;
    return new Clock(gpu, readback, set && { set, resolved });
  }

  /** Milliseconds on the host's clock and, where there are any, between timestamps. */
  async run(steps: readonly Step[]): Promise<{ wall: number; stamp?: number }> {
    const { gpu, stamps, readback } = this;
    const start = performance.now();
    const encoder = gpu.device.createCommandEncoder();
    const stamp = (index: string, value: number) => {
      if (!stamps) return;
      const timestampWrites = { querySet: stamps.set, [index]: value };
      encoder.beginComputePass({ timestampWrites }).end();
    };
    stamp("beginningOfPassWriteIndex", 0);
    new Plan("measured", steps).encode(encoder);
    stamp("endOfPassWriteIndex", 1);
    if (stamps) encoder.resolveQuerySet(stamps.set, 0, 2, stamps.resolved, 0);
    readback.encode(encoder);
    gpu.device.queue.submit([encoder.finish()]);
    const [bytes = new ArrayBuffer(16)] = await readback.read();
    const wall = performance.now() - start;
    if (!stamps) return { wall };
    const [from = 0n, to = 0n] = new BigUint64Array(bytes);
    return { wall, stamp: Number(to - from) / 1e6 };
  }

  destroy(): void {
    this.readback.destroy();
    if (!this.stamps) return;
    this.stamps.set.destroy();
    this.gpu.free(this.stamps.resolved);
  }
}

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
  const { gigaflops } = await measure(gpu, [step], { rounds: 5 });
  gpu.free(out.buffer);
  return gigaflops;
}

/** 10^9 bytes per second that a copy between buffers reads and writes together. */
export async function copyCeiling(gpu: Gpu): Promise<number> {
  const words = 8 << 20;
  const from = makeTensor(gpu, "copy from", [words]);
  const to = makeTensor(gpu, "copy to", [words]);
  const { ms } = await measure(gpu, [copy("ceiling", from, to)], { rounds: 5 });
  gpu.free(from.buffer);
  gpu.free(to.buffer);
  return (2 * 4 * words) / ms / 1e6;
}

/** One row of a table: a matrix product of this shape, its copy into an image included. */
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
      const timing = await measure(gpu, matmul(gpu, { label: "measured", x, weight, y }));
      figures.push({ rows, outputs, inputs, dtype, ...timing });
      freeWeight(gpu, weight);
      gpu.free(x.buffer);
      gpu.free(y.buffer);
    }
  }
  return figures;
}

/** What Deno's sleep after an awaited map costs on this device. */
export interface SleepCost {
  /** Reads skip it (readback.ts). */
  skipped: boolean;
  /** Milliseconds that awaiting adds to one read. */
  ms: number;
}

/** Times reading nothing, awaited and not, on an idle device. */
export async function sleepCost(gpu: Gpu): Promise<SleepCost> {
  const nothing = makeTensor(gpu, "nothing", [4]);
  const [direct, awaited] = [
    await Readback.create(gpu, [nothing]),
    await Readback.awaited(gpu, [nothing]),
  ];
  const times = async (readback: Readback) => {
    const all: number[] = [];
    for (let i = 0; i < 7; i++) {
      const start = performance.now();
      const encoder = gpu.device.createCommandEncoder();
      readback.encode(encoder);
      gpu.device.queue.submit([encoder.finish()]);
      await readback.read();
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
  const { ms } = await measure(gpu, steps, { rounds: 5 });
  gpu.free(out.buffer);
  return ms / steps.length;
}
