/**
 * Choice by measurement: which variant of a kernel serves a shape on this adapter.
 *
 * A problem is a kernel at a shape with its variants, the static default first. Each variant runs once
 * on random data into poisoned memory and is checked against a plain host computation; one that is
 * wrong is never chosen. Those that are left are timed in turns, so that a disturbance hits all of
 * them, and the best round of each counts. Every variant's time is kept in the record.
 *
 * The record is plain data, which the caller may keep in a file. What stands in it is used as it is, so
 * that the same record gives the same choices. Where no time is left to measure, the default is
 * recorded.
 */
import type { Choices, Gpu } from "../gpu/device.ts";
import { Plan, type Step } from "../gpu/plan.ts";
import { readTensor } from "../gpu/readback.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Stopwatch } from "./stopwatch.ts";

/** Count it up when kernels change so much that old measurements mislead. */
const kernelsVersion = 3;

/** A kernel at a shape. */
export interface Problem<Variant = unknown> {
  /** Name among the choices. */
  key: string;
  /** Its variants by name; the static default, which is taken where no time is left, comes first. */
  variants: ReadonlyMap<string, Variant>;
  /** Makes random data and what the variants should give for them. */
  open(): Trial<Variant>;
}

/** A problem with its memory on a device. */
export interface Trial<Variant = unknown> {
  steps(variant: Variant): readonly Step[];
  /** What the steps write, f32; values are around 1. */
  output: Tensor;
  /** Elements of the output by a plain host computation, and by how much they may differ. */
  expected: readonly { at: number; value: number }[];
  tolerance(variant: Variant): number;
  /** Frees its memory. */
  close(): void;
}

/** What was measured for a problem. */
export interface TuneEntry {
  /** The variant that was chosen. */
  chosen: string;
  /** Best milliseconds by variant; or why there are none. */
  times: Record<string, number | string>;
}

/** Measurements by adapter and problem. */
export type TuneRecord = Record<string, Record<string, TuneEntry>>;

/** What names an adapter in a record: itself, its driver, and the versions that measured. */
export function adapterKey(gpu: Gpu): string {
  return [gpu.name, gpu.identity, `Deno ${Deno.version.deno}`, `kernels ${kernelsVersion}`]
    .join("; ");
}

/**
 * A record read from somewhere: entries that are none are left out.
 *
 * @throws TypeError when it is no record at all.
 */
export function parseTuneRecord(value: unknown): TuneRecord {
  if (!isObject(value)) throw new TypeError("no object");
  return mapped(value, (entries) => isObject(entries) ? mapped(entries, parseEntry) : undefined);
}

