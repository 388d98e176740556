/** What figures are computed from: conversations over a span of each. Definitions: docs/eval.md. */
import { f1, overlap } from "../measures/activity.ts";
import { bestLag, correlationOf, lipSums, maxLag, sumsPerLag } from "../measures/lips.ts";
import type { Measure, Outcome } from "../measures/outcomes.ts";
import { flatMoments, frechetDistance, momentsOf, noMoments } from "../measures/picture.ts";
import { levelDb } from "../measures/voice.ts";
import { type Estimate, meanOf, ofSums } from "./estimates.ts";
import { type RecordingResult, type Span, spanUnits, unflag } from "./recording_result.ts";

/** A recording and its swapped variants, under one seed of the noise. */
export type Conversation = readonly RecordingResult[];

/** Results by conversation, in an order of their own: how they were run and stored doesn't matter. */
export interface Sample {
  names: string[];
  noiseSeeds: number[];
  /** Of each noise seed, in the order of the names. */
  conversations: Conversation[][];
}

/** The conversation that a recording belongs to. */
export const conversationOf = ({ name, swap }: Pick<RecordingResult, "name" | "swap">) =>
  swap?.of ?? name;

export function sampleOf(results: readonly RecordingResult[]): Sample {
  const names = [...new Set(results.map(conversationOf))].sort();
  const noiseSeeds = [...new Set(results.map(({ noiseSeed }) => noiseSeed))].sort((a, b) => a - b);
  const sorted = [...results].sort((a, b) => a.name < b.name ? -1 : 1);
  const conversations = noiseSeeds.map((seed) => {
    const own = Map.groupBy(
      sorted.filter(({ noiseSeed }) => noiseSeed === seed),
      conversationOf,
    );
    return names.map((name) => own.get(name) ?? []);
  });
  return { names, noiseSeeds, conversations };
}

/** A span of those recordings that have it and nothing swapped, per conversation: units [from, to). */
export interface Part {
  span: Span;
  recordings: { result: RecordingResult; from: number; to: number }[][];
  /** Outcomes of events that begin in the span. */
  outcomes: Outcome[][];
}

export function partOf(conversations: readonly Conversation[], span: Span, unitMs: number): Part {
  const recordings = conversations.map((conversation) =>
    conversation.filter(({ swap }) => swap === null).flatMap((result) => {
      const range = spanUnits(span, result.units, unitMs);
      return range ? [{ result, from: range[0], to: range[1] }] : [];
    })
  );
  const outcomes = recordings.map((list) =>
    list.flatMap(({ result, from, to }) =>
      result.outcomes.filter(({ unit }) => unit >= from && unit < to)
    )
  );
  return { span, recordings, outcomes };
}

/** Values of the outcomes of some measures, per conversation. */
export function valuesOf({ outcomes }: Part, measures: readonly Measure[], kind?: string) {
  return outcomes.map((list) =>
    list.filter((one) =>
      measures.includes(one.measure) && (kind === undefined || one.kind === kind)
    )
      .map(({ value }) => value)
  );
}

/** F1 of the agent's activity over all units together. */
export function activityEstimate({ recordings }: Part): Estimate {
  const parts = recordings.map((list) => {
    const counts = { both: 0, agentOnly: 0, truthOnly: 0 };
    for (const { result, from, to } of list) {
      const more = overlap(unflag(result.active), unflag(result.truthActive), from, to);
      for (const key of ["both", "agentOnly", "truthOnly"] as const) counts[key] += more[key];
    }
    return [counts.both, counts.agentOnly, counts.truthOnly];
  });
  return ofSums(parts, ([both = 0, agentOnly = 0, truthOnly = 0]) => ({
    value: f1({ both, agentOnly, truthOnly }),
    events: both + agentOnly + truthOnly,
  }));
}

/** Errors of what is understood of a voice, per word that it should have said. */
export function voiceErrorEstimate(
  { outcomes }: Part,
  measure: "voice error" | "voice error truth",
): Estimate {
  const parts = outcomes.map((list) => {
    const heard = list.filter((one) => one.measure === measure);
    const words = heard.flatMap(({ wanted }) => wanted?.split(" ") ?? []).length;
    return [heard.reduce((sum, { value }) => sum + value, 0), words];
  });
  return ofSums(parts, ([errors = NaN, words = 0]) => ({ value: errors / words, events: words }));
}

