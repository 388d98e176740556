/**
 * The ends of a stream that is answered while it arrives. What was complete in unit k has left before
 * unit k + 2 is read, and nothing more is read than is answered: a reader that stops stops the whole
 * pipeline.
 */
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { Captions, webVttCue, webVttHead } from "../media/captions.ts";
import { type MediaSource, ObservationReader } from "../media/observation_reader.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { OutputError } from "../system/errors.ts";
import { aborted, orAborted } from "../system/interrupt.ts";
import { ReaderGone } from "./endpoints.ts";
import type { Answer, Ends, Finished, Input, Output } from "./ends.ts";
import type { LiveFiles, StreamOutput } from "./stream_output.ts";

/** A stream that pauses while the other goes on for this long is taken to be silent, in ms. */
const longestPause = 2000;
/** How long an interrupted run waits for a reader that doesn't read, in ms. */
const patience = 1000;

/** Where a stream's answers go. */
export interface LiveSinks {
  output: StreamOutput;
  files: LiveFiles;
}

/** What live ends are made of. */
export interface LiveParts extends LiveSinks {
  /** Waits for the input's head. */
  input(): Promise<Input>;
  /** Each unit is answered before the next is asked for (false). */
  inTurn?: boolean;
  ffmpeg: FfmpegFinder;
}

/** The answers to a stream, each out when its `write` resolves. */
export class LiveOutput implements Output {
  private readonly sinks: LiveSinks;
  readonly #captions: Captions;
  readonly #impatience = new AbortController();
  readonly #unitMs: number;
  #lateError: { error: unknown } | null = null;

  /** @param unitMs Length of a unit. @param signal Interrupts the run. */
  constructor(sinks: LiveSinks, unitMs: number, signal?: AbortSignal) {
    this.sinks = sinks;
    this.#unitMs = unitMs;
    this.#captions = new Captions(unitMs);
    if (!signal) return;
    aborted(signal).then(() =>
      Deno.unrefTimer(setTimeout(() => this.#impatience.abort(), patience))
    );
  }

  tag(comment: string): void {
    this.sinks.output.tag(comment);
  }

  async begin(): Promise<void> {
    await this.#writeText("text", webVttHead);
    await this.#patiently(this.sinks.output.start());
  }

  async write(answer: Answer): Promise<number> {
    if (this.#lateError) throw this.#lateError.error;
    const firstBytes = await this.#patiently(this.sinks.output.write(answer));
    // The answer is out: what fails now is told with the next one.
    await this.#writeCaption(this.#captions.add(answer)).catch((error) =>
      this.#lateError = { error }
    );
    return firstBytes;
  }

  async #writeCaption(caption: ReturnType<Captions["end"]>): Promise<void> {
    if (caption) await this.#writeText("text", webVttCue(caption));
  }

  async #writeText(file: keyof LiveFiles, text: string): Promise<void> {
    await this.sinks.files[file]?.write(new TextEncoder().encode(text));
  }

  async writeEvent(line: string): Promise<void> {
    await this.#writeText("events", line);
  }

  async finish(units: number, broken: Error | null): Promise<Finished | null> {
    const { output } = this.sinks;
    try {
      if (!(broken instanceof ReaderGone)) {
        await this.#patiently(output.end());
        await this.#writeCaption(this.#captions.end());
        if (this.#lateError) throw this.#lateError.error;
      }
    } catch (error) {
      if (!(error instanceof ReaderGone || error instanceof OutputError)) throw error;
      broken ??= error;
    }
    const isGone = broken instanceof ReaderGone;
    if (broken && !isGone && (units === 0 || !(broken instanceof OutputError))) throw broken;
    if (units === 0) return null;
    return {
      units,
      outputs: output.names,
      ended: isGone ? "reader gone" : broken ? "output broke off" : "complete",
      cut: broken && !isGone
        ? { seconds: (units * this.#unitMs) / 1000, reason: broken.message }
        : null,
    };
  }

  async close(): Promise<void> {
    await this.sinks.files.text?.close();
    await this.sinks.files.events?.close();
  }

  /** What is being written; when the run is interrupted, it is waited for only a moment longer. */
  async #patiently(writing: Promise<number>): Promise<number> {
    const at = await orAborted(writing, this.#impatience.signal);
    if (at === null) throw new ReaderGone("it doesn't read");
    return at;
  }
}

export class LiveEnds extends LiveOutput implements Ends {
  private readonly parts: LiveParts;
  readonly arriving = true;

  /** @param unitMs Length of a unit. @param signal Interrupts the run. */
  constructor(parts: LiveParts, unitMs: number, signal: AbortSignal) {
    super(parts, unitMs, signal);
    this.parts = parts;
  }

  get ffmpeg() {
    return this.parts.ffmpeg;
  }

  get inTurn() {
    return this.parts.inTurn ?? false;
  }

  open(): Promise<Input> {
    return this.parts.input();
  }
}

/** Reads a stream as it arrives. */
export function liveReader(source: MediaSource, shape: StreamShape): ObservationReader {
  return new ObservationReader(source, shape, undefined, Math.ceil(longestPause / shape.unitMs));
}
