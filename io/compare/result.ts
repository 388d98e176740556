/** What is kept of a recording that an agent answered: `eval`'s result, and what a comparison adds. */
import type { RecordingResult } from "../eval/figures/recording_result.ts";
import type { Truth } from "../eval/measures/truth.ts";
import type { ConversationScore } from "../score/score.ts";

/** A user's turn that may be answered. */
export interface Turn {
  /** The unit in which it begins. */
  turn: number;
  /** The moment behind its last sample, in ms. */
  endMs: number;
  /** The unit in which the agent's answer begins; null: it gave none. */
  onset: number | null;
  /** The answer began before the turn's last unit. */
  early: boolean;
}

/** A decision of a cascade, as its response tells it. */
export interface Traced {
  unit: number;
  module: string;
  what: string;
  words?: readonly string[];
}

/** What a comparison keeps beside `eval`'s result. */
export interface Live {
  /** Milliseconds of each unit, from its observation to its response, nothing else under way. */
  computeMs: number[];
  /** Processor seconds within these, of all threads and of the agent's own processes; null: an
   * earlier version couldn't tell. */
  cpuSeconds: number | null;
  /** Most memory held at the end of a unit, in bytes; of the agent's processes too. */
  peakBytes: number;
  /** Others recorded it: nothing is known of its work. */
  isRecorded?: boolean;
  /** Observations that the network lost. */
  lost: number;
  /** Units in which the agent's voice begins, and the ms inside them at which it is audible. */
  onsets: [unit: number, ms: number][];
  /** By the truth record; without one as the detector hears them. They aren't kept in the file. */
  turns: Turn[];
  /** Its truth record. */
  truth: Truth;
  /** The detector's scores of the user's side, a window of 512 samples at 16 kHz each. */
  userScores: number[];
  /** A cascade's decisions, in order. */
  trace: Traced[];
  /** Milliseconds of each of its modules over the recording. */
  modules: Record<string, number>;
  /** As `score` finds it, the agent heard one unit later than its stream says. */
  score: ConversationScore;
}

/** A recording that an agent answered. */
export interface Answered extends RecordingResult {
  live: Live;
}

/** Whether a line of an events file has what `compare` keeps: one of `eval`, or one that was changed by
 * hand, hasn't. */
export function isAnswered(result: RecordingResult): result is Answered {
  const { live } = result as { live?: unknown };
  const {
    computeMs,
    cpuSeconds,
    peakBytes,
    lost,
    onsets,
    userScores,
    trace,
    modules,
    truth,
    score,
  } = fieldsOf(live);
  const { events, timeline, units } = fieldsOf(truth);
  const list = (value: unknown): unknown[] => Array.isArray(value) ? value : [null];
  const times = list(computeMs);
  return times.length === result.units && list(timeline).length === units &&
    [...times, ...list(onsets).flatMap(list), ...list(userScores), cpuSeconds ?? 0, peakBytes, lost]
      .every(Number.isFinite) &&
    Object.values(fieldsOf(modules)).every(Number.isFinite) && isObject(modules) &&
    [...list(trace), ...list(events), ...list(timeline)].every(isObject) &&
    ["voice", "level"].every((key) => isObject(fieldsOf(fieldsOf(score)[key])["exchange"]));
}

const isObject = (value: unknown) => typeof value === "object" && value !== null;

/** The fields of what may be an object. */
const fieldsOf = (value: unknown): Record<string, unknown> => ({ ...value as object });
