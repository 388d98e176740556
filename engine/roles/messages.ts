/** The messages between a session and its Workers, and between the Workers of two roles. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Inspection, Response, ResponseDetails } from "../checkpoint/unit.ts";
import type { ModelConfig } from "../config/config.ts";
import type { Settings, TuningRequest } from "../model/settings.ts";
import type { SavedState, Snapshot, StateRequest } from "./snapshot.ts";
import type { AdapterSpec } from "../../kernels/gpu/adapter.ts";
import type { Tuning } from "../../kernels/measure/tune.ts";

/** An observation on its way to the thinker. */
export interface UnitInput {
  audio: Float32Array | null;
  frames: Uint8Array | null;
  /** Ids of typed user text. */
  typed: number[];
  /** When the unit's last sample arrived, on `clock`. */
  arrived: number;
}

/** What a Worker builds its part of a session from. */
export interface Build {
  settings: Settings;
  /** Where the session goes on; null: it begins with prefill. */
  snapshot: Snapshot | null;
  /** Responses bring their details. */
  details: boolean;
  /** Responses bring their inspection. */
  inspect: boolean;
  /** Nothing is decoded. */
  textOnly: boolean;
  /** Which roles it plays: the thinker, a performer, or both on one device. */
  role: "thinker" | "performer" | "fused";
  /** To the session. */
  port: MessagePort;
  /** To the other role, where it is in another Worker: one performer to a thinker, the ticks know no
   * group of them yet. */
  peer: MessagePort | null;
}

/** What a Worker measures before it is built. */
export interface Tune {
  config: ModelConfig;
  settings: Settings;
  request: Pick<TuningRequest, "record" | "budgetMs">;
}

/** What the thinker takes once it is built, in order. */
export type ToThinker =
  | { type: "unit"; input: UnitInput }
  | { type: "save"; request: StateRequest }
  | { type: "flush" }
  | { type: "end" };

export type ToWorker =
  | { type: "adapter"; spec: AdapterSpec }
  | { type: "tune"; tune: Tune }
  | { type: "model"; checkpoint: Checkpoint }
  | { type: "build"; build: Build }
  | { type: "ping" };

/** What a session sends to its part of a Worker; only a thinker takes more than "close". */
export type ToRole = ToThinker | { type: "close" };

/** A response before its tokens are turned into text. */
export type RawResponse = Omit<Response, "text" | "details" | "inspection"> & {
  details?: Omit<ResponseDetails, "waiting">;
  inspection?: Omit<Inspection, "top"> & LikelyTokens;
};

/** The likeliest tokens of a text slot, likeliest first. */
export interface LikelyTokens {
  top: { token: number; probability: number }[];
}

/** What only the performer sees of a response's making. */
export interface SolverInspection {
  /** Where the latents looked in the last evaluation, [layers, groups x ages]. */
  shares: Float32Array;
  path: Inspection["path"];
}

/** What a thinker gives while it runs. */
export type FromThinker =
  | { type: "response"; response: RawResponse }
  | { type: "state"; state: SavedState }
  | { type: "done" };

/** What the opening of a Worker waits for. */
export type Reply =
  | { type: "adapter"; name: string }
  | { type: "tuning" }
  | { type: "tuned"; tuning: Tuning };

/** What failed: a Worker, or the building of a session's part of it. */
export interface Failed {
  type: "error";
  message: string;
  isInput: boolean;
}

export type FromWorker = Reply | { type: "pong" } | Failed;

/** Bytes on a role's adapter. */
export interface RoleBytes {
  /** Everything on it. */
  allocatedBytes: number;
  /** What this session has of its own: its history and states. */
  sessionBytes: number;
}

/** What a session hears from its part of a Worker. */
export type FromRole = FromThinker | Failed | { type: "ready"; bytes: RoleBytes };

/** What the thinker sends a performer: the K and V of prefill once, then one slice per unit. */
export type ToPerformer = { prefill: ArrayBuffer[] } | SliceMessage;

export interface SliceMessage {
  unit: number;
  /** User text tokens typed in the unit. */
  typed: number;
  slice: ArrayBuffer;
  /** When it was sent, on `clock`. */
  sent: number;
}

/** What a performer answers a slice with. */
export interface LatentsMessage {
  unit: number;
  latents: Float32Array;
  sliceSent: number;
  sliceArrived: number;
  solved: number;
  /** Only where it was asked for. */
  inspection?: SolverInspection;
}

/** Milliseconds on a clock that all Workers share. */
export function clock(): number {
  return performance.timeOrigin + performance.now();
}
