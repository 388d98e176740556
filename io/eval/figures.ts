/** All figures of a set of recordings. Definitions: docs/eval.md. */
import { bestLag, correlation, lagCorrelations, type LipSeries, maxLag } from "./measures/lips.ts";
import {
  type Figure,
  figure,
  meanFigure,
  type Measure,
  quantileFigure,
  values,
} from "./measures/outcomes.ts";
import { addMoments, frechetDistance } from "./measures/picture.ts";
import {
  activityF1,
  type RecordingResult,
  type Span,
  spanUnits,
  unflag,
} from "./recording_result.ts";
import { levelDb } from "./measures/voice.ts";

export interface Figures {
  /** Questions whose answer was judged. */
  questions: number;
  answersRight: Figure;
  answersRightByKind: Record<string, Figure>;
  delayP50: Figure;
  delayP95: Figure;
  takeover: Figure;
  missed: Figure;
  falseStarts: Figure;
  falseStartsInPauses: Figure;
  falseStartsInSilences: Figure;
  stopDelayP50: Figure;
  stopDelayP95: Figure;
  newQuestionRight: Figure;
  selectivity: Figure;
  namingRight: Figure;
  greetingRight: Figure;
  firstSecond: Figure;
  activityF1: Figure;
  wordDistance: Figure;
  wordDistanceFloor: Figure;
  lips: Figure;
  lipsTruth: Figure;
  lipsFloor: Figure;
  lipsLag: Figure;
  frechet: Figure;
  frechetFloor: Figure;
  /** Median milliseconds of the solver per unit. */
  solveMs: Figure;
  /** Level of the active voice in dB of full scale. */
  levelDb: Figure;
}

/** Figures of all recordings without a swap, over a span of each. */
export function figuresOf(
  all: readonly RecordingResult[],
  span: Span,
  unitMs: number,
): Figures {
  const results = all.filter(({ swap }) => swap === null);
  const outcomes = results.flatMap(({ outcomes, units }) => {
    const range = spanUnits(span, units, unitMs);
    return range ? outcomes.filter(({ unit }) => unit >= range[0] && unit < range[1]) : [];
  });
  const of = (...measures: Measure[]) => values(outcomes, measures);
  const rate = (...measures: Measure[]) => meanFigure(of(...measures));
  const missed = of("missed");
  const kinds = [
    ...new Set(outcomes.flatMap(({ measure, kind }) => measure === "right" ? [kind ?? ""] : [])),
  ];
  return {
    questions: of("right").length,
    answersRight: rate("right"),
    answersRightByKind: Object.fromEntries(
      kinds.sort().map((kind) => [kind, meanFigure(values(outcomes, ["right"], kind))]),
    ),
    delayP50: quantileFigure(of("delay"), 0.5),
    delayP95: quantileFigure(of("delay"), 0.95),
    takeover: meanFigure(missed.map((value) => 1 - value)),
    missed: meanFigure(missed),
    falseStarts: rate("pause start", "silence start"),
    falseStartsInPauses: rate("pause start"),
    falseStartsInSilences: rate("silence start"),
    stopDelayP50: quantileFigure(of("stop delay"), 0.5),
    stopDelayP95: quantileFigure(of("stop delay"), 0.95),
    newQuestionRight: rate("new question"),
    selectivity: rate("selective"),
    namingRight: rate("naming"),
    greetingRight: rate("greeting"),
    firstSecond: rate("first second"),
    activityF1: activityF1(results, span, unitMs),
    wordDistance: rate("word distance"),
    wordDistanceFloor: rate("word distance floor"),
    ...lipFigures(results, span, unitMs),
    ...pictureFigures(results, span),
    solveMs: quantileFigure(results.flatMap(({ solve_ms }) => solve_ms), 0.5),
    levelDb: level(results, span, unitMs),
  };
}

function lipFigures(results: readonly RecordingResult[], span: Span, unitMs: number) {
  const series = (side: keyof RecordingResult["lips"]) =>
    results.flatMap(({ lips, units }): LipSeries[] => {
      const range = spanUnits(span, units, unitMs);
      const { opening, loudness } = lips[side] ?? {};
      if (!range || !opening || !loudness) return [];
      const [from, to] = range.map((unit) => (unit * opening.length) / units);
      return [{ opening: opening.slice(from, to), loudness: loudness.slice(from, to) }];
    });
  const at = (side: keyof RecordingResult["lips"]): Figure => {
    const all = series(side);
    return figure(correlation(all, 0), all.reduce((sum, { opening }) => sum + opening.length, 0));
  };
  const agent = at("agent");
  const correlations = lagCorrelations(series("agent"));
  return {
    lips: agent,
    lipsTruth: at("truth"),
    lipsFloor: at("floor"),
    lipsLag: figure(Number.isNaN(correlations[maxLag]) ? NaN : bestLag(correlations), agent.events),
  };
}

function pictureFigures(results: readonly RecordingResult[], span: Span) {
  const pictures = results.flatMap(({ pictures }) => pictures[span] ?? []);
  const compared = pictures.flatMap(({ agent, truth }) => truth ? [{ agent, truth }] : []);
  const floored = pictures.flatMap(({ floor, truth }) => floor && truth ? [{ floor, truth }] : []);
  const truth = addMoments(compared.map(({ truth }) => truth));
  const floorTruth = addMoments(floored.map(({ truth }) => truth));
  const agent = addMoments(compared.map(({ agent }) => agent));
  const floor = addMoments(floored.map(({ floor }) => floor));
  return {
    frechet: figure(frechetDistance(agent, truth), agent.count),
    frechetFloor: figure(frechetDistance(floor, floorTruth), floor.count),
  };
}

function level(results: readonly RecordingResult[], span: Span, unitMs: number): Figure {
  const rms: number[] = [];
  for (const result of results) {
    const range = spanUnits(span, result.units, unitMs);
    if (!range) continue;
    const active = unflag(result.active);
    for (let unit = range[0]; unit < range[1]; unit++) {
      if (active[unit]) rms.push(result.rms[unit] ?? 0);
    }
  }
  return figure(levelDb(rms, rms.map(() => true), 0, rms.length), rms.length);
}
