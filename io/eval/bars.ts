/** The figures beside the bars that a checkpoint is to reach: what falls short is shown, never left
 * out. */
import { counterfactual } from "./measures/counterfactual.ts";
import { type Figures, figuresOf } from "./figures.ts";
import { type Figure, figure } from "./measures/outcomes.ts";
import type { RecordingResult } from "./recording_result.ts";

/** One line of the report. */
export interface Row {
  /** Name in JSON. */
  key: string;
  /** What people read; a leading space sets it in. */
  label: string;
  value: number | null;
  /** Events (questions, units, frames, ...) that the figure rests on. */
  events: number;
  /** Something to hold it against, e.g. the truth's own figure. */
  beside?: { what: string; value: number | null };
  /** The bar; `met` is null while there are too few events. */
  bar?: { atMost?: number; atLeast?: number; met: boolean | null };
}

interface Bar {
  atMost?: number;
  atLeast?: number;
}

const row = (
  key: string,
  label: string,
  { value, events }: Figure,
  bar?: Bar,
  beside?: { what: string; figure: Figure },
): Row => ({
  key,
  label,
  value,
  events,
  ...(beside ? { beside: { what: beside.what, value: beside.figure.value } } : {}),
  ...(bar ? { bar: { ...bar, met: value === null ? null : meets(value, bar) } } : {}),
});

function meets(value: number, { atMost = Infinity, atLeast = -Infinity }: Bar): boolean {
  return value <= atMost && value >= atLeast;
}

/** All figures of a set of recordings, with bars. */
export function rowsOf(results: readonly RecordingResult[], unitMs: number): Row[] {
  const all = figuresOf(results, "all", unitMs);
  const card = counterfactual(results, "card");
  const question = counterfactual(results, "question");
  const lipsRatio = ratio(all.lips, all.lipsTruth);
  return [
    row("questions", "questions judged", { value: all.questions, events: all.questions }, {
      atLeast: 300,
    }),
    row("answers_right", "answers right", all.answersRight, { atLeast: 0.95 }),
    ...Object.entries(all.answersRightByKind).map(([kind, figure]) =>
      row(`answers_right_${kind}`, ` ${kind}`, figure)
    ),
    row("answer_follows_card", "another card: the answer follows", card.follows, { atLeast: 0.9 }),
    row("answer_changes_with_card", " it changes, right or not", card.changes),
    row("answer_follows_question", "another question: the answer follows", question.follows, {
      atLeast: 0.9,
    }),
    row("answer_changes_with_question", " it changes, right or not", question.changes),
    row("delay_p50", "response delay p50, units", all.delayP50, { atMost: 2 }),
    row("delay_p95", "response delay p95, units", all.delayP95, { atMost: 4 }),
    row("takeover_rate", "takeover rate", all.takeover),
    row("missed", "missed questions", all.missed, { atMost: 0.02 }),
    row("false_starts", "false starts", all.falseStarts, { atMost: 0.02 }),
    row("false_starts_in_pauses", " in pauses of questions", all.falseStartsInPauses, {
      atMost: 0.02,
    }),
    row("false_starts_in_silences", " in silences", all.falseStartsInSilences, { atMost: 0.02 }),
    row("first_second", "said in the first second", all.firstSecond, { atMost: 0 }),
    row("stop_delay_p50", "stop delay p50, units", all.stopDelayP50),
    row("stop_delay_p95", "stop delay p95, units", all.stopDelayP95, { atMost: 2 }),
    row("new_question_right", " the new question answered right", all.newQuestionRight),
    row("selectivity", "selectivity", all.selectivity, { atLeast: 0.9 }),
    row("naming_right", "naming right", all.namingRight),
    row("greeting_right", "greeting right", all.greetingRight),
    row("activity_f1", "voice activity F1", all.activityF1, { atLeast: 0.93 }),
    row("log_mel_distance", "log-mel distance of words", all.wordDistance, undefined, {
      what: "codec",
      figure: all.wordDistanceFloor,
    }),
    row(
      "log_mel_distance_over_codec",
      " over the codec's own",
      ratio(all.wordDistance, all.wordDistanceFloor),
      { atMost: 1.5 },
    ),
    row("lips", "lips: mouth and loudness", all.lips, undefined, {
      what: "truth",
      figure: all.lipsTruth,
    }),
    row("lips_over_truth", " over the truth's own", lipsRatio, { atLeast: 0.85 }),
    row("lips_codec", " the codec's own", all.lipsFloor),
    row("lips_lag", " lag where highest, frames", all.lipsLag, { atLeast: -1, atMost: 1 }),
    row("picture_frechet", "picture: Frechet distance", all.frechet, undefined, {
      what: "codec",
      figure: all.frechetFloor,
    }),
    row("solver_ms", "solver, ms a unit", all.solveMs),
    ...stability(results, unitMs),
  ];
}

function ratio(a: Figure, b: Figure): Figure {
  const value = (a.value ?? NaN) / (b.value ?? NaN);
  return figure(Number.isFinite(value) ? value : NaN, Math.min(a.events, b.events));
}

/** Figures that are to stay, and whether more of them is better. Rates may get worse by 0.1, others
 * by a tenth of themselves. */
const staying: [key: keyof Figures & string, label: string, better: 1 | -1, isRate: boolean][] = [
  ["answersRight", "answers right", 1, true],
  ["delayP50", "response delay p50", -1, false],
  ["delayP95", "response delay p95", -1, false],
  ["missed", "missed questions", -1, true],
  ["falseStarts", "false starts", -1, true],
  ["stopDelayP95", "stop delay p95", -1, false],
  ["selectivity", "selectivity", 1, true],
  ["activityF1", "voice activity F1", 1, true],
  ["wordDistance", "log-mel distance of words", -1, false],
  ["lips", "lips", 1, true],
  ["frechet", "picture: Frechet distance", -1, false],
];

/** The last 30 s of streams of a minute and more beside their first 30 s; no rows for shorter ones. */
function stability(results: readonly RecordingResult[], unitMs: number): Row[] {
  const long = results.filter(({ units }) => units * unitMs >= 60_000 - unitMs);
  if (long.length === 0) return [];
  const [first, last] = [figuresOf(long, "first", unitMs), figuresOf(long, "last", unitMs)];
  const rows = staying.map(([key, label, better, isRate]): Row => {
    const [a, b] = [first[key] as Figure, last[key] as Figure];
    const isKnown = a.value !== null && b.value !== null;
    const loss = isKnown ? better * ((a.value ?? 0) - (b.value ?? 0)) : NaN;
    const worse = isRate || loss <= 0 ? loss : loss / Math.abs(a.value ?? 1);
    const made = row(`last_30_s_${snake(key)}`, ` ${label}`, b, undefined, {
      what: "first",
      figure: a,
    });
    // A tenth of a figure that is exactly 0.1 worse must not fail by rounding.
    return { ...made, bar: { atMost: 0.1, met: isKnown ? worse <= 0.1 + 1e-9 : null } };
  });
  const drift = (last.levelDb.value ?? NaN) - (first.levelDb.value ?? NaN);
  const events = Math.min(first.levelDb.events, last.levelDb.events);
  return [
    {
      key: "long_recordings",
      label: "last 30 s of recordings of a minute and more",
      value: long.length,
      events: long.length,
    },
    ...rows,
    row("level_drift_db", " level drift, dB", figure(drift, events), { atLeast: -1, atMost: 1 }),
  ];
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
