/** Frames and samples into a media file by one FFmpeg, unit by unit. */
import { InputError } from "../../engine/config/errors.ts";
import { OutputError } from "../system/errors.ts";
import { writeAll } from "../system/bytes.ts";
import { type Ffmpeg, ffmpegNames, FfmpegProcess } from "./ffmpeg.ts";
import { fileUrl } from "./ffmpeg_probe.ts";
import { Loopback } from "./loopback.ts";
import type { StreamShape } from "../media/stream_shape.ts";

/** How one kind of file is made: FFmpeg's names and arguments. */
export interface Container {
  format: string;
  video: string[];
  audio: string[];
  subtitles: string;
  /** More output arguments of the finished file. */
  more: string[];
  /** Arguments with which it can be read as far as it got, should FFmpeg die: small pieces, each
   * whole by itself. */
  piecewise: string[];
  /** Whether pieces make another kind of file than is wanted in the end. */
  rewritten: boolean;
}

/** The same bytes from the same stream, on every run. */
const bitExact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"];

/** Arguments of every encoder in use. */
const encoders: Record<string, string[]> = {
  libx264: ["-preset", "veryfast", "-crf", "16", "-threads:v", "2"],
  libopenh264: ["-b:v", "4M"],
  mpeg4: ["-q:v", "2"],
  "libvpx-vp9": [
    ...["-deadline", "realtime", "-cpu-used", "8", "-crf", "20", "-b:v", "0", "-threads:v", "1"],
  ],
  libvpx: ["-deadline", "realtime", "-cpu-used", "8", "-crf", "10", "-b:v", "4M"],
  flac: ["-sample_fmt", "s16"],
  alac: ["-sample_fmt", "s16p"],
  libopus: ["-b:a", "128k"],
};
const common = ["libx264", "libopenh264", "mpeg4"];
const clusters = {
  more: [],
  piecewise: ["-cluster_time_limit", "160", "-flush_packets", "1"],
  rewritten: false,
};
/** The index goes to the front at the end, for players that begin before they have all of the file. */
const fragments = {
  more: ["-movflags", "+faststart"],
  piecewise: [
    ...["-movflags", "+delay_moov+default_base_moof+frag_keyframe", "-frag_duration", "160000"],
    ...["-flush_packets", "1"],
  ],
  rewritten: true,
};

/** Per extension: container, and encoders by preference. All of them keep sound's exact length. */
const containers: Record<string, Container> = {
  ".mkv": {
    ...{ format: "matroska", video: common, audio: ["flac"], subtitles: "subrip" },
    ...clusters,
  },
  ".mp4": {
    ...{ format: "mp4", video: common, audio: ["alac"], subtitles: "mov_text" },
    ...fragments,
  },
  ".mov": {
    ...{ format: "mov", video: common, audio: ["alac"], subtitles: "mov_text" },
    ...fragments,
  },
  ".webm": {
    ...{ format: "webm", video: ["libvpx-vp9", "libvpx"], audio: ["libopus"], subtitles: "webvtt" },
    ...clusters,
  },
};

/** Extensions that FFmpeg writes here. */
export const mediaExtensions = Object.keys(containers);

/** The first of the encoders that this FFmpeg has. @throws InputError when it has none. */
export async function chooseContainer(ffmpeg: Ffmpeg, extension: string): Promise<Container> {
  const container = containers[extension];
  if (container === undefined) {
    throw new InputError(`'${extension}' should be one of ${mediaExtensions.join(", ")}`);
  }
  const have = await ffmpegNames(ffmpeg, "encoders");
  const pick = (names: string[]) => {
    const name = names.find((name) => have.has(name));
    if (name !== undefined) return name;
    throw new InputError(
      `this FFmpeg (${ffmpeg.path}) can't write ${extension}: it lacks ${
        names.join(", ")
      }; choose ` +
        "another extension or another FFmpeg",
    );
  };
  const args = (name: string) => [name, ...(encoders[name] ?? [])];
  return {
    ...container,
    video: ["-c:v", ...args(pick(container.video))],
    audio: ["-c:a", ...args(pick(container.audio))],
  };
}

/** Output arguments for pictures: an even size is needed where chroma is halved. */
export function pictureArgs(width: number, height: number, fps: number): string[] {
  const pixels = width % 2 === 0 && height % 2 === 0 ? "yuv420p" : "yuv444p";
  const scale = "scale=flags=bicubic+accurate_rnd+full_chroma_int+bitexact";
  return ["-vf", `${scale},format=${pixels}`, "-g", `${Math.round(fps * 2)}`];
}

/** One FFmpeg that takes raw RGB24 frames on its standard input and samples on a connection. */
export class MediaEncoder {
  readonly #name: string;
  readonly #process: FfmpegProcess;
  readonly #link: Loopback;
  readonly #video: WritableStreamDefaultWriter<Uint8Array>;
  readonly #connected: Promise<Deno.TcpConn | null>;
  #audio: Deno.TcpConn | null = null;
  /** All samples on their way, one after the other, from the moment when FFmpeg connects. */
  #sound: Promise<void>;

