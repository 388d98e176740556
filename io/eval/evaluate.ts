/** Runs all recordings of an evaluation and gathers what they gave. */
import type { ModelConfig } from "../../engine/config/config.ts";
import type { ResponseCodec } from "../../engine/model/response_codec.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { Progress } from "../cli/progress.ts";
import { streamShapes } from "../media/stream_shape.ts";
import { beforeAbort, type OpenedSession } from "../run/run_model.ts";
import { say } from "../system/terminal.ts";
import type { SharedBasis } from "./figures/basis.ts";
import { type EventsFile, resultKey } from "./figures/events_file.ts";
import type { RecordingResult } from "./figures/recording_result.ts";
import { type Job, opened } from "./jobs.ts";
import { candidatesOf, Heard, type Judge, judgedVoice } from "./judged.ts";
import type { Recording } from "./recordings.ts";
import type { Measured } from "./measurement.ts";
import { runRecording } from "./run.ts";

export interface Evaluation {
  jobs: readonly Job[];
  /** Each recording is run once with each of these. */
  noiseSeeds: readonly number[];
  /** What the results rest on, beside their recordings. */
  basis: Omit<SharedBasis, "generator">;
  /** Results of an earlier run, whose recordings aren't run again. */
  earlier: readonly RecordingResult[];
  config: ModelConfig;
  /** Opens a session, a new one for each recording. */
  open(noiseSeed: number, recording: Recording): Promise<OpenedSession>;
  /** What gives the codec's floor; it isn't measured without one. */
  openCodec?(): Promise<FloorCodec>;
  /** Judges the agent's voice when its session is closed; of recordings in which nothing is swapped. */
  judge?: Judge | undefined;
  /** What else is kept of a recording, asked when its session is closed. */
  more?(recording: Recording, measured: Measured): Promise<object>;
  ffmpeg: FfmpegFinder;
  events: EventsFile | null;
  quiet: boolean;
  signal: AbortSignal;
}

type FloorCodec = Pick<ResponseCodec, "reset" | "roundTrip" | "close">;

/** @returns Results in the order of the jobs; those not reached before the signal are missing. */
export async function evaluate(run: Evaluation): Promise<RecordingResult[]> {
  const { config, signal, quiet, noiseSeeds } = run;
  const known = new Map(run.earlier.map((result) => [resultKey(result), result]));
  const keys = (name: string) => noiseSeeds.map((noiseSeed) => resultKey({ name, noiseSeed }));
  const left = run.jobs.filter(({ name }) => keys(name).some((key) => !known.has(key)));
  const seconds = left.reduce(
    (sum, job) => sum + job.seconds * keys(job.name).filter((key) => !known.has(key)).length,
    0,
  );
  const progress = new Progress(seconds, quiet);
  let [units, introduced] = [0, false];
  const codecs: FloorCodec[] = [];

  async function one(recording: Recording, noiseSeed: number): Promise<RecordingResult | null> {
    const wantsFloor = recording.agent !== null && recording.truth.swap === null;
    if (wantsFloor && run.openCodec && codecs.length === 0) codecs.push(await run.openCodec());
    const session = await beforeAbort(run.open(noiseSeed, recording), signal);
    if (session === null) return null;
    if (!introduced && !quiet) say(session.line);
    introduced = true;
    const { agent } = streamShapes(config);
    const heard = run.judge && recording.truth.swap === null ? new Heard(agent) : null;
    const measured = await runRecording({
      ...run,
      recording,
      session: session.session,
      codec: wantsFloor ? codecs[0] ?? null : null,
      ...(heard ? { hear: (unit) => heard.add(unit) } : {}),
      progress: () => progress.update(++units, (units * config.unit_ms) / 1000),
    });
    if (measured && run.judge && heard) {
      const candidates = await candidatesOf(recording, run.ffmpeg);
      const { truth } = recording;
      measured.outcomes.push(
        ...await judgedVoice(run.judge, heard, truth, measured, config.unit_ms, candidates),
      );
    }
    const generator = run.jobs.find(({ name }) => name === recording.name)?.generator ?? null;
    return measured && {
      ...measured,
      ...await run.more?.(recording, measured),
      noiseSeed,
      basis: { ...recording.digests, generator, ...run.basis },
    };
  }

  try {
    let done = 0;
    recordings: for await (const recording of opened(left)) {
      for (const noiseSeed of noiseSeeds) {
        if (known.has(resultKey({ name: recording.name, noiseSeed }))) continue;
        if (signal.aborted) break recordings;
        const result = await one(recording, noiseSeed);
        if (result === null) break recordings;
        known.set(resultKey(result), result);
        run.events?.add(result);
        progress.clear();
        if (!quiet) {
          say(`${done + 1} of ${left.length}: ${line(result, noiseSeeds.length)}`);
        }
      }
      done++;
    }
  } finally {
    progress.clear();
    for (const codec of codecs) codec.close();
  }
  return run.jobs.flatMap(({ name }) => keys(name).flatMap((key) => known.get(key) ?? []));
}

/** One recording in one line. */
function line({ name, noiseSeed, units, wallSeconds, outcomes }: RecordingResult, seeds: number) {
  const right = outcomes.filter(({ measure }) => measure === "right");
  const good = right.filter(({ value }) => value === 1).length;
  return `${name}${seeds > 1 ? `, seed ${noiseSeed}` : ""}, ${units} units in ` +
    `${wallSeconds.toFixed(1)} s, ${good} of ${right.length} answers right`;
}
