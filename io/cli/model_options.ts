/** The options of a model, the same for every command that runs or measures one. */
import type { Range } from "../../engine/config/config_fields.ts";
import { solverNames, solverRanges } from "../../engine/config/solver.ts";
import { precisions } from "../../engine/mod.ts";
import { samplingRanges } from "../../engine/model/settings.ts";
import type { Option, Parsed } from "./options.ts";

const { steps, shift, guidance } = solverRanges;
const { temperature, topK, topP } = samplingRanges;

/** A range as an option declares it. */
const within = ([min, max]: Range) => ({ min, max });

/** The options that choose a model and how it answers. */
export const modelOptions = {
  model: { onResume: "kept", kind: "text", value: "DIR", help: "checkpoint (engine/models/nano)" },
  seed: {
    setting: "seed",
    kind: "whole",
    min: 0,
    max: 2 ** 53 - 1,
    help: "seed of all noise and sampling (0)",
  },
  steps: {
    setting: "solver.steps",
    kind: "whole",
    ...within(steps),
    help: "solver steps (the checkpoint's)",
  },
  solver: {
    setting: "solver.name",
    kind: "choice",
    choices: solverNames,
    help: "solver (the checkpoint's)",
  },
  guidance: {
    setting: "solver.guidance",
    kind: "number",
    value: "X",
    ...within(guidance),
    help: "classifier-free guidance, 1: none (the checkpoint's)",
  },
  shift: {
    setting: "solver.shift",
    kind: "number",
    value: "X",
    ...within(shift),
    help: "time shift (the checkpoint's)",
  },
  temperature: {
    setting: "sampling.temperature",
    kind: "number",
    value: "X",
    ...within(temperature),
    help: "of text; 0: greedy (0)",
  },
  "top-k": {
    setting: "sampling.topK",
    kind: "whole",
    ...within(topK),
    help: "likeliest tokens kept, 0: all (0)",
  },
  "top-p": {
    setting: "sampling.topP",
    kind: "number",
    value: "P",
    ...within(topP),
    help: "probability kept (1)",
  },
  prompt: { kind: "text", value: "TEXT", help: "system prompt" },
  persona: { kind: "text", value: "IMAGE", help: "what the agent looks like" },
  voice: { kind: "text", value: "AUDIO", help: "what the agent sounds like (4 s are used)" },
  "user-text": {
    onResume: "fixed",
    kind: "text",
    value: "FILE",
    help: 'what the user types, a line each: {"at": seconds, "text": "..."}',
  },
  schedule: {
    kind: "choice",
    choices: ["paper", "eager"],
    help: "when y_k leaves (paper; stream: eager)",
  },
  placement: {
    onResume: "kept",
    kind: "choice",
    choices: ["auto", "split", "fused"],
    help: "roles on two adapters or one (auto)",
  },
  thinker: { onResume: "kept", kind: "text", value: "SPEC", help: "adapter, see 'adapters'" },
  performer: { onResume: "kept", kind: "text", value: "SPEC", help: "adapter, see 'adapters'" },
  precision: {
    kind: "choice",
    choices: precisions,
    help: "storage; int8, int4: the layers' weights, the rest f16 (auto)",
  },
  "no-tune": {
    onResume: "kept",
    kind: "flag",
    help: "take each kernel's default, measure nothing",
  },
  "tune-cache": {
    onResume: "kept",
    kind: "text",
    value: "FILE",
    help: "what was measured (wanstream/tune.json in the user's cache)",
  },
  "history-units": { kind: "whole", min: 1, help: "units of history (the checkpoint's)" },
} as const satisfies Record<string, Option>;

/** Values of these options, as far as they are given. */
export type ModelOptions = Partial<Parsed<typeof modelOptions>["options"]>;
