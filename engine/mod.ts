/**
 * The engine as a library: open a checkpoint, open a session, push observations, take responses.
 *
 * @module
 */
export { type Checkpoint, openCheckpoint } from "./checkpoint/checkpoint.ts";
export type { CheckpointTensor } from "./weights/weights.ts";
export type { FileDtype } from "./weights/safetensors.ts";
export type {
  CodecConfig,
  Conditioning,
  LayerConfig,
  ModelConfig,
  ObservationEncoder,
  PartName,
  PartOrigin,
} from "./config/config.ts";
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
  type Settings,
  type TuningRequest,
} from "./model/settings.ts";
export type { RoleInfo, RoleInfos } from "./session/roles.ts";
export {
  type Snapshot,
  snapshotBytes,
  type SnapshotMeta,
  type SnapshotSettings,
} from "./roles/snapshot.ts";
export {
  attentionAxes,
  type Inspection,
  type Observation,
  type PathSpeed,
  type Response,
  type ResponseDetails,
  type StageTimes,
  type StreamLayout,
  type StreamShape,
  type UnitLayout,
  unitLayout,
} from "./checkpoint/unit.ts";
export { type AdapterDescription, listAdapters } from "../kernels/gpu/probe.ts";
export type { AdapterFacts } from "../kernels/gpu/probe_worker.ts";
export type { Choices } from "../kernels/gpu/device.ts";
export type { FloatType } from "../kernels/gpu/tensor.ts";
export type { WeightType } from "../kernels/matmul/packed_weight.ts";
export type { QuantizedType } from "../kernels/matmul/quantize.ts";
export {
  parseTuneRecord,
  type TuneEntry,
  type TuneRecord,
  type Tuning,
} from "../kernels/measure/tune.ts";
export type { AdapterSpec } from "../kernels/gpu/adapter.ts";
