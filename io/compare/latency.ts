/**
 * How long a user waits for an answer, by one definition for every agent: from the last sample of the
 * user's turn to the first sample of the answer heard. Stream time, network and compute time are put
 * together by a queue, so that a run may be made at any pace.
 */
import { unflag } from "../eval/figures/recording_result.ts";
import { onset as firstOnset, runAt } from "../eval/measures/activity.ts";
import { nextTurn } from "../eval/measures/conduct.ts";
import { type Truth, truthRate } from "../eval/measures/truth.ts";
import { Link, type Network } from "../pace/network.ts";
import type { Exchange } from "../score/turns.ts";
import type { Answered, Turn } from "./result.ts";

/** A response in the queue. */
export interface QueuedUnit {
  /** Milliseconds from the moment when the unit's observation is there and the response before is out,
   * to this response. */
  compute: number;
  /** The agent's voice is active in it. */
  active: boolean;
}

/**
 * When the user hears the first sample of each unit's response, in ms on the clock of the user's
 * recording; null: the network lost it.
 *
 * Unit k is captured at (k + 1) units, arrives after the network's way up, and is answered when the
 * unit before it was answered and its own compute time is over. Its response is heard after the way
 * down, and once the unit before it has been heard. A silent unit may be cut short: a player that was
 * late once is in time again after the next silence.
 */
export function heardAt(
  units: readonly QueuedUnit[],
  unitMs: number,
  network: Network | null,
): (number | null)[] {
  const [up, down] = [new Link(network, "up"), new Link(network, "down")];
  let [ready, free] = [-Infinity, -Infinity];
  return units.map(({ compute, active }, unit) => {
    ready = Math.max(up.send(unit, (unit + 1) * unitMs).at, ready) + compute;
    const { at, lost } = down.send(unit, ready);
    if (lost) return null;
    const heard = Math.max(at, free);
    free = active ? heard + unitMs : heard;
    return heard;
  });
}

/** An answer in time. */
export interface Waited {
  /** The unit in which the user's turn began: names the turn. */
  turn: number;
  /** Milliseconds from the turn's last sample to the answer's first; null: there was no answer, or the
   * network lost its beginning and the rest. */
  ms: number | null;
  /** It began before the turn was over: it isn't counted as an answer's latency. */
  early: boolean;
}

/** The waits of a recording. @param withCompute Counts this machine's compute time. */
export function waits(
  { live: { turns, onsets, computeMs }, active }: {
    live: Pick<Answered["live"], "turns" | "onsets" | "computeMs">;
    active: string;
  },
  unitMs: number,
  network: Network | null,
  withCompute: boolean,
): Waited[] {
  const units = computeMs.map((compute, i) => ({
    compute: withCompute ? compute : 0,
    active: active[i] === "1",
  }));
  const heard = heardAt(units, unitMs, network);
  const offset = new Map(onsets);
  return turns.map(({ turn, endMs, onset, early }): Waited => {
    // Where its first unit is lost, the answer is heard from the next one on.
    for (let unit = onset ?? Infinity; units[unit]?.active; unit++) {
      const at = heard[unit] ?? null;
      if (at !== null) return { turn, ms: at + (offset.get(unit) ?? 0) - endMs, early };
    }
    return { turn, ms: null, early };
  });
}

/** Milliseconds after a turn in which an answer may begin; later speech is the agent's own. `eval` waits
 * for 8 units: a fallback of 3 s, as Smart Turn's, would never be heard. */
const patienceMs = 4000;

/** Units that the user must leave for an answer, or the turn isn't counted. `eval` counts from 4 on: an
 * agent that begins later than the one the recordings were made for would miss turns that the user, or
 * the recording's end, took away from it. 11 hold the longest timer of the sweep, and the unit after it. */
export const leastRoom = 11;

/** Whether the user leaves room for an answer after a question's last unit. */
export const hasRoom = (truth: Truth, end: number): boolean =>
  Math.min(nextTurn(truth, end), nextMhm(truth, end)) >= end + leastRoom;

/** Where the user next says 'mhm', which was meant for an answer that a later agent hasn't begun. */
const nextMhm = ({ events, units }: Truth, after: number): number =>
  Math.min(
    units,
    ...events.flatMap((event) =>
      event.type === "distraction" && event.kind === "mhm" && event.start > after
        ? [event.start]
        : []
    ),
  );

/** The spoken questions that leave room for an answer, and where it begins: by the rules of `eval`
 * (docs/eval.md), but for how long is waited. */
export function truthTurns(truth: Truth, active: readonly boolean[], unitMs: number): Turn[] {
  return truth.events.flatMap((event): Turn[] => {
    if (event.type !== "question" || event.typed) return [];
    const { start: turn, end, endSample } = event;
    if (!hasRoom(truth, end)) return [];
    const until = nextTurn(truth, end);
    const endMs = endSample === null ? (end + 1) * unitMs : (endSample * 1000) / truthRate;
    // What the agent said before the question is no answer, and may have single silent units.
    const isOld = (unit: number) => (runAt(active, unit, 1)?.first ?? Infinity) <= turn;
    // What began inside the turn cut in, also where it was dropped again.
    for (let unit = turn + 1; unit < end; unit++) {
      if (!active[unit] || active[unit - 1] || isOld(unit)) continue;
      return [{ turn, endMs, onset: unit, early: true }];
    }
    const silent = isOld(end) ? runAt(active, end, 1)?.end ?? end : end;
    const limit = Math.min(until, end + Math.ceil(patienceMs / unitMs) + 1);
    return [{ turn, endMs, onset: firstOnset(active, silent, limit), early: false }];
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
    const unitAt = (seconds: number) => (seconds * 1000) / unitMs - 1;
    const from = answered ? Math.max(0, Math.floor(unitAt(next.from) + 1e-6)) : Infinity;
    // Speech too soft for the level is none, and a later answer isn't this one.
    const first = voice.findIndex((on, unit) => on && unit >= from && unit < unitAt(next?.to ?? 0));
    let onset = first;
    // The detector may notice a voice late that begins after the turn.
    while (first >= 0 && voice[onset - 1] && onset - 1 >= unitAt(turn.to)) onset--;
    return [{
      turn: Math.floor((turn.from * 1000) / unitMs),
      endMs: turn.to * 1000,
      onset: onset < 0 ? null : onset,
      early: answered && (next.latency ?? 0) < 0,
    }];
  });
}
