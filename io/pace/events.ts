/**
 * events.jsonl: what happened in a replay, one JSON object per line. A header, one object per unit, a
 * summary. The same input, seed and options give the same lines but for times and the `run` of header
 * and summary.
 */
import type { Recovery, SessionInfo } from "../../engine/mod.ts";
import type { Response, StreamLayout } from "../../engine/checkpoint/unit.ts";
import type { PerceivedLatency } from "./pace.ts";
import type { Cut, Join } from "../media/observation_reader.ts";
import type { UnitTimes } from "./pump.ts";
import type { Provenance, RunFacts } from "../provenance/provenance.ts";
import { type Percentiles, round } from "./statistics.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import type { TakenFacts } from "../media/tracks.ts";

/** What was answered. */
export interface InputFacts extends TakenFacts {
  /** The recording's path, or the stream's name. */
  path: string;
  /** Null: it is no file. */
  bytes: number | null;
  /** Null: it is no file, or wasn't read for this. */
  sha256: string | null;
  /** Who reads it. */
  reader: string;
  /** By its header; null where it doesn't say. */
  seconds: number | null;
}

/** Everything that a referee asks before looking at the units. */
export interface HeaderEvent {
  type: "header";
  /** Version of this format. */
  format: 2;
  provenance: Provenance;
  /** Null: a script didn't say. */
  input: InputFacts | null;
  stream: { unit_ms: number; fps: number; user: SideShape; agent: SideShape };
  /** Placement, adapters, sizes, and every kernel that was chosen by measurement. */
  session: unknown;
}

interface SideShape {
  width: number;
  height: number;
  sample_rate: number;
}

export interface UnitEvent {
  type: "unit";
  unit: number;
  /** Stream time that the unit covers, in seconds. */
  start: number;
  end: number;
  text: string;
  tokens: number[];
  /** RMS of the agent's voice is above -50 dB of full scale. */
  audio_active: boolean;
  audio_rms: number;
  /** SHA-256 of the latents. */
  digest: string;
  history_tokens: number;
  /** Whether the engine had the unit's observation: `skipped` because it was late, `lost` by the
   * network. */
  observation: PerceivedLatency["observation"];
  /** False: the network lost the response. */
  heard: boolean;
  /** What the user perceived: from the capture of the unit's last sample to the response's first bytes. */
  interaction_ms: number | null;
  /** Latency by stage in ms. */
  ms: Record<string, number>;
}

/** How a run went: the last event. */
export interface SummaryEvent {
  /** Tells it from other events. */
  type: "summary";
  /** How it came to its end. */
  ended: "complete" | "cut off" | "interrupted" | "reader gone" | "output broke off";
  /** Units that were answered. */
  units: number;
  /** Seconds of stream. */
  seconds: number;
  /** Where and why the recording, or what was written of the response, broke off. */
  cut: Cut | null;
  /** SHA-256 over the units' digests. */
  digest: string;
  /** Files by kind. */
  outputs: Record<string, string>;
  /** Seconds of work. */
  wall_seconds: number;
  /** Processing time divided by stream time: below 1 is faster than real time. */
  real_time_factor: number;
  /** Observations that were skipped. */
  skipped: number;
  /** Packets that were lost up and down. */
  lost: { up: number; down: number };
  /** Over the units that were heard. */
  interaction_ms: Percentiles | null;
  /** By stage, over the units. */
  latency_ms: Record<string, Percentiles>;
  /** The header's, at the end. */
  run: RunFacts;
}

/** The session lost a device or a Worker and was rebuilt; stands before the unit that it delayed. */
export type RecoveryEvent = { type: "recovery" } & Recovery;

/** The clock of a live input stepped back or jumped, and what follows was joined on; stands before the
 * unit in which that is. */
export interface ClockEvent {
  type: "clock";
  unit: number;
  /** Seconds of this run's input before it. */
  at: number;
  step: Join["step"];
}

export type Event = HeaderEvent | UnitEvent | RecoveryEvent | ClockEvent | SummaryEvent;

/** -50 dB of full scale: quieter than a voice, louder than a codec's noise floor. */
const activeRms = 10 ** (-50 / 20);

/** The header of a run's events. */
export function headerEvent(
  { user, agent }: Pick<StreamLayout, "user" | "agent">,
  provenance: Provenance,
  input: HeaderEvent["input"],
  { performers = [], ...session }: Partial<SessionInfo>,
): HeaderEvent {
  const [performer] = performers;
  const { unitMs, fps } = agent;
  return {
    type: "header",
    format: 2,
    provenance,
    input,
    stream: { unit_ms: unitMs, fps, user: sideShape(user), agent: sideShape(agent) },
    session: snakeCase(performer ? { ...session, performer } : session),
  };
}

/** One side's shape as the header shows it. */
function sideShape({ width, height, sampleRate }: StreamShape): SideShape {
  return { width, height, sample_rate: sampleRate };
}

/** What happened in a unit; `write` is how long handing it to the output took, in ms. */
export function unitEvent(
  response: Response,
  times: UnitTimes,
  perceived: PerceivedLatency,
  unitMs: number,
): UnitEvent {
  const { unit, text, tokens, audio, digest, historyTokens } = response;
  const rms = Math.sqrt(audio.reduce((sum, x) => sum + x * x, 0) / Math.max(1, audio.length));
  const rounded = Object.entries(times).map(([stage, ms]) => [stage, round(ms, 3)]);
  return {
    type: "unit",
    unit,
    start: round((unit * unitMs) / 1000, 6),
    end: round(((unit + 1) * unitMs) / 1000, 6),
    text,
    tokens,
    audio_active: rms > activeRms,
    audio_rms: round(rms, 6),
    digest,
    history_tokens: historyTokens,
    observation: perceived.observation,
    heard: perceived.heard,
    interaction_ms: perceived.interactionMs === null ? null : round(perceived.interactionMs, 3),
    ms: snakeCase(Object.fromEntries(rounded)) as Record<string, number>,
  };
}

/** An event as a line of the file; what isn't known is null. */
export function eventLine(event: Event): string {
  return `${JSON.stringify(event, (_, value) => value ?? null)}\n`;
}

/** A value with its objects' keys in snake_case, as JSON readers expect. */
export function snakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCase);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeCase(inner),
    ]),
  );
}
