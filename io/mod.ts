/**
 * Recordings and streams as observations, responses as recordings: what the commands `replay` and
 * `stream` are made of, for scripts.
 *
 * @module
 */
export {
  type Layout,
  type ObservationOptions,
  Observations,
  observations,
} from "./ends/observations.ts";
export { Recorder, recorder, type RecorderOptions, sideBySide } from "./run/recorder.ts";
export { paced, type PacedOptions, type PacedResponse } from "./run/paced.ts";
export { typing } from "./pace/pump.ts";
export { readUserText, type UserText } from "./media/user_text.ts";
export { loadSnapshot, saved, saveSnapshot } from "./saved/snapshots.ts";
export { fit } from "./ends/fit.ts";
export { OutputError, RunError } from "./system/errors.ts";
export type { InputFacts, SummaryEvent } from "./pace/events.ts";
export type { UnitTimes } from "./pace/pump.ts";
export type { PerceivedLatency } from "./pace/pace.ts";
export type { Percentiles } from "./pace/statistics.ts";
export type { RunFacts } from "./provenance/provenance.ts";
export type { Load } from "./provenance/load.ts";
export { type Spoken, webVtt as captions } from "./media/captions.ts";
export type { Cut } from "./media/observation_reader.ts";
export type { TakenFacts, TrackChoice, TrackFacts } from "./media/tracks.ts";
