/** What is kept of a recording that was run: plain JSON, from which every figure can be made. */
import type { Outcome } from "./measures/outcomes.ts";
import type { LipSeries } from "./measures/lips.ts";
import type { Moments } from "./measures/picture.ts";
import type { Swap } from "./measures/truth.ts";

/** The parts of a stream that figures are made of: all of it, its first and its last 30 s. */
export type Span = "all" | "first" | "last";

/** Pictures of one span. `floor` and `floorTruth` are of the same frames. */
export interface Pictures {
  agent: Moments;
  truth: Moments | null;
  floor: Moments | null;
}

export interface RecordingResult {
  type: "recording";
  /** Name of its folder. */
  name: string;
  seed: number | null;
  swap: Swap | null;
  units: number;
  /** Seconds that the run took. */
  wall_seconds: number;
  outcomes: Outcome[];
  /** What the agent said: [unit, word]. */
  words: [unit: number, word: string][];
  /** Milliseconds of the solver per unit. */
  solve_ms: number[];
  /** A letter per unit: 1 where the voice is active. */
  active: string;
  truth_active: string;
  /** RMS of the agent's voice per unit. */
  rms: number[];
  lips: { agent: LipSeries | null; truth: LipSeries | null; floor: LipSeries | null };
  pictures: Partial<Record<Span, Pictures>>;
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
