/**
 * events.jsonl: what happened in a replay, one JSON object per line. A header, one object per unit, a
 * summary. The same input, seed and options give the same lines but for times and the `run` of header
 * and summary.
 */
import type { Recovery, SessionInfo } from "../../engine/mod.ts";
import type { Response, StreamLayout } from "../../engine/checkpoint/unit.ts";
import type { PerceivedLatency } from "./pace.ts";
import type { Cut, Join } from "../media/observation_reader.ts";
import { isActive, rms } from "./activity.ts";
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
  schema: "wanstream/events/2";
  provenance: Provenance;
  /** Null: a script didn't say. */
  input: InputFacts | null;
  stream: { unitMs: number; fps: number; user: SideShape; agent: SideShape };
  /** Placement, adapters, sizes, and every kernel that was chosen by measurement. */
  session: Record<string, unknown>;
}

interface SideShape {
  width: number;
  height: number;
  sampleRate: number;
}

export interface UnitEvent {
  type: "unit";
  unit: number;
  /** Stream time that the unit covers, in seconds. */
  start: number;
  end: number;
  text: string;
  tokens: number[];
  /** The agent's voice is active in the unit, see `isActive`. */
  audioActive: boolean;
  audioRms: number;
  /** SHA-256 of the latents. */
  digest: string;
  historyTokens: number;
  /** Whether the engine had the unit's observation: `skipped` because it was late, `lost` by the
   * network. */
  observation: PerceivedLatency["observation"];
  /** False: the network lost the response. */
  heard: boolean;
  /** What the user perceived: from the capture of the unit's last sample to the response's first bytes. */
  interactionMs: number | null;
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
  /** From the first observation to the last written response; when units are paced, or arrive live,
   * about as long as the stream. */
  wallSeconds: number;
  /** Seconds of the stages' work on all units, at most `wallSeconds`. */
  workSeconds: number;
  /** `workSeconds` over `seconds`: below 1 is faster than real time. */
  realTimeFactor: number;
  /** Observations that were skipped. */
  skipped: number;
  /** Packets that were lost up and down. */
  lost: { up: number; down: number };
  /** Units at the beginning that the percentiles leave out. */
  warmUnits: number;
  /** Over the units that were heard. */
  interactionMs: Percentiles;
  /** By stage. */
  latencyMs:
    & Record<Exclude<keyof UnitTimes, "inspect">, Percentiles>
    & Partial<Record<"inspect", Percentiles>>;
  /** The header's, at the end. */
  run: RunFacts;
}

/** The session lost a device or a Worker and was rebuilt; stands before the unit that it delayed. */
export type RecoveryEvent = { type: "recovery" } & Recovery;

/** The clock of a live input stepped back, jumped, or began anew, and what follows was joined on; stands before the
 * unit in which that is, or the next. */
export interface ClockEvent {
  type: "clock";
  unit: number;
  /** Seconds of this run's input before it. */
  at: number;
  step: Join["step"];
}

export type Event = HeaderEvent | UnitEvent | RecoveryEvent | ClockEvent | SummaryEvent;

/** The header of a run's events. */
export function headerEvent(
  { user, agent }: Pick<StreamLayout, "user" | "agent">,
  provenance: Provenance,
  input: HeaderEvent["input"],
  { settings: _, ...session }: Partial<SessionInfo>,
): HeaderEvent {
  const { unitMs, fps } = agent;
  return {
    type: "header",
    schema: "wanstream/events/2",
    provenance,
    input,
    stream: { unitMs, fps, user: sideShape(user), agent: sideShape(agent) },
    session,
  };
}

/** One side's shape as the header shows it. */
function sideShape({ width, height, sampleRate }: StreamShape): SideShape {
  return { width, height, sampleRate };
}

/** What happened in a unit; `write` is how long handing it to the output took, in ms. */
export function unitEvent(
  response: Response,
  times: UnitTimes,
  perceived: PerceivedLatency,
  unitMs: number,
): UnitEvent {
  const { unit, text, tokens, audio, digest, historyTokens } = response;
  const level = rms(audio);
  const rounded = Object.entries(times).map(([stage, ms]) => [stage, round(ms, 3)]);
  return {
    type: "unit",
    unit,
    start: round((unit * unitMs) / 1000, 6),
    end: round(((unit + 1) * unitMs) / 1000, 6),
    text,
    tokens,
    audioActive: isActive(level),
    audioRms: round(level, 6),
    digest,
    historyTokens,
    observation: perceived.observation,
    heard: perceived.heard,
    interactionMs: perceived.interactionMs === null ? null : round(perceived.interactionMs, 3),
    ms: Object.fromEntries(rounded),
  };
}

/** An event as a line of the file; what isn't known is null. */
export function eventLine(event: Event): string {
  return `${JSON.stringify(event, (_, value) => value ?? null)}\n`;
}
