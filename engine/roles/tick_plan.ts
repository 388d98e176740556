/** The plans of a tick, stage by stage: on a device, or on paper from a config alone. */
import { paperCheckpoint } from "../checkpoint/paper.ts";
import type { ModelConfig } from "../config/config.ts";
import { Model } from "../model/model.ts";
import type { Settings } from "../model/settings.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import type { Dispatch, Plan } from "../../kernels/gpu/plan.ts";
import { Performer } from "./performer.ts";
import { Thinker } from "./thinker.ts";

/** Stages of a tick in their order. */
export const tickStages = ["encode", "pass", "solve", "decode"] as const;
export type TickStage = typeof tickStages[number];

/** The plans that each stage encodes. */
export type StagePlans = Record<TickStage, readonly Plan[]>;

export function stagePlans(thinker: Thinker, performer: Performer): StagePlans {
  const { encode, pass, decode } = thinker.plans;
  return { encode, pass: [pass], solve: [performer.plan], decode: [decode] };
}

/** The launches of a stage, in their order. */
export function launches(plans: readonly Plan[]): Dispatch[] {
  return plans.flatMap(({ steps }) => steps).filter((step) => step.kind === "dispatch");
}

/** The launches of a tick. */
export function allLaunches(stages: StagePlans): Dispatch[] {
  return tickStages.flatMap((stage) => launches(stages[stage]));
}

/** A model with both roles on one device that isn't there, and the plans of its tick. */
export interface PaperTick {
  model: Model;
  stages: StagePlans;
}

/**
 * Builds a tick without a device: what it launches is what a session with these settings launches,
 * and every launch tells its operations and bytes.
 *
 * @param gpu On paper: what kind of adapter the tick is for.
 */
export async function tickOnPaper(
  config: ModelConfig,
  settings: Settings,
  gpu: Gpu = Gpu.onPaper(),
): Promise<PaperTick> {
  const model = new Model(gpu, paperCheckpoint(config), settings);
  const thinker = await Thinker.create(model, false);
  const performer = await Performer.create(model, false);
  return { model, stages: stagePlans(thinker, performer) };
}
