/**
 * One FFmpeg that decodes an input, as a source of pictures and sound: how it is bounded, what it is
 * told to give, and what happens when it falls silent. Files (`ffmpeg_decode.ts`) and streams
 * (`stream_decode.ts`) differ in how they name the input and in their filters.
 */
import { InputError } from "../../engine/config/errors.ts";
import { ByteQueue } from "../system/byte_queue.ts";
import { checkSignal, type Ffmpeg, FfmpegProcess } from "./ffmpeg.ts";
import { Loopback } from "./loopback.ts";
import type { MediaSource } from "../media/observation_reader.ts";
import type { StreamShape } from "../media/stream_shape.ts";

/** Largest pictures, in pixels (8192 x 8192): decoders hold many of them. */
const maxPixels = 2 ** 26;
/** Largest piece of memory that FFmpeg may ask for at once: the largest picture at 8 bytes a pixel. */
const maxAlloc = 2 ** 29;
/** Decoders that work on several pictures at once hold one for each thread. */
const maxThreads = 4;

/**
 * What bounds FFmpeg's work on any input; it stands before the input.
 *
 * @param clockJump Seconds by which a clock may jump; what follows a longer jump is joined on.
 * @param threads Of each decoder.
 */
export function inputLimits(clockJump: number, threads = maxThreads): string[] {
  const cores = Math.min(threads, navigator.hardwareConcurrency);
  return [
    ...["-max_alloc", `${maxAlloc}`, "-max_pixels", `${maxPixels}`],
    ...["-dts_error_threshold", `${clockJump}`, "-threads", `${cores}`],
    ...["-fflags", "+discardcorrupt"],
  ];
}

/**
 * Scales a picture of any size and pixel shape into width x height and pads the rest with black. Size
 * and shape may change from picture to picture.
 */
export function fitFilter(width: number, height: number): string {
  const [w, h] = [width, height];
  return [
    `scale=w='max(1,round(min(${w},${h}*dar)))':h='max(1,round(min(${h},${w}/dar)))'` +
    ":flags=bicubic+accurate_rnd+full_chroma_int+bitexact:eval=frame",
    `pad=${w}:${h}:(ow-iw)/2:(oh-ih)/2:eval=frame`,
    "setsar=1",
  ].join(",");
}

/** A stream of pictures as RGB24 frames of the shape. @param first Filters that come before fitting. */
export function pictures(map: string, shape: StreamShape, first: string[] = []): string[] {
  const { fps, width, height } = shape;
  const filters = [...first, fitFilter(width, height), "format=rgb24"];
  return ["-map", map, "-vf", filters.join(","), "-r", `${fps}`, "-f", "rawvideo"];
}

/**
 * A stream of sound as mono f32le samples of the shape. Gaps are filled and overlaps trimmed (async=1),
 * nothing is stretched; without rematrix_maxval two equal channels add up to 1.4 times their level, and
 * clip.
 *
 * @param first Filters that come before resampling.
 * @param resampling More of aresample's options.
 */
export function samples(
  map: string,
  { sampleRate }: StreamShape,
  first: string[] = [],
  resampling = "",
): string[] {
  const filters = [...first, `aresample=${sampleRate}:async=1:rematrix_maxval=1.0${resampling}`];
  const mono = ["-ac", "1", "-ar", `${sampleRate}`, "-f", "f32le"];
  return ["-map", map, "-af", filters.join(","), ...mono];
}

/** Filters that take one channel; null: all are mixed down. */
export function channelFilters(channel: number | null): string[] {
  return channel === null ? [] : [`pan=mono|c0=c${channel}`];
}

/** Longest time in which FFmpeg may neither write nor end while its output is awaited, in ms. */
const longestSilence = 60_000;

/** Tells of an FFmpeg that another program ended, or that hung: the recording may be good. */
export const endedFromOutside =
  /FFmpeg: ended by SIG(KILL|TERM)|FFmpeg (neither wrote nor ended|found no streams within a minute)/;

/** Ends an FFmpeg that falls silent while its output is awaited. */
export class Watchdog {
  private readonly process: FfmpegProcess;
  private readonly armed: () => boolean;
  private readonly ms: number;
  #waiting = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #barked = false;

  /** @param armed False: silence is no fault yet. */
  constructor(
    process: FfmpegProcess,
    armed: () => boolean = () => true,
    ms = longestSilence,
  ) {
    this.process = process;
    this.armed = armed;
    this.ms = ms;
  }

  /** Why it was ended; null: it was not. */
  get reason(): string | null {
    return this.#barked ? `FFmpeg neither wrote nor ended for ${this.ms / 1000} s` : null;
  }

