/** A batch's results together: lines for programs, a table, a page. */
import type { StartedRun } from "../provenance/provenance.ts";
import { type Provenance, provenanceOf } from "../provenance/provenance.ts";
import { writeReport } from "../reports/report.ts";
import { figure, type Table, tableOf } from "../reports/table.ts";
import { Outputs } from "../system/output_file.ts";
import type { BatchFolder } from "./folder.ts";
import { summaryFiles } from "./ids.ts";
import { type Placed, type Status, statusOf } from "./status.ts";

/** A line of summary.jsonl, after its header. */
export interface SummaryLine {
  type: "item";
  id: string;
  state: Placed["state"];
  input: { path: string; sha256: string | null };
  options: object;
  /** Null: it isn't done. */
  ended: string | null;
  units: number | null;
  seconds: number | null;
  text: string | null;
  /** SHA-256 over the units' latents. */
  answer: string | null;
  outputs: { name: string; bytes: number; sha256: string }[];
  realTimeFactor: number | null;
  wallSeconds: number | null;
  /** Why it isn't done; null: it is, or it is missing. */
  message: string | null;
}

function lineOf({ item: { id, input, options }, state, result }: Placed): SummaryLine {
  const done = result?.state === "done" ? result : null;
  return {
    ...{ type: "item", id, state, options },
    input: { path: input, sha256: result?.input.sha256 ?? null },
    ...{ ended: done?.ended ?? null, units: done?.units ?? null, seconds: done?.seconds ?? null },
    ...{ text: done?.text ?? null, answer: done?.answer ?? null, outputs: done?.outputs ?? [] },
    ...{ realTimeFactor: done?.realTimeFactor ?? null, wallSeconds: done?.wallSeconds ?? null },
    message: result?.state === "failed" ? result.message : null,
  };
}

/** Sums over what is done. */
export interface Totals {
  /** Seconds of stream. */
  seconds: number;
  units: number;
  /** Seconds from first observation to last answer, all items' added up. */
  wallSeconds: number;
  realTimeFactor: number | null;
}

/** Rows of the page's table. */
const mostRows = 2000;

/**
 * Writes `summary.jsonl` and `summary.html` into the batch's folder.
 *
 * @returns What stands in them, added up.
 * @throws InputError when the folder is no batch's, or they can't be written.
 */
export async function mergeResults(
  folder: BatchFolder,
  run: StartedRun,
): Promise<{ status: Status; totals: Totals; provenance: Provenance; outputs: string[] }> {
  const paths = Object.values(summaryFiles).map((name) => `${folder.path}/${name}`);
  const outputs = new Outputs([], true);
  try {
    const [lines, page] = await Promise.all(paths.map((path) => outputs.claim(path)));
    if (!lines || !page) throw new Error("two files are written");
    const provenance = await provenanceOf(run);
    const totals = { seconds: 0, units: 0, wallSeconds: 0 };
    const rows: SummaryLine[] = [];
    const encoder = new TextEncoder();
    const file = await Deno.open(lines.temporary, { write: true });
    const writer = file.writable.getWriter();
    const write = (value: object) => writer.write(encoder.encode(`${JSON.stringify(value)}\n`));
    await write({ type: "header", schema: "wanstream/batch-summary/1", provenance });
    const status = await statusOf(folder, (one) => {
      const line = lineOf(one);
      write(line).catch(() => {});
      if (rows.length < mostRows) rows.push(line);
      totals.seconds += line.seconds ?? 0;
      totals.units += line.units ?? 0;
      totals.wallSeconds += line.wallSeconds ?? 0;
    });
    await writer.close();
    const whole = {
      ...totals,
      realTimeFactor: totals.seconds > 0 ? totals.wallSeconds / totals.seconds : null,
    };
    await writeReport(page.temporary, {
      provenance,
      model: null,
      benches: [{
        name: "batch",
        headline: `${status.counts.done} of ${status.items} items in ${folder.path}`,
        figures: whole,
        tables: [totalsTable(status, whole), itemsTable(rows, status.items)],
        plots: [],
      }],
    });
    await outputs.commit();
    return { status, totals: whole, provenance, outputs: paths };
  } finally {
    await outputs.discard();
  }
}

/** What a batch comes to, a figure a row. */
export function totalsTable(
  { items, counts, cutOff, duplicates }: Status,
  { seconds, units, realTimeFactor }: Totals,
): Table {
  const facts: [string, string | null][] = [
    ["items", `${items}`],
    ...Object.entries(counts).map(([state, count]): [string, string] => [state, `${count}`]),
    ["done, but the recording breaks off", `${cutOff.length}`],
    ["answers that several items share", `${duplicates.length}`],
    ["units answered", `${units}`],
    ["seconds of stream answered", figure(seconds)],
    ["real-time factor", figure(realTimeFactor)],
  ];
  return tableOf("Batch", facts, [["", ([name]) => name], ["", ([, value]) => value]]);
}

function itemsTable(rows: readonly SummaryLine[], items: number): Table {
  return tableOf(
    "Items",
    rows,
    [
      ["item", ({ id }) => id],
      ["state", ({ state, ended }) => ended === "cut off" ? "done, cut off" : state],
      ["seconds", ({ seconds }) => figure(seconds)],
      ["real-time factor", ({ realTimeFactor }) => figure(realTimeFactor)],
      ["text, or why not", ({ text, message }) => shortened(message ?? text ?? "")],
    ],
    items > rows.length
      ? [`The first ${rows.length} of ${items}: ${summaryFiles.lines} has all.`]
      : [],
  );
}

const shortened = (text: string) => text.length > 120 ? `${text.slice(0, 117)}...` : text;
