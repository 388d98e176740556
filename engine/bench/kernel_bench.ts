/** Measures the kernels of a tick one by one: every distinct launch, with the copies that feed it. */
import { type StagePlans, type TickStage, tickStages } from "../roles/tick_plan.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { copyCeiling, launchCost, multiplyAddCeiling } from "../../kernels/measure/ceilings.ts";
import { timeSteps } from "../../kernels/measure/stopwatch.ts";
import { type Dispatch, kernelName, type Step } from "../../kernels/gpu/plan.ts";
import { type WorkKind, workKind, workKinds } from "./roofline.ts";

/** What an adapter can do at most, as measured. */
export interface Ceiling {
  /** 10^9 floating-point operations per second: multiply-adds in registers. */
  gigaflops: number;
  /** 10^9 bytes per second that a copy between buffers reads and writes together. */
  gigabytes: number;
  /** Milliseconds of a launch that does next to nothing. */
  launchMs: number;
}

/** Measures an adapter's ceilings. */
export async function measureCeiling(gpu: Gpu): Promise<Ceiling> {
  return {
    gigaflops: await multiplyAddCeiling(gpu),
    gigabytes: await copyCeiling(gpu),
    launchMs: await launchCost(gpu),
  };
}

export interface KernelTime {
  stage: TickStage;
  kind: WorkKind;
  /** The kernel, and the first launch of this shape in the stage. */
  kernel: string;
  label: string;
  /** Launches of this shape in a tick. */
  launches: number;
  /** One launch, the copies that feed it included: median, and quartiles of the rounds. */
  ms: number;
  quartiles: [lower: number, upper: number];
  /** The same between GPU timestamps, where the adapter has them and they agree. */
  gpuMs?: number;
  /** Floating-point operations and bytes that one launch needs at least. */
  flops: number;
  bytes: number;
}

/**
 * Times every distinct launch of a tick; the costliest in a tick come first.
 *
 * @param between Awaited after each of them: what is measured there meets the same disturbances.
 */
export async function kernelTimes(
  gpu: Gpu,
  stages: StagePlans,
  progress: (what: string) => void,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<KernelTime[]> {
  const times: KernelTime[] = [];
  for (const stage of tickStages) {
    for (const shape of distinct(stages[stage].flatMap((plan) => plan.steps))) {
      const { label, flops, bytes } = shape.dispatch;
      progress(`kernel ${label}`);
      const options = { rounds: 5, roundMs: 10 };
      const { ms, quartiles, gpuMs } = await timeSteps(gpu, shape.steps, options);
      times.push({
        stage,
        kind: workKind(shape.dispatch),
        kernel: kernelName(shape.dispatch),
        label,
        launches: shape.launches,
        ms,
        quartiles,
        ...(gpuMs === undefined ? {} : { gpuMs }),
        flops,
        bytes,
      });
      await between();
    }
  }
  return times.sort((a, b) => b.ms * b.launches - a.ms * a.launches);
}

function distinct(steps: readonly Step[]) {
  const shapes = new Map<string, { steps: Step[]; dispatch: Dispatch; launches: number }>();
  let pending: Step[] = [];
  for (const step of steps) {
    pending.push(step);
    if (step.kind !== "dispatch") continue;
    const key = [kernelName(step), step.groups, step.flops, step.bytes].join();
    const shape = shapes.get(key);
    if (shape) shape.launches++;
    else shapes.set(key, { steps: pending, dispatch: step, launches: 1 });
    pending = [];
  }
  return shapes.values();
}

/**
 * Part of what a ceiling allows (0 to 1, above 1 where caches are faster than the copy): the time that
 * the work takes at the ceiling, of the time it took.
 */
export function ceilingFraction(
  { flops, bytes, ms }: Pick<KernelTime, "flops" | "bytes" | "ms">,
  { gigaflops, gigabytes }: Pick<Ceiling, "gigaflops" | "gigabytes">,
): number {
  return Math.max(flops / gigaflops, bytes / gigabytes) / 1e6 / ms;
}

/** What part of the ceilings each class of kernels reached, launches taken off. */
export function classEfficiency(
  kernels: readonly Pick<KernelTime, "kind" | "launches" | "flops" | "bytes" | "ms">[],
  ceiling: Ceiling,
): Partial<Record<WorkKind, number>> {
  const result: Partial<Record<WorkKind, number>> = {};
  for (const kind of workKinds) {
    let [roof, took] = [0, 0];
    for (const kernel of kernels) {
      if (kernel.kind !== kind) continue;
      roof += kernel.launches * kernel.ms * ceilingFraction(kernel, ceiling);
      took += kernel.launches * (kernel.ms - ceiling.launchMs);
    }
    if (took > 0 && roof > 0) result[kind] = roof / took;
  }
  return result;
}
