/** The figures of Full-Duplex-Bench's sets, as a table and as records. */
import { type Estimate, type Interval, intervalOf, meanOf } from "../../eval/figures/estimates.ts";
import { intervalText, number } from "../../eval/figures/table.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { findSamples } from "../../layouts/full_duplex_bench.ts";
import { type Table, tableOf } from "../../reports/table.ts";
import { type Hearing, type SampleScore, scoreSample } from "./samples.ts";

/** A figure of one set of samples. */
export interface SetFigure {
  /** The folder's name. */
  set: string;
  task: SampleScore["task"];
  key: string;
  label: string;
  value: number | null;
  /** Holds the figure in 95 % of the bootstrap's draws of samples. */
  interval: Interval | null;
  /** What it rests on: samples, or intervals. */
  events: number;
}

const lengths = (stretches: SampleScore["stop"]) =>
  (stretches ?? []).map(([from, to]) => to - from);
const known = (value: number | null) => value === null ? [] : [value];

/** What each figure is the mean of. */
const declared: readonly [key: string, label: string, values: (one: SampleScore) => number[]][] = [
  ["takeoverRate", "TOR", (one) => known(one.takesTurn === null ? null : Number(one.takesTurn))],
  ["latency", "latency, s", (one) => known(one.latency)],
  ["frequency", "backchannels a second", (one) => known(one.frequency)],
  ["timesDistance", "JSD of their times", (one) => known(one.timesDistance)],
  ["stopLatency", "stop latency, s", (one) => lengths(one.stop)],
  ["responseLatency", "response latency, s", (one) => lengths(one.response)],
];

/** All figures that there is something to say of, set by set. */
export function figuresOf(samples: readonly SampleScore[], draws: number): SetFigure[] {
  const sets = Map.groupBy(samples, ({ set, task }) => JSON.stringify([set, task]));
  return [...sets.values()].flatMap((members) => {
    const [{ set, task } = { set: "", task: "overlap" as const }] = members;
    return declared.flatMap(([key, label, values]): SetFigure[] => {
      const estimate: Estimate = meanOf(members.map(values));
      const { value, events } = estimate(members.map((_, i) => i));
      if (events === 0) return [];
      const interval = draws > 0 ? intervalOf(estimate, members.length, draws) : null;
      return [{ set, task, key, label, value, interval, events }];
    });
  });
}

/** What a folder of samples comes to. */
export interface BenchSystem {
  /** The folder as it was given. */
  name: string;
  figures: SetFigure[];
  samples: SampleScore[];
  /** What of it isn't scored, and why. */
  leftOut: string[];
}

/** Scores all samples under a folder. @throws InputError when none can be scored. */
export async function scoreSamples(
  name: string,
  hearing: Hearing,
  draws: number,
  progress: (done: number, all: number) => void,
): Promise<BenchSystem> {
  const found = await findSamples(name);
  const samples: SampleScore[] = [];
  const leftOut: string[] = [];
  for (const [i, sample] of found.entries()) {
    progress(i + 1, found.length);
    try {
      samples.push(await scoreSample(sample, hearing));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      leftOut.push(error.message);
    }
  }
  if (samples.length === 0) {
    throw new InputError(
      `${name}: none of its ${found.length} samples can be scored: ${leftOut[0]}`,
    );
  }
  return { name, figures: figuresOf(samples, draws), samples, leftOut };
}

const definitions = "every figure is defined in docs/full_duplex_bench.md";
const noPeople = "no JSD: icc_gt_distribution.json lies neither with the samples nor above them";

/** A row for each figure. */
export function benchTable({ name, figures, samples, leftOut }: BenchSystem): Table {
  const isBlind = samples.some((one) => one.frequency !== null && one.timesDistance === null);
  const told = new Set(figures.map(({ set }) => set));
  const silent = [...new Set(samples.map(({ set }) => set))].filter((set) => !told.has(set));
  const without = leftOut.length > 0 ? `, ${leftOut.length} left out` : "";
  return tableOf(`${name}: ${samples.length} samples${without}`, figures, [
    ["set", ({ set }) => set],
    ["figure", ({ label }) => label],
    ["", ({ value }) => value === null ? null : number(value)],
    ["95 %", ({ interval }) => intervalText(interval)],
    ["n", ({ events }) => `${events}`],
  ], [
    ...silent.map((set) => `${set}: no figures: the agent stops nowhere and responds nowhere`),
    ...isBlind ? [noPeople] : [],
    definitions,
  ]);
}

/** A line for each figure. */
export const benchRecords = ({ name, figures }: BenchSystem) =>
  figures.map(({ interval, label: _, ...figure }) => ({
    ...{ system: name, ...figure },
    ...{ low: interval?.[0] ?? null, high: interval?.[1] ?? null },
  }));
