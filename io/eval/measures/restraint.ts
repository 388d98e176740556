/** Speaking where the agent should be silent: in pauses of questions, in silences, in the first second. */
import { onset } from "./activity.ts";
import type { Conduct } from "./conduct.ts";
import type { Outcome } from "./outcomes.ts";
import { type Truth, truthRate } from "./truth.ts";

/** Units after speech that belong to it: a late answer or echo is judged elsewhere. */
const afterSpeech = 8;

/** Units before the oracle speaks first, in which the agent may as well. */
const beforeInitiative = 4;

/** Units of the first second, and units in which the oracle's beginning excuses it. */
const firstSecond = 6;
const excused = 9;

/** Outcomes `pause start`, `silence start` and `first second`: 1 is a fault. */
export function judgeRestraint(conduct: Conduct, unitMs: number): Outcome[] {
  return [...pauses(conduct, unitMs), ...silences(conduct), opening(conduct)];
}

/** A pause inside a question: from the unit after its first until that in which the user goes on.
 * Those of interrupting questions don't count: the agent may be falling silent. */
function pauses({ truth, active }: Conduct, unitMs: number): Outcome[] {
  const unitSamples = (truthRate * unitMs) / 1000;
  const unitOf = (sample: number) => Math.floor(sample / unitSamples);
  return truth.events.flatMap((event) => {
    if (event.type !== "question" || event.interrupts) return [];
    return event.pauses.map(([from, to]): Outcome => {
      const began = onset(active, unitOf(from) + 1, unitOf(to) + 1);
      return { measure: "pause start", unit: event.start, value: began === null ? 0 : 1 };
    });
  });
}

function silences({ truth, active, truthActive }: Conduct): Outcome[] {
  return quietStretches(truth, truthActive).flatMap(([first, end]): Outcome[] => {
    const from = first === 0 ? 0 : first + afterSpeech;
    const to = truthActive[end] ? end - beforeInitiative : end;
    if (from >= to) return [];
    const value = onset(active, from, to) === null ? 0 : 1;
    return [{ measure: "silence start", unit: from, value }];
  });
}

/** Stretches [first, end) of units in which neither side has anything to say. */
function quietStretches(truth: Truth, truthActive: readonly boolean[]): [number, number][] {
  const quiet = truth.timeline.map(({ user, agent, typed }, unit) =>
    !user && !agent && typed === null && !truthActive[unit]
  );
  for (const event of truth.events) {
    if (event.type === "question" || event.type === "story") {
      quiet.fill(false, event.start, event.end + 1);
    }
  }
  const stretches: [number, number][] = [];
  for (let unit = 0; unit < quiet.length; unit++) {
    if (!quiet[unit]) continue;
    const first = unit;
    while (quiet[unit]) unit++;
    stretches.push([first, unit]);
  }
  return stretches;
}

function opening({ active, truthActive, words }: Conduct): Outcome {
  const spoke = active.slice(0, firstSecond).includes(true) ||
    words.some(({ unit }) => unit < firstSecond);
  const may = truthActive.slice(0, excused).includes(true);
  return { measure: "first second", unit: 0, value: spoke && !may ? 1 : 0 };
}
