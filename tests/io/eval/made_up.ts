/** Made-up truth records and conduct for tests of the measures. */
import type { Basis } from "../../../io/eval/figures/basis.ts";
import type { Conduct } from "../../../io/eval/measures/conduct.ts";
import type { RecordingResult } from "../../../io/eval/figures/recording_result.ts";
import type { Outcome } from "../../../io/eval/measures/outcomes.ts";
import type { Question, Truth, TruthEvent } from "../../../io/eval/measures/truth.ts";

/** What made-up results rest on. */
export const madeUpBasis: Basis = {
  recording: "r",
  truth: "t",
  generator: null,
  checkpoint: "c",
  settings: "s",
  program: "p",
};

/** A recording in which nothing happens but these outcomes. */
export function result(name: string, outcomes: Outcome[], changes: Partial<RecordingResult> = {}) {
  const made: RecordingResult = {
    type: "recording",
    name,
    seed: null,
    noiseSeed: 0,
    swap: null,
    basis: madeUpBasis,
    units: 100,
    wallSeconds: 1,
    outcomes,
    words: [],
    solveMs: [],
    active: "0".repeat(100),
    truthActive: "0".repeat(100),
    rms: new Array(100).fill(0),
    lips: { agent: null, truth: null, floor: null },
    pictures: { all: null, first: null, last: null },
    ...changes,
  };
  return made;
}

/** A question that was answered, rightly or not. */
export const right = (unit: number, said: string, wanted: string): Outcome => ({
  measure: "right",
  unit,
  value: said === wanted ? 1 : 0,
  kind: "colour",
  said,
  wanted,
});

/** A voice per unit from a drawing: '#' is active. Blanks are for the eye. */
export function drawn(picture: string): boolean[] {
  return [...picture.replaceAll(" ", "")].map((letter) => letter === "#");
}

/**
 * Agent and oracle as drawings of the same length, the user's voice as another, words by unit.
 *
 * @param words What the agent says; the oracle's are in the questions, from `answer` on every unit.
 */
export function conduct(
  { agent, oracle, user = "", words = {}, events = [] }: {
    agent: string;
    oracle: string;
    user?: string;
    words?: Record<number, string>;
    events?: TruthEvent[];
  },
): Conduct {
  const [active, truthActive, speaks] = [agent, oracle, user].map(drawn);
  const spoken = new Map<number, string>();
  for (const event of events) {
    if (event.type !== "question" && event.type !== "naming" && event.type !== "greeting") continue;
    const start = event.type === "question" ? event.answer : event.start;
    event.words.forEach((word, i) => spoken.set(start + i, word));
  }
  const truth: Truth = {
    units: truthActive?.length ?? 0,
    seed: null,
    events,
    timeline: (truthActive ?? []).map((agent, unit) => ({
      user: speaks?.[unit] ?? false,
      agent,
      word: spoken.get(unit) ?? null,
      typed: null,
    })),
    swap: null,
    otherTypes: [],
    seconds: null,
  };
  return {
    truth,
    active: active ?? [],
    truthActive: truthActive ?? [],
    words: Object.entries(words).map(([unit, word]) => ({ word, unit: Number(unit) })),
  };
}

/** A question in units [start, end] that is answered 'it is red' from `answer` on. */
export function question(
  start: number,
  end: number,
  answer: number,
  changes: Partial<Question> = {},
): Question {
  return {
    type: "question",
    kind: "colour",
    text: "what colour is it",
    typed: false,
    start,
    end,
    endSample: null,
    pauses: [],
    interrupts: false,
    card: null,
    words: ["it", "is", "red"],
    answer,
    ...changes,
  };
}
