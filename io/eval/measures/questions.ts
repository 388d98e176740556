/** Questions: is each answered, how soon, and is the answer right? */
import { onset, runAt } from "./activity.ts";
import { type Conduct, nextTurn } from "./conduct.ts";
import type { Outcome } from "./outcomes.ts";
import type { Question, Truth } from "./truth.ts";
import { utterance } from "./words.ts";

/** Units after a question in which a response must begin, or it counts as missed. */
const answerWithin = 8;

/** Units that the user must leave for the answer, or the question isn't judged. */
const leastRoom = 4;

/** Units that must be left after the oracle's last word, so that a slower answer has room too. */
const spareRoom = 3;

/** Outcomes `missed`, `delay` and `right`, at the unit in which each question begins. */
export function judgeQuestions(conduct: Conduct): Outcome[] {
  const { truth } = conduct;
  return truth.events.flatMap((event) => event.type === "question" ? judge(event, conduct) : []);
}

function judge(question: Question, { truth, active, words }: Conduct): Outcome[] {
  const { start: unit, end, kind } = question;
  const until = nextTurn(truth, end);
  if (until < end + leastRoom) return [];
  const outcomes: Outcome[] = [];

  const running = runAt(active, end, 1);
  // Speech that began before the question is not an answer. Speech that began inside it counts as one
  // with a delay of 0.
  const isOld = running !== null && running.first <= unit;
  const isEarly = running !== null && !isOld && running.first < end;
  const limit = Math.min(until, end + answerWithin + 1);
  let silent = end;
  while (isOld && active[silent]) silent++;
  const begins = isEarly ? end : onset(active, silent, limit);
  outcomes.push({ measure: "missed", unit, value: begins === null ? 1 : 0, kind });
  if (begins !== null) outcomes.push({ measure: "delay", unit, value: begins - end, kind });

  if (hasRoom(question, truth, until)) {
    // A word may be there a unit before it sounds.
    const from = isOld ? end + 1 : isEarly ? Math.max(unit, running.first - 1) : end;
    const said = utterance(words, from, until).join(" ");
    const wanted = question.words.join(" ");
    outcomes.push({ measure: "right", unit, value: said === wanted ? 1 : 0, kind, said, wanted });
  }
  return outcomes;
}

/** Whether the oracle finishes its answer well before the user's next turn. */
function hasRoom({ words, answer }: Question, { timeline }: Truth, until: number): boolean {
  const units = timeline.flatMap(({ word }, unit) =>
    word !== null && unit >= answer && unit < until ? [{ word, unit }] : []
  ).slice(0, words.length);
  const last = units.at(-1);
  return last !== undefined && units.length === words.length &&
    units.every(({ word }, i) => word === words[i]) && until - last.unit >= spareRoom;
}
