/** What a model needs for real time: its tick on paper, beside a machine. */
import type { ModelConfig } from "../config/config.ts";
import { paperCheckpoint } from "../checkpoint/paper.ts";
import { expectedTensors } from "../checkpoint/tensors.ts";
import { resolveSettings } from "../model/settings.ts";
import { allLaunches, tickOnPaper } from "../roles/tick_plan.ts";
import { elements } from "../../kernels/gpu/tensor.ts";
import { historyTraffic } from "./judgement.ts";
import { type Machine, planPlacement, stageTimes, sumWork, transfers } from "./roofline.ts";

export interface Needs {
  parameters: number;
  tokensPerUnit: number;
  historyUnits: number;
  /** Of a tick. */
  launches: number;
  flops: number;
  bytes: number;
  /** Bytes of K and V that attention's forms read in a tick. */
  historyBytes: number;
  deviceBytes: number;
  /** Seconds of a tick with both roles on one adapter, and of the slower role on two. */
  oneSeconds: number;
  twoSeconds: number;
  /** The part of the machine's rates that kernels must reach for real time: above 1 it can't be. */
  oneEfficiency: number;
  twoEfficiency: number;
}

/** A config's needs with caches and weights in half precision, at its own solver and history. */
export async function needsOf(config: ModelConfig, machine: Machine): Promise<Needs> {
  const settings = resolveSettings(paperCheckpoint(config), { precision: "f16" });
  const { model, stages } = await tickOnPaper(config, settings);
  const all = allLaunches(stages);
  const moved = transfers(model);
  const unitSeconds = config.unit_ms / 1000;
  const times = stageTimes(stages, machine);
  const link = machine.linkBytesPerSecond;
  const { fusedSeconds, thinkerSeconds, performerSeconds } = planPlacement(
    times,
    moved,
    link,
    unitSeconds,
  );
  // What doesn't shrink with efficiency: launches and transfers.
  const launching = (some: readonly { launches: number }[]) =>
    some.reduce((sum, { launches }) => sum + launches, 0) * machine.launchSeconds;
  const needed = (seconds: number, fixed: number) =>
    fixed < unitSeconds ? (seconds - fixed) / (unitSeconds - fixed) : Infinity;
  const solve = times.filter(({ stage }) => stage === "solve");
  const others = times.filter(({ stage }) => stage !== "solve");
  const sent = (moved.sliceBytes + moved.latentBytes) / link;
  return {
    parameters: [...expectedTensors(config)].reduce(
      (sum, [, { shape }]) => sum + elements(shape),
      0,
    ),
    tokensPerUnit: model.layout.tokens,
    historyUnits: settings.historyUnits,
    launches: all.length,
    ...sumWork(all),
    historyBytes: historyTraffic(model.gpu, all).taken,
    deviceBytes: model.gpu.allocatedBytes,
    oneSeconds: fusedSeconds,
    twoSeconds: Math.max(thinkerSeconds, performerSeconds),
    oneEfficiency: needed(fusedSeconds, launching(times)),
    twoEfficiency: Math.max(
      needed(thinkerSeconds, launching(others)),
      needed(performerSeconds, launching(solve) + sent),
    ),
  };
}
