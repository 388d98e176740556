/**
 * The ends of a stream that is answered while it arrives. What was complete in unit k has left before
 * unit k + 2 is read, and nothing more is read than is answered: a reader that stops stops the whole
 * pipeline.
 */
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { Captions, webVttCue, webVttHead } from "../media/captions.ts";
import { type MediaSource, ObservationReader } from "../media/observation_reader.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { ReaderGone } from "./endpoints.ts";
import type { Answer, Ends, Finished, Input } from "./ends.ts";
import type { LiveFiles, StreamOutput } from "./stream_output.ts";

/** A stream that pauses while the other goes on for this long is taken to be silent, in ms. */
const longestPause = 2000;
/** How long an interrupted run waits for a reader that doesn't read, in ms. */
const patience = 1000;

/** What live ends are made of. */
export interface LiveParts {
  /** Waits for the input's head. */
  input(): Promise<{ source: MediaSource; facts: Input["facts"] }>;
  output: StreamOutput;
  files: LiveFiles;
  ffmpeg: FfmpegFinder;
}

export class LiveEnds implements Ends {
  readonly arriving = true;
  readonly ffmpeg: FfmpegFinder;
  readonly #parts: LiveParts;
  readonly #user: StreamShape;
  readonly #signal: AbortSignal;
  readonly #captions: Captions;

  /** @param user The shape of what comes in. @param signal Interrupts the run. */
  constructor(parts: LiveParts, user: StreamShape, signal: AbortSignal) {
    this.ffmpeg = parts.ffmpeg;
    this.#parts = parts;
    this.#user = user;
    this.#signal = signal;
    this.#captions = new Captions(user.unitMs);
  }

  async open(): Promise<Input> {
    const { source, facts } = await this.#parts.input();
    const pause = Math.ceil(longestPause / this.#user.unitMs);
    return { reader: new ObservationReader(source, this.#user, undefined, pause), facts };
  }

  async begin(): Promise<void> {
    await this.#parts.files.text?.write(webVttHead);
    await this.#patiently(this.#parts.output.start());
  }

  async write(answer: Answer): Promise<number> {
    const firstBytes = await this.#patiently(this.#parts.output.write(answer));
    await this.#writeCaption(this.#captions.add(answer));
    return firstBytes;
  }

  async #writeCaption(caption: ReturnType<Captions["end"]>): Promise<void> {
    if (caption) await this.#parts.files.text?.write(webVttCue(caption));
  }

  async writeEvent(line: string): Promise<void> {
    await this.#parts.files.events?.write(line);
  }

  async finish(units: number, broken: Error | null): Promise<Finished | null> {
    const { output } = this.#parts;
    if (broken && !(broken instanceof ReaderGone)) throw broken;
    let isGone = broken !== null;
    try {
      if (!isGone) {
        await this.#patiently(output.end());
        await this.#writeCaption(this.#captions.end());
      }
    } catch (error) {
      if (!(error instanceof ReaderGone)) throw error;
      isGone = true;
    }
    if (units === 0) return null;
    return { outputs: output.names, ended: isGone ? "reader gone" : "complete", cut: null };
  }

  async close(): Promise<void> {
    await this.#parts.files.text?.close();
    await this.#parts.files.events?.close();
  }

  /** What is being written; when the run is interrupted, waited for only a moment longer. */
  #patiently(writing: Promise<number>): Promise<number> {
    return new Promise((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const start = () => {
        timer = setTimeout(() => reject(new ReaderGone("it doesn't read")), patience);
      };
      if (this.#signal.aborted) start();
      else this.#signal.addEventListener("abort", start);
      writing.then(resolve, reject).finally(() => {
        clearTimeout(timer);
        this.#signal.removeEventListener("abort", start);
      });
    });
  }
}
