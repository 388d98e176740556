/**
 * The engine as a library: open a checkpoint, open a session, push observations, take responses.
 *
 * @module
 */
export { type Checkpoint, openCheckpoint } from "./checkpoint/checkpoint.ts";
export type { CodecConfig, LayerConfig, ModelConfig } from "./config/config.ts";
export type { SolverConfig, SolverName } from "./config/solver.ts";
export { InputError } from "./config/errors.ts";
export { type Model, type ModelOptions, openModel, openSession } from "./session/model.ts";
export type {
  Durability,
  Reading,
  Session,
  SessionInfo,
  WorkerSession,
} from "./session/session.ts";
export type { Recovery } from "./session/recovery.ts";
export {
  type Placement,
  type Precision,
  type Sampling,
  type Schedule,
  type SessionOptions,
  type TuningRequest,
} from "./model/settings.ts";
export { type Snapshot, snapshotBytes, type SnapshotMeta } from "./roles/snapshot.ts";
export {
  type Observation,
  type Response,
  type ResponseDetails,
  type StageTimes,
  type StreamLayout,
  type StreamShape,
  type UnitLayout,
  unitLayout,
} from "./checkpoint/unit.ts";
export { type AdapterDescription, listAdapters } from "../kernels/gpu/probe.ts";
export { parseTuneRecord, type TuneRecord } from "../kernels/measure/tune.ts";
export type { AdapterSpec } from "../kernels/gpu/adapter.ts";
