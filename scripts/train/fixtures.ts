/**
 * Writes what the engine makes of small inputs, for the training's tests: what stands in both languages
 * is computed by both.
 *
 *     deno run --allow-read --allow-env --allow-write=scripts scripts/train/fixtures.ts
 *
 * Writes scripts/train/tests/fixtures/engine.json; a test says when it is old (tests/training_test.ts).
 */
import { validateConfig } from "../../engine/checkpoint/config_check.ts";
import { expectedTensors } from "../../engine/checkpoint/tensors.ts";
import { openTokenizer } from "../../engine/checkpoint/tokenizer.ts";
import { emptyRank, type UnitLayout, unitLayout, visible } from "../../engine/checkpoint/unit.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import { solverNames, solverProgram } from "../../engine/config/solver.ts";
import { TickTokens, tokenWords } from "../../engine/model/tick_tokens.ts";
import { HistoryWindow } from "../../engine/model/window.ts";
import nanoTokenizer from "../../engine/models/nano-1/tokenizer.json" with { type: "json" };
import { mouthOpening } from "../../io/eval/measures/lips.ts";
import { noise } from "../../kernels/flow/noise.ts";
import { logmel, logmelTables, spectrumChannels } from "../../kernels/codec/logmel.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { Plan, submit } from "../../kernels/gpu/plan.ts";
import { readTensor } from "../../kernels/gpu/readback.ts";
import { makeTensor, tensorFrom } from "../../kernels/gpu/tensor.ts";
import { createHash } from "node:crypto";
import configs from "./tests/configs.json" with { type: "json" };

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** `base` with the keys of `patch` set, objects key by key. */
function patched(base: Json, patch: Json): Json {
  const isObject = (value: Json) =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  const [a, b] = [isObject(base), isObject(patch)];
  if (!a || !b) return patch;
  const keys = Object.entries(b).map(([key, value]) => [key, patched(a[key] ?? null, value)]);
  return { ...a, ...Object.fromEntries(keys) };
}

/** The odd configs of tests/configs.json, by name. */
function oddConfigs(): [name: string, config: ModelConfig][] {
  return Object.entries(configs.odd).map(([name, patch]) => [
    name,
    validateConfig(patched(configs.base, patch), name),
  ]);
}

const rounded = (values: Iterable<number>) => [...values].map((v) => Number(v.toPrecision(7)));

/** Log-mel of a sound at several rates. */
async function logmels(gpu: Gpu) {
  const shapes = [
    { sampleRate: 8000, window: 200, fft: 256, hop: 80, mels: 12 },
    { sampleRate: 16000, window: 400, fft: 512, hop: 160, mels: 16 },
    { sampleRate: 24000, window: 600, fft: 1024, hop: 240, mels: 20 },
    { sampleRate: 44100, window: 1024, fft: 1024, hop: 441, mels: 24 },
  ];
  const made = [];
  for (const shape of shapes) {
    const samples = Float32Array.from(
      { length: 6 * shape.hop },
      (_, i) => Math.round(400 * Math.sin(0.0003 * i * i + i / 9)) / 1000,
    );
    const { window, hop, mels } = shape;
    const x = tensorFrom(gpu, "samples", [samples.length, 1, 1, 1], samples);
    const state = tensorFrom(gpu, "past", [window - hop, 1, 1, 1], new Float32Array(window - hop));
    const spectrum = makeTensor(gpu, "spectrum", [6, 1, 1, spectrumChannels(shape)]);
    const y = makeTensor(gpu, "mel", [6, 1, 1, mels]);
    const tables = logmelTables(gpu, "fixture", shape);
    submit(gpu, new Plan(logmel(gpu, { label: "fixture", x, state, tables, spectrum, y })));
    const mel = await readTensor(gpu, y);
    made.push({ ...shape, samples: rounded(samples), mel: rounded(mel) });
  }
  return made;
}

async function noises(gpu: Gpu) {
  const made = [];
  for (const [seed, unit, count] of [[0, 0, 6], [7, 3, 9], [2 ** 40 + 5, 1000, 5]] as const) {
    const y = makeTensor(gpu, "noise", [count]);
    const at = tensorFrom(gpu, "unit", [1], new Uint32Array([unit]));
    submit(gpu, new Plan([noise(gpu, { label: "fixture", y, unit: at, seed })]));
    made.push({ seed, unit, count, noise: rounded(await readTensor(gpu, y)) });
  }
  return made;
}

