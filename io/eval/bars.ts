/** The figures of an evaluation, each declared once: its name, how it is computed, and the bar that a
 * checkpoint is to reach. What falls short is shown, never left out. */
import { counterfactual } from "./measures/counterfactual.ts";
import {
  activityFigure,
  frechetFigure,
  levelFigure,
  lipFigures,
  type Part,
  partOf,
} from "./figures.ts";
import {
  type Figure,
  figure,
  meanFigure,
  type Measure,
  quantileFigure,
  values,
} from "./measures/outcomes.ts";
import { type RecordingResult, type Span, spanUnits } from "./recording_result.ts";

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
  bar?: Bar & { met: boolean | null };
}

interface Bar {
  atMost?: number;
  atLeast?: number;
}

/** How a figure is to stay in the last 30 s of long recordings as it is in the first. Rates may get
 * worse by 0.1, others by a tenth of themselves. */
interface Stays {
  better: "higher" | "lower";
  isRate: boolean;
  /** Its name in JSON and its label there, where they are others. */
  key?: string;
  label?: string;
}

interface Declared {
  key: string;
  label: string;
  figure: Figure;
  bar?: Bar | undefined;
  beside?: { what: string; figure: Figure };
  stays?: Stays;
}

const highRate: Stays = { better: "higher", isRate: true };
const lowRate: Stays = { better: "lower", isRate: true };
const low: Stays = { better: "lower", isRate: false };

/** All figures of a part; those of counterfactual pairs are of all recordings. */
function figuresOf(results: readonly RecordingResult[], part: Part): Declared[] {
  const row = (
    key: string,
    label: string,
    figure: Figure,
    bar?: Bar,
    more?: Pick<Declared, "beside" | "stays">,
  ): Declared => ({ key, label, figure, bar, ...more });
  const of = (...measures: Measure[]) => values(part.outcomes, measures);
  const rate = (...measures: Measure[]) => meanFigure(of(...measures));
  const rightOf = (kind: string) => meanFigure(values(part.outcomes, ["right"], kind));
  const at = (p: number, measure: Measure) => quantileFigure(of(measure), p);

  const questions = part.outcomes.filter(({ measure }) => measure === "right");
  const kinds = [...new Set(questions.map(({ kind }) => kind ?? ""))].sort();
  const card = counterfactual(results, "card");
  const question = counterfactual(results, "question");
  const [distance, codec] = [rate("word distance"), rate("word distance floor")];
  const lips = lipFigures(part);
  const frechet = { what: "codec", figure: frechetFigure(part, "floor") };
  const solveMs = part.recordings.flatMap(({ result }) => result.solve_ms);
  return [
    row("questions", "questions judged", count(questions.length), { atLeast: 300 }),
    row("answers_right", "answers right", rate("right"), { atLeast: 0.95 }, { stays: highRate }),
    ...kinds.map((kind) => row(`answers_right_${kind}`, ` ${kind}`, rightOf(kind))),
    row("answer_follows_card", "another card: the answer follows", card.follows, { atLeast: 0.9 }),
    row("answer_changes_with_card", " it changes, right or not", card.changes),
    row("answer_follows_question", "another question: the answer follows", question.follows, {
      atLeast: 0.9,
    }),
    row("answer_changes_with_question", " it changes, right or not", question.changes),
    row("delay_p50", "response delay p50, units", at(0.5, "delay"), { atMost: 2 }, {
      stays: { ...low, label: "response delay p50" },
    }),
    row("delay_p95", "response delay p95, units", at(0.95, "delay"), { atMost: 4 }, {
      stays: { ...low, label: "response delay p95" },
    }),
    row("takeover_rate", "takeover rate", meanFigure(of("missed").map((value) => 1 - value))),
    row("missed", "missed questions", rate("missed"), { atMost: 0.02 }, { stays: lowRate }),
    row("false_starts", "false starts", rate("pause start", "silence start"), { atMost: 0.02 }, {
      stays: lowRate,
    }),
    row("false_starts_in_pauses", " in pauses of questions", rate("pause start"), { atMost: 0.02 }),
    row("false_starts_in_silences", " in silences", rate("silence start"), { atMost: 0.02 }),
    row("first_second", "said in the first second", rate("first second"), { atMost: 0 }),
    row("stop_delay_p50", "stop delay p50, units", at(0.5, "stop delay")),
    row("stop_delay_p95", "stop delay p95, units", at(0.95, "stop delay"), { atMost: 2 }, {
      stays: { ...low, label: "stop delay p95" },
    }),
    row("new_question_right", " the new question answered right", rate("new question")),
    row("selectivity", "selectivity", rate("selective"), { atLeast: 0.9 }, { stays: highRate }),
    row("naming_right", "naming right", rate("naming")),
    row("greeting_right", "greeting right", rate("greeting")),
    row("activity_f1", "voice activity F1", activityFigure(part), { atLeast: 0.93 }, {
      stays: highRate,
    }),
    row("log_mel_distance", "log-mel distance of words", distance, undefined, {
      beside: { what: "codec", figure: codec },
      stays: { ...low, key: "word_distance" },
    }),
    row("log_mel_distance_over_codec", " over the codec's own", ratio(distance, codec), {
      atMost: 1.5,
    }),
    row("lips", "lips: mouth and loudness", lips.agent, undefined, {
      beside: { what: "truth", figure: lips.truth },
      stays: { ...highRate, label: "lips" },
    }),
    row("lips_over_truth", " over the truth's own", ratio(lips.agent, lips.truth), {
      atLeast: 0.85,
    }),
    row("lips_codec", " the codec's own", lips.floor),
    row("lips_lag", " lag where highest, frames", lips.lag, { atLeast: -1, atMost: 1 }),
    row("picture_frechet", "picture: Frechet distance", frechetFigure(part, "agent"), undefined, {
      beside: frechet,
      stays: { ...low, key: "frechet" },
    }),
    row("solver_ms", "solver, ms a unit", quantileFigure(solveMs, 0.5)),
  ];
}

