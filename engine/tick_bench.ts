/** Measures a tick on this thread: stages, what recorded plans save, and the kernels by shape. */
import type { Checkpoint } from "./checkpoint.ts";
import { Model } from "./model.ts";
import { Performer } from "./performer.ts";
import { Queue } from "./queue.ts";
import type { Settings } from "./settings.ts";
import { Thinker } from "./thinker.ts";
import { clock, type Input, localPerformer, runTicks, type UnitInput } from "./ticks.ts";
import type { Gpu } from "../kernels/device.ts";
import {
  copyCeiling,
  type MatmulFigure,
  matmulFigures,
  measure,
  multiplyAddCeiling,
} from "../kernels/measure.ts";
import type { Dispatch, Plan, Step } from "../kernels/plan.ts";

export interface KernelTime {
  /** Kernel and the first launch of this shape in the tick. */
  label: string;
  /** Launches of this shape in a tick. */
  launches: number;
  /** Median of one launch, the copies that feed it included. */
  ms: number;
  /** Floating-point operations and bytes that one launch needs at least. */
  flops: number;
  bytes: number;
}

export interface TickBench {
  adapter: string;
  units: number;
  /** Milliseconds of every unit, in order. */
  stages: Record<"encode" | "pass" | "solve" | "decode" | "tick", number[]>;
  /** Milliseconds to encode one tick's commands. */
  encoding: { recorded: number; anew: number; dispatches: number };
  kernels: KernelTime[];
  /** What this adapter can do at most: multiply-adds in registers, copies between buffers. */
  ceiling: { gigaflops: number; gigabytes: number };
  /** Matrix products at nano's shapes and at a large one. */
  products: MatmulFigure[];
}

/**
 * Runs `units` ticks, both roles on one device, then measures encoding and every kernel shape.
 * Loud random observations keep every stage at work.
 */
export async function benchTick(
  gpu: Gpu,
  checkpoint: Checkpoint,
  settings: Settings,
  units: number,
  progress: (what: string) => void,
): Promise<TickBench> {
  const model = new Model(gpu, checkpoint, settings);
  const thinker = await Thinker.create(model, false);
  const performer = await Performer.create(model, false);
  const inputs = new Queue<Input>();
  const stages: TickBench["stages"] = { encode: [], pass: [], solve: [], decode: [], tick: [] };
  const push = () => inputs.put({ ...randomMedia(model), typed: [], arrived: clock() });
  push();
  let done = 0;
  // Eager, one unit at a time: no stage overlaps or waits for another.
  await runTicks(thinker, localPerformer(performer), inputs, {
    schedule: "eager",
    emit({ stages: s }) {
      stages.encode.push(s.encode);
      stages.pass.push(s.pass);
      stages.solve.push(s.solve);
      stages.decode.push(s.decode);
      stages.tick.push(s.encode + s.pass + s.solve + s.decode);
      done++;
      progress(`tick ${done} of ${units}`);
      if (done < units) push();
      else inputs.put(null);
    },
  });

  const plans = [...thinker.plans.encode, thinker.plans.pass, performer.plan, thinker.plans.decode];
  progress("encoding of commands");
  const encoding = {
    recorded: medianOf(15, () => encodeAll(gpu, plans, (plan, e) => plan.encode(e))),
    anew: medianOf(15, () => encodeAll(gpu, plans, (plan, e) => plan.encodeAnew(gpu, e))),
    dispatches: plans.flatMap((plan) => plan.steps).filter((s) => s.kind === "dispatch").length,
  };
  const kernels = await kernelTimes(gpu, plans.flatMap((plan) => plan.steps), progress);
  progress("this adapter's ceilings");
  const ceiling = { gigaflops: await multiplyAddCeiling(gpu), gigabytes: await copyCeiling(gpu) };
  progress("matrix products");
  const products = await matmulFigures(gpu);
  return { adapter: gpu.name, units, stages, encoding, kernels, ceiling, products };
}

function randomMedia(model: Model): Pick<UnitInput, "audio" | "frames"> {
  const { userSamples, frames } = model.layout;
  const { width, height } = model.checkpoint.config.observation.video;
  const pixels = new Uint8Array(frames * width * height * 3);
  for (let at = 0; at < pixels.length; at += 65536) {
    crypto.getRandomValues(pixels.subarray(at, at + 65536));
  }
  return {
    audio: Float32Array.from({ length: userSamples }, () => Math.random() - 0.5),
    frames: pixels,
  };
}

function encodeAll(
  gpu: Gpu,
  plans: readonly Plan[],
  encode: (plan: Plan, encoder: GPUCommandEncoder) => void,
): number {
  const start = performance.now();
  const encoder = gpu.device.createCommandEncoder();
  for (const plan of plans) encode(plan, encoder);
  encoder.finish();
  return performance.now() - start;
}

/** Times every distinct launch of the steps, with the copies that feed it. */
async function kernelTimes(
  gpu: Gpu,
  steps: readonly Step[],
  progress: (what: string) => void,
): Promise<KernelTime[]> {
  const shapes = new Map<string, { steps: Step[]; dispatch: Dispatch; launches: number }>();
  let pending: Step[] = [];
  for (const step of steps) {
    pending.push(step);
    if (step.kind !== "dispatch") continue;
    const key = [step.label.split(" ")[0], step.groups, step.flops, step.bytes].join();
    const shape = shapes.get(key);
    if (shape) shape.launches++;
    else shapes.set(key, { steps: pending, dispatch: step, launches: 1 });
    pending = [];
  }
  const times: KernelTime[] = [];
  for (const { steps, dispatch: { label, flops, bytes }, launches } of shapes.values()) {
    progress(`kernel ${label}`);
    const { ms } = await measure(gpu, steps, { rounds: 5, roundMs: 10 });
    times.push({ label, launches, ms, flops, bytes });
  }
  return times.sort((a, b) => b.ms * b.launches - a.ms * a.launches);
}

/** The value below which the fraction p of the numbers lies (nearest rank). */
export function percentile(numbers: readonly number[], p: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? NaN;
}

function medianOf(count: number, measure: () => number): number {
  return percentile(Array.from({ length: count }, measure), 0.5);
}
