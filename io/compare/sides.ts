/** Every figure of two agents side by side, over the recordings that both answered. */
import { rowsOf } from "../eval/figures/bars.ts";
import { compare, enoughConversations } from "../eval/figures/compare.ts";
import {
  type Estimate,
  fromTwo,
  type Interval,
  intervalOf,
  meanOf,
  ofSums,
  quantileOf,
} from "../eval/figures/estimates.ts";
import { enoughEvents } from "../eval/measures/outcomes.ts";
import { figuresOf, scoreDifferences } from "../score/figures.ts";
import type { ConversationScore } from "../score/score.ts";
import { exchangeOf } from "../score/turns.ts";
import type { NamedNetwork } from "./conditions.ts";
import { waits } from "./latency.ts";
import type { Answered } from "./result.ts";

/** Where a figure comes from. */
export type Group = "latency" | "work" | "eval" | "score";

/** A figure of one agent. */
export interface SideFigure {
  value: number | null;
  interval: Interval | null;
  events: number;
}

/** A figure of both. */
export interface SideBySide {
  group: Group;
  key: string;
  /** Of a question's kind, of the user's side, ...: tells rows of one key apart. */
  of: string | null;
  label: string;
  a: SideFigure;
  b: SideFigure;
  /** The first agent's less the second's, paired by conversation. */
  difference: { value: number | null; interval: Interval | null };
  /** The interval doesn't hold 0; null: there is none, or too few conversations to say so. */
  differs: boolean | null;
}

/** The recordings that both answered, in one order. */
export function paired(
  a: readonly Answered[],
  b: readonly Answered[],
): [Answered[], Answered[]] {
  const theirs = new Map(b.map((one) => [one.name, one]));
  const pairs = a.flatMap((one): [Answered, Answered][] => {
    const other = theirs.get(one.name);
    const isSame = other?.basis.recording === one.basis.recording &&
      other.basis.truth === one.basis.truth;
    return isSame ? [[one, other]] : [];
  });
  return [pairs.map(([one]) => one), pairs.map(([, other]) => other)];
}

type Pair = [Answered[], Answered[]];

/**
 * All figures.
 *
 * @param pair What `paired` gave, one at least.
 * @param networks By which answers are heard.
 * @param draws Draws of the bootstrap; 0: no intervals.
 */
export function sideBySide(
  pair: Pair,
  networks: readonly NamedNetwork[],
  unitMs: number,
  draws: number,
): SideBySide[] {
  const [first] = networks;
  return [
    ...networks.flatMap((network) => latencyRows(pair, network, unitMs, draws)),
    ...workRows(pair, unitMs, draws),
    ...evalRows(pair, unitMs, draws),
    ...(first ? scoreRows(pair, first, draws) : []),
  ];
}

/** A figure over recordings without swapped cards and questions, given per recording. */
function row(
  pair: Pair,
  draws: number,
  texts: Pick<SideBySide, "group" | "key" | "of" | "label">,
  estimate: (results: readonly Answered[]) => Estimate,
  fewest = enoughEvents,
): SideBySide {
  const [own, other] = pair.map((side) => side.filter(({ swap }) => swap === null)) as Pair;
  const all = own.map((_, i) => i);
  const [a, b] = [estimate(own), estimate(other)];
  const figure = (one: Estimate): SideFigure => {
    const { value, events } = one(all);
    const known = events >= fewest && !Number.isNaN(value);
    return {
      ...{ value: known ? value : null, events },
      interval: known && draws > 0 ? intervalOf(one, all.length, draws) : null,
    };
  };
  const [x, y] = [figure(a), figure(b)];
  const between = fromTwo(a, b, (x, y) => x - y);
  const isKnown = x.value !== null && y.value !== null;
  const difference = {
    value: isKnown ? between(all).value : null,
    interval: isKnown && draws > 0 ? intervalOf(between, all.length, draws) : null,
  };
  return { ...texts, a: x, b: y, difference, differs: verdict(difference.interval, all.length) };
}

const verdict = (interval: Interval | null, conversations: number) =>
  interval && conversations >= enoughConversations ? interval[0] > 0 || interval[1] < 0 : null;

