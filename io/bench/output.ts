/** What a bench gives, and the ways out: text, JSON, CSV, Markdown, and a page with plots. */
import { InputError } from "../../engine/config/errors.ts";
import { runCommand } from "../cli/commands.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { checkForms, formOptions } from "../cli/forms.ts";
import { provenanceOf } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { print, say, showStatus } from "../system/terminal.ts";
import { type Bench, checkReport, writeReport } from "../reports/report.ts";
import {
  figure,
  type Table,
  tableMarkdown,
  tableOf,
  tablesCsv,
  tableText,
} from "../reports/table.ts";
import { loadDoubts, type Spread, spreadOf } from "./doubts.ts";

/** Says what is being measured. */
export type Status = (what: string) => void;

/** The options of every bench. */
export const outputOptions = {
  repeat: {
    kind: "whole",
    min: 1,
    max: 100,
    help: "runs of the whole; gives the spread of the main figures between them (1)",
  },
  ...formOptions,
  report: { kind: "text", value: "FILE", help: "write a page with plots (.html)" },
  force: { kind: "flag", help: "replace the report if it exists" },
} as const satisfies Record<string, Option>;

type Options<T extends Record<string, Option>> = Parsed<T>["options"];

/** A bench's command: parses, measures, prints. @returns The exit code, 1 where a check failed. */
export function runBench<const T extends Record<string, Option>>(
  spec: CommandSpec<T & typeof outputOptions>,
  args: string[],
  measure: (options: Options<T>, status: Status) => Promise<Bench | Bench[]>,
): Promise<number> {
  return runCommand(spec, args, async (options, operands, started) => {
    if (operands[0] !== undefined) {
      throw new InputError(`${spec.name} takes no '${operands[0]}': --help lists its options`);
    }
    const { repeat = 1, report, force, ...forms } = options as Options<typeof outputOptions>;
    checkForms(forms);
    if (report !== undefined) await checkReport(report, force);
    const runs: Bench[][] = [];
    for (let run = 1; run <= repeat; run++) {
      const saying: Status = (what) =>
        showStatus(repeat > 1 ? `run ${run} of ${repeat}: ${what}` : what);
      runs.push([await measure(options as unknown as Options<T>, saying)].flat());
    }
    showStatus("");
    const benches = runs.at(-1) ?? [];
    const [{ model = null, origin } = {}] = benches;
    const provenance = await provenanceOf(started, origin);
    const spread = spreadOf(runs.map(mainFigures));
    const hasPrograms = benches.some(({ startsPrograms }) => startsPrograms);
    const doubts = runs.flat().flatMap(({ doubts = [] }) => doubts);
    // What was only computed is the same on a busy machine.
    const busy = provenance.roles === null ? [] : loadDoubts(provenance, hasPrograms);
    const warnings = [...new Set([...busy, ...doubts])];
    for (const warning of warnings) say(`warning: ${warning}`);
    const shown = repeat > 1 ? [...benches, spreadBench(spread, repeat)] : benches;
    const tables = shown.flatMap((bench) => bench.tables);
    if (forms.json) {
      const figures = Object.fromEntries(benches.map(({ name, figures }) => [name, figures]));
      const { schema = `${spec.name.replace(" ", "-")}/1` } = benches[0] ?? {};
      await printResult(schema, provenance, { model, warnings, repeat, spread, ...figures });
    } else if (forms.csv) await print(tablesCsv(tables));
    else if (forms.markdown) {
      await print(tables.map((one) => `**${one.title}**\n\n${tableMarkdown(one)}`).join("\n"));
    } else {
      const texts = shown.map(({ headline, tables }) =>
        [`${headline}\n`, ...tables.map(tableText)].join("\n")
      );
      await print(texts.join("\n"));
    }
    if (report !== undefined) {
      showStatus(`drawing ${report}`);
      await writeReport(report, { provenance, model, warnings, benches: shown });
      showStatus("");
    }
    return benches.some(({ failed }) => failed) ? 1 : 0;
  });
}

/** The main figures of a run, named after their bench where there are several. */
function mainFigures(benches: readonly Bench[]): Record<string, number> {
  return Object.fromEntries(
    benches.flatMap(({ name, main = {} }) =>
      Object.entries(main).map(([figure, value]) => [
        benches.length > 1 ? `${name}: ${figure}` : figure,
        value,
      ])
    ),
  );
}

function spreadBench(spread: readonly Spread[], repeat: number): Bench {
  const table: Table = tableOf(`Between ${repeat} runs`, spread, [
    ["figure", ({ figure: name }) => name],
    ["median", ({ median }) => figure(median)],
    ["least", ({ least }) => figure(least)],
    ["most", ({ most }) => figure(most)],
  ], ["The tables above are the last run's."]);
  const headline = `spread of the main figures between ${repeat} runs`;
  return { name: "spread", headline, figures: {}, tables: [table], plots: [] };
}
