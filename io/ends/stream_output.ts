/** Where a stream's answers go: Matroska on one way out, or pictures and samples on two. */
import { InputError } from "../../engine/config/errors.ts";
import { type ByteSink, isStandardOutput, openSink } from "./endpoints.ts";
import { MatroskaMuxer } from "../media/matroska_muxer.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import type { Answer } from "./ends.ts";
import type { StreamShape } from "../media/stream_shape.ts";

/** Takes responses in order; each is out when its call resolves. */
export interface StreamOutput {
  /** The outputs by kind. */
  names: Record<string, string>;
  /** Gives the line that the stream carries about its making, where it has a place for it. */
  tag(comment: string): void;
  /** What stands before the first unit. Like the others it gives the moment (performance.now) at which
   * its first bytes were taken. @throws ReaderGone */
  start(): Promise<number>;
  write(answer: Answer): Promise<number>;
  /** Completes what was written. */
  end(): Promise<number>;
}

/** Matroska on one way out. */
export function muxedOutput(sink: ByteSink, shape: StreamShape): StreamOutput {
  const muxer = new MatroskaMuxer(shape);
  let comment: string | null = null;
  return {
    names: { response: sink.name },
    tag: (line) => void (comment = line),
    start: () => sink.write(muxer.start(comment)),
    write: (answer) => sink.write(muxer.unit(answer)),
    async end() {
      await sink.close();
      return performance.now();
    },
  };
}

/** RGB24 frames and little-endian f32 samples, each on its own way out. */
export function rawOutput(video: ByteSink | null, audio: ByteSink | null): StreamOutput {
  const sinks = [video, audio].filter((sink) => sink !== null);
  return {
    names: Object.fromEntries([
      ...(video ? [["video", video.name]] : []),
      ...(audio ? [["audio", audio.name]] : []),
    ]),
    tag: () => {},
    start: () => Promise.resolve(performance.now()),
    async write({ frames, audio: samples }) {
      const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
      const writes = [video?.write(frames), audio?.write(bytes)].filter((x) => x !== undefined);
      return Math.min(...await Promise.all(writes));
    },
    async end() {
      for (const sink of sinks) await sink.close();
      return performance.now();
    },
  };
}

/** Events as JSON lines, and text as WebVTT: files that grow while the stream runs. */
export interface LiveFiles {
  events: ByteSink | null;
  text: ByteSink | null;
}

/** Opens them. @throws InputError when one exists and `force` is not given. */
export async function openLiveFiles(
  paths: { events?: string | undefined; text?: string | undefined },
  force: boolean,
  ffmpeg: FfmpegFinder,
): Promise<LiveFiles> {
  const open = async (path: string | undefined): Promise<ByteSink | null> => {
    if (path === undefined) return null;
    if (!isStandardOutput(path) && !path.startsWith("unix:")) {
      return await openSink(path, force, ffmpeg);
    }
    throw new InputError(`'${path}': events and text need a file, standard output is for media`);
  };
  return { events: await open(paths.events), text: await open(paths.text) };
}
