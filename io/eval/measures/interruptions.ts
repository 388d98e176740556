/** Being spoken to while speaking: stopping for the user, going on through noises. */
import { runAt } from "./activity.ts";
import type { Conduct } from "./conduct.ts";
import type { Distraction, Interruption } from "./truth.ts";
import type { Outcome } from "./outcomes.ts";

/** The longest stop delay that is told apart; later stops, and none, count as this. */
const latestStop = 12;

/** Units of speech that a recording must leave after an interruption for it to be judged. */
const room = 6;

/**
 * Outcomes `stop delay` and `new question` (is the interrupting question answered right?), of those
 * interruptions that met an agent in the middle of its speech.
 *
 * @param questions What `judgeQuestions` found.
 */
export function judgeInterruptions(conduct: Conduct, questions: readonly Outcome[]): Outcome[] {
  return conduct.truth.events.flatMap((event) => {
    if (event.type !== "interruption") return [];
    const unit = event.onset;
    if (!conduct.active[unit - 1] || !conduct.active[unit] || unit + room >= conduct.truth.units) {
      return [];
    }
    const outcomes: Outcome[] = [{ measure: "stop delay", unit, value: stopDelay(event, conduct) }];
    const answer = questions.find((one) => one.measure === "right" && one.unit === unit);
    if (answer) outcomes.push({ ...answer, measure: "new question" });
    return outcomes;
  });
}

/** Units from the interruption's first to the agent's first silent one. A silent unit between two
 * active ones is none, unless the new question is over and the second may be its answer. */
function stopDelay({ onset: unit }: Interruption, { truth, active }: Conduct): number {
  const question = truth.events.find((one) => one.type === "question" && one.start === unit);
  const answered = question?.type === "question" ? question.end + 1 : Infinity;
  for (let u = unit; u < Math.min(unit + latestStop, truth.units); u++) {
    if (!active[u] && (!active[u + 1] || u + 1 >= answered)) return u - unit;
  }
  return latestStop;
}

/** Outcomes `selective`: 1 when the agent went on through a noise, other people's talk or a 'mhm'. */
export function judgeSelectivity(conduct: Conduct): Outcome[] {
  return conduct.truth.events.flatMap((event) =>
    event.type === "distraction" ? wentOn(event, conduct) : []
  );
}

/** An agent that is through with its answer by then is not judged: as long as the oracle's run of
 * speech, from where the agent's own began, must reach beyond the units that are looked at. */
function wentOn(
  { start: unit, kind, during_answer }: Distraction,
  { truth, active, truthActive }: Conduct,
): Outcome[] {
  const oracle = runAt(truthActive, unit, 1);
  const agent = runAt(active, unit, 1);
  if (!during_answer || !oracle || !agent) return [];
  const expectedEnd = Math.min(oracle.end + agent.first - oracle.first, truth.units);
  if (expectedEnd < unit + 4) return [];
  const value = active[unit + 2] || active[unit + 3] ? 1 : 0;
  return [{ measure: "selective", unit, value, kind }];
}