function latencyRows(
  pair: Pair,
  { text, network }: NamedNetwork,
  unitMs: number,
  draws: number,
): SideBySide[] {
  const of = `network ${text}`;
  const values = (withCompute: boolean) => (results: readonly Answered[]) =>
    results.map((one) =>
      waits(one, unitMs, network, withCompute).flatMap(({ ms, early }) =>
        ms === null || early ? [] : [ms]
      )
    );
  const rows = [false, true].flatMap((withCompute) => {
    const lists = values(withCompute);
    const name = withCompute ? "with compute time, " : "";
    const key = withCompute ? "latencyWithCompute" : "latency";
    return [
      ...[0.5, 0.9].map((p) =>
        row(pair, draws, {
          ...{ group: "latency", key: `${key}P${100 * p}`, of },
          label: `${name}p${100 * p}, ms`,
        }, (results) => quantileOf(lists(results), p))
      ),
      row(pair, draws, {
        ...{ group: "latency", key: `${key}Mean`, of, label: `${name}mean, ms` },
      }, (results) => meanOf(lists(results))),
    ];
  });
  const rate =
    (test: (one: { ms: number | null; early: boolean }) => boolean) =>
    (results: readonly Answered[]) =>
      meanOf(
        results.map((one) => waits(one, unitMs, network, false).map((wait) => test(wait) ? 1 : 0)),
      );
  return [
    ...rows,
    row(
      pair,
      draws,
      { group: "latency", key: "unheard", of, label: "turns without an answer" },
      rate(({ ms }) => ms === null),
    ),
    row(
      pair,
      draws,
      { group: "latency", key: "early", of, label: "begun before the turn ended" },
      rate(({ early }) => early),
    ),
  ];
}

function workRows(pair: Pair, unitMs: number, draws: number): SideBySide[] {
  const ratio = (of: (live: Answered["live"]) => number | null) => (results: readonly Answered[]) =>
    ofSums(
      results.map(({ live, units }) => {
        const value = live.isRecorded ? null : of(live);
        return value === null ? [0, 0] : [value, (units * unitMs) / 1000];
      }),
      ([sum = 0, seconds = 0]) => ({ value: sum / seconds, events: seconds }),
    );
  const texts = (key: string, label: string) => ({ group: "work" as const, key, of: null, label });
  const modules = new Set(pair.flat().flatMap(({ live }) => Object.keys(live.modules)));
  const computeOf = ({ live }: Answered) => live.isRecorded ? [] : live.computeMs;
  const total = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0);
  return [
    row(
      pair,
      draws,
      texts("computePerSecond", "compute time per second of stream, s"),
      ratio(({ computeMs }) => total(computeMs) / 1000),
      0,
    ),
    row(
      pair,
      draws,
      texts("computeP50", " of a unit, p50, ms"),
      (results) => quantileOf(results.map(computeOf), 0.5),
    ),
    row(
      pair,
      draws,
      texts("computeP99", " of a unit, p99, ms"),
      (results) => quantileOf(results.map(computeOf), 0.99),
    ),
    row(
      pair,
      draws,
      texts("longerThanUnit", " units that take longer than a unit"),
      (results) => meanOf(results.map((one) => computeOf(one).map((ms) => ms > unitMs ? 1 : 0))),
    ),
    ...[...modules].map((name) =>
      row(
        pair,
        draws,
        { group: "work", key: "modulePerSecond", of: name, label: " of a module, s" },
        ratio(({ modules }) => {
          const ms = modules[name];
          return ms === undefined ? null : ms / 1000;
        }),
        0,
      )
    ),
    row(
      pair,
      draws,
      texts("processorPerSecond", "processor time per second of stream, s"),
      ratio(({ cpuSeconds }) => cpuSeconds),
      0,
    ),
    {
      ...texts("peakMegabytes", "most memory held, MB"),
      ...{ a: peak(pair[0]), b: peak(pair[1]), difference: { value: null, interval: null } },
      differs: null,
    },
  ];
}

function peak(results: readonly Answered[]): SideFigure {
  const known = results.filter(({ live }) => !live.isRecorded);
  const value = known.length > 0
    ? Math.max(...known.map(({ live }) => live.peakBytes)) / 1e6
    : null;
  return { value, interval: null, events: known.length };
}

