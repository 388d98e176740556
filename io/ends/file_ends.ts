/**
 * The ends of a replay: a recording comes in, and the outputs are files that are finished however the
 * run ends: complete, cut off, or interrupted.
 */
import { InputError } from "../../engine/config/errors.ts";
import { mediaExtensions } from "../ffmpeg/ffmpeg_encode.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import type { TrackChoice } from "../media/tracks.ts";
import { fileDigest } from "../system/bytes.ts";
import { outputError, RunError } from "../system/errors.ts";
import type { OutputFile, Outputs } from "../system/output_file.ts";
import { say } from "../system/terminal.ts";
import type { Ends, Finished, Input } from "./ends.ts";
import { type ClaimedFiles, claimFiles, FileOutput, type ResponseFiles } from "./file_output.ts";
import { checkInput, openInput } from "./observe.ts";
import { checkExtension, needsFfmpeg, responseExtensions } from "./response_file.ts";
import { drawSideBySide } from "./side_by_side.ts";

/** What a replay reads and writes. */
export interface ReplayFiles extends ResponseFiles {
  input: string;
  /** The input's SHA-256, where it is known. */
  sha256?: string;
  /** What is taken of the input. */
  tracks: TrackChoice;
  sideBySide?: string | undefined;
  /** What else is read. */
  references: readonly (string | undefined)[];
  /** The shape of observations. */
  user: StreamShape;
  quiet: boolean;
  signal: AbortSignal;
}

/** Outputs without their names. */
interface Claimed extends ClaimedFiles {
  sideBySide: OutputFile | null;
}

export class FileEnds extends FileOutput implements Ends {
  private readonly replay: ReplayFiles;
  private readonly files: Claimed;
  private readonly outputs: Outputs;
  readonly arriving = false;
  readonly inTurn = false;

  private constructor(
    replay: ReplayFiles,
    files: Claimed,
    outputs: Outputs,
  ) {
    super(replay, files);
    this.replay = replay;
    this.files = files;
    this.outputs = outputs;
  }

  get ffmpeg() {
    return this.replay.ffmpeg;
  }

  /**
   * Checks names and claims all outputs, before any work. The caller commits or discards `outputs`.
   *
   * @throws InputError
   */
  static async claim(replay: ReplayFiles, outputs: Outputs): Promise<FileEnds> {
    const { input, output, sideBySide: both, references, firstUnit } = replay;
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
    const files = await claimFiles(replay, outputs);
    const beside = both === undefined ? null : await outputs.claim(both);
    if (beside) await replay.ffmpeg();
    return new FileEnds(replay, { ...files, sideBySide: beside }, outputs);
  }

  async open(): Promise<Input> {
    const { input, tracks, user, ffmpeg } = this.replay;
    const { observations: reader, facts } = await openInput(input, user, ffmpeg, tracks);
    try {
      const sha256 = this.replay.sha256 ?? await fileDigest(facts.path);
      await this.openFiles();
      return { reader, facts: { ...facts, sha256 } };
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  override async finish(units: number, broken: Error | null): Promise<Finished | null> {
    const finished = await super.finish(units, broken);
    const { sideBySide: both } = this.files;
    if (finished === null || both === null) return finished;
    if (!await this.#putSideBySide(both, finished.units)) {
      return { ...finished, ended: "output broke off" };
    }
    return { ...finished, outputs: { ...finished.outputs, sideBySide: both.path } };
  }

  /** Makes the side-by-side picture. @returns False where that failed or was interrupted. */
  async #putSideBySide(output: OutputFile, units: number): Promise<boolean> {
    const { input, tracks, agent, ffmpeg, quiet, signal } = this.replay;
    let isWhole = false;
    if (!signal.aborted) {
      if (!quiet) say(`putting both ends side by side in ${output.path}`);
      try {
        const missing = await drawSideBySide(await ffmpeg(), {
          input,
          tracks,
          response: this.files.response.temporary,
          output,
          agent,
          units,
          spoken: this.spoken,
        }, signal);
        isWhole = !signal.aborted;
        if (missing !== null && isWhole) {
          say(`the agent's text is a subtitle track, not part of the picture: ${missing}`);
        }
      } catch (reason) {
        const error = outputError(output.path, reason);
        if (!(error instanceof RunError)) throw error;
        say(`${error.message}; ${output.path} was not written, the response is whole`);
      }
    }
    // Half of it would be of no use.
    if (!isWhole) await this.outputs.drop(output);
    return isWhole;
  }
}
