/** `stream`: answers what arrives through a pipe, unit by unit, into a pipe. */
import { extname } from "node:path";
import { InputError } from "../../engine/config/errors.ts";
import {
  type CommandSpec,
  helpText,
  type Option,
  type Parsed,
  parseOptions,
} from "../cli/options.ts";
import { type ByteSource, isStandardOutput, openSink, openSource } from "../ends/endpoints.ts";
import { LiveEnds, type LiveParts, liveReader } from "../ends/live_ends.ts";
import { Lockstep } from "../run/lockstep.ts";
import { rawMedia } from "../ends/raw_input.ts";
import { awaitHead, decodeStream } from "../ends/stream_decode.ts";
import { muxedOutput, openLiveFiles, rawOutput, type StreamOutput } from "../ends/stream_output.ts";
import { type FfmpegFinder, ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { type StreamShape, streamShapes } from "../media/stream_shape.ts";
import { chooseTracks, trackOptions } from "../media/tracks.ts";
import { openModel } from "../run/open_model.ts";
import { startRun } from "../provenance/provenance.ts";
import { report } from "../run/report.ts";
import { run as runEnds } from "../run/run.ts";
import { prepareRun, runOptions } from "../run/run_options.ts";
import { InspectedRun } from "../inspect/inspected_run.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { Outputs } from "../system/output_file.ts";
import { print, tell } from "../system/terminal.ts";

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
    lockstep: {
      kind: "flag",
      help: "messages of one unit come in, each is answered before the next is read",
    },
    ...trackOptions,
    text: { kind: "text", value: "FILE", help: "what the agent says, as WebVTT" },
    ...runOptions,
  },
  examples: [
    "wanstream stream -i talk.mkv -o answer.mkv --pace live",
    "ffmpeg -re -i talk.mp4 -f nut - | wanstream stream | ffplay -",
    "wanstream stream -i unix:/tmp/in -o unix:/tmp/out --pace live --late skip",
    "wanstream stream --raw-video video.fifo --raw-audio audio.fifo -o answer.mkv",
    "ffmpeg ... -f nut - | wanstream stream --resume saved | ffplay -",
    "ffmpeg -re -i talk.mp4 -f nut - | wanstream stream --inspect page.html | ffplay -",
    "python3 scripts/examples/lockstep.py talk.wav answer.wav",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

const noFacts = { bytes: null, sha256: null, seconds: null };
const noTracks = { video: null, audio: null };

type Options = Parsed<typeof spec.options>["options"];

/**
 * Runs the command.
 *
 * @param openWith Opens the session; tests bring their own.
 * @returns The exit code: 0 (the reader has gone: too), 3 (input broke off), 130 (interrupted).
 */
export async function run(args: string[], openWith = openModel): Promise<number> {
  const started = startRun("stream", ...args);
  const { options: asked, operands, help } = parseOptions(spec, args);
  if (help) {
    await print(helpText(spec));
    return 0;
  }
  if (operands[0] !== undefined) {
    throw new InputError(`stream takes no '${operands[0]}': give the input with -i`);
  }
  check(asked);
  const { request, options, open } = await prepareRun(asked, "stream", openWith, started);
  await using _saved = request.saved;
  const { user, agent } = streamShapes(request.config);
  const ffmpeg = ffmpegFinder(options.ffmpeg);
  const outputs = new Outputs([], options.force);
  using interrupt = new Interrupt(() => {
    outputs.discard().finally(() => Deno.exit(interruptedCode));
  });
  const { signal } = interrupt;
  const sources: ByteSource[] = [];
  try {
    const page = await InspectedRun.claim(options, request, outputs, ffmpeg);
    const parts: LiveParts = {
      ...options.lockstep ? await openLockstep(options, { user, agent }, ffmpeg, sources) : {
        input: () => openInput(options, user, ffmpeg, sources),
        output: await openOutput(options, agent, ffmpeg),
      },
      files: await openLiveFiles(options, options.force, ffmpeg),
      ffmpeg,
    };
    const ends = new LiveEnds(parts, user.unitMs, signal);
    const { exitCode, summary } = await runEnds(request, ends, open, signal);
    const isWhole = summary && page ? await page.write(summary, options.quiet) : true;
    if (summary) await outputs.commit();
    if (summary && !options.quiet) tell(report(summary));
    return isWhole ? exitCode : exitCode || 3;
  } finally {
    await outputs.discard();
    for (const source of sources) await source.close();
  }
}

/** @throws InputError when two options exclude each other. */
function check(options: Options): void {
  const raw = ["raw-video", "raw-audio"] as const;
  const rawOut = ["raw-video-out", "raw-audio-out"] as const;
  const trackNames = ["audio-track", "video-track", "audio-channel"] as const;
  for (
    const [one, others] of [
      ["input", raw],
      ["audio-track", raw],
      ["video-track", raw],
      ["audio-channel", raw],
      ["output", rawOut],
      ["format", rawOut],
      ["lockstep", [...raw, ...rawOut, ...trackNames, "format"]],
    ] as const
  ) {
    const other = others.find((name) => options[name] !== undefined);
    if (options[one] && other !== undefined) {
      throw new InputError(`--${one} and --${other} exclude each other: leave one out`);
    }
  }
  if (options.lockstep && options.pace === "live") {
    throw new InputError("--lockstep: its clock is the stream's: leave --pace live out");
  }
}

/** Messages on one way in and one way out. */
async function openLockstep(
  { input = "-", output = "-", force }: Options,
  shapes: Record<"user" | "agent", StreamShape>,
  ffmpeg: FfmpegFinder,
  sources: ByteSource[],
): Promise<Pick<LiveParts, "input" | "output" | "inTurn">> {
  const source = await openSource(input, ffmpeg);
  sources.push(source);
  refuseTerminal(source, "write messages into it, see docs/lockstep.md");
  const reader = new Lockstep(source, await openSink(output, force, ffmpeg), shapes);
  const facts = { ...noFacts, path: source.name, reader: "lockstep", video: true, audio: true };
  return {
    input: () => Promise.resolve({ reader, facts: { ...facts, tracks: noTracks } }),
    output: reader.output,
    inTurn: true,
  };
}

function refuseTerminal(source: ByteSource, remedy: string): void {
  if (source.name !== "standard input" || !Deno.stdin.isTerminal()) return;
  throw new InputError(`standard input is a terminal: ${remedy}`);
}

async function openInput(
  options: Options,
  shape: StreamShape,
  ffmpeg: FfmpegFinder,
  sources: ByteSource[],
): ReturnType<LiveParts["input"]> {
  const source = async (path: string) => {
    const opened = await openSource(path, ffmpeg);
    sources.push(opened);
    return opened;
  };
  const { "raw-video": video, "raw-audio": audio, input = "-" } = options;
  const tracks = chooseTracks(options);
  if (video !== undefined || audio !== undefined) {
    // Both at once: opening a FIFO waits for its other end.
    const [pictures, samples] = await Promise.all(
      [video, audio].map((path) => path === undefined ? null : source(path)),
    );
    return {
      reader: liveReader(rawMedia(pictures ?? null, samples ?? null, shape), shape),
      facts: {
        ...noFacts,
        path: [video, audio].filter((path) => path !== undefined).join(" "),
        reader: "raw",
        video: video !== undefined,
        audio: audio !== undefined,
        tracks: noTracks,
      },
    };
  }
  const opened = await source(input);
  refuseTerminal(opened, "pipe a stream into it, 'ffmpeg -re -i talk.mp4 -f nut - | ...'");
  const headed = await awaitHead(opened, tracks);
  return {
    reader: liveReader(decodeStream(await ffmpeg(), opened, headed, shape), shape),
    facts: {
      ...noFacts,
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
  if (isStandardOutput(output) && Deno.stdout.isTerminal()) {
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
