/** The figures of scored conversations, each declared once. docs/score.md has their formulas. */
import {
  type Estimate,
  fromTwo,
  type Interval,
  intervalOf,
  meanOf,
  ofSums,
  quantileOf,
} from "../eval/figures/estimates.ts";
import { fewestFor } from "../pace/statistics.ts";
import { secondsOf } from "./activity.ts";
import type { ConversationScore, Heard } from "./score.ts";
import { otherSide, type Side, sides } from "./turns.ts";

/** A figure of one side, or of both. */
export interface ScoreFigure {
  /** Its name, as docs/score.md has it. */
  key: string;
  /** Null: it is about both sides. */
  side: Side | null;
  /** What tables show. */
  label: string;
  /** Null: nothing, or too little, that it could rest on. */
  value: number | null;
  /** Holds the figure in 95 % of the bootstrap's draws of conversations; null: not known. */
  interval: Interval | null;
  /** What it rests on: turns, barge-ins, conversations, ... */
  events: number;
  /** The same with voice activity by level alone; null: it is not about activity, or not known. */
  byLevel: number | null;
}

/** A figure of conversations, given how they were heard. */
type Figure = (conversations: readonly ConversationScore[], heard: readonly Heard[]) => Estimate;

interface Declared {
  key: string;
  label: string;
  /** Whom it is about. */
  of: "sides" | "both" | "agent";
  /** It follows from voice activity alone. */
  byActivity: boolean;
  figure(side: Side): Figure;
  /** Events from which on it is told. */
  fewest: number;
}

/** Values of each conversation as it was heard. */
const ofHeard = (values: (heard: Heard) => number[]) => (heard: readonly Heard[]) =>
  heard.map(values);
const turns = (side: Side) =>
  ofHeard(({ exchange }) => exchange.turns.filter((one) => one.side === side).map(() => 1));
const latencies = (side: Side) =>
  ofHeard(({ exchange }) =>
    exchange.turns.flatMap((one) => one.side === side && one.latency !== null ? [one.latency] : [])
  );
const bargeIns = (side: Side) =>
  ofHeard(({ exchange }) =>
    exchange.bargeIns.filter((one) => one.side === side).map(({ stopLatency }) => stopLatency)
  );
const backchannels = (side: Side) =>
  ofHeard(({ exchange }) => exchange.backchannels.filter((one) => one.side === side).map(() => 1));

/** How many there are. */
const count = (lists: readonly (readonly number[])[]): Estimate =>
  ofSums(lists.map(({ length }) => [length]), ([n = 0]) => ({ value: n, events: n }));

/** The sum of one number over that of another; it rests on the conversations that have the second. */
const ratio = (parts: readonly [number, number][]): Estimate =>
  ofSums(
    parts.map(([a, b]) => [a, b, b > 0 ? 1 : 0]),
    ([a = 0, b = 0, events = 0]) => ({ value: a / b, events }),
  );

const talk = ({ speech }: Heard, side: Side) => secondsOf(speech[side]);

/** A figure that follows from activity. */
function active(
  key: string,
  label: string,
  figure: (side: Side) => (heard: readonly Heard[]) => Estimate,
  fewest = 1,
  of: Declared["of"] = "sides",
): Declared {
  const estimate = (side: Side): Figure => (_, heard) => figure(side)(heard);
  return { key, label, of, byActivity: true, fewest, figure: estimate };
}

/** A percentile of values; of too few none is told. */
function percentile(
  key: string,
  label: string,
  values: (side: Side) => (heard: readonly Heard[]) => number[][],
  p: number,
): Declared {
  const fewest = fewestFor(Math.max(p, 1 - p));
  const name = `${key}P${Math.round(100 * p)}`;
  const text = `${label} p${Math.round(100 * p)}, s`;
  return active(name, text, (side) => (heard) => quantileOf(values(side)(heard), p), fewest);
}

/** A figure over numbers that conversations have, or don't. */
function measured(
  key: string,
  label: string,
  value: (score: ConversationScore, side: Side) => number | null,
  of: "sides" | "agent" = "agent",
  estimate: (lists: number[][]) => Estimate = meanOf,
): Declared {
  const lists = (scores: readonly ConversationScore[], side: Side) =>
    scores.map((score) => {
      const found = value(score, side);
      return found === null ? [] : [found];
    });
  const figure = (side: Side): Figure => (scores) => estimate(lists(scores, side));
  return { key, label, of, byActivity: false, fewest: 1, figure };
}

const median = (lists: number[][]) => quantileOf(lists, 0.5);
const most = (lists: number[][]) => quantileOf(lists, 1);