  /**
   * @param file Where it writes.
   * @param name What messages call the file.
   * @param comment What its tags say.
   */
  constructor(
    ffmpeg: Ffmpeg,
    container: Container,
    shape: StreamShape,
    file: string,
    name: string,
    comment: string | null = null,
  ) {
    this.#name = name;
    this.#link = new Loopback();
    const { width, height, fps, sampleRate } = shape;
    const quick = ["-probesize", "32", "-analyzeduration", "0"];
    try {
      this.#process = new FfmpegProcess(ffmpeg, [
        ...["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", `${width}x${height}`],
        ...["-framerate", `${fps}`, ...quick, "-i", "pipe:0"],
        ...["-f", "f32le", "-ar", `${sampleRate}`, "-ac", "1", ...quick, "-i", this.#link.url],
        ...["-map", "0:v", "-map", "1:a", ...container.video, ...container.audio],
        ...[
          ...pictureArgs(width, height, fps),
          ...bitExact,
          ...(comment === null ? [] : ["-metadata", `comment=${comment}`]),
          ...container.piecewise,
          "-y",
          "-f",
          container.format,
          fileUrl(file),
        ],
      ], { stdin: true });
    } catch (error) {
      this.#link.close();
      throw error;
    }
    this.#video = this.#process.child.stdin.getWriter();
    this.#connected = this.#link.accept().catch(() => null);
    // An FFmpeg that ends before it connects never will.
    this.#process.end().finally(() => this.#link.close());
    this.#sound = this.#connected.then((connection) => void (this.#audio = connection));
  }

  /**
   * Appends one unit; resolves when FFmpeg has taken it.
   *
   * @param frames RGB24 frames of the shape.
   * @param samples Mono samples of the shape.
   * @throws OutputError with FFmpeg's last line when it has ended.
   */
  async write(frames: Uint8Array, samples: Float32Array): Promise<void> {
    const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
    this.#sound = this.#sound.then(() => this.#audio ? writeAll(this.#audio, bytes) : undefined);
    this.#sound.catch(() => {});
    try {
      // Before it connects FFmpeg looks at some pictures: waiting for the samples would stop both.
      await Promise.all([this.#video.write(frames), this.#audio ? this.#sound : undefined]);
    } catch (error) {
      throw await this.#failed(error);
    }
  }

  /** Ends the streams and waits for the finished file. @throws OutputError */
  async finish(): Promise<void> {
    try {
      await Promise.all([this.#video.close(), this.#sound]);
    } catch (error) {
      throw await this.#failed(error);
    }
    this.#audio?.close();
    if (!await this.#process.wrote()) throw await this.#error();
  }

  /** Ends FFmpeg at once; what it wrote stops somewhere. */
  async abort(): Promise<void> {
    await this.#process.kill();
    this.#link.close();
    closeQuietly(this.#audio ?? await this.#connected);
    await this.#video.abort().catch(() => {});
  }

  /** A write failed because FFmpeg is gone (or, else, for the reason given). */
  async #failed(error: unknown): Promise<unknown> {
    const gone = error instanceof Deno.errors.BrokenPipe ||
      error instanceof Deno.errors.ConnectionReset || error instanceof TypeError;
    if (gone) await this.#process.end();
    await this.abort();
    return gone ? await this.#error() : error;
  }

  async #error(): Promise<OutputError> {
    const { signal } = await this.#process.end();
    const said = signal === null ? this.#process.lastLine() : `ended by ${signal}`;
    return new OutputError(`FFmpeg ended while it wrote ${this.#name}: ${said}`);
  }
}

function closeQuietly(connection: Deno.TcpConn | null): void {
  try {
    connection?.close();
  } catch {
    // Closed already.
  }
}

/**
 * The finished file from the one that a {@linkcode MediaEncoder} wrote: the same pictures and sound,
 * with a subtitle track where `captions` (a WebVTT file) is given. @throws OutputError
 */
export async function finishMedia(
  ffmpeg: Ffmpeg,
  container: Container,
  pieces: string,
  captions: string | null,
  output: string,
): Promise<void> {
  const track = captions === null ? { input: [], output: [] } : {
    input: ["-f", "webvtt", "-i", fileUrl(captions)],
    output: ["-map", "1:s", "-c:s", container.subtitles, "-disposition:s:0", "default"],
  };
  // Fragments don't tell how long the last piece of sound is: it is coded again, without loss.
  const sound = container.rewritten ? container.audio : ["-c:a", "copy"];
  const process = new FfmpegProcess(ffmpeg, [
    ...["-i", fileUrl(pieces), ...track.input],
    ...["-map", "0", ...track.output, "-c:v", "copy", ...sound],
    ...[...bitExact, ...container.more, "-y", "-f", container.format, fileUrl(output)],
  ]);
  if (!await process.wrote()) {
    throw new OutputError(`FFmpeg can't finish the file: ${process.lastLine()}`);
  }
}
