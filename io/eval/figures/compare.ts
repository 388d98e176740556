/** Two runs of the same recordings side by side: paired differences, by recording and by event. */
import { InputError } from "../../../engine/config/errors.ts";
import { figure, type Measure, type Outcome } from "../measures/outcomes.ts";
import { figuresOfSample } from "./bars.ts";
import { differencesOf } from "./basis.ts";
import { type Estimate, fromTwo, type Interval, intervalOf } from "./estimates.ts";
import { resultKey } from "./events_file.ts";
import { conversationOf, sampleOf } from "./parts.ts";
import type { RecordingResult } from "./recording_result.ts";

/** Conversations from which on an interval is wide enough to judge by. */
export const enoughConversations = 10;

/** A figure of both, over the recordings and events that both have. */
export interface Difference {
  key: string;
  kind: string | null;
  label: string;
  value: number | null;
  against: number | null;
  /** `value` less `against`. */
  difference: number | null;
  /** Holds the difference in 95 % of draws; the same conversations are drawn for both. */
  interval: Interval | null;
  events: number;
  /** The interval doesn't hold 0; null: there is none, or too few conversations to say so. */
  isDifference: boolean | null;
}

/** Judged events that both have, by measure, and how many came out higher and lower than in the other. */
export interface EventChanges {
  measure: Measure;
  pairs: number;
  higher: number;
  lower: number;
}

export interface Comparison {
  /** What the two rest on that differs, in words: another checkpoint, other settings, ... */
  differIn: string[];
  conversations: number;
  /** Recordings that are left out: one of the two hasn't got them, or has another recording or truth
   * record of that name. */
  leftOut: string[];
  differences: Difference[];
  events: EventChanges[];
}

/**
 * Compares two sets of results.
 *
 * @param draws Draws of the bootstrap; 0: no intervals.
 * @throws InputError when they have no recording in common, or other seeds of the noise.
 */
export function compare(
  ours: readonly RecordingResult[],
  theirs: readonly RecordingResult[],
  unitMs: number,
  draws: number,
): Comparison {
  const { pairs, leftOut } = pairsOf(ours, theirs);
  const [a, b] = [pairs.map(([one]) => one), pairs.map(([, other]) => other)];
  const [own, other] = [figuresOfSample(sampleOf(a), unitMs), figuresOfSample(sampleOf(b), unitMs)];
  const conversations = new Set(a.map(conversationOf)).size;
  const all = Array.from({ length: conversations }, (_, i) => i);
  const differences = own.flatMap((declared, i): Difference[] => {
    const { key, kind, label, drawn } = declared;
    const against = other[i];
    if (!against || drawn === 0) return [];
    const known = (estimate: Estimate) => {
      const { value, events } = estimate(all);
      return figure(value, events).value;
    };
    const [x, y] = [known(declared.estimate), known(against.estimate)];
    const estimate = fromTwo(declared.estimate, against.estimate, (x, y) => x - y);
    const isKnown = x !== null && y !== null;
    const count = Math.ceil(draws * drawn);
    const interval = isKnown && count > 0 ? intervalOf(estimate, conversations, count) : null;
    return [{
      ...{ key, kind, label, value: x, against: y, difference: isKnown ? x - y : null, interval },
      events: estimate(all).events,
      isDifference: interval && conversations >= enoughConversations
        ? interval[0] > 0 || interval[1] < 0
        : null,
    }];
  });
  const [[first, second] = []] = pairs;
  const differIn = first && second ? differencesOf(first.basis, second.basis) : [];
  return { differIn, conversations, leftOut, differences, events: eventChanges(pairs) };
}

type Pair = [RecordingResult, RecordingResult];

/** Results of the same recording, with those outcomes whose events both have. */
function pairsOf(ours: readonly RecordingResult[], theirs: readonly RecordingResult[]) {
  const seedsOf = (results: readonly RecordingResult[]) =>
    [...new Set(results.map(({ noiseSeed }) => noiseSeed))].sort((a, b) => a - b);
  const [own, other] = [seedsOf(ours), seedsOf(theirs)];
  // One run each may be compared under any seeds.
  const isSingle = own.length === 1 && other.length === 1;
  if (!isSingle && `${own}` !== `${other}`) {
    throw new InputError(
      `--against: has the noise seeds ${other.join(", ")}, and the files ${own.join(", ")}: ` +
        "compare runs of the same seeds",
    );
  }
  const byKey = new Map(
    theirs.map((result) => [isSingle ? result.name : resultKey(result), result]),
  );
  const pairs: Pair[] = [];
  const leftOut = new Set(theirs.map(({ name }) => name));
  for (const one of ours) {
    const counterpart = byKey.get(isSingle ? one.name : resultKey(one));
    const isSame = counterpart?.basis.recording === one.basis.recording &&
      counterpart.basis.truth === one.basis.truth;
    if (!counterpart || !isSame) {
      leftOut.add(one.name);
      continue;
    }
    leftOut.delete(one.name);
    pairs.push([withEventsOf(one, counterpart), {
      ...withEventsOf(counterpart, one),
      noiseSeed: one.noiseSeed,
    }]);
  }
  if (pairs.length === 0) {
    throw new InputError(
      "--against: has no recording in common with the files: both must be of the same recordings " +
        "and truth records",
    );
  }
  return { pairs, leftOut: [...leftOut].sort() };
}

/** What makes two outcomes the same event: a word is one by the truth's. The codec's own words aren't
 * the agent's events. */
function eventKeys(outcomes: readonly Outcome[]): (string | null)[] {
  const seen = new Map<string, number>();
  return outcomes.map(({ measure, unit, truthUnit, kind }) => {
    if (measure === "word distance floor") return null;
    const event = `${measure} ${truthUnit ?? unit} ${kind ?? ""}`;
    const count = seen.get(event) ?? 0;
    seen.set(event, count + 1);
    return `${event} ${count}`;
  });
}

function withEventsOf(one: RecordingResult, other: RecordingResult): RecordingResult {
  const known = new Set(eventKeys(other.outcomes));
  const keys = eventKeys(one.outcomes);
  const outcomes = one.outcomes.filter((_, i) => keys[i] === null || known.has(keys[i] ?? null));
  return { ...one, outcomes };
}

function eventChanges(pairs: readonly Pair[]): EventChanges[] {
  const counts = new Map<Measure, EventChanges>();
  for (const [one, other] of pairs) {
    const values = new Map(eventKeys(other.outcomes).map((key, i) => [key, other.outcomes[i]]));
    eventKeys(one.outcomes).forEach((key, i) => {
      const [outcome, against] = [one.outcomes[i], values.get(key)];
      if (key === null || !outcome || !against || outcome.measure === "word distance") return;
      const { measure } = outcome;
      const count = counts.get(measure) ?? { measure, pairs: 0, higher: 0, lower: 0 };
      count.pairs++;
      if (outcome.value > against.value) count.higher++;
      if (outcome.value < against.value) count.lower++;
      counts.set(measure, count);
    });
  }
  return [...counts.values()];
}
