/** `stream`: answers what arrives through a pipe, unit by unit, into a pipe. */
import { extname } from "node:path";
import { openConfig } from "../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../engine/config/errors.ts";
import { type ByteSource, openSink, openSource } from "../ends/endpoints.ts";
import { findFfmpeg } from "../ffmpeg/ffmpeg.ts";
import type { Ffmpeg } from "../ffmpeg/ffmpeg.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { modelOptions, openModel, ownModel } from "../run/model_options.ts";
import type { FfmpegFinder } from "../ends/observe.ts";
import {
  type CommandSpec,
  helpText,
  type Option,
  type Parsed,
  parseOptions,
} from "../cli/options.ts";
import { choosePace, paceOptions } from "../pace/pace_options.ts";
import { rawMedia } from "../ends/raw_input.ts";
import { report } from "../run/report.ts";
import { SavedStream } from "../saved/saved_stream.ts";
import { chooseSaving, inMemory, savingOptions } from "../saved/saving_options.ts";
import { runStream, type StreamInput } from "../run/stream.ts";
import { awaitHead, decodeStream } from "../ends/stream_decode.ts";
import { muxedOutput, openLiveFiles, rawOutput, type StreamOutput } from "../ends/stream_output.ts";
import { chooseTracks, trackOptions } from "../media/tracks.ts";
import { type StreamShape, streamShapes } from "../media/stream_shape.ts";

export const summary = "answer a live stream: a container comes in, a container goes out";

