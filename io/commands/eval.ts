/** `eval`: runs recordings with truth records through the model and measures how it converses. */
import { openCheckpoint } from "../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../engine/config/errors.ts";
import { ResponseCodec } from "../../engine/model/response_codec.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { checkFolder, checkText } from "../eval/check.ts";
import { evaluate, type Evaluation } from "../eval/evaluate.ts";
import { rowsOf } from "../eval/figures/bars.ts";
import { sourceDigest, valueDigest } from "../provenance/digests.ts";
import {
  type EvalFile,
  type EvalHeader,
  EventsFile,
  eventsSchema,
  readEvalFile,
} from "../eval/figures/events_file.ts";
import { defaultDraws, factsOf, figureOptions, printFigures } from "../eval/figures/output.ts";
import {
  conditions,
  defaultSeconds,
  madeOptions,
  newConditions,
  worldFolder,
} from "../eval/generate.ts";
import { chooseJobs, parseNoiseSeeds } from "../eval/jobs.ts";
import { type Usable, usable } from "../eval/resume.ts";
import { Judges, parseJudges } from "../score/judges.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { ifThere } from "../system/errors.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { modelOptions } from "../cli/model_options.ts";
import { openModel, ownModel, sessionOptions } from "../run/open_model.ts";
import { readGiven } from "../run/run_model.ts";
import { streamShapes } from "../media/stream_shape.ts";
import { runCommand } from "../cli/commands.ts";
import { checkForms } from "../cli/forms.ts";
import { type CommandSpec, ffmpegOption, type Option, type Parsed } from "../cli/options.ts";
import { type Origin, provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { print, say } from "../system/terminal.ts";

export const summary = "measure answers, timing, voice, lips and picture on conversations";

const { prompt: _, persona: _p, voice: _v, "user-text": _u, schedule: _s, seed: _n, ...answering } =
  modelOptions;

const spec = {
  name: "eval",
  summary,
  usage: "[FOLDER | --seeds FIRST..LAST] [options]",
  options: {
    ...madeOptions,
    condition: {
      kind: "choice",
      choices: [...conditions, ...newConditions],
      help: "what is harder in them (quiet: nothing)",
    },
    swaps: {
      kind: "whole",
      min: 0,
      help: "how many also run with cards and questions swapped (a third)",
    },
    check: {
      kind: "flag",
      help: "run nothing: say what will be measured of FOLDER, and why something won't be",
    },
    limit: { kind: "whole", min: 1, help: "the first N recordings only" },
    seed: {
      kind: "text",
      value: "N|FIRST..LAST",
      help: "seed of all noise and sampling (0); a range: once with each",
    },
    ...answering,
    judges: {
      kind: "text",
      value: "LIST",
      help: "words, quality, voice, or all: what they hear (after 'deno task setup --judges')",
    },
    events: { kind: "text", value: "FILE", help: "what each recording gave, as JSON lines" },
    resume: { kind: "flag", help: "go on with --events FILE: what is in it isn't run again" },
    force: { kind: "flag", help: "replace --events FILE" },
    ...ffmpegOption,
    quiet: { kind: "flag", help: "say nothing but errors and the figures" },
    ...figureOptions,
  },
  examples: [
    "wanstream eval",
    "wanstream eval --seeds 100000..100199 --events out/eval.jsonl",
    "wanstream eval --seeds 100000..100199 --events out/eval.jsonl --resume --json",
    "wanstream eval --seeds 100000..100199 --condition noisy",
    "wanstream eval --seeds 100000..100199 --world 2 --condition prompts",
    "wanstream eval --judges all",
    "wanstream eval --seed 0..4 --markdown",
    "wanstream eval --check my-recordings",
    "wanstream eval my-recordings --steps 2",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Where recordings come from when no folder is given; main.ts hands this in. */
export interface Sources {
  /** The folder of the small set that comes with the program. */
  smallSet: string;
  /** The generator of conversations: the folder of its Python package. */
  world: string;
  /** The program's own source. */
  floors: readonly string[];
}

/** What `eval` is handed: beside the sources, the folder of the judges. */
export interface Handed extends Sources {
  judges: string;
}

/** Opens what gives the codec's floor. */
export type CodecOpener = (
  ...args: Parameters<typeof ResponseCodec.open>
) => ReturnType<NonNullable<Evaluation["openCodec"]>>;

/**
 * Runs the command.
 *
 * @param open Opens a session; tests bring their own.
 * @param openCodec The same for the codec.
 * @returns The exit code: 0, or 130 (interrupted).
 */
export function run(
  args: string[],
  sources: Handed,
  open = openModel,
  openCodec: CodecOpener = ResponseCodec.open,
): Promise<number> {
  return runCommand(
    spec,
    args,
    (options, operands, started) =>
      evaluation(options, operands, started, sources, open, openCodec),
  );
}

async function evaluation(
  options: Options,
  [folder, surplus]: string[],
  started: StartedRun,
  sources: Handed,
  open: typeof openModel,
  openCodec: CodecOpener,
): Promise<number> {
  if (surplus !== undefined) {
    throw new InputError(`eval takes one folder, '${surplus}' is one too many`);
  }
  checkTogether(options, folder);
  checkForms(options);
  const noiseSeeds = parseNoiseSeeds(options.seed ?? "0");
  const judging = options.judges === undefined ? [] : parseJudges(options.judges).sort();

  const model = options.model ?? await ownModel();
  const checkpoint = await openCheckpoint(model);
  const { config } = checkpoint;
  if (options.check) {
    const found = await checkFolder(
      folder ?? sources.smallSet,
      config,
      ffmpegFinder(options.ffmpeg),
    );
    if (options.json) await printResult("eval-check/1", await provenanceOf(started), found);
    else await print(checkText(found, options));
    return found.recordings.every(({ problem }) => problem === null) ? 0 : 2;
  }
  const jobs = await chooseJobs({
    ...options,
    folder: folder ?? sources.smallSet,
    world: worldFolder(sources.world, options.world),
    seconds: options.seconds ?? defaultSeconds,
  }, config.unit_ms);
  const answered = { ...options, seed: undefined, schedule: "eager" } as const;
  const { solver, sampling, storage, weights, historyUnits, sinkUnits } = resolveSettings(
    checkpoint,
    sessionOptions(answered),
  );
  const settings = {
    ...{ solver, sampling, storage, weights, historyUnits, sinkUnits },
    ...(judging.length > 0 ? { judges: judging } : {}),
  };
  const basis = {
    checkpoint: checkpoint.digest,
    settings: valueDigest(settings),
    program: await sourceDigest(sources.floors, /\.(ts|wgsl)$/),
  };
  await using judges = judging.length > 0 ? await Judges.open(sources.judges, judging) : null;
  const file = await fileBefore(options);
  const { asked, others }: Usable = file
    ? usable(file, jobs, noiseSeeds, basis, settings)
    : { asked: [], others: [] };

  const [noise = null, ...moreNoise] = noiseSeeds;
  const origin: Origin = {
    settings: {
      ...{ ...settings, noiseSeeds },
      seconds: options.seeds === undefined ? null : options.seconds ?? defaultSeconds,
      condition: options.seeds === undefined ? null : options.condition ?? "quiet",
      world: options.seeds === undefined ? null : options.world ?? "1",
    },
    seeds: {
      noise: moreNoise.length > 0 ? null : noise,
      recordings: options.seeds ?? null,
    },
    checkpoint: {
      path: model,
      digest: checkpoint.digest,
      randomWeightsSeed: config.random_weights_seed ?? null,
    },
  };
  // A run that goes on with a file counts among those that made it once it answers something.
  const header = async (): Promise<EvalHeader> => ({
    type: "header",
    schema: eventsSchema,
    unitMs: config.unit_ms,
    runs: file && origin.places === undefined
      ? file.header.runs
      : [...file?.header.runs ?? [], await provenanceOf(started, origin)],
  });
  using events = options.events === undefined
    ? null
    : await EventsFile.create(options.events, await header(), [...others, ...asked]);
  using interrupt = new Interrupt(() => Deno.exit(interruptedCode));
  const results = await evaluate({
    jobs,
    noiseSeeds,
    basis,
    earlier: asked,
    config,
    async open(seed, { truth: { prompt }, references = {} }) {
      const opened = await open(
        model,
        { ...answered, seed, prompt: prompt?.text },
        await readGiven(references, streamShapes(config).agent, ffmpegFinder(options.ffmpeg)),
      );
      const { thinker, performers = [], placement } = opened.info;
      if (origin.places === undefined) {
        origin.places = thinker ? { placement, thinker, performers } : null;
        await events?.restart(await header(), [...others, ...asked]);
      }
      return opened;
    },
    judge: judges ? (...asked) => judges.judge(...asked) : undefined,
    openCodec: () =>
      openCodec(checkpoint, {
        adapter: options.thinker ?? "default",
        precision: options.precision ?? "auto",
      }),
    ffmpeg: ffmpegFinder(options.ffmpeg),
    events,
    quiet: options.quiet,
    signal: interrupt.signal,
  });

  const { draws = defaultDraws } = options;
  const count = jobs.length * noiseSeeds.length;
  const isWhole = results.length === count;
  if (!isWhole) say(`interrupted after ${results.length} of ${count} recordings`);
  if (results.length > 0) {
    const figures = rowsOf(results, config.unit_ms, draws);
    if (isWhole) {
      const recordings = jobs.map(({ name }) => name);
      events?.add({ type: "summary", recordings, noiseSeeds, figures });
    }
    const facts = factsOf(results, { asked: count, unitMs: config.unit_ms, draws });
    const provenance = await provenanceOf(started, origin);
    await printFigures(options, {
      ...{ schema: "eval/1", title: options.model ?? "nano-1", provenance },
      ...{ runs: (await header()).runs, facts, figures },
    });
  }
  return isWhole ? 0 : interruptedCode;
}

type Options = Parsed<typeof spec.options>["options"];

function checkTogether(options: Options, folder: string | undefined): void {
  if (folder !== undefined && options.seeds !== undefined) {
    throw new InputError("eval takes a folder or --seeds, not both");
  }
  for (const name of ["world", "seconds", "condition", "swaps", "keep"] as const) {
    if (options[name] !== undefined && options.seeds === undefined) {
      throw new InputError(`--${name} is about made conversations: give --seeds FIRST..LAST`);
    }
  }
  const { condition = "quiet", world = "1" } = options;
  if (world === "1" && newConditions.some((one) => one === condition)) {
    throw new InputError(`--condition ${condition} is of the second world: add --world 2`);
  }
  if (options.check && (options.seeds !== undefined || options.events !== undefined)) {
    throw new InputError(
      "--check looks at a folder and runs nothing: leave --seeds and --events out",
    );
  }
  if (options.resume && options.events === undefined) {
    throw new InputError("--resume goes on with a file: give --events FILE");
  }
}

/** The file to go on with; null: the run begins a new one, or keeps none. */
async function fileBefore({ events, resume, force }: Options): Promise<EvalFile | null> {
  if (events === undefined || await ifThere(Deno.stat(events)) === null) return null;
  if (resume) return await readEvalFile(events);
  if (force) return null;
  throw new InputError(`${events}: exists: add --resume to go on with it, or --force`);
}
