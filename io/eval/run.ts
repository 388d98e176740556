/** Runs a recording through a session in closed loop: the user's part as recorded, the agent living on
 * what it says itself. */
import { InputError } from "../../engine/config/errors.ts";
import type { ResponseCodec } from "../../engine/model/response_codec.ts";
import type { Media } from "../../engine/model/unit_coders.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import { openInput } from "../ends/observe.ts";
import type { InputFacts } from "../pace/events.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { pump, typing, type UnitSession } from "../pace/pump.ts";
import { streamShapes } from "../media/stream_shape.ts";
import { type Measured, type MeasuredUnit, Measurement } from "./measurement.ts";
import type { Recording } from "./recordings.ts";

export interface Run {
  recording: Recording;
  config: ModelConfig;
  /** A new session; closed at the end. */
  session: UnitSession;
  /** Gives the floor of what the truth could sound and look like; null: isn't wanted. */
  codec: Pick<ResponseCodec, "reset" | "roundTrip"> | null;
  ffmpeg: FfmpegFinder;
  signal: AbortSignal;
  /** Called after each unit. */
  progress(): void;
  /** Is told what a unit was measured on. */
  hear?(unit: MeasuredUnit): void;
}

/** @returns null when the signal came before the end. @throws InputError when media and truth record
 * don't fit together. */
export async function runRecording(run: Run): Promise<Measured | null> {
  const { recording: { name, truth, user, agent }, config, session, codec, signal } = run;
  const shapes = streamShapes(config);
  const start = performance.now();
  const measurement = new Measurement(name, truth, shapes.agent);
  const { observations, facts } = await openInput(user, shapes.user, run.ffmpeg);
  const oracle = agent === null ? null : await openInput(agent, shapes.agent, run.ffmpeg);
  const trueUnits = oracle?.observations[Symbol.asyncIterator]();
  codec?.reset();

  async function trueUnit(): Promise<Media | null> {
    if (!trueUnits) return null;
    const { value } = await trueUnits.next();
    const { audio, frames } = value ?? {};
    if (audio && frames) return { audio, frames };
    throw new InputError(
      `${agent}: has ${measurement.units} whole units of picture and sound: its truth record has ` +
        `${truth.units}`,
    );
  }

  try {
    refuseLonger(facts, truth.units, config.unit_ms);
    if (oracle) refuseLonger(oracle.facts, truth.units, config.unit_ms);
    const typed = new Map(
      truth.timeline.flatMap(({ typed }, unit) => typed === null ? [] : [[unit, typed]]),
    );
    const given = typing(observations, typed, 0, truth.units);
    for await (const { text, audio, frames, stages } of pump(session, given, signal)) {
      const truth = await trueUnit();
      const floor = truth && codec ? await codec.roundTrip(truth) : null;
      const agent = { audio, frames };
      const unit = { text, solveMs: stages.solve, agent, truth, floor };
      measurement.add(unit);
      run.hear?.(unit);
      run.progress();
    }
  } finally {
    await session.close();
    await observations.close();
    await oracle?.observations.close();
  }
  if (signal.aborted) return null;
  if (measurement.units < truth.units) {
    throw new InputError(
      `${user}: has ${measurement.units} whole units: its truth record has ${truth.units}`,
    );
  }
  return measurement.finish((performance.now() - start) / 1000);
}

/** Whole units of so many seconds. */
export const wholeUnits = (seconds: number, unitMs: number) =>
  Math.floor((seconds * 1000) / unitMs + 1e-6);

/** A truth record that ends before its recording would leave the rest unmeasured without a word.
 * @throws InputError */
export function refuseLonger(
  { path, seconds }: Pick<InputFacts, "path" | "seconds">,
  units: number,
  unitMs: number,
): void {
  const whole = wholeUnits(seconds ?? 0, unitMs);
  if (whole <= units) return;
  throw new InputError(
    `${path}: has ${whole} whole units, but its truth record has ${units}: cut the recording, or ` +
      "write the rest of its truth",
  );
}