function parseEntry(entry: unknown): TuneEntry | undefined {
  if (!isObject(entry) || typeof entry["chosen"] !== "string" || !isObject(entry["times"])) return;
  const times = mapped(
    entry["times"],
    (time) =>
      typeof time === "string" || (typeof time === "number" && time >= 0) ? time : undefined,
  );
  return { chosen: entry["chosen"], times };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The values that `parse` makes of an object's; those of which it makes nothing are left out. Keys
 * may be any, '__proto__' too. */
function mapped<T>(
  object: Record<string, unknown>,
  parse: (value: unknown) => T | undefined,
): Record<string, T> {
  const parsed = Object.entries(object).map(([key, value]) => [key, parse(value)] as const);
  return Object.fromEntries(parsed.filter((pair): pair is [string, T] => pair[1] !== undefined));
}

/** What a search found. */
export interface Tuning {
  /** Variants by kernel and shape. */
  choices: Choices;
  /** The record that was given, with what was measured. */
  record: TuneRecord;
  /** Problems that were measured. */
  measured: number;
  /** Problems that no time was left for. */
  skipped: number;
  /** Milliseconds of it all. */
  ms: number;
}

/**
 * Finds a choice for every problem: the record's, or by measuring.
 *
 * @param stages Problems in order of their weight. Those of a later stage are asked for when the
 * choices of the earlier ones are on the device.
 * @param budgetMs After this time no further variant is begun.
 * @param begin Called once, before the first measurement.
 * @param isWrong Variants that are known to be wrong on this adapter (`variantName`): never chosen.
 */
export async function tune(
  gpu: Gpu,
  stages: readonly (() => readonly Problem[] | Promise<readonly Problem[]>)[],
  record: TuneRecord,
  budgetMs: number,
  begin: () => void = () => {},
  isWrong: (name: string) => boolean = () => false,
): Promise<Tuning> {
  const start = performance.now();
  const isOver = () => performance.now() - start >= budgetMs;
  const key = adapterKey(gpu);
  const entries = new Map(Object.entries(new Map(Object.entries(record)).get(key) ?? {}));
  const choices: Record<string, string> = {};
  const before = gpu.choices;
  let measured = 0;
  let skipped = 0;
  for (const stage of stages) {
    for (const whole of await stage()) {
      const problem = withoutVariants(whole, isWrong);
      let entry = entries.get(problem.key);
      if (!entry && isOver()) {
        skipped++;
        const [chosen = ""] = problem.variants.keys();
        entry = { chosen, times: { [chosen]: noTime } };
      } else if (!entry) {
        if (measured === 0) begin();
        measured++;
        entry = await choose(gpu, problem, isOver);
      }
      entries.set(problem.key, entry);
      choices[problem.key] = entry.chosen;
    }
    gpu.choices = { ...before, ...choices };
  }
  const whole = { ...record, [key]: Object.fromEntries(entries) };
  return { choices, record: whole, measured, skipped, ms: performance.now() - start };
}

/** Rounds that each variant is timed in, and how long a round of it lasts. */
const rounds = 6;
const roundMs = 2;

/** Times slower than the fastest: less is noise, and not worth another result. */
const asGood = 1.05;

/** Times slower than the fastest so far: not timed on. */
const hopeless = 4;

const noTime = "no time was left";

/** A variant's name among all shapes of its kernel and storage type: what is wrong at one shape isn't
 * trusted at another. */
export function variantName({ key }: Pick<Problem, "key">, variant: string): string {
  const dtype = /\b(f32|f16|int8|int4)\b/.exec(key)?.[0];
  return `${key.split(" ", 1)[0]}${dtype ? ` ${dtype}` : ""}: ${variant}`;
}

/** A problem without the variants that are known to be wrong. @throws Error when none is left. */
export function withoutVariants<P extends Problem>(
  problem: P,
  isWrong: (name: string) => boolean,
): P {
  const variants = new Map(
    [...problem.variants].filter(([name]) => !isWrong(variantName(problem, name))),
  );
  if (variants.size === 0) throw new Error(`${problem.key}: every variant is known to be wrong`);
  return { ...problem, variants };
}

/** Runs every variant of a problem once. @returns Why it is wrong, null where it is right. */
export async function* checkVariants(
  gpu: Gpu,
  problem: Problem,
  begin: (variant: string) => void,
): AsyncGenerator<{ variant: string; wrong: string | null }> {
  const trial = problem.open();
  try {
    for (const [name, variant] of problem.variants) {
      begin(name);
      const steps = trial.steps(variant);
      yield { variant: name, wrong: await reasonAgainst(gpu, trial, variant, steps) };
    }
  } finally {
    trial.close();
  }
}

/** Checks and times every variant of a problem. @param isOver No further one is begun when it is so. */
export async function choose(
  gpu: Gpu,
  problem: Problem,
  isOver: () => boolean = () => false,
): Promise<TuneEntry> {
  const times: TuneEntry["times"] = {};
  const right: { name: string; repeats: number; steps: readonly Step[]; best: number }[] = [];
  let fastest = Infinity;
  const trial = problem.open();
  const stopwatch = new Stopwatch(gpu);
  await stopwatch.run([]);
  for (const [name, variant] of problem.variants) {
    // When time is up, testing goes on until one variant is right.
    if (right.length > 0 && isOver()) {
      times[name] = noTime;
      continue;
    }
    const steps = trial.steps(variant);
    const wrong = await reasonAgainst(gpu, trial, variant, steps);
    if (wrong !== null) {
      times[name] = `wrong: ${wrong}`;
      continue;
    }
    // Three times where that costs nothing: a single short run may have been disturbed.
    let once = (await stopwatch.run(steps)).wallMs;
    for (let again = 0; again < 2 && once < 20; again++) {
      once = Math.max(0.01, Math.min(once, (await stopwatch.run(steps)).wallMs));
    }
    fastest = Math.min(fastest, once);
    const repeats = Math.max(1, Math.min(50, Math.round(roundMs / once)));
    right.push({ name, steps, repeats, best: once });
  }
  for (let round = 0; round < rounds && !isOver(); round++) {
    for (const candidate of right) {
      if (candidate.best > hopeless * fastest) continue;
      const { wallMs } = await stopwatch.run(candidate.steps, candidate.repeats);
      candidate.best = Math.min(candidate.best, wallMs / candidate.repeats);
      fastest = Math.min(fastest, candidate.best);
    }
  }
  stopwatch.destroy();
  trial.close();
  for (const { name, best } of right) times[name] = Math.round(best * 1e4) / 1e4;
  // The earliest of those that are as good as the fastest: the default, where it is among them.
  const chosen = right.find(({ best }) => best <= asGood * fastest);
  if (!chosen) {
    throw new Error(`${gpu.name}: every variant gives wrong results: ${Object.values(times)[0]}`);
  }
  return { chosen: chosen.name, times };
}

/** Why a variant must not be chosen: its output is wrong, or WebGPU refuses it; else null. */
async function reasonAgainst(
  gpu: Gpu,
  trial: Trial,
  variant: unknown,
  steps: readonly Step[],
): Promise<string | null> {
  const { output, expected } = trial;
  // What the steps don't write stays NaN.
  const words = new Uint32Array(output.buffer.size / 4).fill(0xffffffff);
  gpu.device.queue.writeBuffer(output.buffer, 0, words);
  const values = await readTensor(gpu, output, new Plan(steps));
  try {
    await gpu.check();
  } catch (error) {
    return error instanceof Error ? error.message.split("\n").join(" ") : String(error);
  }
  const none = values.findIndex((value) => !Number.isFinite(value));
  if (none >= 0) return `element ${none} is ${values[none]}`;
  const tolerance = trial.tolerance(variant);
  const far = expected.find(({ at, value }) =>
    !(Math.abs((values[at] ?? NaN) - value) <= tolerance * (1 + Math.abs(value)))
  );
  return far ? `element ${far.at} is ${values[far.at]}, not ${far.value}` : null;
}
