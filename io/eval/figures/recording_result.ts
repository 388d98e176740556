/** What is kept of a recording that was run: plain JSON, from which every figure can be made. */
import type { Outcome } from "../measures/outcomes.ts";
import type { LipSeries } from "../measures/lips.ts";
import type { Moments } from "../measures/picture.ts";
import type { Swap } from "../measures/truth.ts";
import type { Basis } from "./basis.ts";

/** The parts of a stream that figures are made of: all of it, its first and its last 30 s. */
export type Span = "all" | "first" | "last";

/** Pictures of one span: the agent's, the oracle's, and the oracle's after the checkpoint's codec. */
export interface Pictures {
  agent: Moments;
  truth: Moments | null;
  floor: Moments | null;
}

export interface RecordingResult {
  type: "recording";
  /** Name of its folder. */
  name: string;
  /** Seed of the world; null: it is from elsewhere. */
  seed: number | null;
  /** Seed of the session's noise. */
  noiseSeed: number;
  swap: Swap | null;
  basis: Basis;
  units: number;
  /** Seconds that the run took. */
  wallSeconds: number;
  outcomes: Outcome[];
  /** What the agent said: [unit, word]. */
  words: [unit: number, word: string][];
  /** Milliseconds of the solver per unit. */
  solveMs: number[];
  /** A letter per unit: 1 where the voice is active. */
  active: string;
  truthActive: string;
  /** RMS of the agent's voice per unit. */
  rms: number[];
  lips: { agent: LipSeries | null; truth: LipSeries | null; floor: LipSeries | null };
  /** Spans that the recording has, without those that it is too short for. */
  pictures: Record<Span, Pictures | null>;
}

/** Units [from, to) of a span; null when the stream is too short to have it apart. */
export function spanUnits(span: Span, units: number, unitMs: number): [number, number] | null {
  if (span === "all") return [0, units];
  const part = Math.floor(30_000 / unitMs);
  if (units * unitMs < 60_000 - unitMs) return null;
  return span === "first" ? [0, part] : [units - part, units];
}

export const flags = (active: readonly boolean[]) => active.map((on) => on ? "1" : "0").join("");
export const unflag = (active: string) => [...active].map((letter) => letter === "1");
