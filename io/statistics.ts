/** Percentiles of the stages of a unit. */
import type { StageTimes } from "../engine/unit.ts";

/** Milliseconds of one unit by stage; `write` is handing it to the output, and `total` includes it. */
export type UnitTimes = StageTimes & { write: number };

/** Stages in the order in which a unit passes them. */
export const stages = [
  "encode",
  "pass",
  "sendSlice",
  "solve",
  "sendLatents",
  "decode",
  "wait",
  "write",
  "total",
] as const satisfies (keyof UnitTimes)[];

/** The value below which a part p (0 to 1) of the values lies: nearest rank. NaN of none. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? NaN;
}

/** p50 and p95, rounded to microseconds. */
export function percentiles(values: readonly number[]): { p50: number; p95: number } {
  return { p50: round(percentile(values, 0.5), 3), p95: round(percentile(values, 0.95), 3) };
}

/** p50 and p95 of every stage in ms, rounded to microseconds. */
export type Latency = Record<typeof stages[number], { p50: number; p95: number }>;

/** Percentiles over units. */
export function latency(units: readonly UnitTimes[]): Latency {
  const of = (stage: typeof stages[number]) => percentiles(units.map((unit) => unit[stage]));
  const entries = stages.map((stage): [string, { p50: number; p95: number }] => [stage, of(stage)]);
  return Object.fromEntries(entries) as Latency;
}

/** Rounded to so many decimals. */
export function round(value: number, decimals: number): number {
  return Math.round(value * 10 ** decimals) / 10 ** decimals;
}
