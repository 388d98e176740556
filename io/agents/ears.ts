/** What a cascade is told of the user's voice: who tells speech, and what tells that a turn is over. */
import type { ActivityDetector, EndOfTurn } from "../../engine/cascade/parts.ts";
import type { Truth } from "../eval/measures/truth.ts";
import { levelScores } from "../score/activity.ts";
import type { Silero } from "../score/silero.ts";
import { overAbove, whisperFeatures } from "./smart_turn.ts";

export { silenceTimer } from "../../engine/cascade/turns.ts";

/** Silero VAD, a state for each detector. */
export const sileroActivity = (silero: Silero): ActivityDetector => silero.stream();

/** The floor: whatever is as loud as -40 dB of full scale. */
export const levelActivity: ActivityDetector = { push: levelScores };

/** Seconds of silence after which a turn is over, whatever Smart Turn said (Pipecat's STOP_SECS). */
const patience = 3;

/** Smart Turn as Pipecat asks it: once each time the user falls silent, by the activity's stop time. */
export const smartTurn = (silero: Pick<Silero, "judge">): EndOfTurn => ({
  async isOver({ isFirst, silence, sound }) {
    if (silence >= patience - 1e-6) return true;
    return isFirst && await silero.judge(whisperFeatures(sound)) > overAbove;
  },
});

/** Units that may lie between a question's end and the moment when its turn is noticed. */
const lateUnits = 6;

/**
 * The upper bound: a turn is over in the unit in which the last of a spoken question's sound arrives.
 * What isn't a question (noises, stories, 'stop') never ends a turn.
 */
export function oracleEnd(truth: Truth): EndOfTurn {
  const ends = truth.events.flatMap((event) =>
    event.type === "question" && !event.typed ? [event.end] : []
  );
  let answered = -1;
  return {
    after: 0,
    isOver({ unit }) {
      const end = ends.findLast((end) => end <= unit) ?? -1;
      if (end <= answered || unit - end > lateUnits) return false;
      answered = end;
      return true;
    },
  };
}
