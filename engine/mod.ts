/**
 * The engine as a library: open a checkpoint, open a session, push observations, take responses.
 *
 * @module
 */
export { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
export type { CodecConfig, ModelConfig, SolverConfig, SolverName, StackLayer } from "./config.ts";
export { InputError } from "./errors.ts";
export {
  type Durability,
  openSession,
  type Recovery,
  type Session,
  type SessionInfo,
} from "./session.ts";
export type { Placement, Precision, Sampling, Schedule, SessionOptions } from "./settings.ts";
export { precisions } from "./settings.ts";
export type { TuningRequest } from "./tuning.ts";
export { type Snapshot, snapshotBytes, type SnapshotMeta } from "./snapshot.ts";
export {
  type Observation,
  type Response,
  type StageTimes,
  type UnitLayout,
  unitLayout,
} from "./unit.ts";
export { type AdapterDescription, listAdapters } from "../kernels/probe.ts";
export { parseTuneRecord, type TuneRecord } from "../kernels/tune.ts";
export type { AdapterSpec } from "../kernels/adapter.ts";
