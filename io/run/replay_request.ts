/** What a replay is asked for, and its output files, claimed before any work. */
import { InputError } from "../../engine/config/errors.ts";
import { mediaExtensions } from "../ffmpeg/ffmpeg_encode.ts";
import { checkInput } from "../ends/observe.ts";
import type { TrackChoice } from "../media/tracks.ts";
import type { OutputFile, Outputs } from "../system/output_file.ts";
import { captionsPath, checkExtension, needsFfmpeg, responseExtensions } from "./respond.ts";
import type { RunRequest } from "./run_model.ts";
import type { SavedRun } from "../saved/saved_run.ts";

/** What is asked for: files and limits. */
export interface ReplayRequest extends RunRequest {
  input: string;
  output: string;
  /** What is taken of the input. */
  tracks: TrackChoice;
  sideBySide?: string | undefined;
  /** Where the run is saved; null: nowhere. */
  saved: SavedRun | null;
}

/** Outputs without their names. */
export interface ReplayFiles {
  response: OutputFile;
  captions: OutputFile;
  events: OutputFile | null;
  sideBySide: OutputFile | null;
}

/** Checks names and claims all outputs, before any work. */
export async function claimFiles(request: ReplayRequest, outputs: Outputs): Promise<ReplayFiles> {
  const { output, events, sideBySide: both } = request;
  checkExtension("-o", output, responseExtensions);
  if (both !== undefined) {
    checkExtension("--side-by-side", both, mediaExtensions);
    if (!needsFfmpeg(output)) {
      throw new InputError(
        `--side-by-side needs a response with picture and sound, '${output}' holds one of them: ` +
          `let -o end in ${mediaExtensions.join(", ")}`,
      );
    }
  }
  for (const path of [request.input, request.persona, request.voice, request.userText]) {
    if (path !== undefined) await checkInput(path);
  }
  return {
    response: await outputs.claim(output),
    captions: await outputs.claim(captionsPath(output)),
    events: events === undefined ? null : await outputs.claim(events, true),
    sideBySide: both === undefined ? null : await outputs.claim(both),
  };
}
