/** `codec`: a recording or a stream through causal codecs and back, unit by unit, with what it cost. */
import { extname } from "node:path";
import { openConfig } from "../../engine/checkpoint/checkpoint.ts";
import { media, type Medium } from "../../engine/checkpoint/coders.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import { InputError } from "../../engine/config/errors.ts";
import { openCodec } from "../../engine/families/codec.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { Progress } from "../cli/progress.ts";
import { runCommand } from "../cli/commands.ts";
import { type CommandSpec, ffmpegOption, type Option, type Parsed } from "../cli/options.ts";
import { type Codecs, LatentsFile, LatentsWriter } from "../codec/latents_file.ts";
import { figuresText, type Given, RoundTripper, storedUnits } from "../codec/round_trip.ts";
import { type ByteSource, isStandardOutput, openSink, openSource } from "../ends/endpoints.ts";
import type { Output } from "../ends/ends.ts";
import { claimFiles, FileOutput } from "../ends/file_output.ts";
import { LiveOutput, liveReader } from "../ends/live_ends.ts";
import { checkInput, openInput } from "../ends/observe.ts";
import { checkExtension, responseExtensions } from "../ends/response_file.ts";
import { awaitHead, decodeStream } from "../ends/stream_decode.ts";
import { muxedOutput } from "../ends/stream_output.ts";
import { type FfmpegFinder, ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import type { ObservationReader } from "../media/observation_reader.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { chooseTracks, type TrackChoice, trackOptions } from "../media/tracks.ts";
import { ownModel } from "../run/open_model.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { Outputs } from "../system/output_file.ts";
import { say, tell } from "../system/terminal.ts";

export const summary = "put a recording or a stream through causal codecs and back";

const spec = {
  name: "codec",
  summary,
  usage: "INPUT [-o OUTPUT] [--latents FILE] [options]",
  options: {
    output: {
      kind: "text",
      value: "FILE",
      short: "o",
      help: "what comes back: .mkv, .mp4, .mov, .webm, .wav, .y4m; - or unix:PATH: Matroska",
    },
    latents: {
      kind: "text",
      value: "FILE",
      help: "write the latents as safetensors; as INPUT such a file is decoded",
    },
    "audio-codec": { kind: "text", value: "DIR", help: "a codec's folder or file (the model's)" },
    "video-codec": { kind: "text", value: "DIR", help: "a codec's folder or file (the model's)" },
    codes: { kind: "flag", help: "latents of sound are the codes of its codec's quantizer" },
    model: {
      kind: "text",
      value: "DIR",
      help:
        "checkpoint that says what a unit is, and whose codecs are taken (engine/models/nano-1)",
    },
    size: { kind: "text", value: "WxH", help: "of pictures (the model's)" },
    ...trackOptions,
    precision: { kind: "choice", choices: ["f32", "f16"], help: "storage of weights (f32)" },
    adapter: { kind: "text", value: "SPEC", help: "adapter, see 'adapters'" },
    ...ffmpegOption,
    force: { kind: "flag", help: "replace outputs that exist" },
    quiet: { kind: "flag", help: "say nothing but errors" },
    json: { kind: "flag", help: "figures as JSON on standard output" },
  },
  examples: [
    "wanstream codec talk.mp4 -o back.mkv",
    "wanstream codec talk.mp4 --latents talk.safetensors",
    "wanstream codec talk.safetensors -o back.mkv",
    "wanstream codec voice.wav -o back.wav --audio-codec mimi --json",
    "wanstream codec voice.wav --latents codes.safetensors --audio-codec mimi --codes",
    "ffmpeg -re -i talk.mp4 -f nut - | wanstream codec - -o - | ffplay -",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

type Options = Parsed<typeof spec.options>["options"];

/** @returns The exit code: 0, 3 (the input broke off), 130 (interrupted: what was done is there). */
export const run = (args: string[]) => runCommand(spec, args, codec);

async function codec(options: Options, operands: string[], started: StartedRun): Promise<number> {
  const [input, surplus] = operands;
  if (input === undefined) throw new InputError("codec needs an input: codec INPUT -o OUTPUT");
  if (surplus !== undefined) {
    throw new InputError(`codec takes one input, '${surplus}' is one too many`);
  }
  const wanted = wantedMedia(options);
  const isStored = extname(input).toLowerCase() === ".safetensors";
  if (options.json && options.output !== undefined && isStandardOutput(options.output)) {
    throw new InputError("--json and -o -: standard output takes one of them");
  }
  if (isStored && (options.output === undefined || options.latents !== undefined)) {
    throw new InputError(
      "codec of latents needs -o FILE, what they are decoded to, and takes no --latents",
    );
  }
  const ffmpeg = ffmpegFinder(options.ffmpeg);
  const model = options.model ?? await ownModel();
  const config = await openConfig(model);
  const stream = streamOf(config, options.size);
  if (!isStored && !isPipe(input)) await checkInput(input);

  const opened: Codecs = {};
  for (const medium of media) {
    if (!wanted.includes(medium)) continue;
    const path = options[`${medium}-codec`] ?? model;
    const codes = options.codes && medium === "audio";
    opened[medium] = await openCodec(path, medium, stream, codes);
  }
  const sampleRate = opened.audio?.sampleRate ?? config.response.audio.sample_rate;
  const shape: StreamShape = {
    ...stream,
    frames: (stream.unitMs * stream.fps) / 1000,
    sampleRate,
    samples: (stream.unitMs * sampleRate) / 1000,
  };

  using interrupt = new Interrupt(() => Deno.exit(interruptedCode));
  const outputs = new Outputs(isPipe(input) ? [] : [input], options.force);
  const sources: ByteSource[] = [];
  let writer: LatentsWriter | null = null;
  let output: Output | null = null;
  let gpu: Gpu | null = null;
  try {
    const latents = options.latents === undefined ? null : await outputs.claim(options.latents);
    output = options.output === undefined
      ? null
      : await openOutput(options.output, shape, outputs, options.force, ffmpeg);
    const given = isStored
      ? await openStored(input)
      : await openMedia(input, shape, ffmpeg, chooseTracks(options), sources);
    using _file = given.file;
    const codecs: Codecs = Object.fromEntries(
      Object.entries(opened).filter(([medium]) => given.has(medium as Medium)),
    );
    if (Object.keys(codecs).length === 0) {
      throw new InputError(`${input}: holds no ${wanted.join(" and no ")}, which is wanted of it`);
    }
    gpu = await Gpu.open(options.adapter ?? "default");
    const tripper = new RoundTripper(gpu, codecs, options.precision ?? "f32");
    await gpu.check();
    for (const medium of media) {
      const [one, shape] = [codecs[medium], tripper.shapes[medium]];
      if (one && shape) given.file?.check(one, shape, tripper.units[medium]?.firstShape ?? null);
    }
    if (latents) writer = await LatentsWriter.create(latents, tripper.shapes);
    const progress = new Progress(given.seconds, options.quiet);
    const { figures, broken } = await tripper.run(given.units(codecs), {
      ...{ codecs, shape, output, latents: writer, signal: interrupt.signal },
      progress: (units) => progress.update(units, (units * shape.unitMs) / 1000),
    });
    progress.clear();
    if (figures.units === 0 && !broken) {
      throw new InputError(`${input}: holds no unit of ${stream.unitMs} ms`);
    }
    const provenance = await provenanceOf(started, {
      settings: {
        audio: codecs.audio?.digest ?? null,
        video: codecs.video?.digest ?? null,
        precision: options.precision ?? "f32",
        adapter: gpu.name,
        size: [stream.width, stream.height],
      },
    });
    await writer?.finish(codecs, stream, provenance, tripper.first);
    const finished = await output?.finish(figures.units, broken) ?? null;
    await output?.close();
    await outputs.commit();
    const paths = { ...finished?.outputs, ...(latents ? { latents: latents.path } : {}) };
    if (!options.quiet) {
      const files = Object.entries(paths).map(([kind, path]) => `${kind.padEnd(20)}${path}\n`);
      tell(figuresText(figures) + files.join(""));
    }
    if (options.json) {
      await printResult("codec/1", provenance, { input, outputs: paths, ...figures });
    }
    const cut = given.reader?.cut ?? finished?.cut;
    if (cut) say(`${input}: broke off after ${cut.seconds.toFixed(2)} s: ${cut.reason}`);
    return interrupt.signal.aborted ? interruptedCode : cut ? 3 : 0;
  } finally {
    await writer?.close();
    await output?.close();
    await outputs.discard();
    for (const source of sources) await source.close();
    gpu?.destroy();
  }
}

const isPipe = (path: string) => path === "-" || path.startsWith("unix:");

/** What the outputs hold. @throws InputError when nothing is asked for. */
function wantedMedia({ output, latents }: Options): readonly Medium[] {
  if (output === undefined && latents === undefined) {
    throw new InputError("codec needs -o FILE, what comes back, or --latents FILE, or both");
  }
  if (output === undefined || latents !== undefined) return media;
  const ending = extname(output).toLowerCase();
  return ending === ".wav" ? ["audio"] : ending === ".y4m" ? ["video"] : media;
}

function streamOf({ unit_ms: unitMs, fps, response }: ModelConfig, size: string | undefined) {
  const { width, height } = response.video;
  if (size === undefined) return { unitMs, fps, width, height };
  const [, across, down] = /^(\d{1,5})x(\d{1,5})$/.exec(size) ?? [];
  const [w, h] = [Number(across), Number(down)];
  if (w >= 1 && w <= 16384 && h >= 1 && h <= 16384) return { unitMs, fps, width: w, height: h };
  throw new InputError(`--size: '${size}' should be WxH, each from 1 to 16384, e.g. 336x192`);
}

async function openOutput(
  path: string,
  shape: StreamShape,
  outputs: Outputs,
  force: boolean,
  ffmpeg: FfmpegFinder,
): Promise<Output> {
  if (isStandardOutput(path) || isPipe(path)) {
    if (isStandardOutput(path) && Deno.stdout.isTerminal()) {
      throw new InputError("standard output is a terminal: pipe it into a player, '| ffplay -'");
    }
    const output = muxedOutput(await openSink(path, force, ffmpeg), shape);
    return new LiveOutput({ output, files: { events: null, text: null } }, shape.unitMs);
  }
  checkExtension("-o", path, responseExtensions);
  const files = { output: path, agent: shape, firstUnit: 0, silent: true, ffmpeg };
  const output = new FileOutput(files, await claimFiles(files, outputs));
  await output.openFiles();
  return output;
}

/** What goes in, opened. */
interface GivenInput {
  has(medium: Medium): boolean;
  units(codecs: Codecs): AsyncIterable<Given>;
  /** Of stream; null: not known. */
  seconds: number | null;
  reader?: ObservationReader;
  file?: LatentsFile;
}

async function openStored(path: string): Promise<GivenInput> {
  const file = await LatentsFile.open(path);
  const seconds = (file.units * Number(file.metadata["unit_ms"])) / 1000;
  return {
    has: (medium) => file.has(medium),
    units: (codecs) => storedUnits(file, codecs),
    seconds,
    file,
  };
}

async function openMedia(
  path: string,
  shape: StreamShape,
  ffmpeg: FfmpegFinder,
  tracks: TrackChoice,
  sources: ByteSource[],
): Promise<GivenInput> {
  const { reader, facts, seconds } = isPipe(path)
    ? await openStream(path, shape, ffmpeg, tracks, sources)
    : await openInput(path, shape, ffmpeg, tracks).then(({ observations, facts }) => ({
      reader: observations,
      facts,
      seconds: facts.seconds,
    }));
  async function* units(): AsyncGenerator<Given> {
    for await (const { audio, frames } of reader) yield { media: { audio, frames } };
  }
  return { has: (medium) => facts[medium], units, seconds, reader };
}

async function openStream(
  path: string,
  shape: StreamShape,
  ffmpeg: FfmpegFinder,
  tracks: TrackChoice,
  sources: ByteSource[],
) {
  const source = await openSource(path, ffmpeg);
  sources.push(source);
  const headed = await awaitHead(source, tracks);
  const reader = liveReader(decodeStream(await ffmpeg(), source, headed, shape), shape);
  return { reader, facts: headed.taken.facts, seconds: null };
}
