/** The figures of an evaluation, each declared once: its name, how it is computed, and the bar that a
 * checkpoint is to reach. What falls short is shown, never left out. */
import { counterfactual } from "../measures/counterfactual.ts";
import { figure, type Measure } from "../measures/outcomes.ts";
import type { Swap } from "../measures/truth.ts";
import {
  type Estimate,
  fromTwo,
  type Interval,
  intervalOf,
  meanOf,
  meanOfEstimates,
  ofSums,
  quantileOf,
} from "./estimates.ts";
import {
  activityEstimate,
  type Conversation,
  frechetEstimate,
  levelEstimate,
  lipEstimates,
  type Part,
  partOf,
  type Sample,
  sampleOf,
  valuesOf,
  voiceErrorEstimate,
  wordEstimates,
} from "./parts.ts";
import { type RecordingResult, type Span, spanUnits } from "./recording_result.ts";

/** One line of the report; docs/eval.md has the keys. */
export interface Row {
  key: string;
  /** Of a figure that there is for each kind of question. */
  kind: string | null;
  /** What people read; a leading space sets it in. */
  label: string;
  /** Null: it rests on too few events. With several seeds of the noise the mean over them. */
  value: number | null;
  /** Holds the figure in 95 % of draws of the bootstrap over conversations; null: it isn't known, or
   * the figure is a count. */
  interval: Interval | null;
  /** Events (questions, units, frames, ...) that the figure rests on, over all seeds of the noise. */
  events: number;
  /** Something to hold it against, e.g. the truth's own figure. */
  beside: { what: string; value: number | null } | null;
  bar: Bar | null;
  /** The figure under each seed of the noise, in their order, and its standard deviation (n - 1). */
  perNoiseSeed: { values: (number | null)[]; deviation: number | null };
}

/** What a figure is to reach: a value, or to stay as it was in the first 30 s but for a loss. */
export interface Bar {
  atLeast: number | null;
  atMost: number | null;
  lossAtMost: number | null;
  /** Null while there are too few events. */
  met: boolean | null;
}

/** How a figure is to stay in the last 30 s of long recordings as it is in the first. Rates may get
 * worse by 0.1, others by a tenth of themselves. */
interface Stays {
  better: "higher" | "lower";
  isRate: boolean;
  /** Its label there, where it is another. */
  label?: string;
}

/** A figure as it is declared. */
export interface Declared {
  key: string;
  kind: string | null;
  label: string;
  estimate: Estimate;
  bar: { atLeast?: number; atMost?: number } | null;
  beside: { what: string; estimate: Estimate } | null;
  stays: Stays | null;
  /** The part of the bootstrap's draws that are computed; 0: it is a count, which has no interval. */
  drawn: number;
}

const highRate: Stays = { better: "higher", isRate: true };
const lowRate: Stays = { better: "lower", isRate: true };
const low: Stays = { better: "lower", isRate: false };

/** The part of the draws for a figure that takes milliseconds each time. */
const slow = 0.2;

