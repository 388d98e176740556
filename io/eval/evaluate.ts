/** Runs all recordings of an evaluation and gathers what they gave. */
import type { ModelConfig } from "../../engine/config/config.ts";
import type { ResponseCodec } from "../../engine/model/response_codec.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { Progress } from "../cli/progress.ts";
import { beforeAbort, type OpenedSession } from "../run/run_model.ts";
import { say } from "../system/terminal.ts";
import type { EventsFile } from "./events_file.ts";
import { type Job, opened } from "./jobs.ts";
import type { RecordingResult } from "./recording_result.ts";
import type { Recording } from "./recordings.ts";
import { runRecording } from "./run.ts";

/** Seconds of stream after which the codec's floor is known well enough. */
const floorSeconds = 300;

export interface Evaluation {
  jobs: readonly Job[];
  /** Results of an earlier run, whose recordings aren't run again. */
  earlier: readonly RecordingResult[];
  config: ModelConfig;
  /** Opens a session, a new one for each recording. */
  open(): Promise<OpenedSession>;
  openCodec(): Promise<Pick<ResponseCodec, "reset" | "roundTrip" | "close">>;
  ffmpeg: FfmpegFinder;
  events: EventsFile | null;
  quiet: boolean;
  signal: AbortSignal;
}

/** @returns Results in the order of the jobs; those not reached before the signal are missing. */
export async function evaluate(run: Evaluation): Promise<RecordingResult[]> {
  const { config, signal, quiet } = run;
  const known = new Map(run.earlier.map((result) => [result.name, result]));
  const left = run.jobs.filter(({ name }) => !known.has(name));
  const progress = new Progress(left.reduce((sum, { seconds }) => sum + seconds, 0), quiet);
  let [units, floored, introduced] = [0, 0, false];
  const codecs: Awaited<ReturnType<Evaluation["openCodec"]>>[] = [];

  async function one(recording: Recording): Promise<RecordingResult | null> {
    const wantsFloor = recording.agent !== null && recording.truth.swap === null &&
      floored < floorSeconds;
    if (wantsFloor) {
      if (codecs.length === 0) codecs.push(await run.openCodec());
      floored += (recording.truth.units * config.unit_ms) / 1000;
    }
    const session = await beforeAbort(run.open(), signal);
    if (session === null) return null;
    if (!introduced && !quiet) say(session.line);
    introduced = true;
    return await runRecording({
      ...run,
      recording,
      session: session.session,
      codec: wantsFloor ? codecs[0] ?? null : null,
      progress: () => progress.update(++units, (units * config.unit_ms) / 1000),
    });
  }

  try {
    let done = 0;
    for await (const recording of opened(left)) {
      if (signal.aborted) break;
      const result = await one(recording);
      if (result === null) break;
      done++;
      known.set(result.name, result);
      run.events?.add(result);
      progress.clear();
      if (!quiet) say(`${done} of ${left.length}: ${line(result)}`);
    }
  } finally {
    progress.clear();
    for (const codec of codecs) codec.close();
  }
  return run.jobs.flatMap(({ name }) => known.get(name) ?? []);
}

/** One recording in one line. */
function line({ name, units, wall_seconds, outcomes }: RecordingResult): string {
  const right = outcomes.filter(({ measure }) => measure === "right");
  const good = right.filter(({ value }) => value === 1).length;
  return `${name}, ${units} units in ${wall_seconds.toFixed(1)} s, ` +
    `${good} of ${right.length} answers right`;
}
