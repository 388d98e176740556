/** What is counted: one outcome per event of a recording, gathered over recordings. */
import { quantile } from "../../../kernels/measure/quantile.ts";

export type Measure =
  | "right"
  | "delay"
  | "missed"
  | "pause start"
  | "silence start"
  | "stop delay"
  | "new question"
  | "selective"
  | "naming"
  | "greeting"
  | "first second"
  | "word distance"
  | "word distance floor";

/** What became of one event. */
export interface Outcome {
  measure: Measure;
  /** The unit in which the event begins. */
  unit: number;
  /** 0 or 1, units of delay, or a distance. */
  value: number;
  /** Kind of question, of noise, ... */
  kind?: string;
  /** Words said and words wanted, where they count. */
  said?: string;
  wanted?: string;
}

/** A figure that rests on so many events; null: too few of them. */
export interface Figure {
  value: number | null;
  events: number;
}

/** Events from which on a rate is printed. */
export const enoughEvents = 10;

/** A figure: null when it rests on too few events, or when `value` is NaN. */
export function figure(value: number, events: number): Figure {
  return { value: events < enoughEvents || Number.isNaN(value) ? null : value, events };
}

/** Values of the outcomes of some measures. */
export function values(
  outcomes: readonly Outcome[],
  measures: readonly Measure[],
  kind?: string,
): number[] {
  return outcomes
    .filter((one) => measures.includes(one.measure) && (kind === undefined || one.kind === kind))
    .map(({ value }) => value);
}

export function meanFigure(list: readonly number[]): Figure {
  return figure(list.reduce((sum, value) => sum + value, 0) / list.length, list.length);
}

export function quantileFigure(list: readonly number[], p: number): Figure {
  return figure(quantile(list, p), list.length);
}