  /** The stream, watched. */
  async *watch(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const source = stream[Symbol.asyncIterator]();
    try {
      for (;;) {
        this.#waiting++;
        this.#timer ??= this.#start();
        const next = await source.next().finally(() => {
          this.#waiting--;
          this.#stop();
          if (this.#waiting > 0) this.#timer = this.#start();
        });
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await source.return?.();
    }
  }

  #start() {
    return setTimeout(() => {
      this.#timer = undefined;
      if (this.armed()) {
        this.#barked = true;
        this.process.kill();
      } else if (this.#waiting > 0) this.#timer = this.#start();
    }, this.ms);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** What is to be decoded, and what is known of its end. */
export interface Decoding {
  /** For messages. */
  name: string;
  /** FFmpeg's arguments up to and with the input. */
  input: string[];
  /** Arguments for what it gives; null: the input holds none. */
  video: string[] | null;
  audio: string[] | null;
  /** Samples before the first of the input (or, when negative, left out of it). */
  lateSamples?: number;
  /** Feeds its standard input; null: it reads a file. */
  feed?: (writer: WritableStreamDefaultWriter<Uint8Array>) => void;
  /** Silence is a fault (by default always), after so many ms. */
  watched?: () => boolean;
  patience?: number;
  /** Called with each line that FFmpeg prints. */
  said?: (line: string) => void;
  /** Lets go of where the input comes from. */
  close?: () => Promise<void>;
  /** Why the input is cut off; null: it isn't. `failure` is FFmpeg's own reason, if it failed. */
  cutOff(seconds: number, lines: string[], failure: string | null): Promise<string | null>;
}

/** Starts FFmpeg: pictures on its standard output, sound there too or, beside pictures, on a loopback
 * connection. @throws InputError when it can't be started. */
export function decode(ffmpeg: Ffmpeg, decoding: Decoding): MediaSource {
  const { name, input, feed, said, lateSamples = 0 } = decoding;
  const link = decoding.video && decoding.audio ? new Loopback() : null;
  const args = [...input];
  if (decoding.video) args.push(...decoding.video, "pipe:1");
  if (decoding.audio) args.push(...decoding.audio, link?.url ?? "pipe:1");
  let process: FfmpegProcess;
  try {
    const options = { stdin: feed !== undefined, stdout: true, ...(said ? { said } : {}) };
    process = new FfmpegProcess(ffmpeg, args, options);
  } catch (error) {
    link?.close();
    throw error;
  }
  // An FFmpeg that ends before it connects never will.
  const ended = process.end().finally(() => link?.close());
  feed?.(process.child.stdin.getWriter());
  const watchdog = new Watchdog(process, decoding.watched, decoding.patience);
  const sound = link ? connection(link) : process.child.stdout;
  const video = decoding.video && new ByteQueue(watchdog.watch(process.child.stdout));
  const audio = decoding.audio &&
    new ByteQueue(shifted(watchdog.watch(sound), lateSamples * 4));
  let closed: Promise<void> | null = null;

  async function close(): Promise<void> {
    await decoding.close?.();
    await process.kill();
    await video?.close();
    await audio?.close();
    if (!process.child.stdout.locked) await process.child.stdout.cancel();
  }
  return {
    video,
    audio,
    async finish(seconds) {
      const { code, signal } = await ended;
      const said = watchdog.reason ??
        `FFmpeg: ${signal === null ? process.lastLine() : `ended by ${signal}`}`;
      if (seconds === 0) {
        if (watchdog.reason === null) checkSignal(name, signal);
        throw new InputError(`${name}: nothing of it could be decoded (${said})`);
      }
      return await decoding.cutOff(seconds, process.lines, code === 0 ? null : said);
    },
    close: () => closed ??= close(),
  };
}

/** The bytes of a link, once it is connected. */
async function* connection(link: Loopback): AsyncGenerator<Uint8Array> {
  const socket = await link.accept();
  if (socket === null) return;
  try {
    for (;;) {
      const chunk = new Uint8Array(65536);
      const read = await socket.read(chunk);
      if (read === null) return;
      yield chunk.subarray(0, read);
    }
  } finally {
    socket.close();
  }
}

/** Puts `bytes` zeros before a stream, or takes its first -`bytes` away. */
async function* shifted(
  stream: AsyncIterable<Uint8Array>,
  bytes: number,
): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(65536);
  for (let left = bytes; left > 0; left -= piece.length) {
    yield piece.subarray(0, Math.min(left, piece.length));
  }
  let skip = Math.max(0, -bytes);
  for await (const chunk of stream) {
    yield chunk.subarray(Math.min(skip, chunk.length));
    skip = Math.max(0, skip - chunk.length);
  }
}
