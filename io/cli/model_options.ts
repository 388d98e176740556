/** The options of a model, the same for every command that runs or measures one. */
import { sessionRules } from "../../engine/model/settings.ts";
import type { Option, Parsed } from "./options.ts";

const { solver, sampling } = sessionRules;

/** The options that choose a model and how it answers. */
export const modelOptions = {
  model: {
    onResume: "kept",
    kind: "text",
    value: "DIR",
    help: "checkpoint (engine/models/nano-1)",
  },
  seed: {
    setting: "seed",
    ...sessionRules.seed,
    help: "seed of all noise and sampling (0)",
  },
  steps: {
    setting: "solver.steps",
    ...solver.keys.steps,
    help: "solver steps (the checkpoint's)",
  },
  solver: {
    setting: "solver.name",
    ...solver.keys.name,
    help: "solver (the checkpoint's)",
  },
  guidance: {
    setting: "solver.guidance",
    ...solver.keys.guidance,
    value: "X",
    help: "classifier-free guidance, 1: none (the checkpoint's)",
  },
  shift: {
    setting: "solver.shift",
    ...solver.keys.shift,
    value: "X",
    help: "time shift (the checkpoint's)",
  },
  temperature: {
    setting: "sampling.temperature",
    ...sampling.keys.temperature,
    value: "X",
    help: "of text; 0: greedy (0)",
  },
  "top-k": {
    setting: "sampling.topK",
    ...sampling.keys.topK,
    help: "likeliest tokens kept, 0: all (0)",
  },
  "top-p": {
    setting: "sampling.topP",
    ...sampling.keys.topP,
    value: "P",
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
    ...sessionRules.schedule,
    help: "when y_k leaves (paper; stream: eager)",
  },
  placement: {
    onResume: "kept",
    ...sessionRules.placement,
    help: "roles on two adapters or one (auto)",
  },
  thinker: { onResume: "kept", kind: "text", value: "SPEC", help: "adapter, see 'adapters'" },
  performer: { onResume: "kept", kind: "text", value: "SPEC", help: "adapter, see 'adapters'" },
  precision: {
    ...sessionRules.precision,
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
  "history-units": { ...sessionRules.historyUnits, help: "units of history (the checkpoint's)" },
} as const satisfies Record<string, Option>;

/** Values of these options, as far as they are given. */
export type ModelOptions = Partial<Parsed<typeof modelOptions>["options"]>;
