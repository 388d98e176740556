/** What is counted: one outcome per event of a recording, gathered over recordings. */

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
  | "prompt"
  | "character"
  | "face drift"
  | "face drift truth"
  | "voice"
  | "voice error"
  | "voice error truth"
  | "speech quality"
  | "speech quality codec"
  | "word distance"
  | "word distance floor";

/** What became of one event. */
export interface Outcome {
  measure: Measure;
  /** The unit in which the event begins. */
  unit: number;
  /** 0 or 1, units of delay, or a distance. */
  value: number;
  /** Kind of question, of noise, ...; the word. */
  kind?: string | null;
  /** Words said and words wanted, where they count. */
  said?: string | null;
  wanted?: string | null;
  /** Of a word: the unit in which the truth says it. */
  truthUnit?: number | null;
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
