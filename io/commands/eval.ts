/** `eval`: runs recordings with truth records through the model and measures how it converses. */
import { openCheckpoint } from "../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../engine/config/errors.ts";
import { ResponseCodec } from "../../engine/model/response_codec.ts";
import { type Row, rowsOf } from "../eval/bars.ts";
import { evaluate, type Evaluation } from "../eval/evaluate.ts";
import { type EvalHeader, EventsFile, readResults } from "../eval/events_file.ts";
import { chooseJobs, seedRange } from "../eval/jobs.ts";
import type { RecordingResult } from "../eval/recording_result.ts";
import { table } from "../eval/table.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { ifThere } from "../system/errors.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { modelOptions } from "../cli/model_options.ts";
import { openModel, ownModel } from "../run/open_model.ts";
import { runCommand } from "../cli/commands.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { program } from "../system/program.ts";
import { print, say } from "../system/terminal.ts";

export const summary = "measure answers, timing, voice, lips and picture on conversations";

const { prompt: _, persona: _p, voice: _v, "user-text": _u, schedule: _s, ...answering } =
  modelOptions;

const spec = {
  name: "eval",
  summary,
  usage: "[FOLDER | --seeds FIRST..LAST] [options]",
  options: {
    seeds: {
      kind: "text",
      value: "FIRST..LAST",
      help: "conversations of these seeds, made when needed (needs Python)",
    },
    seconds: { kind: "number", value: "N", min: 10, max: 3600, help: "their length (24)" },
    swaps: {
      kind: "whole",
      min: 0,
      help: "how many also run with cards and questions swapped (a third)",
    },
    keep: { kind: "text", value: "DIR", help: "keep them here, and use those that are there" },
    limit: { kind: "whole", min: 1, help: "the first N recordings only" },
    ...answering,
    events: { kind: "text", value: "FILE", help: "what each recording gave, as JSON lines" },
    resume: { kind: "flag", help: "go on with --events FILE: what is in it isn't run again" },
    force: { kind: "flag", help: "replace --events FILE" },
    ffmpeg: { kind: "text", value: "PATH", help: "FFmpeg (FFMPEG_BIN, ffmpeg-static, PATH)" },
    quiet: { kind: "flag", help: "say nothing but errors and the figures" },
    json: { kind: "flag", help: "figures as JSON on standard output" },
  },
  examples: [
    "wanstream eval",
    "wanstream eval --seeds 100000..100199 --events out/eval.jsonl",
    "wanstream eval --seeds 100000..100199 --events out/eval.jsonl --resume --json",
    "wanstream eval my-recordings --steps 2",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Where recordings come from when no folder is given; main.ts hands this in. */
export interface Sources {
  /** The folder of the small set that comes with the program. */
  smallSet: string;
  /** The generator of conversations: the folder of its Python package. */
  world: string;
}

/** Opens what gives the codec's floor. */
export type CodecOpener = (
  ...args: Parameters<typeof ResponseCodec.open>
) => ReturnType<Evaluation["openCodec"]>;

/**
 * Runs the command.
 *
 * @param open Opens a session; tests bring their own.
 * @param openCodec The same for the codec.
 * @returns The exit code: 0, or 130 (interrupted).
 */
export function run(
  args: string[],
  sources: Sources,
  open = openModel,
  openCodec: CodecOpener = ResponseCodec.open,
): Promise<number> {
  return runCommand(
    spec,
    args,
    (options, operands) => evaluation(options, operands, sources, open, openCodec),
  );
}

async function evaluation(
  options: Options,
  [folder, surplus]: string[],
  sources: Sources,
  open: typeof openModel,
  openCodec: CodecOpener,
): Promise<number> {
  if (surplus !== undefined) {
    throw new InputError(`eval takes one folder, '${surplus}' is one too many`);
  }
  checkTogether(options, folder);

  const model = options.model ?? await ownModel();
  const checkpoint = await openCheckpoint(model);
  const { config } = checkpoint;
  const choice = {
    ...options,
    folder: folder ?? sources.smallSet,
    world: sources.world,
    seconds: options.seconds ?? 24,
  };
  const jobs = await chooseJobs(choice, config.unit_ms);
  const header: EvalHeader = {
    type: "header",
    format: 1,
    program,
    checkpoint: checkpoint.digest,
    options: answerOptions(options),
  };
  const earlier = await resultsBefore(options, header);
  const ffmpeg = ffmpegFinder(options.ffmpeg);
  using events = options.events === undefined
    ? null
    : await EventsFile.create(options.events, header, earlier);
  using interrupt = new Interrupt(() => Deno.exit(interruptedCode));
  const results = await evaluate({
    jobs,
    earlier,
    config,
    open: () => open(model, { ...options, schedule: "eager" }, {}),
    openCodec: () =>
      openCodec(checkpoint, {
        adapter: options.thinker ?? "default",
        precision: options.precision ?? "auto",
      }),
    ffmpeg,
    events,
    quiet: options.quiet,
    signal: interrupt.signal,
  });

  const isWhole = results.length === jobs.length;
  if (!isWhole) say(`interrupted after ${results.length} of ${jobs.length} recordings`);
  if (results.length > 0) {
    const rows = rowsOf(results, config.unit_ms);
    if (isWhole) events?.add({ type: "summary", figures: rows });
    const facts = factsOf(results, jobs.length);
    await print(
      options.json
        ? `${JSON.stringify({ checkpoint: checkpoint.digest, ...facts, figures: rows })}\n`
        : `${heading(model, facts)}\n\n${table(rows)}${closing(rows)}`,
    );
  }
  return isWhole ? 0 : interruptedCode;
}

type Options = Parsed<typeof spec.options>["options"];

function checkTogether(options: Options, folder: string | undefined): void {
  if (folder !== undefined && options.seeds !== undefined) {
    throw new InputError("eval takes a folder or --seeds, not both");
  }
  for (const name of ["seconds", "swaps", "keep"] as const) {
    if (options[name] !== undefined && options.seeds === undefined) {
      throw new InputError(`--${name} is about made conversations: give --seeds FIRST..LAST`);
    }
  }
  if (options.resume && options.events === undefined) {
    throw new InputError("--resume goes on with a file: give --events FILE");
  }
}

/** What the answers depend on. */
function answerOptions(options: Options): Record<string, unknown> {
  const names = [...Object.keys(answering), "seconds"].filter((name) => name !== "model");
  const given = Object.entries(options).filter(([name, value]) =>
    names.includes(name) && value !== undefined
  );
  return Object.fromEntries(given);
}

async function resultsBefore(
  { events, resume, force }: Options,
  header: EvalHeader,
): Promise<RecordingResult[]> {
  if (events === undefined) return [];
  if (resume) return await readResults(events, header);
  if (force || await ifThere(Deno.stat(events)) === null) return [];
  throw new InputError(`${events}: exists: add --resume to go on with it, or --force`);
}

interface Facts {
  recordings: number;
  /** Of these, with something swapped. */
  swapped: number;
  of: number;
  units: number;
  wall_seconds: number;
  seeds: string | null;
}

function factsOf(results: readonly RecordingResult[], of: number): Facts {
  const sum = (value: (result: RecordingResult) => number) =>
    results.reduce((total, result) => total + value(result), 0);
  return {
    recordings: results.length,
    swapped: results.filter(({ swap }) => swap !== null).length,
    of,
    units: sum(({ units }) => units),
    wall_seconds: Math.round(sum(({ wall_seconds }) => wall_seconds)),
    seeds: seedRange(results.map(({ seed }) => seed)),
  };
}

function heading(model: string, facts: Facts): string {
  const { recordings, swapped, of, units, wall_seconds: wall, seeds } = facts;
  const count = recordings === of ? `${recordings}` : `${recordings} of ${of}`;
  return `${model}: ${count} recordings (${swapped} of them swapped), ${units} units in ${wall} s` +
    (seeds === null ? "" : `\n${seeds}`);
}

function closing(rows: readonly Row[]): string {
  const barred = rows.flatMap(({ bar }) => bar ? [bar.met] : []);
  const count = (met: boolean | null) => barred.filter((one) => one === met).length;
  return `\nbars: ${count(true)} reached, ${count(false)} fall short, ` +
    `${count(null)} not known; every definition is in docs/eval.md\n`;
}
