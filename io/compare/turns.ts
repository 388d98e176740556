/** The user's turns that an agent may answer, and where its answers begin. */
import { unflag } from "../eval/figures/recording_result.ts";
import { onset as firstOnset, runAt } from "../eval/measures/activity.ts";
import type { Outcome } from "../eval/measures/outcomes.ts";
import { type Truth, truthRate } from "../eval/measures/truth.ts";
import type { Exchange } from "../score/turns.ts";
import type { Turn } from "./result.ts";

/** The spoken questions that are judged, with what came out of them. */
export function truthTurns(
  { events }: Truth,
  outcomes: readonly Outcome[],
  active: readonly boolean[],
  unitMs: number,
): Turn[] {
  return events.flatMap((event): Turn[] => {
    if (event.type !== "question" || event.typed) return [];
    const found = (measure: string) =>
      outcomes.find((one) => one.measure === measure && one.unit === event.start);
    if (!found("missed")) return [];
    const { start: turn, end, endSample } = event;
    const endMs = endSample === null ? (end + 1) * unitMs : (endSample * 1000) / truthRate;
    const delay = found("delay");
    if (!delay) return [{ turn, endMs, onset: null, early: false }];
    // A delay of 0 may be that of an answer that began inside the question.
    const begins = end + delay.value;
    const onset = delay.value === 0
      ? runAt(active, begins, 1)?.first ?? begins
      : firstOnset(active, begins, begins + 1) ?? begins;
    return [{ turn, endMs, onset, early: onset < end }];
  });
}

/** The user's turns as the detector hears them, and the agent's responses to them. The agent is heard
 * one unit later than its stream says. */
export function heardTurns({ turns }: Exchange, active: string, unitMs: number): Turn[] {
  const voice = unflag(active);
  return turns.flatMap((turn, i): Turn[] => {
    if (turn.side !== "user") return [];
    const next = turns[i + 1];
    const answered = next?.side === "agent" && next.latency !== null;
    const unit = answered ? Math.floor((next.from * 1000) / unitMs - 1 + 1e-6) : 0;
    const onset = answered ? voice.indexOf(true, Math.max(0, unit)) : -1;
    return [{
      turn: Math.floor((turn.from * 1000) / unitMs),
      endMs: turn.to * 1000,
      onset: onset < 0 ? null : onset,
      early: answered && (next.latency ?? 0) < 0,
    }];
  });
}