const spec = {
  name: "stream",
  summary,
  usage: "[-i INPUT] [-o OUTPUT] [options]",
  options: {
    input: {
      kind: "text",
      value: "INPUT",
      short: "i",
      help: "NUT or Matroska: a path, unix:PATH, or - (-)",
    },
    output: { kind: "text", value: "OUTPUT", short: "o", help: "a path, unix:PATH, or - (-)" },
    format: {
      kind: "choice",
      choices: ["matroska"],
      help: "container of the output: write Matroska whatever its name ends in",
    },
    "raw-video": { kind: "text", value: "PATH", help: "RGB24 frames instead of -i" },
    "raw-audio": { kind: "text", value: "PATH", help: "mono f32le samples instead of -i" },
    "raw-video-out": { kind: "text", value: "PATH", help: "RGB24 frames instead of -o" },
    "raw-audio-out": { kind: "text", value: "PATH", help: "mono f32le samples instead of -o" },
    ...trackOptions,
    ...modelOptions,
    ...paceOptions,
    schedule: { kind: "choice", choices: ["paper", "eager"], help: "when y_k leaves (eager)" },
    units: { kind: "whole", min: 1, help: "answer the first N units only" },
    ...savingOptions,
    events: { kind: "text", value: "FILE", help: "what happens, as JSON lines" },
    text: { kind: "text", value: "FILE", help: "what the agent says, as WebVTT" },
    ffmpeg: { kind: "text", value: "PATH", help: "FFmpeg (FFMPEG_BIN, ffmpeg-static, PATH)" },
    force: { kind: "flag", help: "replace files that exist" },
    quiet: { kind: "flag", help: "say nothing but errors" },
  },
  examples: [
    "wanstream stream -i talk.mkv -o answer.mkv --pace live",
    "ffmpeg -re -i talk.mp4 -f nut - | wanstream stream | ffplay -",
    "wanstream stream -i unix:/tmp/in -o unix:/tmp/out --pace live --late skip",
    "wanstream stream --raw-video /dev/fd/3 --raw-audio /dev/fd/4 -o answer.mkv",
    "ffmpeg ... -f nut - | wanstream stream --resume saved | ffplay -",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

type Options = Parsed<typeof spec.options>["options"];

/**
 * Runs the command.
 *
 * @param open Opens the session; tests bring their own.
 * @returns The exit code: 0 (the reader has gone: too), 3 (input broke off), 130 (interrupted).
 */
export async function run(args: string[], open = openModel): Promise<number> {
  const { options: asked, operands, help } = parseOptions(spec, args);
  if (help) {
    await Deno.stdout.write(new TextEncoder().encode(helpText(spec)));
    return 0;
  }
  if (operands[0] !== undefined) {
    throw new InputError(`stream takes no '${operands[0]}': give the input with -i`);
  }
  check(asked);
  const { saving, options } = await chooseSaving(asked, "stream");
  await using saved = saving && new SavedStream(saving);
  const pacing = choosePace(options);
  const model = options.model ?? await ownModel();
  const config = await openConfig(model);
  const { user, agent } = streamShapes(config);
  let found: Promise<Ffmpeg> | null = null;
  const ffmpeg = () => found ??= findFfmpeg(options.ffmpeg);
  const given = Object.entries(options).filter(([, value]) =>
    value !== undefined && value !== false
  );
  const request = {
    model,
    config,
    pacing,
    schedule: options.schedule ?? saving?.origin?.schedule ?? "eager",
    quiet: options.quiet,
    userText: options["user-text"],
    persona: options.persona,
    voice: options.voice,
    units: options.units,
    saved,
    options: Object.fromEntries(given),
  };
  using interrupt = new Interrupt(() => Deno.exit(interruptedCode));
  if (saved && options.units !== undefined && options.units <= saved.firstUnit) {
    throw new InputError(
      `--units: ${options.units}, but the session was saved after ${saved.firstUnit} units: give more`,
    );
  }
  const output = await openOutput(options, agent, ffmpeg);
  const files = await openLiveFiles(options, options.force, ffmpeg);
  const sources: ByteSource[] = [];
  try {
    const { exitCode, summary } = await runStream(
      request,
      { input: () => openInput(options, user, ffmpeg, sources), output, files, ffmpeg },
      (references) =>
        open(
          model,
          { ...options, schedule: request.schedule },
          references,
          saved?.durability ?? inMemory,
        ),
      interrupt.signal,
    );
    if (summary && !options.quiet) {
      await Deno.stderr.write(new TextEncoder().encode(report(summary)));
    }
    return exitCode;
  } finally {
    for (const source of sources) await source.close();
  }
}

/** @throws InputError when two options exclude each other. */
function check(options: Options): void {
  const raw = (side: string) => side.startsWith("raw-");
  for (
    const [one, others] of [
      ["input", ["raw-video", "raw-audio"]],
      ["audio-track", ["raw-video", "raw-audio"]],
      ["video-track", ["raw-video", "raw-audio"]],
      ["audio-channel", ["raw-video", "raw-audio"]],
      ["output", ["raw-video-out", "raw-audio-out"]],
      ["format", ["raw-video-out", "raw-audio-out"]],
    ] as const
  ) {
    const other = others.find((name) => options[name] !== undefined);
    if (options[one] !== undefined && other !== undefined && raw(other)) {
      throw new InputError(`--${one} and --${other} exclude each other: leave one out`);
    }
  }
}

async function openInput(
  options: Options,
  shape: StreamShape,
  ffmpeg: FfmpegFinder,
  sources: ByteSource[],
): Promise<StreamInput> {
  const source = async (path: string) => {
    const opened = await openSource(path, ffmpeg);
    sources.push(opened);
    return opened;
  };
  const { "raw-video": video, "raw-audio": audio, input = "-" } = options;
  const tracks = chooseTracks(options);
  const facts = { bytes: null, sha256: null, seconds: null };
  if (video !== undefined || audio !== undefined) {
    // Both at once: opening a FIFO waits for its other end.
    const [pictures, samples] = await Promise.all(
      [video, audio].map((path) => path === undefined ? null : source(path)),
    );
    return {
      source: rawMedia(pictures ?? null, samples ?? null, shape),
      facts: {
        ...facts,
        path: [video, audio].filter((path) => path !== undefined).join(" "),
        reader: "raw",
        video: video !== undefined,
        audio: audio !== undefined,
        tracks: { video: null, audio: null },
      },
    };
  }
  const opened = await source(input);
  if (input === "-" && Deno.stdin.isTerminal()) {
    throw new InputError(
      "standard input is a terminal: pipe a stream into it, 'ffmpeg -re -i talk.mp4 -f nut - | ...'",
    );
  }
  const headed = await awaitHead(opened, tracks);
  return {
    source: decodeStream(await ffmpeg(), opened, headed, shape),
    facts: {
      ...facts,
      path: opened.name,
      reader: headed.head.format,
      ...headed.taken.facts,
    },
  };
}

async function openOutput(
  options: Options,
  shape: StreamShape,
  ffmpeg: FfmpegFinder,
): Promise<StreamOutput> {
  const { "raw-video-out": video, "raw-audio-out": audio, output = "-", force } = options;
  if (video !== undefined || audio !== undefined) {
    const [pictures, samples] = await Promise.all(
      [video, audio].map((path) => path === undefined ? null : openSink(path, force, ffmpeg)),
    );
    return rawOutput(pictures ?? null, samples ?? null);
  }
  if (output === "-" && Deno.stdout.isTerminal()) {
    throw new InputError("standard output is a terminal: pipe it into a player, '| ffplay -'");
  }
  const ending = output === "-" || output.startsWith("unix:") ? "" : extname(output).toLowerCase();
  if (options.format === undefined && ending !== "" && ending !== ".mkv") {
    throw new InputError(
      `-o: '${output}' should end in .mkv: add --format matroska to write Matroska all the same`,
    );
  }
  return muxedOutput(await openSink(output, force, ffmpeg), shape);
}
