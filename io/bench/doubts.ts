/** What makes figures doubtful: a machine that does other work, times that wander, shares above the
 * whole. Each doubt is a line on stderr and in `warnings`. */
import type { Provenance } from "../provenance/provenance.ts";
import { percent } from "../reports/table.ts";

/** Cores that other programs may use before a machine counts as busy: half a core, on machines of more
 * than four cores an eighth of them. */
export const busyFrom = (cores: number) => Math.max(0.5, cores / 8);

/**
 * Whether other programs kept the machine busy.
 *
 * @param hasPrograms The bench starts programs, which count as others: then what was there before counts.
 */
export function loadDoubts(
  { machine: { cores }, run: { load } }: Pick<Provenance, "machine" | "run">,
  hasPrograms: boolean,
): string[] {
  const others = hasPrograms ? null : load.others;
  const busy = others ?? load.before;
  if (busy === null || busy <= busyFrom(cores)) return [];
  const what = others === null
    ? `the load average was ${load.before} before this began`
    : `other programs kept ${others} cores busy`;
  return [
    `${what}, on ${cores} cores: these figures are a busy machine's; end what runs beside, and repeat`,
  ];
}

/** A time as it was measured in several rounds. */
export interface Wandering {
  ms: number;
  quartiles: readonly [lower: number, upper: number];
  /** Its part in the whole; equal parts by default. */
  weight?: number;
}

/** Whether a tenth of the whole or more has quartiles further apart than half of the median. */
export function wanderingDoubts(what: string, times: readonly Wandering[]): string[] {
  const sum = (some: readonly Wandering[]) => some.reduce((all, { weight = 1 }) => all + weight, 0);
  const wide = times.filter(({ ms, quartiles: [lower, upper] }) => upper - lower > 0.5 * ms);
  const share = sum(wide) / sum(times);
  if (!(share >= 0.1)) return [];
  return [`${percent(share)} of ${what} have quartiles wider than half their median: repeat`];
}

/** Whether shares pass the whole. */
export function shareDoubts(what: string, shares: readonly number[]): string[] {
  const above = shares.filter((share) => share > 1);
  if (above.length === 0) return [];
  return [
    `${above.length} of ${shares.length} ${what} pass 100 %, the most ${
      percent(Math.max(...above))
    }: the ceilings were measured too low, or data stayed in caches`,
  ];
}

/** A figure over several runs of a bench. */
export interface Spread {
  figure: string;
  median: number;
  least: number;
  most: number;
  /** Run by run. */
  values: number[];
}

/** How each figure differs between runs. */
export function spreadOf(runs: readonly Record<string, number>[]): Spread[] {
  return Object.keys(runs[0] ?? {}).map((figure) => {
    const values = runs.map((run) => run[figure] ?? NaN);
    const sorted = values.toSorted((a, b) => a - b);
    const at = (i: number) => sorted[i] ?? NaN;
    const middle = (sorted.length - 1) / 2;
    const median = (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2;
    return { figure, median, least: at(0), most: at(sorted.length - 1), values };
  });
}
