/** The options that choose a model and how it answers, the same for every command that runs one. */
import { fileURLToPath } from "node:url";
import type { Range } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import {
  type Durability,
  openCheckpoint,
  openSession,
  precisions,
  type SessionInfo,
  type SessionOptions,
} from "../../engine/mod.ts";
import { solverNames, solverRanges } from "../../engine/config/solver.ts";
import { samplingRanges } from "../../engine/model/settings.ts";
import type { Option, Parsed } from "../cli/options.ts";
import { type OpenedSession, type References } from "./run_model.ts";
import { say } from "../system/terminal.ts";
import { cachedTuning, defaultTuneCache } from "../cli/tune_cache.ts";

const { steps, shift, guidance } = solverRanges;
const { temperature, topK, topP } = samplingRanges;

/** A range as an option declares it. */
const within = ([min, max]: Range) => ({ min, max });

/** The options' declarations. */
export const modelOptions = {
  model: { kind: "text", value: "DIR", help: "checkpoint (engine/models/nano)" },
  seed: { kind: "whole", min: 0, max: 2 ** 53 - 1, help: "seed of all noise and sampling (0)" },
  steps: { kind: "whole", ...within(steps), help: "solver steps (the checkpoint's)" },
  solver: { kind: "choice", choices: solverNames, help: "solver (the checkpoint's)" },
  guidance: {
    kind: "number",
    value: "X",
    ...within(guidance),
    help: "classifier-free guidance, 1: none (the checkpoint's)",
  },
  shift: {
    kind: "number",
    value: "X",
    ...within(shift),
    help: "time shift (the checkpoint's)",
  },
  temperature: {
    kind: "number",
    value: "X",
    ...within(temperature),
    help: "of text; 0: greedy (0)",
  },
  "top-k": { kind: "whole", ...within(topK), help: "likeliest tokens kept, 0: all (0)" },
  "top-p": { kind: "number", value: "P", ...within(topP), help: "probability kept (1)" },
  prompt: { kind: "text", value: "TEXT", help: "system prompt" },
  persona: { kind: "text", value: "IMAGE", help: "what the agent looks like" },
  voice: { kind: "text", value: "AUDIO", help: "what the agent sounds like (4 s are used)" },
  "user-text": {
    kind: "text",
    value: "FILE",
    help: 'what the user types, a line each: {"at": seconds, "text": "..."}',
  },
  schedule: { kind: "choice", choices: ["paper", "eager"], help: "when y_k leaves (paper)" },
  placement: {
    kind: "choice",
    choices: ["auto", "split", "fused"],
    help: "roles on two adapters or one (auto)",
  },
  thinker: { kind: "text", value: "SPEC", help: "adapter, see 'adapters'" },
  performer: { kind: "text", value: "SPEC", help: "adapter, see 'adapters'" },
  precision: {
    kind: "choice",
    choices: precisions,
    help: "storage; int8, int4: the layers' weights, the rest f16 (auto)",
  },
  "no-tune": { kind: "flag", help: "take each kernel's default, measure nothing" },
  "tune-cache": {
    kind: "text",
    value: "FILE",
    help: "what was measured (wanstream/tune.json in the user's cache)",
  },
  "history-units": { kind: "whole", min: 1, help: "units of history (the checkpoint's)" },
} as const satisfies Record<string, Option>;

/** Values of these options, as far as they are given. */
export type ModelOptions = Partial<Parsed<typeof modelOptions>["options"]>;

/** The checkpoint that comes with the program. */
export async function ownModel(): Promise<string> {
  const path = fileURLToPath(new URL("../../engine/models/nano", import.meta.url));
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
function sessionOptions(options: ModelOptions): SessionOptions {
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
