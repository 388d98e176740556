/** A response as files: the medium, its text as WebVTT, events; finished as far as they go. */
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import type { Spoken } from "../media/captions.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { writeAll } from "../system/bytes.ts";
import { OutputError, outputError } from "../system/errors.ts";
import type { OutputFile, Outputs } from "../system/output_file.ts";
import type { Answer, Finished, Output } from "./ends.ts";
import {
  captionsPath,
  checkWritable,
  needsFfmpeg,
  openResponse,
  type ResponseWriter,
} from "./response_file.ts";

/** What is written. */
export interface ResponseFiles {
  output: string;
  events?: string | undefined;
  /** The shape of responses. */
  agent: StreamShape;
  /** The unit at which the outputs begin: 0, or where the run was forked. */
  firstUnit: number;
  /** Nothing is said: there is no file of captions. */
  silent?: boolean;
  ffmpeg: FfmpegFinder;
}

/** The files before they have their names. */
export interface ClaimedFiles {
  response: OutputFile;
  captions: OutputFile | null;
  events: OutputFile | null;
}

/**
 * Checks names and claims the files, before any work. The caller commits or discards `outputs`.
 *
 * @throws InputError
 */
export async function claimFiles(
  { output, events, silent, ffmpeg }: ResponseFiles,
  outputs: Outputs,
): Promise<ClaimedFiles> {
  const files = {
    response: await outputs.claim(output),
    captions: silent ? null : await outputs.claim(captionsPath(output)),
    events: events === undefined ? null : await outputs.claim(events, true),
  };
  if (needsFfmpeg(output)) await ffmpeg();
  return files;
}

export class FileOutput implements Output {
  private readonly response: ResponseFiles;
  private readonly claimed: ClaimedFiles;
  /** What was said so far, units counted from the first of the file. */
  readonly spoken: Spoken[] = [];
  #writer: ResponseWriter | null = null;
  #comment: string | null = null;
  /** The response itself could not be written: what is there of it has to be rescued. */
  #isResponseBroken = false;
  #events: Deno.FsFile | null = null;

  constructor(
    response: ResponseFiles,
    claimed: ClaimedFiles,
  ) {
    this.response = response;
    this.claimed = claimed;
  }

  /** Opens the files; before anything is written. @throws InputError when FFmpeg can't write them. */
  async openFiles(): Promise<void> {
    const { response, events } = this.claimed;
    if (needsFfmpeg(response.path)) await checkWritable(response.path, this.response.ffmpeg);
    this.#events = events && await Deno.open(events.temporary, { write: true });
  }

  tag(comment: string): void {
    this.#comment = comment;
  }

  begin(): Promise<void> {
    return Promise.resolve();
  }

  async write(answer: Answer): Promise<number> {
    const unit = answer.unit - this.response.firstUnit;
    const { text } = answer;
    if (text !== "") this.spoken.push({ unit, text });
    try {
      this.#writer ??= await this.#open();
      await this.#writer.write({ ...answer, unit });
    } catch (error) {
      this.#isResponseBroken = true;
      throw outputError(this.claimed.response.path, error);
    }
    return performance.now();
  }

  #open(): Promise<ResponseWriter> {
    const { response, captions } = this.claimed;
    const { agent, ffmpeg } = this.response;
    return openResponse(response, captions, agent, ffmpeg, this.#comment);
  }

  async writeEvent(line: string): Promise<void> {
    const file = this.#events;
    if (!file) return;
    try {
      await writeAll(file, new TextEncoder().encode(line));
    } catch (error) {
      // What is there stays; the response doesn't depend on it.
      this.#events = null;
      file.close();
      throw outputError(this.claimed.events?.path ?? "events", error);
    }
  }

  async finish(units: number, broken: Error | null): Promise<Finished | null> {
    if (units === 0 && broken) throw broken;
    if (units === 0) return null;
    const writer = this.#writer;
    if (!writer) throw new Error("the files aren't open");
    const { response, captions, events } = this.claimed;
    let kept = units;
    try {
      if (broken && this.#isResponseBroken) throw broken;
      await writer.finish();
    } catch (reason) {
      const error = outputError(response.path, reason);
      if (!(error instanceof OutputError)) throw error;
      broken = error;
      kept = await writer.rescue?.(units) ?? 0;
      if (kept === 0) throw error;
    }
    this.#writer = null;
    const seconds = (kept * this.response.agent.unitMs) / 1000;
    return {
      units: kept,
      outputs: {
        response: response.path,
        ...(captions ? { text: captions.path } : {}),
        ...(events ? { events: events.path } : {}),
      },
      ended: broken ? "output broke off" : "complete",
      cut: broken && { seconds, reason: broken.message },
    };
  }

  async close(): Promise<void> {
    await this.#writer?.abort();
    this.#writer = null;
    this.#events?.close();
    this.#events = null;
  }
}
