/**
 * Choice by measurement: which variant of a kernel serves a shape on this adapter.
 *
 * A problem is a kernel at a shape with its candidates, the static default first. Each candidate runs
 * once on random data into poisoned memory and is checked against a plain host computation; one that
 * is wrong is never chosen. Those that are left are timed in turns (so that a disturbance hits all)
 * and the best round of each counts. Every candidate's time is kept in the record.
 *
 * The record is plain data: who calls keeps it, in a file or not. What stands in it is used as it is,
 * so that the same record gives the same choices; where measuring stops because its time is used up,
 * the default is recorded.
 */
import type { Choices, Gpu } from "../gpu/device.ts";
import { Plan, type Step } from "../gpu/plan.ts";
import { readTensor } from "../gpu/readback.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Stopwatch } from "./stopwatch.ts";

/** Count it up when kernels change so much that old measurements mislead. */
const kernelsVersion = 2;

/** One way to solve a problem. */
export interface Candidate {
  name: string;
  steps: readonly Step[];
  /** What its steps write, f32. */
  output: Tensor;
  /** Says what is wrong with the output; null: nothing. */
  check(output: Float32Array): string | null;
}

/** A problem with its memory on a device. */
export interface Trial {
  /** The static default first. */
  candidates: readonly Candidate[];
  /** Frees its memory. */
  close(): void;
}

/** A kernel at a shape. */
export interface Problem {
  /** Name among the choices. */
  key: string;
  /** The static default's name: taken where no time is left to measure. */
  fallback: string;
  /** Makes random data, the candidates (the default first), and what they should give. */
  open(): Trial;
}

/** What was measured for a problem. */
export interface TuneEntry {
  chosen: string;
  /** Best milliseconds by candidate; or why there are none. */
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
  const record: TuneRecord = {};
  for (const [adapter, entries] of Object.entries(value)) {
    if (!isObject(entries)) continue;
    const kept: Record<string, TuneEntry> = {};
    for (const [key, entry] of Object.entries(entries)) {
      if (!isObject(entry)) continue;
      const { chosen, times } = entry;
      if (typeof chosen !== "string" || !isObject(times)) continue;
      const fine = Object.entries(times).filter(([, time]) =>
        typeof time === "string" || (typeof time === "number" && time >= 0)
      ) as [string, number | string][];
      set(kept, key, { chosen, times: Object.fromEntries(fine) });
    }
    set(record, adapter, kept);
  }
  return record;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Sets a property whatever its name, '__proto__' too. */
function set<T>(object: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(object, key, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

/** What a search found. */
export interface Tuning {
  choices: Choices;
  /** The record that was given, with what was measured. */
  record: TuneRecord;
  /** Problems that were measured, those that no time was left for, and milliseconds of it all. */
  measured: number;
  skipped: number;
  ms: number;
}

/**
 * Finds a choice for every problem: the record's, or by measuring.
 *
 * @param stages Problems in order of their weight. Those of a later stage are asked for when the
 * choices of the earlier ones are on the device.
 * @param budgetMs After this time no further candidate is begun.
 * @param begin Called once, before the first measurement.
 */
export async function tune(
  gpu: Gpu,
  stages: readonly (() => readonly Problem[])[],
  record: TuneRecord,
  budgetMs: number,
  begin: () => void = () => {},
): Promise<Tuning> {
  const start = performance.now();
  const isOver = () => performance.now() - start >= budgetMs;
  const key = adapterKey(gpu);
  const entries = { ...(Object.hasOwn(record, key) ? record[key] : {}) };
  const choices: Record<string, string> = {};
  const before = gpu.choices;
  let measured = 0;
  let skipped = 0;
  for (const stage of stages) {
    for (const problem of stage()) {
      let entry = Object.hasOwn(entries, problem.key) ? entries[problem.key] : undefined;
      if (!entry) {
        if (isOver()) {
          skipped++;
          entry = { chosen: problem.fallback, times: { [problem.fallback]: noTime } };
        } else {
          if (measured === 0) begin();
          measured++;
          const trial = problem.open();
          entry = await choose(gpu, trial.candidates, isOver).finally(() => trial.close());
        }
        set(entries, problem.key, entry);
      }
      choices[problem.key] = entry.chosen;
    }
    gpu.choices = { ...before, ...choices };
  }
  const whole = { ...record };
  set(whole, key, entries);
  return { choices, record: whole, measured, skipped, ms: performance.now() - start };
}

/** Rounds that each candidate is timed in, and how long a round of it lasts. */
const rounds = 6;
const roundMs = 2;

/** Times slower than the fastest: less is noise, and not worth another result. */
const asGood = 1.05;

/** Times slower than the fastest so far: not timed on. */
const hopeless = 4;

const noTime = "no time was left";

async function choose(
  gpu: Gpu,
  candidates: readonly Candidate[],
  isOver: () => boolean,
): Promise<TuneEntry> {
  const times: TuneEntry["times"] = {};
  const right: { name: string; repeats: number; steps: readonly Step[]; best: number }[] = [];
  let fastest = Infinity;
  const stopwatch = new Stopwatch(gpu);
  await stopwatch.run([]);
  for (const candidate of candidates) {
    const { name, steps } = candidate;
    // When time is up, testing goes on until one candidate is right.
    if (right.length > 0 && isOver()) {
      times[name] = noTime;
      continue;
    }
    const wrong = await reasonAgainst(gpu, candidate);
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
  for (const { name, best } of right) times[name] = Math.round(best * 1e4) / 1e4;
  // The earliest of those that are as good as the fastest: the default, where it is among them.
  const chosen = right.find(({ best }) => best <= asGood * fastest);
  if (!chosen) {
    throw new Error(`${gpu.name}: every variant gives wrong results: ${Object.values(times)[0]}`);
  }
  return { chosen: chosen.name, times };
}

/** Why a candidate must not be chosen: its output is wrong, or WebGPU refuses it; else null. */
async function reasonAgainst(
  gpu: Gpu,
  { steps, output, check }: Candidate,
): Promise<string | null> {
  // What it doesn't write stays NaN.
  const words = new Uint32Array(output.buffer.size / 4).fill(0xffffffff);
  gpu.device.queue.writeBuffer(output.buffer, 0, words);
  const values = await readTensor(gpu, output, new Plan("candidate", steps));
  try {
    await gpu.check();
  } catch (error) {
    return error instanceof Error ? error.message.split("\n").join(" ") : String(error);
  }
  return check(Float32Array.from(values));
}
