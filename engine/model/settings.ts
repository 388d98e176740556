/** What a session is asked for, and the resolved form that both roles build themselves from. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { parameterCount } from "../checkpoint/tensors.ts";
import type { ModelConfig } from "../config/config.ts";
import type { FloatType } from "../../kernels/gpu/tensor.ts";
import type { WeightType } from "../../kernels/matmul/packed_weight.ts";
import { InputError } from "../config/errors.ts";
import { choice, number, readOptions, type RulesOf, whole } from "../config/option_rules.ts";
import { type SolverConfig, solverNames, solverRanges } from "../config/solver.ts";
import { givenPictures, givenSound } from "../checkpoint/given.ts";
import { openTokenizer, type Tokenizer } from "../checkpoint/tokenizer.ts";
import { unitLayout } from "../checkpoint/unit.ts";
import type { AdapterSpec } from "../../kernels/gpu/adapter.ts";
import type { TuneRecord, Tuning } from "../../kernels/measure/tune.ts";

/** When a response leaves: one tick after its unit, or as soon as it is solved. */
export type Schedule = "paper" | "eager";
/** Where the roles run: on two devices or one. */
export type Placement = "auto" | "split" | "fused";
/** What weights and history are stored in. */
export type Precision = "auto" | "f32" | "f16" | "int8" | "int4";

/** How agent text is sampled; temperature 0 is greedy. */
export interface Sampling {
  /** 0 or more. */
  temperature: number;
  /** Keep the k likeliest tokens; 0 keeps all. */
  topK: number;
  /** Keep the likeliest tokens whose probabilities sum to p, 0 < p <= 1. */
  topP: number;
}

/** How a session finds its kernels' variants. */
export interface TuningRequest {
  /** What was measured before; a session adds what it measures. */
  record: TuneRecord;
  /** After so many milliseconds of measuring on an adapter the rest keeps its default (10 000). */
  budgetMs?: number;
  /** Called when an adapter's kernels are about to be measured. */
  begin?: (adapter: string) => void;
  /** Called when they were. */
  end?: (adapter: string, tuning: Omit<Tuning, "choices">) => void;
}

/** Options of `openSession`; every one has a default. */
export interface SessionOptions {
  /** Seed of all noise and sampling, a whole number from 0 to 2^53 - 1 (0). */
  seed?: number;
  /** Overrides of the checkpoint's solver settings. */
  solver?: Partial<SolverConfig>;
  /** How agent text is sampled (greedy). */
  sampling?: Partial<Sampling>;
  /** When responses leave ("paper"). */
  schedule?: Schedule;
  /** Where the roles run ("auto"). */
  placement?: Placement;
  /** The thinker's adapter ("default"); `fused` runs on it. */
  thinker?: AdapterSpec;
  /** The performer's adapter (the thinker's). */
  performer?: AdapterSpec;
  /** Storage of weights and history; auto: f32 below 100 million parameters, else f16. With int8 and
   * int4 the layers' weights are kept so, in blocks with a scale, and everything else in f16. */
  precision?: Precision;
  /** Chooses kernel variants by measurement; without it each kernel takes its static default. */
  tuning?: TuningRequest;
  /** Units of history, sinks among them (the checkpoint's). */
  historyUnits?: number;
  /** System prompt. */
  prompt?: string;
  /** Reference image: one RGB24 frame at the response's size, which is copied. */
  persona?: { frame: Uint8Array };
  /** Reference voice: finite mono samples at the response's rate, which are copied; what is over full
   * scale is cut to [-1, 1], what goes over 4 s is left out. */
  voice?: Float32Array;
}

/** What the options may be. The command line's options read it too. */
export const sessionRules = {
  seed: whole(0, Number.MAX_SAFE_INTEGER),
  solver: {
    keys: {
      name: choice(solverNames),
      steps: whole(...solverRanges.steps),
      shift: number(...solverRanges.shift),
      guidance: number(...solverRanges.guidance),
    } satisfies RulesOf<SolverConfig>,
  },
  sampling: {
    keys: {
      temperature: number(0, 100),
      topK: whole(0, 2 ** 31 - 1),
      topP: number(1e-6, 1),
    } satisfies RulesOf<Sampling>,
  },
  schedule: choice(["paper", "eager"] satisfies Schedule[]),
  placement: choice(["auto", "split", "fused"] satisfies Placement[]),
  thinker: { kind: "text" },
  performer: { kind: "text" },
  precision: choice(["auto", "f32", "f16", "int8", "int4"] satisfies Precision[]),
  tuning: {
    keys: {
      record: { kind: "object" },
      budgetMs: number(0, 1e9),
      begin: { kind: "function" },
      end: { kind: "function" },
    } satisfies RulesOf<TuningRequest>,
  },
  // More would not fit into a buffer of any adapter.
  historyUnits: whole(1, 1_000_000),
  prompt: { kind: "text" },
  persona: { keys: { frame: { kind: "any" } } },
  voice: { kind: "any" },
} as const satisfies RulesOf<SessionOptions>;

