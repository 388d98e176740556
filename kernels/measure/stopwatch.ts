/**
 * How long steps take on the GPU.
 *
 * A list of steps is run many times in one submit, so that the submit's own cost (about 0.1 ms, and
 * 10 ms more where reading back awaits, see readback.ts) is spread thin and then taken off. An empty
 * submit stands beside every round, so that both meet the same load of the machine.
 */
import { bufferUsage, type Gpu } from "../gpu/device.ts";
import { Plan, type Step } from "../gpu/plan.ts";
import { Readback } from "../gpu/readback.ts";
import type { Tensor } from "../gpu/tensor.ts";
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
export async function timeSteps(
  gpu: Gpu,
  steps: readonly Step[],
  { rounds = 7, roundMs = 20 }: { rounds?: number; roundMs?: number } = {},
): Promise<Timing> {
  const stopwatch = new Stopwatch(gpu);
  // The first run compiles the pipelines.
  await stopwatch.run([]);
  await stopwatch.run(steps);
  const empty: number[] = [];
  const measureEmpty = async () => empty.push((await stopwatch.run([])).wallMs);
  const once: number[] = [];
  for (let i = 0; i < 3; i++) {
    await measureEmpty();
    once.push((await stopwatch.run(steps)).wallMs);
  }
  const least = Math.max(0.01, Math.min(...once) - Math.min(...empty));
  const repeats = Math.max(1, Math.min(200, Math.round(roundMs / least)));
  const whole: number[] = [];
  const stamps: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await measureEmpty();
    const { wallMs, gpuMs } = await stopwatch.run(steps, repeats);
    whole.push(wallMs);
    if (gpuMs !== undefined) stamps.push(gpuMs / repeats);
  }
  const walls = timesOfOneRun(whole, empty, repeats);
  stopwatch.destroy();
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

/** Milliseconds that the host's clock can tell apart. */
const clockMs = 1e-3;

/**
 * Milliseconds of one run in each round: what the round took beyond the shortest empty submit, over its
 * repeats. Where a disturbed machine leaves nothing, it is the least that the clock can tell, so that
 * rates stay finite.
 *
 * @param whole Milliseconds of each round of `repeats` runs.
 * @param empty Milliseconds of submits without a step, at least one.
 */
export function timesOfOneRun(
  whole: readonly number[],
  empty: readonly number[],
  repeats: number,
): number[] {
  const submit = Math.min(...empty);
  return whole.map((ms) => Math.max(clockMs, ms - submit) / repeats);
}

/** Runs steps in a submit of their own and says how long that took. */
export class Stopwatch {
  private readonly gpu: Gpu;
  readonly #stamps: Tensor;
  readonly #querySet: GPUQuerySet | undefined;
  readonly #readback: Readback<readonly [Tensor]>;

  constructor(gpu: Gpu) {
    this.gpu = gpu;
    const has = gpu.device.features.has("timestamp-query");
    const { QUERY_RESOLVE, COPY_SRC, STORAGE } = bufferUsage;
    const buffer = gpu.buffer("timestamps", 16, (has ? QUERY_RESOLVE : STORAGE) | COPY_SRC);
    this.#stamps = { buffer, offset: 0, shape: [4], dtype: "u32" };
    this.#querySet = has ? gpu.device.createQuerySet({ type: "timestamp", count: 2 }) : undefined;
    this.#readback = new Readback(gpu, [this.#stamps]);
  }

  /** Milliseconds of `repeats` runs on the host's clock, encoding and waiting included, and, where
   * there are any, between timestamps. The first run of a stopwatch takes longer. */
  async run(
    steps: readonly Step[],
    repeats = 1,
  ): Promise<{ wallMs: number; gpuMs?: number }> {
    const start = performance.now();
    const plan = new Plan(Array.from({ length: repeats }, () => steps).flat());
    const [bytes] = await this.#readback.run({
      encode: (encoder) => {
        this.#stamp(encoder, { beginningOfPassWriteIndex: 0 });
        plan.encode(encoder);
        this.#stamp(encoder, { endOfPassWriteIndex: 1 });
        if (this.#querySet) {
          encoder.resolveQuerySet(this.#querySet, 0, 2, this.#stamps.buffer, 0);
        }
      },
    });
    const wallMs = performance.now() - start;
    if (!this.#querySet) return { wallMs };
    const [from = 0n, to = 0n] = new BigUint64Array(bytes);
    return { wallMs, gpuMs: Number(to - from) / 1e6 };
  }

  #stamp(
    encoder: GPUCommandEncoder,
    index: Omit<GPUComputePassTimestampWrites, "querySet">,
  ): void {
    const querySet = this.#querySet;
    if (querySet) encoder.beginComputePass({ timestampWrites: { querySet, ...index } }).end();
  }

  destroy(): void {
    this.#readback.destroy();
    this.#querySet?.destroy();
    this.gpu.free(this.#stamps.buffer);
  }
}
