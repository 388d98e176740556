/** Measures a tick on this thread: stages, what recorded plans save, and the kernels by shape. */
import type { Checkpoint } from "./checkpoint.ts";
import { Model } from "./model.ts";
import { Performer } from "./performer.ts";
import { Queue } from "./queue.ts";
import type { Settings } from "./settings.ts";
import { Thinker } from "./thinker.ts";
import { clock, localPerformer, runTicks, type UnitInput } from "./ticks.ts";
import type { Gpu } from "../kernels/device.ts";
import { Plan, type Step } from "../kernels/plan.ts";
import { Readback } from "../kernels/readback.ts";
import { makeTensor } from "../kernels/tensor.ts";

export interface KernelTime {
  /** Kernel and the first launch of this shape in the tick. */
  label: string;
  /** Launches of this shape in a tick. */
  launches: number;
  /** Median of one launch. */
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
  const inputs = new Queue<UnitInput | null>();
  const stages: TickBench["stages"] = { encode: [], pass: [], solve: [], decode: [], tick: [] };
  const push = () => inputs.put({ ...randomMedia(model), typed: [], arrived: clock() });
  push();
  let done = 0;
  // Eager, one unit at a time: no stage overlaps or waits for another.
  await runTicks(thinker, localPerformer(performer), inputs, "eager", ({ stages: s }) => {
    stages.encode.push(s.encode);
    stages.pass.push(s.pass);
    stages.solve.push(s.solve);
    stages.decode.push(s.decode);
    stages.tick.push(s.encode + s.pass + s.solve + s.decode);
    done++;
    progress(`tick ${done} of ${units}`);
    if (done < units) push();
    else inputs.put(null);
  });

  const plans = [...thinker.plans.encode, thinker.plans.pass, performer.plan, thinker.plans.decode];
  progress("encoding of commands");
  const encoding = {
    recorded: medianOf(15, () => encodeAll(gpu, plans, (plan, e) => plan.encode(e))),
    anew: medianOf(15, () => encodeAll(gpu, plans, (plan, e) => plan.encodeAnew(gpu, e))),
    dispatches: plans.flatMap((plan) => plan.steps).filter((s) => s.kind === "dispatch").length,
  };
  const kernels = await kernelTimes(gpu, plans.flatMap((plan) => plan.steps), progress);
  return { adapter: gpu.name, units, stages, encoding, kernels };
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

/** Times one launch of every distinct shape: many in one submit, the submit's own cost taken off. */
async function kernelTimes(
  gpu: Gpu,
  steps: readonly Step[],
  progress: (what: string) => void,
): Promise<KernelTime[]> {
  const shapes = new Map<string, { step: Step & { kind: "dispatch" }; launches: number }>();
  for (const step of steps) {
    if (step.kind !== "dispatch") continue;
    const key = [step.label.split(" ")[0], step.groups, step.flops, step.bytes].join();
    const shape = shapes.get(key);
    if (shape) shape.launches++;
    else shapes.set(key, { step, launches: 1 });
  }
  const fence = await Readback.create(gpu, [makeTensor(gpu, "fence", [4])]);
  const run = async (plan: Plan) => {
    const start = performance.now();
    const encoder = gpu.device.createCommandEncoder();
    plan.encode(encoder);
    fence.encode(encoder);
    gpu.device.queue.submit([encoder.finish()]);
    await fence.read();
    return performance.now() - start;
  };
  const empty = await medianAsync(9, () => run(new Plan("empty", [])));
  const times: KernelTime[] = [];
  for (const { step, launches } of shapes.values()) {
    progress(`kernel ${step.label}`);
    const once = await run(new Plan("once", [step]));
    const repeats = Math.max(1, Math.min(50, Math.round(20 / Math.max(0.1, once))));
    const plan = new Plan("repeats", Array.from({ length: repeats }, () => step));
    const ms = Math.max(0, (await medianAsync(5, () => run(plan))) - empty) / repeats;
    times.push({ label: step.label, launches, ms, flops: step.flops, bytes: step.bytes });
  }
  fence.destroy();
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

async function medianAsync(count: number, measure: () => Promise<number>): Promise<number> {
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) numbers.push(await measure());
  return percentile(numbers, 0.5);
}
