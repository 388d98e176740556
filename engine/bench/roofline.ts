/**
 * What a tick would cost on a machine that isn't here: the time of its launches, as the plans have
 * them, under a roof of operations and bytes per second.
 */
import type { Model } from "../model/model.ts";
import { launches, type StagePlans, type TickStage, tickStages } from "../roles/tick_plan.ts";
import { type Dispatch, kernelName } from "../../kernels/gpu/plan.ts";
import { productOf } from "../../kernels/matmul/matmul_parts.ts";

/** Classes of kernels that reach different parts of a machine's rates. `other` are norms, rotary
 * positions, shuffles, pixels, sampling: many bytes or launches and few operations. */
export const workKinds = ["product", "row product", "attention", "convolution", "other"] as const;
export type WorkKind = typeof workKinds[number];

/** What a launch needs at least. */
export type Work = Pick<Dispatch, "label" | "flops" | "bytes" | "tuned">;

/** The class of a launch's kernel; whole layers are products most of all. A product of one row does two operations per weight that it reads. */
export function workKind(work: Work): WorkKind {
  const product = productOf(work);
  if (product) return product.rows === 1 ? "row product" : "product";
  const kernel = kernelName(work);
  if (kernel.startsWith("attention")) return "attention";
  return kernel === "conv" ? "convolution" : kernel === "layers" ? "product" : "other";
}

/** What a machine does per second, and what part of it a class of kernels reaches. */
export interface Machine {
  flops: number;
  bytesPerSecond: number;
  /** Between two adapters, or between machines. */
  linkBytesPerSecond: number;
  /** Seconds of a launch. */
  launchSeconds: number;
  /** 0 to 1; 1 by default. */
  efficiency?: Partial<Record<WorkKind, number>>;
}

/** Seconds of a stage and what bounds it. */
export interface StageTime {
  stage: TickStage;
  flops: number;
  bytes: number;
  launches: number;
  /** At the roof: the sum over its launches of the greater of both. */
  computeSeconds: number;
  memorySeconds: number;
  seconds: number;
  bound: "operations" | "bytes" | "launches";
}

/** Seconds of one launch. */
export function workSeconds(work: Work, machine: Machine): number {
  const roof = Math.max(work.flops / machine.flops, work.bytes / machine.bytesPerSecond);
  return roof / (machine.efficiency?.[workKind(work)] ?? 1) + machine.launchSeconds;
}

/** The stages of a tick on a machine. */
export function stageTimes(stages: StagePlans, machine: Machine): StageTime[] {
  return tickStages.map((stage) => ({ stage, ...workTime(launches(stages[stage]), machine) }));
}

/** The time of launches that run one after the other. */
export function workTime(all: readonly Work[], machine: Machine): Omit<StageTime, "stage"> {
  const { flops, bytes } = sumWork(all);
  const computeSeconds = flops / machine.flops;
  const memorySeconds = bytes / machine.bytesPerSecond;
  const launching = all.length * machine.launchSeconds;
  const most = Math.max(computeSeconds, memorySeconds, launching);
  return {
    flops,
    bytes,
    launches: all.length,
    computeSeconds,
    memorySeconds,
    seconds: all.reduce((sum, one) => sum + workSeconds(one, machine), 0),
    bound: most === launching ? "launches" : most === memorySeconds ? "bytes" : "operations",
  };
}

/** Operations and bytes of launches together. */
export function sumWork(all: readonly Work[]): { flops: number; bytes: number } {
  return {
    flops: all.reduce((sum, { flops }) => sum + flops, 0),
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** What crosses between two adapters. */
export interface Transfers {
  /** K and V of a full history, once when a session moves or is resumed. */
  historyBytes: number;
  /** Per tick: K and V of the unit's tokens to the performer, latents back. */
  sliceBytes: number;
  latentBytes: number;
}

export function transfers({ history, latents, layout, settings }: Model): Transfers {
  const sliceBytes = history.sliceBytes(layout.tokens);
  return {
    historyBytes: settings.historyUnits * sliceBytes,
    sliceBytes,
    latentBytes: 4 * latents.length,
  };
}

/** Which placement keeps up with real time. */
export interface PlacementPlan {
  /** Seconds per unit when both roles share an adapter, and of the slower role, transfers
   * included, when they don't. */
  fusedSeconds: number;
  thinkerSeconds: number;
  performerSeconds: number;
  /** 1: fused holds real time. 2: split does. More: the roles would have to be parted further, which
   * this engine does not do; it is the sum of each role's time over a unit, rounded up. */
  adapters: number;
}

export function planPlacement(
  stages: readonly Pick<StageTime, "stage" | "seconds">[],
  { sliceBytes, latentBytes }: Transfers,
  linkBytesPerSecond: number,
  unitSeconds: number,
): PlacementPlan {
  const of = (stage: TickStage) => stages.find((one) => one.stage === stage)?.seconds ?? 0;
  const thinkerSeconds = of("encode") + of("pass") + of("decode");
  const performerSeconds = of("solve") + (sliceBytes + latentBytes) / linkBytesPerSecond;
  const fusedSeconds = thinkerSeconds + of("solve");
  const each = [thinkerSeconds, performerSeconds].map((s) => Math.ceil(s / unitSeconds));
  const adapters = fusedSeconds < unitSeconds ? 1 : each.reduce((sum, n) => sum + n, 0);
  return { fusedSeconds, thinkerSeconds, performerSeconds, adapters };
}
