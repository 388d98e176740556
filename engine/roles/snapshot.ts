/**
 * A session as plain data, between two units.
 *
 * The snapshot after unit k is taken when y_k has been emitted and before anything of u_{k+1} was
 * encoded, whatever the schedule: a session that resumes from it emits y_{k+1} first. It holds
 *
 *   history          prefill, and the block of every unit in the window: all tokens up to agent text
 *                    k; y_k enters history with the next slice
 *   latents          y_k, which the next pass needs
 *   encoders         after u_k                 decoders    after y_k
 *   typed text       that has no slot yet      agent text  bytes of an unfinished character
 *
 * Noise and sampling count by seed and unit and have no state. Both roles have the same history, so
 * one copy is enough, and a snapshot of one placement resumes in any other.
 */
import type { Settings } from "../model/settings.ts";
import { keptUnits } from "../model/window.ts";

/** Version of the layout below. */
export const snapshotFormat = 1;

export interface Snapshot {
  meta: SnapshotMeta;
  /** By name: "latents", the encoders' and decoders' states, "history.prefill", "history.unit.K", "persona", "voice"
   * (what is empty is left out). Numbers are little-endian. Never changed once made: successive
   * snapshots of a session share the blobs of units that both hold. */
  blobs: Map<string, Uint8Array<ArrayBuffer>>;
}

/** JSON. */
export interface SnapshotMeta {
  format: typeof snapshotFormat;
  /** Digest of the checkpoint. */
  checkpoint: string;
  /** The last unit that was answered; -1: none, only prefill is there. */
  unit: number;
  settings: Pick<
    Settings,
    | "seed"
    | "solver"
    | "sampling"
    | "schedule"
    | "storage"
    | "weights"
    | "historyUnits"
    | "promptIds"
  >;
  /** User text tokens typed in each unit that history holds, oldest unit first. */
  typed: number[];
  /** Typed tokens that have no slot yet. */
  waiting: number[];
  /** Bytes of the agent's unfinished character, at most 3. */
  unfinished: number[];
}

/** The encoders and decoders whose state a session carries. */
export const coderNames = [
  "encoder.audio",
  "encoder.video",
  "decoder.audio",
  "decoder.video",
] as const;
export type CoderName = typeof coderNames[number];

/** Asks for the session's state when everything before it has been answered. */
export interface StateRequest {
  /** The asker has the history of prefill and of the units before this one; null: it has none. */
  since: number | null;
}

/** What a thinker answers it with. */
export interface SavedState {
  unit: number;
  /** User text tokens typed in each unit of history, oldest unit first. */
  typed: number[];
  /** As in a snapshot, without the history that the asker has. */
  blobs: Map<string, Uint8Array<ArrayBuffer>>;
}

/** Name of a unit's block of history: K and V of its slots, [layers, 2, tokens, kvDim], slots
 * without a token zero. */
export function unitBlob(unit: number): string {
  return `history.unit.${unit}`;
}

/** Name of prefill's K and V, [layers, 2, tokens, kvDim]. */
export const prefillBlob = "history.prefill";

/** A blob of a snapshot, or nothing. */
export function blobOf(snapshot: Snapshot, name: string): Uint8Array<ArrayBuffer> {
  return snapshot.blobs.get(name) ?? new Uint8Array(0);
}

/** Bytes of all blobs. */
export function snapshotBytes({ blobs }: Snapshot): number {
  return [...blobs.values()].reduce((sum, { length }) => sum + length, 0);
}

/**
 * Puts a snapshot together.
 *
 * @param before The snapshot whose unit was the request's `since`, or a later one: it gives the
 * history that `state` leaves out. Null when it leaves out nothing.
 * @param text What the session knows of text in both directions.
 */
export function makeSnapshot(
  checkpoint: string,
  settings: Settings,
  before: Snapshot | null,
  state: SavedState,
  text: Pick<SnapshotMeta, "waiting" | "unfinished">,
): Snapshot {
  const { seed, solver, sampling, schedule, storage, weights, historyUnits, promptIds } = settings;
  const { unit, typed } = state;
  const blobs: Snapshot["blobs"] = new Map();
  const put = (name: string, bytes: Uint8Array<ArrayBuffer> | undefined) => {
    if (bytes) blobs.set(name, bytes);
  };
  put("persona", before?.blobs.get("persona") ?? bytesOf(settings.personaFrame));
  put("voice", before?.blobs.get("voice") ?? bytesOf(settings.voice));
  const units = keptUnits(unit, historyUnits, settings.sinkUnits).map(unitBlob);
  for (const name of [prefillBlob, ...units]) put(name, before?.blobs.get(name));
  for (const [name, bytes] of state.blobs) put(name, bytes);
  return {
    meta: {
      format: snapshotFormat,
      checkpoint,
      unit,
      settings: { seed, solver, sampling, schedule, storage, weights, historyUnits, promptIds },
      typed,
      ...text,
    },
    blobs,
  };
}

function bytesOf(data: Uint8Array | Float32Array | null): Uint8Array<ArrayBuffer> | undefined {
  return data
    ? new Uint8Array(
      data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer,
    )
    : undefined;
}