function solvers() {
  return solverNames.flatMap((name) =>
    [{ name, steps: 1, shift: 1 }, { name, steps: 3, shift: 2.5 }].map((solver) => ({
      ...solver,
      program: solverProgram(solver).map((op) =>
        op.op === "evaluate"
          ? [op.point, op.tau, op.slot]
          : [op.target, Object.fromEntries(op.terms.map((t) => [t.slot, t.coefficient]))]
      ),
    }))
  );
}

/**
 * What each row of a unit sees and where it stands, as the engine's window and token tables say: rows are
 * the clean ones in their order, then the noisy ones with their unit's context and those without it.
 * `sees` lists the clean rows of history, unit by unit, as 0 and 1.
 */
function attention(config: ModelConfig, layout: UnitLayout, units: number) {
  const window = new HistoryWindow(layout, {
    promptTokens: 0,
    personaTokens: 0,
    historyUnits: config.history_units,
    sinkUnits: config.sink_units,
    noisySets: 2,
  });
  const tokens = new TickTokens(config, layout, window, 0);
  const table = (words: Int32Array) =>
    Array.from({ length: words.length / tokenWords }, (_, i) => {
      const [slot = 0, limit = 0, own = 0, ...position] = words.subarray(i * tokenWords);
      return { slot, limit, own, position: position.slice(0, 3) };
    });
  const sight = (limit: number, own: number, last: number) =>
    window.unitsAfter(last).map((unit) => {
      const start = window.block(unit);
      const ranks = window.ranks.subarray(start, start + layout.tokens);
      const seen = [...ranks].map((rank) =>
        rank !== emptyRank && visible({ limit, own }, rank) ? "1" : "0"
      );
      return [unit, seen.join("")] as const;
    });
  const rows: { unit: number; row: number; position: number[]; sees: Record<string, string> }[] =
    [];
  const note = (last: number, unit: number, first: number, list: ReturnType<typeof table>) =>
    list.forEach(({ limit, own, position }, i) =>
      rows.push({
        unit,
        row: first + i,
        position,
        sees: Object.fromEntries(sight(limit, own, last)),
      })
    );
  for (let unit = 0; unit < units; unit++) {
    window.advance(unit, layout.userText);
    const pass = table(tokens.pass(unit));
    const response = pass.slice(0, layout.response);
    if (unit > 0) note(unit, unit - 1, layout.tokens - layout.response, response);
    note(unit, unit, 0, pass.slice(layout.response));
    note(unit, unit, layout.tokens, table(tokens.noisy(unit)));
  }
  return rows;
}

function shapes() {
  return oddConfigs().map(([name, config]) => {
    const layout = unitLayout(config);
    const tensors = [...expectedTensors(config)].map(([key, { shape }]) => [key, shape] as const);
    tensors.sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      name,
      layout,
      tensors: createHash("sha256").update(JSON.stringify(tensors)).digest("hex"),
    };
  });
}

/** How open the drawn agent's mouth is in pictures whose green is (7 column + 3 row) mod 256. */
function mouths() {
  return [[128, 128], [96, 64], [200, 120]].map(([width = 0, height = 0]) => {
    const frame = new Uint8Array(3 * width * height);
    for (let i = 0; i < width * height; i++) {
      frame[3 * i + 1] = 7 * (i % width) + 3 * Math.floor(i / width);
    }
    return { width, height, opening: mouthOpening(frame, width, height) };
  });
}

/** Everything, as it stands in the file. */
export async function fixtures(gpu: Gpu) {
  const [, config] = oddConfigs()[1] ?? [];
  if (!config) throw new Error("tests/configs.json has no second config");
  // A window of four units, of which one stays: units leave it soon.
  const small = { ...config, history_units: 4, sink_units: 1 };
  const tokenizer = openTokenizer(nanoTokenizer, { vocab_size: 1000, filler_token_id: 256 });
  const texts = ["what colour is it", "red", " red", "Hello, zebra", "é<|im_end|>"];
  return {
    logmel: await logmels(gpu),
    noise: await noises(gpu),
    solvers: solvers(),
    mouths: mouths(),
    shapes: shapes(),
    attention: { history: 4, sinks: 1, rows: attention(small, unitLayout(small), 6) },
    tokenizer: texts.map((text) => ({ text, ids: tokenizer.encode(text) })),
  };
}

if (import.meta.main) {
  const { Gpu } = await import("../../kernels/gpu/device.ts");
  const gpu = await Gpu.open("default");
  const lines = Object.entries(await fixtures(gpu)).map(([key, value]) =>
    `${JSON.stringify(key)}: ${JSON.stringify(value)}`
  );
  gpu.destroy();
  const path = new URL("./tests/fixtures/engine.json", import.meta.url);
  await Deno.writeTextFile(path, `{\n${lines.join(",\n")}\n}\n`);
}
