/** Speaking first: the agent greets a user who appears, and names a card without being asked. */
import type { Conduct } from "./conduct.ts";
import type { Outcome } from "./outcomes.ts";
import { utterance } from "./words.ts";

/** Units before and after the oracle's beginning in which the agent may begin. */
const early = 4;
const late = 6;

/** Outcomes `naming` and `greeting`: 1 when the right words were said about then. */
export function judgeInitiative({ truth, words }: Conduct): Outcome[] {
  return truth.events.flatMap((event): Outcome[] => {
    if (event.type !== "naming" && event.type !== "greeting") return [];
    const truths = truth.timeline.slice(event.start).flatMap(({ word }) => word ?? []);
    // The user may have broken in.
    if (event.words.some((word, i) => word !== truths[i])) return [];
    const until = event.start + late + 2 * event.words.length;
    const said = utterance(words, event.start - early, until).slice(0, event.words.length);
    const [got, wanted] = [said.join(" "), event.words.join(" ")];
    const value = got === wanted ? 1 : 0;
    return [{ measure: event.type, unit: event.start, value, said: got, wanted }];
  });
}
