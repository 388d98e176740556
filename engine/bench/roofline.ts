/**
 * What a tick would cost on a machine that isn't here: its work counted from the config, kernel class
 * by kernel class, and the time of that work under a roof of operations and bytes per second.
 *
 * Counted as the engine runs it: the pass in spans (the unit's tokens, then one per agent text slot),
 * of the last layer only what somebody reads, the solver's evaluations over both row sets of guidance.
 */
import type { ModelConfig } from "../config/config.ts";
import type { WeightType } from "../../kernels/matmul/packed_weight.ts";
import { coderOperations, historyTokens, tokenHistoryBytes } from "./costs.ts";
import { solvers } from "../config/solver.ts";
import { observationEncoder, responseDecoder } from "../checkpoint/coders.ts";
import { type Coder, coderOutput, placeLayers } from "../layers/coder.ts";
import { elements, type FloatType } from "../../kernels/gpu/tensor.ts";
import { type TickStage, tickStages } from "../roles/tick_stages.ts";
import { unitLayout } from "../checkpoint/unit.ts";

/** Classes of kernels that reach different parts of a machine's rates. */
export const workKinds = ["product", "row product", "attention", "convolution"] as const;
export type WorkKind = typeof workKinds[number];

/** Work of one kind in one stage of one tick. */
export interface Work {
  stage: TickStage;
  kind: WorkKind;
  launches: number;
  /** Floating-point operations, and bytes read and written at least. */
  flops: number;
  bytes: number;
}

/** Bytes of a layer's weight; the f16 scales of blocks of 32 whole numbers included. */
export const weightSize: Readonly<Record<WeightType, number>> = {
  f32: 4,
  f16: 2,
  int8: 1 + 2 / 32,
  int4: 0.5 + 2 / 32,
};

/** How numbers are kept: history, codecs and embeddings, and the layers' weights. */
export interface Storages {
  storage: FloatType;
  weights: WeightType;
}

/** The work of a tick with `history` tokens of history (a full one by default). */
export function tickWork(
  config: ModelConfig,
  { storage, weights }: Storages,
  history: number = historyTokens(config),
): Work[] {
  const layout = unitLayout(config);
  const size = storage === "f32" ? 4 : 2;
  const { hidden_size: D, intermediate_size: F, num_hidden_layers: layers } = config;
  const q = config.num_attention_heads * config.head_dim;
  const kv = config.num_key_value_heads * config.head_dim;
  const all: Work[] = [];

  const product = (
    stage: TickStage,
    rows: number,
    outputs: number,
    inputs: number,
    times = 1,
    weight = size,
  ) => {
    if (rows === 0) return;
    all.push({
      stage,
      kind: rows === 1 ? "row product" : "product",
      launches: times,
      flops: times * 2 * rows * outputs * inputs,
      bytes: times * (weight * outputs * inputs + 4 * rows * (outputs + inputs)),
    });
  };
  const span = (stage: TickStage, rows: number, keys: number, wanted: number, times = 1) => {
    const attend = (queries: number, count: number) => {
      if (queries === 0 || count === 0) return;
      all.push({
        stage,
        kind: "attention",
        launches: count * times,
        flops: count * times * 4 * queries * q * keys,
        bytes: count * times * (size * 2 * keys * kv + 8 * queries * q),
      });
    };
    const rest = (queries: number, count: number) => {
      attend(queries, count);
      if (count === 0) return;
      product(stage, queries, D, q, count * times, weightSize[weights]);
      product(stage, queries, 2 * F, D, count * times, weightSize[weights]);
      product(stage, queries, D, F, count * times, weightSize[weights]);
    };
    product(stage, rows, q + 2 * kv, D, layers * times, weightSize[weights]);
    rest(rows, layers - 1);
    rest(wanted, 1);
  };
  const latents = (stage: TickStage, sets: number, times: number) => {
    product(stage, layout.agentAudio * sets, D, config.response.audio.latent_channels, times);
    product(stage, layout.agentVideo * sets, D, config.response.video.latent_channels, times);
  };

  for (const medium of ["audio", "video"] as const) {
    const coder = observationEncoder(config, medium);
    all.push(...convolutions("encode", coder, size));
    const [t, h, w, channels] = coderOutput(coder);
    product("encode", t * h * w, D, channels);
  }

  latents("pass", 1, 1);
  span("pass", layout.response + layout.observation, history, 1);
  for (let slot = 0; slot < layout.agentText; slot++) {
    product("pass", 1, config.vocab_size, D);
    span("pass", 1, history, slot + 1 < layout.agentText ? 1 : 0);
  }

  const sets = config.solver.guidance === 1 ? 1 : 2;
  const rows = sets * layout.response;
  const evaluations = config.solver.steps * solvers[config.solver.name].evaluationsPerStep;
  latents("solve", sets, 2 * evaluations);
  // The two sets of guidance don't see each other.
  span("solve", rows, history + layout.response, rows, evaluations);

  for (const medium of ["audio", "video"] as const) {
    all.push(...convolutions("decode", responseDecoder(config, medium), size));
  }
  return all;
}