const count = (events: number): Figure => ({ value: events, events });

function ratio(a: Figure, b: Figure): Figure {
  const value = (a.value ?? NaN) / (b.value ?? NaN);
  return figure(Number.isFinite(value) ? value : NaN, Math.min(a.events, b.events));
}

/** All figures of a set of recordings, with bars. */
export function rowsOf(results: readonly RecordingResult[], unitMs: number): Row[] {
  const part = (span: Span) => partOf(results, span, unitMs);
  const declared = figuresOf(results, part("all"));
  const long = results.filter(({ units }) => spanUnits("last", units, unitMs)).length;
  if (long === 0) return declared.map(shown);
  const [first, last] = [part("first"), part("last")];
  // The rows of kinds of questions differ from part to part: rows are found by their key.
  const before = new Map(figuresOf(results, first).map(({ key, figure }) => [key, figure]));
  const after = figuresOf(results, last).flatMap((one) => {
    const figure = before.get(one.key);
    return one.stays && figure ? [stability(one, one.stays, figure)] : [];
  });
  const [level, levelBefore] = [levelFigure(last), levelFigure(first)];
  const drift = (level.value ?? NaN) - (levelBefore.value ?? NaN);
  return [
    ...declared.map(shown),
    shown({
      key: "long_recordings",
      label: "last 30 s of recordings of a minute and more",
      figure: count(long),
    }),
    ...after,
    shown({
      key: "level_drift_db",
      label: " level drift, dB",
      figure: figure(drift, Math.min(level.events, levelBefore.events)),
      bar: { atLeast: -1, atMost: 1 },
    }),
  ];
}

function shown({ key, label, figure: { value, events }, bar, beside }: Declared): Row {
  const { atMost = Infinity, atLeast = -Infinity } = bar ?? {};
  const met = value === null ? null : value <= atMost && value >= atLeast;
  return {
    key,
    label,
    value,
    events,
    ...(beside ? { beside: { what: beside.what, value: beside.figure.value } } : {}),
    ...(bar ? { bar: { ...bar, met } } : {}),
  };
}

/** A figure of the last 30 s beside that of the first. */
function stability({ key, label, figure }: Declared, stays: Stays, first: Figure): Row {
  const row = shown({
    key: `last_30_s_${stays.key ?? key}`,
    label: ` ${stays.label ?? label}`,
    figure,
    beside: { what: "first", figure: first },
  });
  const isKnown = first.value !== null && figure.value !== null;
  const gain = isKnown ? (figure.value ?? 0) - (first.value ?? 0) : NaN;
  const loss = stays.better === "lower" ? gain : -gain;
  const worse = stays.isRate || loss <= 0 ? loss : loss / Math.abs(first.value ?? 1);
  // A tenth of a figure that is exactly 0.1 worse must not fail by rounding.
  return { ...row, bar: { atMost: 0.1, met: isKnown ? worse <= 0.1 + 1e-9 : null } };
}