/** Everything a role needs to know; plain data, the same for both roles. */
export interface Settings {
  /** Of all noise and sampling. */
  seed: number;
  /** How the flow-matching ODE is solved. */
  solver: SolverConfig;
  /** How agent text is sampled. */
  sampling: Sampling;
  /** When responses leave. */
  schedule: Schedule;
  /** Of history, codecs and embeddings. */
  storage: FloatType;
  /** Of the layers' weights. */
  weights: WeightType;
  /** Units of history. */
  historyUnits: number;
  /** First units that never leave history. */
  sinkUnits: number;
  /** The system prompt's tokens. */
  promptIds: number[];
  /** RGB24. */
  personaFrame: Uint8Array | null;
  /** Whole units of samples. */
  voice: Float32Array | null;
}

/** Longest reference voice in units: 4 s at 160 ms. */
export const maxVoiceUnits = 25;

/**
 * Options with every default filled in and checked.
 *
 * @throws InputError that names the option, its value and what it may be.
 */
export function resolveSettings(
  checkpoint: Pick<Checkpoint, "config" | "tokenizer">,
  options: SessionOptions,
  tokenizer?: Tokenizer,
): Settings {
  const given = readOptions(options, sessionRules);
  const { config } = checkpoint;
  const { historyUnits = config.history_units } = given;
  const sinkUnits = config.sink_units;
  if (historyUnits < sinkUnits + 2) {
    throw new InputError(
      `options: historyUnits is ${historyUnits}; it may be ${
        sinkUnits + 2
      } or more, of which ${sinkUnits} never leave`,
    );
  }
  if (given.tuning && !given.tuning.record) {
    throw new InputError("options: tuning.record is missing; it may be a record, {} at first");
  }
  const { agent, tokens } = unitLayout(config);
  const { before, after } = config.prompt_frame ?? { before: "", after: "" };
  const promptIds = given.prompt
    ? (tokenizer ?? openTokenizer(checkpoint.tokenizer, config)).encode(
      before + given.prompt + after,
    )
    : [];
  if (promptIds.length > historyUnits * tokens) {
    throw new InputError(
      `prompt: ${promptIds.length} tokens are more than the ${
        historyUnits * tokens
      } that history ` +
        `holds (${historyUnits} units): shorten it, or allow more history units`,
    );
  }
  const { persona, voice } = given;
  return {
    seed: given.seed ?? 0,
    solver: { ...config.solver, ...given.solver },
    sampling: { temperature: 0, topK: 0, topP: 1, ...given.sampling },
    schedule: given.schedule ?? "paper",
    ...storageFor(config, given.precision ?? "auto"),
    historyUnits,
    sinkUnits,
    promptIds,
    personaFrame: persona !== undefined
      ? givenPictures("options: persona.frame", persona.frame, agent, 1)
      : null,
    voice: voice !== undefined
      ? wholeUnits(givenSound("options: voice", voice, agent), agent.samples)
      : null,
  };
}

/** Small checkpoints in f32, which llvmpipe reads faster; large ones in f16, which halves their
 * bytes. */
function storageFor(
  config: ModelConfig,
  precision: Precision,
): Pick<Settings, "storage" | "weights"> {
  if (precision === "int8" || precision === "int4") return { storage: "f16", weights: precision };
  if (precision !== "auto") return { storage: precision, weights: precision };
  const storage = parameterCount(config) < 100e6 ? "f32" : "f16";
  return { storage, weights: storage };
}

/** Pads with silence to whole units; cuts at the longest reference voice. */
function wholeUnits(samples: Float32Array, unitSamples: number): Float32Array | null {
  const units = Math.min(maxVoiceUnits, Math.ceil(samples.length / unitSamples));
  if (units === 0) return null;
  const whole = new Float32Array(units * unitSamples);
  whole.set(samples.subarray(0, whole.length));
  return whole;
}