function evalRows([a, b]: Pair, unitMs: number, draws: number): SideBySide[] {
  return [
    ...judgedRows([a, b], unitMs, draws),
    ...[true, false].map((isWhole) => rightRow([a, b], draws, isWhole)),
  ]
    .filter(({ key, a, b }) => a.events > 0 || b.events > 0 || mainRows.test(key));
}

/** Rows that stand in every table, also where nothing of the kind happened. */
const mainRows = /^(answersRight|missed|falseStartsInPauses|rightWithRoom|rightAsFar)$/;

/** Whether an answer is right to its end; or as far as it was said, where the user's next turn or the
 * recording's end cut it off: what an agent knows, apart from when it begins. Of spoken questions that
 * leave a late answer room. */
export function rightRow(pair: Pair, draws: number, isWhole: boolean): SideBySide {
  const isRight = ({ said, wanted }: Answered["outcomes"][number]) =>
    isWhole ? said === wanted : Boolean(said) && `${wanted ?? ""} `.startsWith(`${said} `);
  const [key, label] = isWhole
    ? ["rightWithRoom", "answers right where there is room"]
    : ["rightAsFar", " as far as they were said"];
  return row(
    pair,
    draws,
    { group: "eval", key, of: null, label },
    (results) =>
      meanOf(
        results.map(({ outcomes, live }) =>
          outcomes.flatMap((one) =>
            one.measure === "right" && live.turns.some(({ turn }) => turn === one.unit)
              ? [isRight(one) ? 1 : 0]
              : []
          )
        ),
      ),
  );
}

function judgedRows([a, b]: Pair, unitMs: number, draws: number): SideBySide[] {
  const [own, other] = [rowsOf(a, unitMs, draws), rowsOf(b, unitMs, draws)];
  const { differences } = compare(a, b, unitMs, draws);
  const side = (rows: typeof own, key: string, kind: string | null): SideFigure => {
    const { value = null, interval = null, events = 0 } =
      rows.find((one) => one.key === key && one.kind === kind) ?? {};
    return { value, interval, events };
  };
  const hasLong = own.some(({ key, events }) => key === "longRecordings" && events > 0);
  return own.flatMap(({ key, kind, label }): SideBySide[] => {
    if (!hasLong && /^(last30s|longRecordings)/.test(key)) return [];
    const { difference = null, interval = null, isDifference = null } = differences.find((one) =>
      one.key === key && one.kind === kind
    ) ?? {};
    return [{
      ...{ group: "eval", key, of: kind, label },
      ...{ a: side(own, key, kind), b: side(other, key, kind) },
      difference: { value: difference, interval },
      differs: isDifference,
    }];
  });
}

function scoreRows(pair: Pair, { network }: NamedNetwork, draws: number): SideBySide[] {
  const delay = (network?.delay ?? 0) / 1000;
  const [a, b] = pair.map((side) =>
    side.filter(({ swap }) => swap === null).map(({ live }) => later(live.score, delay))
  ) as [ConversationScore[], ConversationScore[]];
  const [own, other] = [figuresOf(a, draws), figuresOf(b, draws)];
  const differences = scoreDifferences(a, b, draws);
  return own.flatMap(({ key, side, label, ...one }, i): SideBySide[] => {
    const [theirs, difference] = [other[i], differences[i]];
    if (!theirs || !difference || (one.value === null && theirs.value === null)) return [];
    const figure = ({ value, interval, events }: SideFigure) => ({ value, interval, events });
    return [{
      ...{ group: "score", key, of: side, label, a: figure(one), b: figure(theirs) },
      difference: { value: difference.value, interval: difference.interval },
      differs: verdict(difference.interval, a.length),
    }];
  });
}

/** A score with the agent heard later by so many seconds. */
function later(score: ConversationScore, seconds: number): ConversationScore {
  if (seconds === 0) return score;
  const whole = score.seconds + seconds;
  const shifted = (heard: ConversationScore["voice"]) => {
    const agent = heard.speech.agent.map(({ from, to }) => ({
      from: from + seconds,
      to: to + seconds,
    }));
    const speech = { ...heard.speech, agent };
    return { speech, exchange: exchangeOf(speech, whole) };
  };
  return {
    ...score,
    ...{ seconds: whole, delay: score.delay + seconds },
    ...{ voice: shifted(score.voice), level: shifted(score.level) },
  };
}
