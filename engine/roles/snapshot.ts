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
import { createHash } from "node:crypto";
import { canonicalJson } from "../config/canonical_json.ts";
import { Fields } from "../config/config_fields.ts";
import { kindOf, valueText } from "../config/error_text.ts";
import { InputError } from "../config/errors.ts";
import type { Settings } from "../model/settings.ts";
import { keptUnits } from "../model/window.ts";

/** Version of the layout below. */
export const snapshotFormat = 1;

/** A session between two units. Nothing in it changes once it is made. */
export interface Snapshot {
  /** What it says of itself. */
  meta: SnapshotMeta;
  /** By name: "latents", the encoders' and decoders' states, "history.prefill", "history.unit.K", "persona", "voice"
   * (what is empty is left out). Numbers are little-endian. Never changed once made: successive
   * snapshots of a session share the blobs of units that both hold. */
  blobs: Map<string, Uint8Array<ArrayBuffer>>;
}

/** What a snapshot says of itself: JSON. */
export interface SnapshotMeta {
  /** Version of the layout. */
  format: 1;
  /** SHA-256 (hex) over the rest of this and the blobs; snapshots of earlier versions have none. */
  digest?: string;
  /** Digest of the checkpoint. */
  checkpoint: string;
  /** The last unit that was answered; -1: none, only prefill is there. */
  unit: number;
  /** The settings of its session, but for persona and voice, which are blobs. */
  settings: SnapshotSettings;
  /** User text tokens typed in each unit that history holds, oldest unit first. */
  typed: number[];
  /** Typed tokens that have no slot yet. */
  waiting: number[];
  /** Bytes of the agent's unfinished character, at most 3. */
  unfinished: number[];
}

/** The settings that a snapshot repeats. */
export type SnapshotSettings = Pick<
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

/** Bytes of all blobs. @throws InputError when it is no snapshot. */
export function snapshotBytes(snapshot: Snapshot): number {
  const blobs = givenBlobs(new Fields(snapshot, "snapshot"));
  return [...blobs.values()].reduce((sum, { length }) => sum + length, 0);
}

function givenBlobs(fields: Fields): Map<string, Uint8Array> {
  const map = fields.get("blobs");
  if (kindOf(map) !== "Map") {
    const keep = "which JSON doesn't hold: keep it with saveSnapshot, or structuredClone";
    throw fields.error("blobs", `a Map of Uint8Arrays, ${keep}`);
  }
  for (const [name, bytes] of map as Map<string, unknown>) {
    if (kindOf(bytes) !== "Uint8Array") {
      throw new InputError(
        `snapshot: ${valueText(name)} is ${valueText(bytes)}; it may be a Uint8Array`,
      );
    }
  }
  return map as Map<string, Uint8Array>;
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

/** A snapshot with its digest, before it leaves its session. Those that stay need none. */
export function sealSnapshot(snapshot: Snapshot): Snapshot {
  const digest = snapshotDigest(snapshot, blobDigest);
  return { ...snapshot, meta: { ...snapshot.meta, digest } };
}

const digests = new WeakMap<Uint8Array, string>();

/** SHA-256 (hex) of a blob as it was when it was asked for first: snapshots share what doesn't change. */
export function blobDigest(bytes: Uint8Array): string {
  let digest = digests.get(bytes);
  if (digest === undefined) digests.set(bytes, digest = sha256(bytes));
  return digest;
}

/** SHA-256 (hex). */
export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

function snapshotDigest(
  { meta, blobs }: Snapshot,
  digestOf: (bytes: Uint8Array) => string,
): string {
  const parts = Object.fromEntries([...blobs].map(([name, bytes]) => [name, digestOf(bytes)]));
  return sha256(canonicalJson({ meta: { ...meta, digest: undefined }, blobs: parts }));
}

/**
 * A snapshot as a script gives it, looked through: its content is what its digest says. Blobs that share
 * memory with others, as Node's Buffers do, are copied.
 *
 * @throws InputError when it is none, or was damaged.
 */
export function wholeSnapshot(given: Snapshot): Snapshot {
  const fields = new Fields(given, "snapshot");
  const meta = fields.object("meta");
  const blobs: Snapshot["blobs"] = new Map();
  for (const [name, bytes] of givenBlobs(fields)) blobs.set(name, ownBytes(bytes));
  const whole = { meta: given.meta, blobs };
  const digest = meta.get("digest");
  if (digest !== undefined && digest !== snapshotDigest(whole, sha256)) {
    throw new InputError("snapshot: its content isn't what its digest says: copy it again");
  }
  return whole;
}

function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length &&
    Object.getPrototypeOf(bytes) === Uint8Array.prototype;
  return isOwn ? bytes as Uint8Array<ArrayBuffer> : new Uint8Array(bytes);
}

function bytesOf(data: Uint8Array | Float32Array | null): Uint8Array<ArrayBuffer> | undefined {
  return data
    ? new Uint8Array(
      data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer,
    )
    : undefined;
}
