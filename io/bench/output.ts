/** What a bench gives, and the ways out: text, JSON, and a page with plots. */
import { InputError } from "../../engine/config/errors.ts";
import { runCommand } from "../cli/commands.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { provenanceOf } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { print, showStatus } from "../system/terminal.ts";
import { type Bench, checkReport, writeReport } from "../reports/report.ts";
import { tableText } from "../reports/table.ts";

/** Says what is being measured. */
export type Status = (what: string) => void;

/** The options of every bench. */
export const outputOptions = {
  json: { kind: "flag", help: "print every figure as JSON on stdout" },
  report: { kind: "text", value: "FILE", help: "write a page with plots (.html)" },
  force: { kind: "flag", help: "replace the report if it exists" },
} as const satisfies Record<string, Option>;

type Options<T extends Record<string, Option>> = Parsed<T>["options"];

/** A bench's command: parses, measures, prints. */
export function runBench<const T extends Record<string, Option>>(
  spec: CommandSpec<T & typeof outputOptions>,
  args: string[],
  measure: (options: Options<T>, status: Status) => Promise<Bench | Bench[]>,
): Promise<number> {
  return runCommand(spec, args, async (options, operands, started) => {
    if (operands[0] !== undefined) {
      throw new InputError(`${spec.name} takes no '${operands[0]}': --help lists its options`);
    }
    const { json, report, force } = options as Options<typeof outputOptions>;
    if (report !== undefined) await checkReport(report, force);
    const benches = [await measure(options as unknown as Options<T>, showStatus)].flat();
    showStatus("");
    const [{ model = null, origin } = {}] = benches;
    const provenance = await provenanceOf(started, origin);
    if (json) {
      const figures = Object.fromEntries(benches.map(({ name, figures }) => [name, figures]));
      const schema = `${spec.name.replace(" ", "-")}/1`;
      await printResult(schema, provenance, { model, ...figures });
    } else {
      const texts = benches.map(({ headline, tables }) =>
        [`${headline}\n`, ...tables.map(tableText)].join("\n")
      );
      await print(texts.join("\n"));
    }
    if (report !== undefined) {
      showStatus(`drawing ${report}`);
      await writeReport(report, { provenance, model, benches });
      showStatus("");
    }
    return 0;
  });
}
