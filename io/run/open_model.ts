/** Opens a model as the options say, for every command that runs one. */
import { fileURLToPath } from "node:url";
import { InputError } from "../../engine/config/errors.ts";
import {
  type Checkpoint,
  type Durability,
  type Model,
  type ModelOptions as EngineModelOptions,
  openCheckpoint,
  openModel as openEngineModel,
  openSession,
  type SessionInfo,
  type SessionOptions,
} from "../../engine/mod.ts";
import type { ModelOptions } from "../cli/model_options.ts";
import { say } from "../system/terminal.ts";
import type { OpenedSession, References } from "./run_model.ts";
import { type CachedTuning, cachedTuning, defaultTuneCache } from "../cli/tune_cache.ts";

/** The checkpoint that comes with the program. */
export async function ownModel(): Promise<string> {
  const path = fileURLToPath(new URL("../../engine/models/nano-1", import.meta.url));
  try {
    await Deno.stat(`${path}/config.json`);
    return path;
  } catch {
    throw new InputError(
      `there is no checkpoint in ${path}: give --model DIR, or make one with ` +
        `'init --preset nano --seed 0 -o ${path}'`,
    );
  }
}

/** Opens the model with these options, or resumes a session. */
export async function openModel(
  model: string,
  options: ModelOptions & { quiet?: boolean },
  references: References,
  durability: Durability = {},
): Promise<OpenedSession> {
  const checkpoint = await openCheckpoint(model);
  const given = { ...sessionOptions(options), ...references };
  const cache = await openTuning(options);
  if (cache) given.tuning = cache.request;
  const session = await openSession(checkpoint, given, durability);
  await cache?.keep();
  const { info } = session;
  return { session, info, line: describe(info), checkpointDigest: checkpoint.digest };
}

/** A model that is open for one session after the other. */
export interface SharedModel {
  /** Opens a session. @throws InputError when the options or references don't fit the checkpoint. */
  open(options: ModelOptions, references: References): Promise<OpenedSession>;
  close(): Promise<void>;
}

/**
 * Puts a checkpoint on one device (on two where two adapters or `split` are asked for), for sessions
 * with any options but those of the model.
 *
 * @param cache Models with the same one choose the same kernels.
 */
export async function openSharedModel(
  checkpoint: Checkpoint,
  options: ModelOptions & { quiet?: boolean },
  durability: Durability = {},
  cache?: CachedTuning | null,
): Promise<SharedModel & { model: Model }> {
  const { thinker, performer = thinker } = options;
  const placement = options.placement ?? (performer === thinker ? "fused" : "split");
  const given = modelOptions(sessionOptions({ ...options, placement }));
  cache ??= await openTuning(options);
  if (cache) given.model.tuning = cache.request;
  const model = await openEngineModel(checkpoint, given.model);
  await cache?.keep();
  return {
    model,
    async open(options, references) {
      const { own } = modelOptions(sessionOptions(options));
      const session = await model.openSession({ ...own, ...references }, durability);
      const { info } = session;
      return { session, info, line: describe(info), checkpointDigest: checkpoint.digest };
    },
    close: () => model.close(),
  };
}

/** A session's options, those of its model apart. */
function modelOptions({ placement, thinker, performer, precision, ...own }: SessionOptions) {
  const all = { placement, thinker, performer, precision };
  const model: EngineModelOptions = Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined),
  );
  return { model, own };
}

/** Measurements and where they are kept; null: nothing is measured. */
export async function openTuning(
  options: Pick<ModelOptions, "no-tune" | "tune-cache"> & { quiet?: boolean },
) {
  if (options["no-tune"]) return null;
  const tell = options.quiet ? () => {} : say;
  const path = options["tune-cache"] ?? defaultTuneCache();
  if (path !== null) return await cachedTuning(path, tell);
  tell("kernels take their defaults: there is no cache folder (HOME): give --tune-cache FILE");
  return null;
}

/** What was given; the session knows the rest. */
export function sessionOptions(options: ModelOptions): SessionOptions {
  const given = <T extends object>(values: { [K in keyof T]: T[K] | undefined }): T =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
  return given<SessionOptions>({
    seed: options.seed,
    solver: given({
      name: options.solver,
      steps: options.steps,
      shift: options.shift,
      guidance: options.guidance,
    }),
    sampling: given({
      temperature: options.temperature,
      topK: options["top-k"],
      topP: options["top-p"],
    }),
    schedule: options.schedule,
    placement: options.placement,
    thinker: options.thinker,
    performer: options.performer,
    precision: options.precision,
    historyUnits: options["history-units"],
    prompt: options.prompt,
  });
}

function describe(info: SessionInfo): string {
  const { placement, thinker, performers, storage, weights, parameters, tokensPerUnit, settings } =
    info;
  const { solver, schedule, seed } = settings;
  const where = placement === "fused"
    ? `both roles on ${thinker.adapter}`
    : `thinker on ${thinker.adapter}, performer on ${
      performers.map(({ adapter }) => adapter).join(", ")
    }`;
  const precision = weights === storage ? storage : `${weights} (layers) and ${storage}`;
  const count = parameters < 1e9
    ? `${(parameters / 1e6).toFixed(1)} million`
    : `${(parameters / 1e9).toFixed(2)} billion`;
  return `${where}; ${count} parameters in ${precision}, ${tokensPerUnit} tokens a unit; ` +
    `${solver.name}, ${solver.steps} steps, schedule ${schedule}, seed ${seed}`;
}
