/** Figures on standard output: a table, JSON, CSV or Markdown. */
import { formOptions, type Forms } from "../../cli/forms.ts";
import type { Option } from "../../cli/options.ts";
import type { Provenance } from "../../provenance/provenance.ts";
import { printResult } from "../../provenance/result.ts";
import { tableMarkdown, tableText } from "../../reports/table.ts";
import { print } from "../../system/terminal.ts";
import { firstEvaluationSeed } from "../measures/truth.ts";
import type { Row } from "./bars.ts";
import type { Comparison } from "./compare.ts";
import { conversationOf } from "./parts.ts";
import type { RecordingResult } from "./recording_result.ts";
import { comparisonTables, differencesCsv, figuresCsv, figuresTable, verdicts } from "./table.ts";

/** How intervals are computed, and the forms in which figures are had beside text. */
export const figureOptions = {
  draws: {
    kind: "whole",
    min: 0,
    max: 100_000,
    help: "draws of the bootstrap behind the intervals (1000); 0: no intervals",
  },
  ...formOptions,
} as const satisfies Record<string, Option>;

/** Draws of the bootstrap where --draws isn't given. */
export const defaultDraws = 1000;

/** What was measured. */
export interface Facts {
  recordings: number;
  /** Of these, with something swapped. */
  swapped: number;
  /** What the bootstrap draws: recordings, each with its swapped variants. */
  conversations: number;
  /** Recordings that were asked for; fewer are there when a run was interrupted. */
  asked: number;
  /** Draws of the bootstrap. */
  draws: number;
  units: number;
  unitMs: number;
  wallSeconds: number;
  noiseSeeds: number[];
  /** Seeds of the world, in words. */
  seeds: string | null;
}

export function factsOf(
  results: readonly RecordingResult[],
  { asked, unitMs, draws }: Pick<Facts, "asked" | "unitMs" | "draws">,
): Facts {
  const sum = (value: (result: RecordingResult) => number) =>
    results.reduce((total, result) => total + value(result), 0);
  return {
    recordings: results.length,
    swapped: results.filter(({ swap }) => swap !== null).length,
    conversations: new Set(results.map(conversationOf)).size,
    asked,
    draws,
    units: sum(({ units }) => units),
    unitMs,
    wallSeconds: Math.round(sum(({ wallSeconds }) => wallSeconds)),
    noiseSeeds: [...new Set(results.map(({ noiseSeed }) => noiseSeed))].sort((a, b) => a - b),
    seeds: seedRange(results.map(({ seed }) => seed)),
  };
}

/** Prints figures, or a comparison, in the form that was asked for. */
export async function printFigures(
  forms: Forms,
  { schema, title, provenance, runs, facts, figures, more = {}, comparison = null }: {
    schema: string;
    title: string;
    provenance: Provenance;
    /** Runs of `eval` that made the results. */
    runs: readonly Provenance[];
    /** `more` is for JSON alone. */
    facts: Facts;
    more?: object;
    figures: readonly Row[];
    comparison?: Comparison | null;
  },
): Promise<void> {
  if (forms.json) return await printResult(schema, provenance, { ...facts, ...more, figures });
  if (forms.csv) {
    return await print(comparison ? differencesCsv(comparison.differences) : figuresCsv(figures));
  }
  const notes = [verdicts(figures)];
  if (forms.markdown) {
    notes.unshift(`${heading(title, facts)}.`, ...runs.map(runText));
  }
  const tables = comparison ? comparisonTables(comparison) : [figuresTable(figures, notes)];
  if (forms.markdown) return await print(tables.map(tableMarkdown).join("\n"));
  const text = tables.map((table) => tableText(table).replace(/^\n/, "")).join("\n");
  await print(`${heading(title, facts)}\n\n${text}`);
}

/** What made results, in a sentence. */
function runText({ command, version, commit, dirty, checkpoint, roles, run }: Provenance): string {
  const short = (digest: string | null | undefined) => digest?.slice(0, 12) ?? "unknown";
  const adapter = roles?.[0]?.adapter;
  return `Made by \`${command}\`: wanstream ${version}, commit ${short(commit)}` +
    `${dirty ? " (changed since)" : ""}, checkpoint ${short(checkpoint?.digest)}` +
    `${adapter === undefined ? "" : `, on ${adapter}`}, ${run.date.slice(0, 10)}.`;
}

/** What was measured, in words. */
export function heading(title: string, facts: Facts): string {
  const { recordings, swapped, conversations, asked, draws, units, noiseSeeds, seeds } = facts;
  const count = recordings === asked ? `${recordings}` : `${recordings} of ${asked}`;
  const noise = noiseSeeds.length > 1 ? `; noise seeds ${noiseSeeds.join(", ")}` : "";
  return `${title}: ${count} recordings (${swapped} of them swapped), ${units} units in ` +
    `${facts.wallSeconds} s${
      seeds === null ? "" : `; ${seeds}`
    }${noise}; 95 %: ${draws} draws of ` +
    `${conversations} conversations`;
}

/** What the seeds are, in words; null: none of the recordings is of the world. */
export function seedRange(seeds: readonly (number | null)[]): string | null {
  const known = seeds.filter((seed) => seed !== null);
  if (known.length === 0) return null;
  const [first, last] = [Math.min(...known), Math.max(...known)];
  const span = first === last ? `seed ${first}` : `seeds ${first} to ${last}`;
  if (first >= firstEvaluationSeed) return `evaluation ${span}`;
  return `training range: ${span}: no evaluation`;
}
