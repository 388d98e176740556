/** What figures are computed from: recordings over a span of each. Definitions: docs/eval.md. */
import { f1, overlap } from "./measures/activity.ts";
import { bestLag, correlation, lagCorrelations, maxLag } from "./measures/lips.ts";
import { type Figure, figure, type Outcome } from "./measures/outcomes.ts";
import { addMoments, frechetDistance } from "./measures/picture.ts";
import { type RecordingResult, type Span, spanUnits, unflag } from "./recording_result.ts";
import { levelDb } from "./measures/voice.ts";

/** A span of those recordings that have it and nothing swapped: units [from, to) of each. */
export interface Part {
  span: Span;
  recordings: { result: RecordingResult; from: number; to: number }[];
  /** Outcomes of events that begin in the span. */
  outcomes: Outcome[];
}

export function partOf(all: readonly RecordingResult[], span: Span, unitMs: number): Part {
  const recordings = all.filter(({ swap }) => swap === null).flatMap((result) => {
    const range = spanUnits(span, result.units, unitMs);
    return range ? [{ result, from: range[0], to: range[1] }] : [];
  });
  const outcomes = recordings.flatMap(({ result, from, to }) =>
    result.outcomes.filter(({ unit }) => unit >= from && unit < to)
  );
  return { span, recordings, outcomes };
}

/** F1 of the agent's activity over all units together. */
export function activityFigure({ recordings }: Part): Figure {
  const counts = recordings.map(({ result, from, to }) =>
    overlap(unflag(result.active), unflag(result.truth_active), from, to)
  );
  const sum = (key: "both" | "agentOnly" | "truthOnly") =>
    counts.reduce((total, count) => total + count[key], 0);
  const total = { both: sum("both"), agentOnly: sum("agentOnly"), truthOnly: sum("truthOnly") };
  return figure(f1(total), total.both + total.agentOnly + total.truthOnly);
}

/** Correlation of mouth and loudness of the agent, the truth and the codec, and the agent's lag. */
export function lipFigures({ recordings }: Part) {
  const series = (side: keyof RecordingResult["lips"]) =>
    recordings.flatMap(({ result: { lips, units }, ...range }) => {
      const { opening, loudness } = lips[side] ?? {};
      if (!opening || !loudness) return [];
      const [from, to] = [range.from, range.to].map((unit) => (unit * opening.length) / units);
      return [{ opening: opening.slice(from, to), loudness: loudness.slice(from, to) }];
    });
  const at = (side: keyof RecordingResult["lips"]): Figure => {
    const all = series(side);
    return figure(correlation(all, 0), all.reduce((sum, { opening }) => sum + opening.length, 0));
  };
  const agent = at("agent");
  const correlations = lagCorrelations(series("agent"));
  const lag = Number.isNaN(correlations[maxLag]) ? NaN : bestLag(correlations);
  return { agent, truth: at("truth"), floor: at("floor"), lag: figure(lag, agent.events) };
}

/** Frechet distance of the agent's pictures, or of what the codec makes of the truth, to the truth. */
export function frechetFigure({ recordings, span }: Part, side: "agent" | "floor"): Figure {
  const pairs = recordings.flatMap(({ result: { pictures: { [span]: pictures } } }) => {
    const { [side]: made = null, truth = null } = pictures ?? {};
    return made && truth ? [{ made, truth }] : [];
  });
  const made = addMoments(pairs.map(({ made }) => made));
  return figure(frechetDistance(made, addMoments(pairs.map(({ truth }) => truth))), made.count);
}

/** Level of the agent's active voice in dB of full scale. */
export function levelFigure({ recordings }: Part): Figure {
  const rms = recordings.flatMap(({ result, from, to }) => {
    const active = unflag(result.active);
    return result.rms.slice(from, to).filter((_, i) => active[from + i]);
  });
  return figure(levelDb(rms), rms.length);
}
