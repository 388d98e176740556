/** Recordings and streams as observations, for scripts. */
import { givenCheckpoint } from "../../engine/checkpoint/given.ts";
import {
  type Observation,
  type StreamLayout,
  type StreamShape,
  unitLayout,
} from "../../engine/checkpoint/unit.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { readOptions, type RulesOf, whole } from "../../engine/config/option_rules.ts";
import type { Checkpoint } from "../../engine/mod.ts";
import { InputError } from "../../engine/config/errors.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import type { Cut, ObservationReader } from "../media/observation_reader.ts";
import type { InputFacts } from "../pace/events.ts";
import { chooseTracks, type TrackChoice } from "../media/tracks.ts";
import { localPath } from "../../engine/config/local_path.ts";
import type { ByteSource } from "./endpoints.ts";
import { liveReader } from "./live_ends.ts";
import { openInput } from "./observe.ts";
import { awaitHead, decodeStream } from "./stream_decode.ts";

/** Whose units they are: a session's `layout`, or the checkpoint that it runs. */
export type Layout =
  | { layout: StreamLayout; model?: undefined }
  | { model: Checkpoint; layout?: undefined };

/** What names it among options. */
export const layoutRules = { layout: { kind: "object" }, model: { kind: "object" } } as const;

/** The layout that is meant. @throws InputError when there is none. */
export function layoutOf({ layout, model }: Layout): StreamLayout {
  const found = layout ?? (model && unitLayout(givenCheckpoint(model).config));
  if (found?.user && found.agent) return found;
  throw new InputError(
    `layout: is ${valueText(found)}; it may be a session's ({ layout: session.layout }), or give ` +
      "{ model: checkpoint }",
  );
}

/** What is taken of a recording. */
export type ObservationOptions = Layout & {
  /** The Nth track of its kind, from 1 on, or "none"; the container's default. */
  audioTrack?: TrackChoice["audio"];
  videoTrack?: TrackChoice["video"];
  /** The channel of the sound: "left", "right", a number from 1 on; all are mixed ("mix"). */
  audioChannel?: TrackChoice["channel"];
  /** Pixels of a frame, where they aren't to be the layout's. */
  size?: { width: number; height: number };
  /** The first unit that is given (0): a session that goes on after unit k takes k + 1. */
  from?: number;
  /** FFmpeg's path (FFMPEG_BIN, ffmpeg-static, PATH). */
  ffmpeg?: string;
};

const rules = {
  ...layoutRules,
  // These are read as the command line's are.
  audioTrack: { kind: "any" },
  videoTrack: { kind: "any" },
  audioChannel: { kind: "any" },
  size: { keys: { width: whole(1, 16384), height: whole(1, 16384) } },
  from: whole(0, Number.MAX_SAFE_INTEGER),
  ffmpeg: { kind: "text" },
} as const satisfies RulesOf<ObservationOptions>;

/** The units of a recording or stream, in order. Nothing is opened before they are asked for. */
export class Observations implements AsyncIterable<Observation> {
  /** What was opened; null before the first unit. */
  facts: InputFacts | null = null;
  /** Where and why it broke off; null before its end, and where it ended as it should. */
  cut: Cut | null = null;

  readonly #source: string | URL | ReadableStream<Uint8Array>;
  readonly #options: ObservationOptions;
  readonly #shape: StreamShape;

  /** Made by `observations`. */
  constructor(source: string | URL | ReadableStream<Uint8Array>, options: ObservationOptions) {
    this.#source = source;
    this.#options = readOptions(options, rules);
    this.#shape = { ...layoutOf(this.#options).user, ...this.#options.size };
  }

  /** The units, each when it is asked for; an end in the middle lets go of the source. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Observation, void, void> {
    const { reader, facts } = await this.#open();
    this.facts = facts;
    try {
      let unit = 0;
      for await (const observation of reader) {
        if (unit++ >= (this.#options.from ?? 0)) yield observation;
      }
      this.cut = reader.cut;
    } finally {
      await reader.close();
    }
  }

  async #open(): Promise<{ reader: ObservationReader; facts: InputFacts }> {
    const { audioTrack, videoTrack, audioChannel, ffmpeg: asked } = this.#options;
    const shape = this.#shape;
    const ffmpeg = ffmpegFinder(asked);
    const text = (value: string | number | undefined) => value === undefined ? value : `${value}`;
    const tracks = chooseTracks({
      "audio-track": text(audioTrack),
      "video-track": text(videoTrack),
      "audio-channel": text(audioChannel),
    });
    if (!(this.#source instanceof ReadableStream)) {
      const path = localPath(this.#source);
      const { observations: reader, facts } = await openInput(path, shape, ffmpeg, tracks);
      return { reader, facts };
    }
    const bytes = byteSource(this.#source);
    try {
      const headed = await awaitHead(bytes, tracks);
      const { head: { format: reader }, taken } = headed;
      const facts = { ...noFile, path: bytes.name, reader, ...taken.facts };
      return {
        reader: liveReader(decodeStream(await ffmpeg(), bytes, headed, shape), shape),
        facts,
      };
    } catch (error) {
      await bytes.close();
      throw error;
    }
  }
}

/**
 * A recording, or a stream in NUT or Matroska, as observations of a session: what `replay` and `stream`
 * read. Pictures are scaled and padded, sound is mixed to one channel, the last unit is filled up.
 * WAV needs no FFmpeg, nor does a Y4M file of the layout's size and rate.
 *
 * @param source A file's path or `file:` URL, or a stream of bytes, which is read once.
 * @throws InputError when an option is none; while it is read, when it is missing or no recording.
 */
export function observations(
  source: string | URL | ReadableStream<Uint8Array>,
  options: ObservationOptions,
): Observations {
  return new Observations(source, options);
}

const noFile = { bytes: null, seconds: null, sha256: null };

function byteSource(stream: ReadableStream<Uint8Array>): ByteSource {
  if (stream.locked) throw new InputError("the stream is being read already: give a new one");
  const reader = stream.getReader();
  async function* chunks() {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  }
  return { name: "the stream", chunks: chunks(), close: () => reader.cancel().catch(() => {}) };
}