/** Log-mel distances of the agent's words, and of the same words of the truth after the codec. */
export function wordEstimates({ recordings }: Part): { agent: Estimate; codec: Estimate } {
  const pairs = recordings.map((list) =>
    list.flatMap(({ result, from, to }) => {
      const floors = new Map(
        result.outcomes.filter(({ measure }) => measure === "word distance floor")
          .map(({ truthUnit, value }) => [truthUnit, value]),
      );
      return result.outcomes.flatMap(({ measure, unit, truthUnit, value }) => {
        const floor = floors.get(truthUnit);
        const counts = measure === "word distance" && unit >= from && unit < to;
        return counts && floor !== undefined ? [{ value, floor }] : [];
      });
    })
  );
  return {
    agent: meanOf(pairs.map((list) => list.map(({ value }) => value))),
    codec: meanOf(pairs.map((list) => list.map(({ floor }) => floor))),
  };
}

/** Correlation of mouth and loudness of the agent, the truth and the codec, and the agent's lag; of
 * recordings that have an oracle's picture and voice to hold it against. */
export function lipEstimates({ recordings }: Part) {
  const series = (side: keyof RecordingResult["lips"]) =>
    recordings.map((list) =>
      list.flatMap(({ result: { lips, units }, ...range }) => {
        const { opening, loudness } = lips[side] ?? {};
        if (!opening || !loudness || !lips.truth) return [];
        const [from, to] = [range.from, range.to].map((unit) => (unit * opening.length) / units);
        return [{ opening: opening.slice(from, to), loudness: loudness.slice(from, to) }];
      })
    );
  const at = (side: keyof RecordingResult["lips"]) =>
    ofSums(
      series(side).map((list) => lipSums(list, 0)),
      (sums) => ({ value: correlationOf(sums), events: sums[0] ?? 0 }),
    );
  const lag = ofSums(series("agent").map(sumsPerLag), (sums) => {
    const width = sums.length / (2 * maxLag + 1);
    const correlations = Array.from(
      { length: 2 * maxLag + 1 },
      (_, i) => correlationOf(sums.subarray(i * width, (i + 1) * width)),
    );
    const isKnown = !Number.isNaN(correlations[maxLag]);
    return { value: isKnown ? bestLag(correlations) : NaN, events: sums[maxLag * width] ?? 0 };
  });
  return { agent: at("agent"), truth: at("truth"), floor: at("floor"), lag };
}

/** Frechet distance of the agent's pictures, or of what the codec makes of the truth, to the truth. */
export function frechetEstimate({ recordings, span }: Part, side: "agent" | "floor"): Estimate {
  const none = flatMoments(noMoments());
  const parts = recordings.map((list) => {
    const total = new Float64Array(2 * none.length);
    for (const { result: { pictures: { [span]: pictures } } } of list) {
      const { [side]: made = null, truth = null } = pictures ?? {};
      if (!made || !truth) continue;
      [...flatMoments(made), ...flatMoments(truth)].forEach((x, i) =>
        total[i] = (total[i] ?? 0) + x
      );
    }
    return total;
  });
  return ofSums(parts, (total) => ({
    value: frechetDistance(
      momentsOf(total.subarray(0, none.length)),
      momentsOf(total.subarray(none.length)),
    ),
    events: total[0] ?? 0,
  }));
}

/** Level of the agent's active voice in dB of full scale. */
export function levelEstimate({ recordings }: Part): Estimate {
  const parts = recordings.map((list) => {
    const rms = list.flatMap(({ result, from, to }) => {
      const active = unflag(result.active);
      return result.rms.slice(from, to).filter((_, i) => active[from + i]);
    });
    return [rms.reduce((sum, value) => sum + value ** 2, 0), rms.length];
  });
  return ofSums(parts, ([sum = 0, count = 0]) => ({
    value: levelDb(sum / count),
    events: count,
  }));
}
