/** Speaking first: the agent greets a user who appears, and names a card without being asked; and
 * whether it does so, and talks, as its prompt tells it to. */
import { type Conduct, nextTurn } from "./conduct.ts";
import type { Outcome } from "./outcomes.ts";
import { utterance } from "./words.ts";

/** Units before and after the oracle's beginning in which the agent may begin, and one that was told to
 * wait is silent. */
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

/** Words from which on an answer is a whole sentence: one more than the longest without a prompt. */
const sentence = 6;

/**
 * Outcomes `prompt`, whose kind is the prompt's: of each answer that is judged, whether it has one word
 * ('brief') or six and more ('sentences'); of each moment in which the agent would speak first, whether
 * it is silent ('wait').
 *
 * @param questions Outcomes of judgeQuestions
 */
export function judgePrompt(
  { truth, active, words }: Conduct,
  questions: readonly Outcome[],
): Outcome[] {
  const { prompt, events } = truth;
  if (!prompt) return [];
  const { kind } = prompt;
  if (kind === "wait") {
    return events.flatMap((event): Outcome[] => {
      if (event.type !== "waiting") return [];
      const { start: unit } = event;
      const from = Math.max(0, unit - early);
      const to = Math.min(unit + late, nextTurn(truth, unit));
      const speaks = active.slice(from, to).includes(true) ||
        words.some((word) => word.unit >= from && word.unit < to);
      return [{ measure: "prompt", kind, unit, value: speaks ? 0 : 1 }];
    });
  }
  return questions.filter(({ measure }) => measure === "right").map(({ unit, said }) => {
    const count = (said ?? "").split(" ").filter((word) => word !== "").length;
    const follows = kind === "brief" ? count === 1 : count >= sentence;
    return { measure: "prompt", kind, unit, value: follows ? 1 : 0, said: said ?? "" };
  });
}
