/** How a replay ends: what its outputs hold, and what is said of what they don't. */
import type { Spoken } from "../media/captions.ts";
import { OutputError, RunError } from "../system/errors.ts";
import type { SummaryEvent } from "../pace/events.ts";
import type { Ffmpeg } from "../ffmpeg/ffmpeg.ts";
import type { Outputs } from "../system/output_file.ts";
import type { ObservationReader } from "../media/observation_reader.ts";
import type { ReplayFiles, ReplayRequest } from "./replay_request.ts";
import type { ResponseWriter } from "./respond.ts";
import { say } from "../system/terminal.ts";
import { sideBySide } from "../ends/side_by_side.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import type { UserText } from "../media/user_text.ts";

/** Finishes the response, if its FFmpeg died with what can be kept. @returns Units that it holds.
 * @throws OutputError when that is none. */
export async function completeResponse(
  writer: ResponseWriter,
  units: number,
  broken: OutputError | null,
): Promise<{ kept: number; broken: OutputError | null }> {
  try {
    if (broken) throw broken;
    await writer.finish();
    return { kept: units, broken };
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    const kept = await writer.rescue?.(units) ?? 0;
    if (kept === 0) throw error;
    return { kept, broken: error };
  }
}

/** Says what was kept of a response whose FFmpeg died. */
export function sayKept(
  request: ReplayRequest,
  broken: OutputError,
  kept: number,
  units: number,
): void {
  const seconds = ((kept * request.config.unit_ms) / 1000).toFixed(2);
  const all = kept === units ? "all" : `the first ${kept}`;
  say(`${broken.message}; ${all} of ${units} answered units are kept (${seconds} s)`);
  if (request.saved?.howToGoOn) say(request.saved.howToGoOn);
}

/** Says what isn't as it should be. */
export function explain(
  request: ReplayRequest,
  observations: ObservationReader,
  ended: SummaryEvent["ended"],
  units: number,
  userText: UserText,
): void {
  const seconds = ((units * request.config.unit_ms) / 1000).toFixed(2);
  const answered = units === 1 ? "1 whole unit" : `${units || "no"} whole units`;
  if (ended === "cut off" && observations.cut) {
    const at = observations.cut.seconds.toFixed(2);
    say(
      `${request.input}: the recording breaks off at ${at} s (${observations.cut.reason}): ` +
        `${answered} before that (${seconds} s) ${units === 1 ? "was" : "were"} answered` +
        (units === 0 ? "; nothing was written" : ""),
    );
  } else if (ended === "interrupted") {
    say(
      `interrupted after ${answered} (${seconds} s)` +
        (units === 0 ? ": nothing was written" : ": finishing what is there"),
    );
  }
  const { saved } = request;
  if (saved?.howToGoOn && ended === "interrupted") say(saved.howToGoOn);
  const end = (saved?.firstUnit ?? 0) + units;
  const unread = [...userText.keys()].filter((unit) => unit >= end).length;
  if (unread > 0 && ended !== "interrupted") {
    say(`${request.userText}: ${unread} of its times lie after the last unit (${seconds} s)`);
  }
}

/** Makes the side-by-side picture, if asked for. @returns The outputs by kind. */
export async function finishOutputs(
  request: ReplayRequest,
  files: ReplayFiles,
  outputs: Outputs,
  units: number,
  spoken: readonly Spoken[],
  ffmpeg: () => Promise<Ffmpeg>,
  agent: StreamShape,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const paths: Record<string, string> = {
    response: files.response.path,
    text: files.captions.path,
    ...(files.events ? { events: files.events.path } : {}),
  };
  if (files.sideBySide === null) return paths;
  if (!signal.aborted) {
    if (!request.quiet) say(`putting both ends side by side in ${files.sideBySide.path}`);
    try {
      const missing = await sideBySide(await ffmpeg(), {
        input: request.input,
        tracks: request.tracks,
        response: files.response.temporary,
        output: files.sideBySide,
        agent,
        units,
        spoken,
      }, signal);
      paths["side_by_side"] = files.sideBySide.path;
      if (missing !== null && !signal.aborted) {
        say(`the agent's text is a subtitle track, not part of the picture: ${missing}`);
      }
    } catch (error) {
      if (!(error instanceof RunError)) throw error;
      say(`${error.message}; ${files.sideBySide.path} was not written, the response is whole`);
    }
  }
  // Half of it would be of no use.
  if (signal.aborted) delete paths["side_by_side"];
  if (!("side_by_side" in paths)) await outputs.drop(files.sideBySide);
  return paths;
}