function convolutions(stage: TickStage, coder: Coder, size: number): Work[] {
  return placeLayers(coder).flatMap(({ layer, op, input, output }): Work[] => {
    const flops = coderOperations({ ...coder, layers: [layer], input });
    if (flops === 0) return [];
    const parameters = op.parameters?.(layer, input[3], { input: 1, goal: 1 }) ?? {};
    const weights = Object.values(parameters).reduce((sum, { shape }) => sum + elements(shape), 0);
    return [{
      stage,
      kind: "convolution",
      launches: layer.op === "residual" || layer.op === "logmel" ? 2 : 1,
      flops,
      bytes: size * weights + 4 * (elements(input) + elements(output)),
    }];
  });
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
  /** At the roof: the sum over its work of the greater of both. */
  computeSeconds: number;
  memorySeconds: number;
  seconds: number;
  bound: "operations" | "bytes" | "launches";
}

/** Seconds of one piece of work. */
export function workSeconds({ kind, flops, bytes, launches }: Work, machine: Machine): number {
  const roof = Math.max(flops / machine.flops, bytes / machine.bytesPerSecond);
  return roof / (machine.efficiency?.[kind] ?? 1) + launches * machine.launchSeconds;
}

/** The stages of a tick on a machine. */
export function stageTimes(work: readonly Work[], machine: Machine): StageTime[] {
  return tickStages.map((stage) => {
    const own = work.filter((one) => one.stage === stage);
    const sum = (of: (one: Work) => number) => own.reduce((all, one) => all + of(one), 0);
    const flops = sum((one) => one.flops);
    const bytes = sum((one) => one.bytes);
    const launches = sum((one) => one.launches);
    const computeSeconds = flops / machine.flops;
    const memorySeconds = bytes / machine.bytesPerSecond;
    const launching = launches * machine.launchSeconds;
    const most = Math.max(computeSeconds, memorySeconds, launching);
    return {
      stage,
      flops,
      bytes,
      launches,
      computeSeconds,
      memorySeconds,
      seconds: sum((one) => workSeconds(one, machine)),
      bound: most === launching ? "launches" : most === memorySeconds ? "bytes" : "operations",
    };
  });
}

/** What crosses between two adapters. */
export interface Transfers {
  /** K and V of prefill and history, once when a session moves or is resumed. */
  historyBytes: number;
  /** Per tick: K and V of the unit's tokens to the performer, latents back. */
  sliceBytes: number;
  latentBytes: number;
}

export function transfers(config: ModelConfig, storage: FloatType): Transfers {
  const layout = unitLayout(config);
  const token = tokenHistoryBytes(config, storage);
  const { audio, video } = config.response;
  return {
    historyBytes: historyTokens(config) * token,
    sliceBytes: layout.tokens * token,
    latentBytes: 4 *
      (layout.agentAudio * audio.latent_channels + layout.agentVideo * video.latent_channels),
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
  stages: readonly StageTime[],
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
