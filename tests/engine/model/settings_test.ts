/** What a session is asked for, checked before anything is opened. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { unitLayout } from "../../../engine/checkpoint/unit.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { resolveSettings, type SessionOptions } from "../../../engine/model/settings.ts";
import { byteTokenizerJson } from "../../../engine/models/byte_tokenizer.ts";
import { modelOptions } from "../../../io/cli/model_options.ts";
import { parseOptions } from "../../../io/cli/options.ts";
import { tinyConfig } from "../support.ts";

const config = tinyConfig();
const checkpoint = { config, tensors: new Map(), tokenizer: byteTokenizerJson() };
const refusal = (options: unknown) =>
  assertThrows(() => resolveSettings(checkpoint, options as SessionOptions), InputError).message;

Deno.test("resolveSettings() refuses a prompt that history can't hold, with both figures", () => {
  const limit = config.history_units * unitLayout(config).tokens;
  assertEquals(
    resolveSettings(checkpoint, { prompt: "x".repeat(limit) }).promptIds.length,
    limit,
  );
  const message = refusal({ prompt: "x".repeat(limit + 1) });
  assert(message.includes(`${limit + 1} tokens are more than the ${limit}`), message);
});

/** Option, a value that it may not have, and what is said. */
const wrong: [option: string, value: unknown, message: string][] = [
  ["seed", -1, "seed is -1; it may be a whole number from 0 to 9007199254740991"],
  ["seed", "7", 'seed is "7"'],
  ["seed", null, "seed is null"],
  ["seed", NaN, "seed is NaN"],
  ["seed", 2n, "seed is 2"],
  ["solver", "euler", 'solver is "euler"; it must be an object'],
  ["solver.name", "rk4", 'solver.name is "rk4"; it may be "euler" or "midpoint"'],
  ["solver.steps", 1.5, "solver.steps is 1.5; it may be a whole number from 1 to 1000"],
  ["solver.shift", Infinity, "solver.shift is Infinity; it may be a number from 0.01 to 100"],
  ["solver.guidance", -1, "solver.guidance is -1"],
  [
    "solver.step",
    4,
    'solver has the key "step"; it may have name, steps, shift, guidance: did you mean steps?',
  ],
  ["sampling.topP", 0, "sampling.topP is 0"],
  ["sampling.topK", -1, "sampling.topK is -1"],
  ["schedule", "x", 'schedule is "x"; it may be "paper" or "eager"'],
  ["placement", "both", 'placement is "both"; it may be "auto" or "split" or "fused"'],
  [
    "precision",
    "f64",
    'precision is "f64"; it may be "auto" or "f32" or "f16" or "int8" or "int4"',
  ],
  ["historyUnits", 1e9, "historyUnits is 1000000000; it may be a whole number from 1 to 1000000"],
  ["historyUnits", 2, "historyUnits is 2; it may be 3 or more, of which 1 never leave"],
  ["prompt", ["a"], 'prompt is ["a"]; it may be text'],
  ["thinker", 0, "thinker is 0; it may be text"],
  ["tuning", {}, "tuning.record is missing; it may be a record, {} at first"],
  ["tuning.budgetMs", -1, "tuning.budgetMs is -1"],
  ["tuning.begin", "log", 'tuning.begin is "log"; it may be a function'],
  ["persona", new Uint8Array(768), "persona is a Uint8Array of 768; it must be an object"],
  [
    "persona.frame",
    new Uint8Array(5),
    "persona.frame is a Uint8Array of 5; it may be a Uint8Array of 768 bytes: 1 frame of 16x16 RGB",
  ],
  ["voice", new Int16Array(9), "voice is an Int16Array of 9; it may be a Float32Array at 16000 Hz"],
  ["voice", null, "voice is null; it may be a Float32Array at 16000 Hz"],
  ["voice", new Float32Array([0, NaN]), "voice[1] is NaN"],
  ["sede", 3, 'has the key "sede"; it may have seed, solver, '],
  ["sede", 3, ": did you mean seed?"],
];

Deno.test("an option that may not be is refused in a line with its name, its value and what may be", () => {
  for (const [option, value, message] of wrong) {
    const [name = "", inner] = option.split(".");
    const said = refusal({ [name]: inner === undefined ? value : { [inner]: value } });
    assert(said.startsWith("options: ") && said.includes(message) && !said.includes("\n"), said);
  }
  for (const options of [null, "x", Promise.resolve({}), [1]]) {
    assert(refusal(options).endsWith("; it must be an object"));
  }
});

Deno.test("an option that is undefined has its default, a nested one too", () => {
  const plain = resolveSettings(checkpoint, {});
  const nothing = {
    seed: undefined,
    solver: { steps: undefined, guidance: undefined },
    sampling: { topP: undefined },
    schedule: undefined,
    persona: undefined,
    voice: undefined,
  } as unknown as SessionOptions;
  assertEquals(resolveSettings(checkpoint, nothing), plain);
  const { solver } = resolveSettings(checkpoint, { solver: { name: "heun" } });
  assertEquals(solver, { ...config.solver, name: "heun" });
});

Deno.test("the command line refuses what the library refuses", () => {
  const flags: Record<string, string> = {
    "solver.name": "solver",
    "sampling.topP": "top-p",
    "sampling.topK": "top-k",
    historyUnits: "history-units",
  };
  const spec = { name: "x", summary: "", usage: "", options: modelOptions, examples: [] };
  for (const [option, value] of wrong) {
    const flag = flags[option] ?? option.split(".").at(-1) ?? "";
    const rule = (modelOptions as Record<string, { kind: string }>)[flag];
    // What the checkpoint's config refuses comes later.
    if (!rule || rule.kind === "text" || value === null || value === 2n || value === 2) continue;
    if (flag === "solver" && option === "solver") continue;
    assertThrows(
      () => parseOptions(spec, [`--${flag}`, `${value === "7" ? "x" : value}`]),
      InputError,
    );
  }
});

Deno.test("persona and voice are copied", () => {
  const frame = new Uint8Array(768).fill(9);
  const voice = new Float32Array(2560).fill(0.5);
  const settings = resolveSettings(checkpoint, { persona: { frame }, voice });
  frame.fill(1);
  voice.fill(1);
  assertEquals([settings.personaFrame?.[0], settings.voice?.[0]], [9, 0.5]);
});