/** All figures of a part; those of counterfactual pairs are of all recordings. */
function figuresOf(
  conversations: readonly Conversation[],
  part: Part,
  kinds: readonly string[],
): Declared[] {
  const row = (
    key: string,
    label: string,
    estimate: Estimate,
    bar: Declared["bar"] = null,
    more: Partial<Declared> = {},
  ): Declared => ({
    key,
    kind: null,
    label,
    estimate,
    bar,
    beside: null,
    stays: null,
    drawn: 1,
    ...more,
  });
  const of = (...measures: Measure[]) => valuesOf(part, measures);
  const rate = (...measures: Measure[]) => meanOf(of(...measures));
  const at = (p: number, measure: Measure) => quantileOf(of(measure), p);
  const pairs = (kind: Swap["kind"], what: "follows" | "changes") =>
    meanOfCounts(conversations.map((conversation) => {
      const counts = counterfactual(conversation, kind);
      return [counts[what], counts.pairs];
    }));

  const words = wordEstimates(part);
  const lips = lipEstimates(part);
  const picture = frechetEstimate(part, "agent");
  const solveMs = part.recordings.map((list) => list.flatMap(({ result }) => result.solveMs));
  const [misheard, theirs] = (["voice error", "voice error truth"] as const)
    .map((measure) => voiceErrorEstimate(part, measure)) as [Estimate, Estimate];
  const [quality, codecs] = [rate("speech quality"), rate("speech quality codec")];
  const more = (a: number, b: number) => a - b;
  const missed = of("missed").map((list) => list.map((value) => 1 - value));
  const ratio = (a: number, b: number) => a / b;
  return [
    row("questions", "questions judged", countOf(of("right")), { atLeast: 300 }, { drawn: 0 }),
    row("answersRight", "answers right", rate("right"), { atLeast: 0.95 }, { stays: highRate }),
    ...kinds.map((kind) =>
      row("answersRightByKind", ` ${kind}`, meanOf(valuesOf(part, ["right"], kind)), null, { kind })
    ),
    row("answerFollowsCard", "another card: the answer follows", pairs("card", "follows"), {
      atLeast: 0.9,
    }),
    row("answerChangesWithCard", " it changes, right or not", pairs("card", "changes")),
    row(
      "answerFollowsQuestion",
      "another question: the answer follows",
      pairs("question", "follows"),
      { atLeast: 0.9 },
    ),
    row("answerChangesWithQuestion", " it changes, right or not", pairs("question", "changes")),
    row("delayP50", "response delay p50, units", at(0.5, "delay"), { atMost: 2 }, {
      stays: { ...low, label: "response delay p50" },
    }),
    row("delayP95", "response delay p95, units", at(0.95, "delay"), { atMost: 4 }, {
      stays: { ...low, label: "response delay p95" },
    }),
    row("takeoverRate", "takeover rate", meanOf(missed)),
    row("missed", "missed questions", rate("missed"), { atMost: 0.02 }, { stays: lowRate }),
    row("falseStarts", "false starts", rate("pause start", "silence start"), { atMost: 0.02 }, {
      stays: lowRate,
    }),
    row("falseStartsInPauses", " in pauses of questions", rate("pause start"), { atMost: 0.02 }),
    row("falseStartsInSilences", " in silences", rate("silence start"), { atMost: 0.02 }),
    row("firstSecond", "said in the first second", rate("first second"), { atMost: 0 }),
    row("stopDelayP50", "stop delay p50, units", at(0.5, "stop delay")),
    row("stopDelayP95", "stop delay p95, units", at(0.95, "stop delay"), { atMost: 2 }, {
      stays: { ...low, label: "stop delay p95" },
    }),
    row("newQuestionRight", " the new question answered right", rate("new question")),
    row("selectivity", "selectivity", rate("selective"), { atLeast: 0.9 }, { stays: highRate }),
    row("namingRight", "naming right", rate("naming")),
    row("greetingRight", "greeting right", rate("greeting")),
    row("promptFollowed", "prompt followed", rate("prompt"), { atLeast: 0.95 }),
    row("characterFollowed", "character followed", rate("character"), { atLeast: 0.95 }),
    row("faceDrift", "face drift in the last 30 s, levels", rate("face drift"), null, {
      beside: { what: "truth", estimate: rate("face drift truth") },
    }),
    row("voiceFollowed", "voice followed", rate("voice"), { atLeast: 0.9 }),
    row("voiceError", "word error of the voice", misheard, null, {
      beside: { what: "truth", estimate: theirs },
    }),
    row("voiceErrorOverTruth", " more than the truth's", fromTwo(misheard, theirs, more), {
      atMost: 0.03,
    }),
    row("speechQuality", "speech quality (DNSMOS)", quality, { atLeast: 3 }, {
      beside: { what: "codec", estimate: codecs },
    }),
    row("speechQualityOverCodec", " more than the codec's own", fromTwo(quality, codecs, more), {
      atLeast: -0.1,
    }),
    row("activityF1", "voice activity F1", activityEstimate(part), { atLeast: 0.93 }, {
      stays: highRate,
    }),
    row("logMelDistance", "log-mel distance of words", words.agent, null, {
      beside: { what: "codec", estimate: words.codec },
      stays: low,
    }),
    row("logMelOverCodec", " over the codec's own", fromTwo(words.agent, words.codec, ratio), {
      atMost: 1.5,
    }),
    row("lips", "lips: mouth and loudness", lips.agent, null, {
      beside: { what: "truth", estimate: lips.truth },
      stays: { ...highRate, label: "lips" },
    }),
    row("lipsOverTruth", " over the truth's own", fromTwo(lips.agent, lips.truth, ratio), {
      atLeast: 0.85,
    }),
    row("lipsCodec", " the codec's own", lips.floor),
    row("lipsLag", " lag where highest, frames", lips.lag, { atLeast: -1, atMost: 1 }),
    row("pictureFrechet", "picture: Frechet distance", picture, null, {
      beside: { what: "codec", estimate: frechetEstimate(part, "floor") },
      stays: low,
      drawn: slow,
    }),
    row("solverMs", "solver, ms a unit", quantileOf(solveMs, 0.5)),
  ];
}

const meanOfCounts = (counts: readonly number[][]) =>
  ofSums(counts, ([sum = NaN, count = 0]) => ({ value: sum / count, events: count }));

const countOf = (lists: readonly (readonly unknown[])[]) =>
  ofSums(lists.map(({ length }) => [length]), ([count = 0]) => ({ value: count, events: count }));

