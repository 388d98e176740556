/**
 * The ends of a replay: a recording comes in, and the outputs are files that are finished however the
 * run ends: complete, cut off, or interrupted.
 */
import { InputError } from "../../engine/config/errors.ts";
import { type FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { mediaExtensions } from "../ffmpeg/ffmpeg_encode.ts";
import type { Spoken } from "../media/captions.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import type { TrackChoice } from "../media/tracks.ts";
import { fileDigest, writeAll } from "../system/bytes.ts";
import { OutputError, outputError, RunError } from "../system/errors.ts";
import type { OutputFile, Outputs } from "../system/output_file.ts";
import { say } from "../system/terminal.ts";
import type { Answer, Ends, Finished, Input } from "./ends.ts";
import { checkInput, openInput } from "./observe.ts";
import {
  captionsPath,
  checkExtension,
  needsFfmpeg,
  openResponse,
  responseExtensions,
  type ResponseWriter,
} from "./response_file.ts";
import { sideBySide } from "./side_by_side.ts";

/** What a replay reads and writes. */
export interface ReplayFiles {
  input: string;
  /** What is taken of the input. */
  tracks: TrackChoice;
  output: string;
  sideBySide?: string | undefined;
  events?: string | undefined;
  /** What else is read. */
  references: readonly (string | undefined)[];
  /** The shape of both sides. */
  user: StreamShape;
  agent: StreamShape;
  /** The unit at which the outputs begin: 0, or where the run was forked. */
  firstUnit: number;
  ffmpeg: FfmpegFinder;
  quiet: boolean;
  signal: AbortSignal;
}

/** Outputs without their names. */
interface Claimed {
  response: OutputFile;
  captions: OutputFile;
  events: OutputFile | null;
  sideBySide: OutputFile | null;
}

export class FileEnds implements Ends {
  readonly arriving = false;
  readonly ffmpeg: FfmpegFinder;
  /** What is said in the side-by-side picture. */
  readonly #spoken: Spoken[] = [];
  #writer: ResponseWriter | null = null;
  /** The response itself could not be written: what is there of it has to be rescued. */
  #isResponseBroken = false;
  #events: Deno.FsFile | null = null;

  private constructor(
    private readonly replay: ReplayFiles,
    private readonly claimed: Claimed,
    private readonly outputs: Outputs,
  ) {
    this.ffmpeg = replay.ffmpeg;
  }

  /**
   * Checks names and claims all outputs, before any work. The caller commits or discards `outputs`.
   *
   * @throws InputError
   */
  static async claim(replay: ReplayFiles, outputs: Outputs): Promise<FileEnds> {
    const { input, output, sideBySide: both, events, references, firstUnit } = replay;
    checkExtension("-o", output, responseExtensions);
    if (both !== undefined) {
      checkExtension("--side-by-side", both, mediaExtensions);
      if (!needsFfmpeg(output)) {
        throw new InputError(
          `--side-by-side needs a response with picture and sound, '${output}' holds one of ` +
            `them: let -o end in ${mediaExtensions.join(", ")}`,
        );
      }
      if (firstUnit > 0) {
        throw new InputError(
          `--side-by-side: a fork's response begins at unit ${firstUnit} of the ` +
            "recording: leave it out",
        );
      }
    }
    for (const path of [input, ...references]) if (path !== undefined) await checkInput(path);
    const files = {
      response: await outputs.claim(output),
      captions: await outputs.claim(captionsPath(output)),
      events: events === undefined ? null : await outputs.claim(events, true),
      sideBySide: both === undefined ? null : await outputs.claim(both),
    };
    if (needsFfmpeg(output) || files.sideBySide) await replay.ffmpeg();
    return new FileEnds(replay, files, outputs);
  }

  async open(): Promise<Input> {
    const { input, tracks, user, agent, ffmpeg } = this.replay;
    const { observations: reader, facts } = await openInput(input, user, ffmpeg, tracks);
    try {
      const { response, captions, events } = this.claimed;
      const sha256 = await fileDigest(facts.path);
      this.#writer = await openResponse(response, captions, agent, ffmpeg);
      this.#events = events && await Deno.open(events.temporary, { write: true });
      return { reader, facts: { ...facts, sha256 } };
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  begin(): Promise<void> {
    return Promise.resolve();
  }

  async write(answer: Answer): Promise<number> {
    const unit = answer.unit - this.replay.firstUnit;
    const { text } = answer;
    if (this.claimed.sideBySide && text !== "") this.#spoken.push({ unit, text });
    try {
      await this.#writer?.write({ ...answer, unit });
    } catch (error) {
      this.#isResponseBroken = true;
      throw outputError(this.claimed.response.path, error);
    }
    return performance.now();
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
    const { kept, reason } = await this.#completeResponse(units, broken);
    const { response, captions, events, sideBySide: both } = this.claimed;
    const outputs: Record<string, string> = {
      response: response.path,
      text: captions.path,
      ...(events ? { events: events.path } : {}),
    };
    const isWhole = both === null || await this.#putSideBySide(both, kept);
    if (both && isWhole) outputs["side_by_side"] = both.path;
    const seconds = (kept * this.replay.agent.unitMs) / 1000;
    return {
      outputs,
      ended: reason === null && isWhole ? "complete" : "output broke off",
      cut: reason === null ? null : { seconds, reason },
    };
  }

  /** Finishes the response; when its FFmpeg died, with what can be kept, and says so. */
  async #completeResponse(
    units: number,
    broken: Error | null,
  ): Promise<{ kept: number; reason: string | null }> {
    const writer = this.#writer;
    if (!writer) throw new Error("the ends aren't open");
    let kept = units;
    try {
      if (broken && this.#isResponseBroken) throw broken;
      await writer.finish();
    } catch (reason) {
      const error = outputError(this.claimed.response.path, reason);
      if (!(error instanceof OutputError)) throw error;
      broken = error;
      kept = await writer.rescue?.(units) ?? 0;
      if (kept === 0) throw error;
    }
    this.#writer = null;
    if (broken === null) return { kept, reason: null };
    const seconds = ((kept * this.replay.agent.unitMs) / 1000).toFixed(2);
    const all = kept === units ? "all" : `the first ${kept}`;
    say(`${broken.message}; ${all} of ${units} answered units are kept (${seconds} s)`);
    return { kept, reason: broken.message };
  }

  /** Makes the side-by-side picture. @returns False where that failed or was interrupted. */
  async #putSideBySide(output: OutputFile, units: number): Promise<boolean> {
    const { input, tracks, agent, ffmpeg, quiet, signal } = this.replay;
    let isWhole = false;
    if (!signal.aborted) {
      if (!quiet) say(`putting both ends side by side in ${output.path}`);
      try {
        const missing = await sideBySide(await ffmpeg(), {
          input,
          tracks,
          response: this.claimed.response.temporary,
          output,
          agent,
          units,
          spoken: this.#spoken,
        }, signal);
        isWhole = !signal.aborted;
        if (missing !== null && isWhole) {
          say(`the agent's text is a subtitle track, not part of the picture: ${missing}`);
        }
      } catch (error) {
        if (!(error instanceof RunError)) throw error;
        say(`${error.message}; ${output.path} was not written, the response is whole`);
      }
    }
    // Half of it would be of no use.
    if (!isWhole) await this.outputs.drop(output);
    return isWhole;
  }

  async close(): Promise<void> {
    await this.#writer?.abort();
    this.#writer = null;
    this.#events?.close();
    this.#events = null;
  }
}
