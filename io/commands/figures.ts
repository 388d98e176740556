/** `figures`: figures from events files of `eval`, put together or compared; nothing is run. */
import { InputError } from "../../engine/config/errors.ts";
import { runCommand } from "../cli/commands.ts";
import { checkForms } from "../cli/forms.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { rowsOf } from "../eval/figures/bars.ts";
import { compare, type Comparison } from "../eval/figures/compare.ts";
import { type EvalFile, readEvalFile } from "../eval/figures/events_file.ts";
import { merged } from "../eval/figures/merge.ts";
import {
  defaultDraws,
  factsOf,
  figureOptions,
  heading,
  printFigures,
} from "../eval/figures/output.ts";
import { comparisonTables, figuresTable } from "../eval/figures/table.ts";
import { parseSeeds } from "../eval/generate.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { differencePlots, figurePlots } from "../eval/figures/plots.ts";
import { checkReport, writeReport } from "../reports/report.ts";

export const summary = "figures from events files of 'eval', merged or compared, without a run";

const spec = {
  name: "figures",
  summary,
  usage: "FILE... [--against FILE] [options]",
  options: {
    against: { kind: "text", value: "FILE", help: "paired differences to this run" },
    seeds: { kind: "text", value: "FIRST..LAST", help: "recordings of these seeds alone" },
    ...figureOptions,
    report: { kind: "text", value: "FILE", help: "write a page with plots (.html)" },
    force: { kind: "flag", help: "replace the report if it exists" },
  },
  examples: [
    "wanstream figures out/eval.jsonl --markdown",
    "wanstream figures shard0.jsonl shard1.jsonl --json",
    "wanstream figures student.jsonl --against teacher.jsonl --report out/page.html",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Runs the command. @returns The exit code. */
export function run(args: string[]): Promise<number> {
  return runCommand(spec, args, figures);
}

type Options = Parsed<typeof spec.options>["options"];

async function figures(options: Options, paths: string[], started: StartedRun): Promise<number> {
  checkForms(options);
  if (paths.length === 0) {
    throw new InputError("figures needs an events file of 'eval': figures FILE");
  }
  if (options.report !== undefined) await checkReport(options.report, options.force);
  const { draws = defaultDraws, seeds } = options;
  const files = await Promise.all(paths.map(readEvalFile));
  const { results, unitMs } = of(files, seeds);
  const rows = rowsOf(results, unitMs, draws);
  const facts = factsOf(results, { asked: results.length, unitMs, draws });

  let comparison: Comparison | null = null;
  const others = options.against === undefined ? [] : [await readEvalFile(options.against)];
  if (others.length > 0) {
    const other = of(others, seeds);
    if (other.unitMs !== unitMs) {
      throw new InputError(
        `--against: a unit has ${other.unitMs} ms there and ${unitMs} ms here: compare models with ` +
          "the same unit",
      );
    }
    comparison = compare(results, other.results, unitMs, draws);
  }

  const [file] = files;
  const made = file?.header.runs[0];
  const { noiseSeeds } = facts;
  const provenance = await provenanceOf(started, {
    checkpoint: made?.checkpoint ?? null,
    ...(made?.settings ? { settings: { ...made.settings, noiseSeeds } } : {}),
    seeds: {
      noise: noiseSeeds.length > 1 ? null : noiseSeeds[0] ?? null,
      recordings: seeds ?? null,
    },
  });
  const title = paths.join(", ");
  const sources = [...files, ...others].map(({ path, header, results }) => ({
    path,
    recordings: results.length,
    runs: header.runs,
  }));
  await printFigures(options, {
    schema: "figures/1",
    title,
    provenance,
    runs: files.flatMap(({ header }) => header.runs),
    facts,
    more: { sources, against: comparison },
    figures: rows,
    comparison,
  });
  if (options.report !== undefined) {
    const tables = [{ ...figuresTable(rows), title: "Figures" }];
    const compared = comparison && options.against !== undefined
      ? [{
        name: "differences",
        headline: `Differences to ${options.against}`,
        figures: comparison,
        tables: comparisonTables(comparison),
        plots: differencePlots(comparison.differences),
      }]
      : [];
    await writeReport(options.report, {
      provenance,
      model: null,
      benches: [...compared, {
        name: "figures",
        headline: heading(title, facts),
        figures: rows,
        tables,
        plots: figurePlots(rows),
      }],
    });
  }
  return 0;
}

/** The results of files that are of these seeds. */
function of(files: readonly EvalFile[], seeds: string | undefined) {
  const { results, unitMs } = merged(files);
  if (seeds === undefined) return { results, unitMs };
  const wanted = new Set(parseSeeds(seeds));
  const kept = results.filter(({ seed }) => seed !== null && wanted.has(seed));
  if (kept.length === 0) {
    throw new InputError(`--seeds: ${files[0]?.path} has no recording of the seeds ${seeds}`);
  }
  return { results: kept, unitMs };
}