/** All figures, in the order of the table. */
const declared: readonly Declared[] = [
  active("turns", "turns", (side) => (heard) => count(turns(side)(heard)), 0),
  active("answered", "turns of the other side answered", (side) => (heard) =>
    ofSums(
      heard.map((one) => [
        latencies(side)([one]).flat().length,
        turns(otherSide(side))([one]).flat().length,
      ]),
      ([answered = 0, all = 0]) => ({ value: answered / all, events: all }),
    )),
  ...[0.1, 0.5, 0.9].map((p) => percentile("latency", "response latency", latencies, p)),
  active("bargeIns", "barge-ins", (side) => (heard) => count(bargeIns(side)(heard)), 0),
  ...[0.5, 0.9].map((p) =>
    percentile("stopLatency", "stop latency", (side) => bargeIns(otherSide(side)), p)
  ),
  active("backchannels", "backchannels", (side) => (heard) => count(backchannels(side)(heard)), 0),
  active(
    "backchannelsPerMinute",
    " per minute of the other side's speech",
    (side) => (heard) =>
      ratio(heard.map((one) => [
        backchannels(side)([one]).flat().length,
        talk(one, otherSide(side)) / 60,
      ])),
  ),
  active(
    "talkRatio",
    "part of all speech",
    (side) => (heard) =>
      ratio(heard.map((one) => [talk(one, side), talk(one, "user") + talk(one, "agent")])),
  ),
  active(
    "overlap",
    "overlap, part of the time with speech",
    () => (heard) =>
      ratio(heard.map((one) => {
        const { overlap } = one.exchange;
        return [overlap, talk(one, "user") + talk(one, "agent") - overlap];
      })),
    1,
    "both",
  ),
  {
    ...{ key: "silence", label: "silence, part of the length", of: "both", byActivity: true },
    fewest: 1,
    figure: () => (scores, heard) =>
      ratio(heard.map(({ exchange }, i) => [exchange.silence, scores[i]?.seconds ?? 0])),
  },
  measured(
    "speechDb",
    "level of the speech, dB",
    ({ levels }, side) => levels[side].speechDb,
    "sides",
  ),
  measured(
    "driftDb",
    " last third over first, dB",
    ({ levels }, side) => levels[side].driftDb,
    "sides",
  ),
  measured(
    "syncMs",
    "picture after sound, ms",
    ({ sync }) => sync && sync.offsetMs,
    "agent",
    median,
  ),
  measured("syncConfidence", " confidence", ({ sync }) => sync && sync.confidence, "agent", median),
  measured(
    "syncCorrelation",
    " correlation",
    ({ sync }) => sync && sync.correlation,
    "agent",
    median,
  ),
  {
    ...{ key: "frozen", label: "picture stands still", of: "agent", byActivity: false, fewest: 1 },
    figure: () => (scores) =>
      ratio(scores.map(({ freeze }) => [freeze?.frozen ?? 0, freeze?.seconds ?? 0])),
  },
  {
    ...{
      key: "frozenSpeaking",
      label: " of the speech",
      of: "agent",
      byActivity: false,
      fewest: 1,
    },
    figure: () => (scores) =>
      ratio(scores.map(({ freeze, voice }) => [
        freeze?.frozenSpeaking ?? 0,
        freeze ? talk(voice, "agent") : 0,
      ])),
  },
  measured("longestFreeze", " longest, s", ({ freeze }) => freeze && freeze.longest, "agent", most),
  measured("wordsPerMinute", "words per minute of speech", ({ judged, voice }, side) => {
    const { words } = judged[side];
    const minutes = talk(voice, side) / 60;
    return words && minutes > 0 ? words.length / minutes : null;
  }, "sides"),
  measured(
    "quality",
    "speech quality (DNSMOS, 1 to 5)",
    ({ judged }, side) => judged[side].quality,
    "sides",
  ),
  measured(
    "constancy",
    "constancy of the voice (cosine)",
    ({ judged }, side) => judged[side].constancy,
    "sides",
  ),
];

/** How a figure of two systems differs over the same conversations. */
export interface ScoreDifference {
  key: string;
  side: Side | null;
  /** The first system's less the second's; null: one of them isn't known. */
  value: number | null;
  /** Holds it in 95 % of draws; the same conversations are drawn for both. */
  interval: Interval | null;
}

/**
 * Paired differences of all figures, in the order of `figuresOf`.
 *
 * @param theirs The same conversations in the same order.
 */
export function scoreDifferences(
  ours: readonly ConversationScore[],
  theirs: readonly ConversationScore[],
  draws: number,
): ScoreDifference[] {
  const all = ours.map((_, i) => i);
  const own = figuresOf(ours, 0);
  const others = figuresOf(theirs, 0);
  const byKey = new Map(declared.map((one) => [one.key, one]));
  return own.map(({ key, side, value }, i): ScoreDifference => {
    const estimates = [ours, theirs].map((scores) =>
      byKey.get(key)?.figure(side ?? "agent")(scores, scores.map(({ voice }) => voice))
    );
    const [a, b] = estimates;
    if (!a || !b || value === null || others[i]?.value == null) {
      return { key, side, value: null, interval: null };
    }
    const estimate = fromTwo(a, b, (x, y) => x - y);
    return {
      ...{ key, side, value: estimate(all).value },
      interval: draws === 0 ? null : intervalOf(estimate, all.length, draws),
    };
  });
}

/**
 * All figures of conversations.
 *
 * @param draws Draws of the bootstrap; 0: no intervals.
 */
export function figuresOf(scores: readonly ConversationScore[], draws: number): ScoreFigure[] {
  const all = scores.map((_, i) => i);
  const [voice, level] = [scores.map((one) => one.voice), scores.map((one) => one.level)];
  return declared.flatMap(({ key, label, of, byActivity, fewest, figure }) => {
    const about: readonly Side[] = of === "sides" ? sides.toReversed() : ["agent"];
    return about.map((side): ScoreFigure => {
      const estimate = figure(side)(scores, voice);
      const told = ({ value, events }: { value: number; events: number }) =>
        events < fewest || Number.isNaN(value) ? null : value;
      const raw = estimate(all);
      const value = told(raw);
      return {
        ...{ key, label, side: of === "both" ? null : side, value, events: raw.events },
        interval: value === null || draws === 0 ? null : intervalOf(estimate, all.length, draws),
        byLevel: byActivity ? told(figure(side)(scores, level)(all)) : null,
      };
    });
  });
}