/** The figures of one seed of the noise, those of the last 30 s of long recordings behind the others. */
function declaredOf(
  conversations: readonly Conversation[],
  kinds: readonly string[],
  unitMs: number,
): Declared[] {
  const figures = (span: Span) =>
    figuresOf(conversations, partOf(conversations, span, unitMs), kinds);
  const firsts = figures("first");
  const level = (span: Span) => levelEstimate(partOf(conversations, span, unitMs));
  const long = conversations.map((conversation) =>
    conversation.filter(({ units }) => spanUnits("last", units, unitMs))
  );
  const base = { kind: null, bar: null, beside: null, stays: null, drawn: 1 };
  return [
    ...figures("all").map((one) => ({ ...one, stays: null })),
    {
      ...base,
      key: "longRecordings",
      label: "last 30 s of recordings of a minute and more",
      estimate: countOf(long),
      drawn: 0,
    },
    ...figures("last").flatMap((one, i): Declared[] => {
      const [first, { stays }] = [firsts[i], one];
      if (!first || !stays) return [];
      return [{
        ...one,
        key: `last30s${one.key[0]?.toUpperCase()}${one.key.slice(1)}`,
        label: ` ${stays.label ?? one.label}`,
        bar: null,
        beside: { what: "first", estimate: first.estimate },
      }];
    }),
    {
      ...base,
      key: "last30sLevelDriftDb",
      label: " level drift, dB",
      estimate: fromTwo(level("last"), level("first"), (last, first) => last - first),
      bar: { atLeast: -1, atMost: 1 },
    },
  ];
}

/** All figures of a sample: over several seeds of the noise they are means over the seeds. */
export function figuresOfSample({ conversations }: Sample, unitMs: number) {
  const outcomes = conversations.flat(2).filter(({ swap }) => swap === null)
    .flatMap((result) => result.outcomes).filter(({ measure }) => measure === "right");
  const kinds = [...new Set(outcomes.map(({ kind }) => kind ?? ""))].sort();
  const perSeed = conversations.map((seed) => declaredOf(seed, kinds, unitMs));
  return (perSeed[0] ?? []).map((one, i) => {
    const all = perSeed.flatMap((declared) => declared[i] ?? []);
    const joined = (estimates: Estimate[]) =>
      one.drawn === 0 ? sumOf(estimates) : meanOfEstimates(estimates);
    const { beside } = one;
    const besides = all.flatMap((declared) => declared.beside?.estimate ?? []);
    return {
      ...one,
      estimate: joined(all.map(({ estimate }) => estimate)),
      beside: beside && { what: beside.what, estimate: meanOfEstimates(besides) },
      perSeed: all.map(({ estimate }) => estimate),
    };
  });
}

/** Counts add up over the seeds of the noise. */
const sumOf = (estimates: readonly Estimate[]): Estimate => (drawn) => {
  const events = estimates.reduce((sum, estimate) => sum + estimate(drawn).events, 0);
  return { value: events, events };
};

/**
 * All figures of a set of recordings, with intervals and bars.
 *
 * @param draws Draws of the bootstrap; 0: no intervals.
 */
export function rowsOf(
  results: readonly RecordingResult[],
  unitMs: number,
  draws: number,
): Row[] {
  const sample = sampleOf(results);
  const all = sample.names.map((_, i) => i);
  return figuresOfSample(sample, unitMs).map((declared) => {
    const { key, kind, label, estimate, beside, perSeed } = declared;
    // Each seed must have enough events of its own.
    const values = perSeed.map((one) => shown(one, all, declared.drawn));
    const { events } = estimate(all);
    const value = values.includes(null) ? null : shown(estimate, all, declared.drawn);
    const count = Math.ceil(draws * declared.drawn);
    const besides = beside && { what: beside.what, value: shown(beside.estimate, all) };
    return {
      key,
      kind,
      label,
      value,
      interval: value === null || count === 0 ? null : intervalOf(estimate, all.length, count),
      events,
      beside: besides,
      bar: barOf(declared, value, besides?.value ?? null),
      perNoiseSeed: { values, deviation: deviationOf(values) },
    };
  });
}

/** The figure of all; null where it rests on too few events. A count is one however small. */
function shown(estimate: Estimate, all: readonly number[], drawn = 1): number | null {
  const { value, events } = estimate(all);
  return drawn === 0 ? value : figure(value, events).value;
}

/** Standard deviation; null: fewer than two values. */
function deviationOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  if (known.length < 2 || known.length < values.length) return null;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (known.length - 1));
}

function barOf({ bar, stays }: Declared, value: number | null, first: number | null): Bar | null {
  if (bar) {
    const { atMost = null, atLeast = null } = bar;
    const met = value === null
      ? null
      : value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity);
    return { atLeast, atMost, lossAtMost: null, met };
  }
  if (!stays) return null;
  const isKnown = first !== null && value !== null;
  const gain = isKnown ? value - first : NaN;
  const loss = stays.better === "lower" ? gain : -gain;
  const worse = stays.isRate || loss <= 0 ? loss : loss / Math.abs(first ?? 1);
  // A tenth of a figure that is exactly 0.1 worse must not fail by rounding.
  const met = isKnown ? worse <= 0.1 + 1e-9 : null;
  return { atLeast: null, atMost: null, lossAtMost: 0.1, met };
}
