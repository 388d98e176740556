/** Which model and adapter a bench measures. */
import { type Checkpoint, openCheckpoint } from "../../engine/checkpoint/checkpoint.ts";
import { parameterCount } from "../../engine/checkpoint/tensors.ts";
import { type Observation, type Response, unitLayout } from "../../engine/checkpoint/unit.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import { InputError } from "../../engine/config/errors.ts";
import { type PresetName, presetNames } from "../../engine/models/presets.ts";
import { randomCheckpoint } from "../../engine/models/random_checkpoint.ts";
import {
  openSession,
  type SessionInfo,
  type SessionOptions,
  type WorkerSession,
} from "../../engine/mod.ts";
import { evaluationsPerUnit } from "../../engine/config/solver.ts";
import { historyWindow } from "../../engine/model/window.ts";
import { resolveSettings, type Settings } from "../../engine/model/settings.ts";
import { tuneDevice } from "../../engine/roles/tuning.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { modelOptions } from "../cli/model_options.ts";
import { openTuning, ownModel, sessionOptions } from "../run/open_model.ts";
import type { Option, Parsed } from "../cli/options.ts";
import type { CachedTuning } from "../cli/tune_cache.ts";
import type { Places } from "../provenance/provenance.ts";
import type { Bench } from "../reports/report.ts";
import type { Status } from "./output.ts";

/** The options that decide what a tick computes, as every command has them. */
export const settingOptions = {
  seed: modelOptions.seed,
  steps: modelOptions.steps,
  solver: modelOptions.solver,
  guidance: modelOptions.guidance,
  shift: modelOptions.shift,
  precision: modelOptions.precision,
  "history-units": modelOptions["history-units"],
} as const satisfies Record<string, Option>;

export const benchModelOptions = {
  model: modelOptions.model,
  preset: {
    kind: "choice",
    choices: presetNames,
    help: "a preset with random weights, made in memory, instead of --model",
  },
  adapter: { kind: "text", value: "SPEC", help: "adapter, as 'adapters' lists them (default)" },
  "no-tune": modelOptions["no-tune"],
  "tune-cache": modelOptions["tune-cache"],
  ...settingOptions,
} as const satisfies Record<string, Option>;

export type BenchModelOptions = Partial<Parsed<typeof benchModelOptions>["options"]>;

export interface BenchModel {
  name: string;
  checkpoint: Checkpoint;
  /** What was asked for, and what a session makes of it. */
  asked: SessionOptions;
  settings: Settings;
  /** Chooses kernels' variants by measurement; null: defaults. */
  tuning: CachedTuning | null;
}

/** Opens the checkpoint, or makes the preset. @throws InputError */
export async function openBenchModel(
  options: BenchModelOptions,
  status: Status,
): Promise<BenchModel> {
  const { model, preset } = options;
  checkChoice(options);
  const checkpoint = preset === undefined
    ? await openCheckpoint(model ?? await ownModel())
    : await randomCheckpoint(
      preset,
      0,
      preset === "nano" ? "F32" : "F16",
      (part) => status(`weights of ${preset}: ${Math.floor(100 * part)} %`),
    );
  const asked = askedSettings(options);
  return {
    name: preset ?? model ?? "nano-1",
    checkpoint,
    asked,
    settings: resolveSettings(checkpoint, asked),
    tuning: await openTuning(options),
  };
}

/** What the options ask of a session, wherever it runs. */
export function askedSettings(options: Partial<Parsed<typeof settingOptions>["options"]>) {
  const names = Object.keys(settingOptions);
  const given = Object.entries(options).filter(([name]) => names.includes(name));
  return sessionOptions(Object.fromEntries(given));
}

/** @throws InputError when both are given. */
export function checkChoice(
  { model, preset }: { model?: string | undefined; preset?: PresetName | undefined },
): void {
  if (model !== undefined && preset !== undefined) {
    throw new InputError(`--model ${model} and --preset ${preset} exclude each other: give one`);
  }
}

/** Opens the adapter as a session would, its kernels' variants chosen. */
export async function openBenchGpu(
  { checkpoint, settings, tuning }: BenchModel,
  adapter: string | undefined,
): Promise<Gpu> {
  const gpu = await Gpu.open(adapter ?? "default");
  if (tuning) {
    const { request, keep } = tuning;
    const begin = () => request.begin?.(gpu.name);
    request.end?.(gpu.name, await tuneDevice(gpu, checkpoint.config, settings, request, begin));
    await keep();
  }
  return gpu;
}

/** Opens a session as the commands do, its kernels' variants chosen. */
export async function openBenchSession(
  { checkpoint, asked, tuning }: BenchModel,
  options: SessionOptions,
): Promise<WorkerSession> {
  const session = await openSession(checkpoint, {
    ...asked,
    ...options,
    ...(tuning ? { tuning: tuning.request } : {}),
  });
  await tuning?.keep();
  return session;
}

/** Loud noise, which keeps every stage at work. */
export function* observations(
  config: BenchModel["checkpoint"]["config"],
  units: number,
): Generator<Observation> {
  const { userSamples, frames } = unitLayout(config);
  const { width, height } = config.observation.video;
  const pixels = new Uint8Array(frames * width * height * 3);
  for (let at = 0; at < pixels.length; at += 65536) {
    crypto.getRandomValues(pixels.subarray(at, at + 65536));
  }
  const audio = Float32Array.from({ length: userSamples }, () => Math.random() - 0.5);
  for (let unit = 0; unit < units; unit++) yield { audio, frames: pixels };
}

/** Responses with the wall milliseconds since the one before, or since the beginning. */
export async function* timed(
  responses: AsyncIterable<Response>,
): AsyncGenerator<{ response: Response; ms: number }> {
  let last = performance.now();
  for await (const response of responses) {
    const now = performance.now();
    yield { response, ms: now - last };
    last = now;
  }
}

/**
 * A model's facts and where the figures come from, as every bench's JSON and page have them.
 *
 * @param own The bench's own settings, as they were in force.
 */
export function madeFrom(
  { name, checkpoint, settings }: BenchModel,
  places: Places,
  own: Record<string, unknown> = {},
): Required<Pick<Bench, "model" | "origin">> {
  const { config, digest } = checkpoint;
  const { promptIds: _, personaFrame: _p, voice: _v, ...answering } = settings;
  return {
    model: modelFacts(name, config, settings),
    origin: {
      settings: { ...answering, ...own },
      seeds: { noise: settings.seed },
      checkpoint: { path: name, digest, randomWeightsSeed: config.random_weights_seed ?? null },
      places,
    },
  };
}

/** A model's own facts, as every bench has them. */
export function modelFacts(name: string, config: ModelConfig, settings: Settings) {
  const layout = unitLayout(config);
  return {
    name,
    parameters: parameterCount(config),
    unitMs: config.unit_ms,
    tokensPerUnit: layout.tokens,
    /** Tokens that history has room for, and those of them that the solver sees at the most. */
    historyTokens: settings.historyUnits * layout.tokens,
    seenTokens: historyWindow(layout, settings).most,
    evaluationsPerUnit: evaluationsPerUnit(settings.solver),
    config,
  };
}

/** A device that a bench opened, with both roles on it. */
export function placesOf({ name, choices }: Gpu, spec = "default"): Places {
  const thinker = { adapter: name, spec, kernels: choices };
  return { placement: "fused", thinker, performers: [] };
}

/** Bytes that the performers hold on adapters of their own; null: they share the thinker's. */
export function performerBytes({ placement, performers }: SessionInfo): number | null {
  if (placement === "fused") return null;
  return performers.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
}
