/** `batch`: answers many recordings, on any number of machines, and goes on where it was ended. */
import { InputError } from "../../engine/config/errors.ts";
import { type Batch, runBatch } from "../batch/batch.ts";
import { BatchFolder } from "../batch/folder.ts";
import { layouts, writeAnswers } from "../batch/layouts.ts";
import { itemOptions, itemsOf, readItems } from "../batch/manifest.ts";
import { mergeResults, totalsTable } from "../batch/merge.ts";
import { chooseShard, has, shardOptions } from "../batch/shards.ts";
import { exitCodeOf, type Status, statusOf, statusText } from "../batch/status.ts";
import { modelOpener } from "../batch/workers.ts";
import { runCommand } from "../cli/commands.ts";
import { checkForms, formOptions } from "../cli/forms.ts";
import { type CommandSpec, ffmpegOption, type Option, type Parsed } from "../cli/options.ts";
import { checkWritable, needsFfmpeg, responseExtensions } from "../ends/response_file.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { sourceDigest } from "../provenance/digests.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { tableMarkdown, tablesCsv, tableText } from "../reports/table.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { print, say, tell } from "../system/terminal.ts";

export const summary = "answer many recordings: resumable, on any number of machines";

const json = { kind: "flag", help: "result as JSON on standard output" } as const;

const spec = {
  name: "batch",
  summary,
  usage: "MANIFEST|FOLDER|GLOB|RECORDING... -o DIR [options], batch status DIR, batch merge DIR",
  options: {
    output: { kind: "text", value: "DIR", short: "o", help: "an item's results go into DIR/ID" },
    layout: {
      kind: "choice",
      choices: Object.keys(layouts),
      help: "answer a benchmark's folder, and write the answers into it as well",
    },
    workers: { kind: "whole", min: 1, max: 64, help: "items at once, each on its own device (1)" },
    ...shardOptions,
    format: {
      kind: "choice",
      choices: responseExtensions.map((extension) => extension.slice(1)),
      help: "of responses; wav, y4m: one medium, no FFmpeg (mkv)",
    },
    ...itemOptions,
    ...ffmpegOption,
    quiet: { kind: "flag", help: "say nothing but errors" },
    json,
  },
  examples: [
    "wanstream batch recordings/ -o answers",
    "wanstream batch manifest.jsonl -o answers --workers 2 --seed 7",
    "wanstream batch manifest.jsonl -o answers --shard 0/8",
    "sbatch --array=0-99 ... wanstream batch manifest.jsonl -o answers --shards 100",
    "sbatch --array=$(wanstream batch status answers) ...",
    "wanstream batch merge answers",
    "wanstream batch --layout full-duplex-bench v1.0 -o answers",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

const statusSpec = {
  name: "batch status",
  summary: "what is done, failed and missing; prints the array of shards to run again",
  usage: "DIR [options]",
  options: { quiet: { kind: "flag", help: "print the array alone" }, json },
  examples: ["wanstream batch status answers"],
} as const satisfies CommandSpec<Record<string, Option>>;

const mergeSpec = {
  name: "batch merge",
  summary: "write summary.jsonl and summary.html into DIR, and print the figures",
  usage: "DIR [options]",
  options: { quiet: { kind: "flag", help: "name nothing on standard error" }, ...formOptions },
  examples: ["wanstream batch merge answers", "wanstream batch merge answers --json"],
} as const satisfies CommandSpec<Record<string, Option>>;

/** What a command needs that isn't in the floors, or that tests bring. */
export interface Sources {
  /** The program's own source. */
  floors: readonly string[];
}

/**
 * Runs the command.
 *
 * @param opener Opens models; tests bring their own.
 * @returns The exit code: 0, 4 (bad inputs), 1 (a rerun may mend it), 130 (interrupted).
 */
export function run(args: string[], sources: Sources, opener = modelOpener()): Promise<number> {
  const [name, ...rest] = args;
  if (name === "status") {
    return runCommand(statusSpec, rest, async (options, operands, started) => {
      const status = await statusOf(folderOf(statusSpec.name, operands));
      if (!options.quiet) tell(statusText(status));
      if (options.json) await printResult("batch-status/1", await provenanceOf(started), status);
      else if (status.array !== "") await print(`${status.array}\n`);
      return codeOf(status);
    });
  }
  if (name === "merge") {
    return runCommand(mergeSpec, rest, async (options, operands, started) => {
      checkForms(options);
      const folder = folderOf(mergeSpec.name, operands);
      const { status, totals, provenance, outputs } = await mergeResults(folder, started);
      if (!options.quiet) tell(statusText(status));
      const table = totalsTable(status, totals);
      if (options.json) {
        await printResult("batch-merge/1", provenance, { ...status, totals, outputs });
      } else if (options.csv) await print(tablesCsv([table]));
      else await print(options.markdown ? tableMarkdown(table) : tableText(table));
      return codeOf(status);
    });
  }
  return runCommand(
    spec,
    args,
    (options, operands, started) => batch(options, operands, started, sources, opener),
  );
}

function folderOf(name: string, [path, surplus]: string[]): BatchFolder {
  if (path === undefined) throw new InputError(`${name} needs a batch's folder: ${name} DIR`);
  if (surplus !== undefined) {
    throw new InputError(`${name} takes one folder, '${surplus}' is one too many`);
  }
  return new BatchFolder(path);
}

const codeOf = ({ counts }: Status) =>
  exitCodeOf(counts.failed + counts.missing + counts.stale, counts["bad input"]);

type Options = Parsed<typeof spec.options>["options"];

async function batch(
  options: Options,
  operands: string[],
  started: StartedRun,
  { floors }: Sources,
  opener: Batch["opener"],
): Promise<number> {
  const { output, workers = 1, shard, shards, ffmpeg, quiet, json, ...others } = options;
  const { layout: name, format = name === undefined ? "mkv" : "wav", ...own } = others;
  if (output === undefined) throw new InputError("batch needs -o DIR, the folder of its results");
  const chosen = chooseShard({ shard, shards });
  const layout = layouts[name ?? ""];
  if (layout && format === "y4m") {
    throw new InputError(`--format y4m: --layout ${name} needs sound: choose another`);
  }
  const [root, surplus] = operands;
  if (layout && (root === undefined || surplus !== undefined)) {
    throw new InputError(
      `batch --layout ${name} takes one folder: batch --layout ${name} ROOT -o DIR`,
    );
  }
  const found = layout && root !== undefined ? await layout.items(root) : [];
  const items = layout ? itemsOf(found, own) : await readItems(operands, own, output);
  const find = ffmpegFinder(ffmpeg);
  const form = { format: `.${format}`, layout: name ?? null };
  if (needsFfmpeg(`response${form.format}`)) await checkWritable(`response${form.format}`, find);
  using interrupt = new Interrupt(() => Deno.exit(interruptedCode));
  const folder = new BatchFolder(output);
  const result = await runBatch({
    ...{ folder, form, items, shard: chosen, workers, opener, quiet },
    ...{ ffmpeg: find, signal: interrupt.signal, untilExit: true },
    program: await sourceDigest(floors, /\.(ts|wgsl)$/),
  });
  if (layout) {
    const own = found.filter((_, place) => has(chosen, place));
    const written = await writeAnswers(layout, own, folder, find);
    if (!quiet) say(`${written} of ${own.length} answers stand in ${root}`);
  }
  if (json) {
    const { exitCode: _, ...figures } = result;
    const settings = { workers, ...form, ...own };
    await printResult("batch/1", await provenanceOf(started, { settings }), {
      ...{ shard: chosen, ...figures },
    });
  }
  return result.exitCode;
}
