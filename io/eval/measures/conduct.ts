/** What an agent did, as the measures see it: its words and its activity beside the truth's. */
import type { Truth } from "./truth.ts";
import type { Word } from "./words.ts";

export interface Conduct {
  truth: Truth;
  /** Is the agent's voice active, per unit? */
  active: readonly boolean[];
  /** The same of the oracle's voice. */
  truthActive: readonly boolean[];
  words: readonly Word[];
}

/** Units in which the user takes the turn, in order. */
function turnStarts({ events }: Truth): number[] {
  return events.flatMap((event) => {
    if (event.type === "question" || event.type === "story") return [event.start];
    return event.type === "interruption" ? [event.onset] : [];
  }).sort((a, b) => a - b);
}

/** The unit in which the user takes the next turn after `unit`; the recording's end if none. */
export function nextTurn(truth: Truth, unit: number): number {
  return turnStarts(truth).find((start) => start > unit) ?? truth.units;
}
