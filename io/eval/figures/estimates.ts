/**
 * Figures as functions of the conversations that they are over. The bootstrap draws conversations
 * with replacement, computes the figure of each draw, and takes the middle 95 % of what comes out:
 * events inside a conversation hang together, conversations don't.
 *
 * Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), the percentile interval.
 */
import { quantile } from "../../../kernels/measure/quantile.ts";
import { philox } from "../../pace/network.ts";

/** What a draw gives; `value` is NaN where nothing was counted. */
export interface Raw {
  value: number;
  events: number;
}

/** A figure of conversations, given by their indices as often as they were drawn. */
export type Estimate = (drawn: ArrayLike<number>) => Raw;

/** A figure that follows from sums: numbers per conversation, added up over those drawn. */
export function ofSums(
  parts: readonly ArrayLike<number>[],
  figure: (total: Float64Array) => Raw,
): Estimate {
  const width = parts[0]?.length ?? 0;
  return (drawn) => {
    const total = new Float64Array(width);
    for (let i = 0; i < drawn.length; i++) {
      const part = parts[drawn[i] as number] ?? [];
      for (let at = 0; at < width; at++) total[at] = (total[at] as number) + (part[at] as number);
    }
    return figure(total);
  };
}

/** The mean of values, listed per conversation. */
export function meanOf(lists: readonly (readonly number[])[]): Estimate {
  const parts = lists.map((list) => [list.reduce((sum, value) => sum + value, 0), list.length]);
  return ofSums(parts, ([sum = NaN, count = 0]) => ({ value: sum / count, events: count }));
}

/** The quantile p of values, listed per conversation: nearest rank. */
export function quantileOf(lists: readonly (readonly number[])[], p: number): Estimate {
  const sorted = lists.flatMap((list, at) => list.map((value) => ({ value, at })))
    .sort((a, b) => a.value - b.value);
  return (drawn) => {
    const times = new Uint32Array(lists.length);
    for (let i = 0; i < drawn.length; i++) {
      const at = drawn[i] as number;
      times[at] = (times[at] as number) + 1;
    }
    const events = lists.reduce((sum, { length }, at) => sum + length * (times[at] ?? 0), 0);
    let left = Math.max(1, Math.ceil(p * events));
    for (const { value, at } of sorted) {
      left -= times[at] as number;
      if (left <= 0) return { value, events };
    }
    return { value: NaN, events };
  };
}

/** Another number from two figures of the same draw; it rests on the fewer events. */
export function fromTwo(
  a: Estimate,
  b: Estimate,
  value: (a: number, b: number) => number,
): Estimate {
  return (drawn) => {
    const [first, second] = [a(drawn), b(drawn)];
    return {
      value: value(first.value, second.value),
      events: Math.min(first.events, second.events),
    };
  };
}

/** The mean of figures; it rests on the events of all. */
export function meanOfEstimates(estimates: readonly Estimate[]): Estimate {
  return (drawn) => {
    const all = estimates.map((estimate) => estimate(drawn));
    const sum = (key: keyof Raw) => all.reduce((total, raw) => total + raw[key], 0);
    return { value: sum("value") / all.length, events: sum("events") };
  };
}

/** The ends of an interval. */
export type Interval = [low: number, high: number];

const draws = new Map<number, Uint32Array[]>();

/** The draws from so many conversations: the same in every run and for every figure, so that
 * differences are paired. */
function drawsOf(conversations: number, count: number): Uint32Array[] {
  const known = draws.get(conversations) ?? [];
  draws.set(conversations, known);
  for (let at = known.length; at < count; at++) {
    const groups = Array.from(
      { length: Math.ceil(conversations / 4) },
      (_, group) => philox([at, group, 0, 0], [conversations, 0]),
    );
    const words = groups.flat().slice(0, conversations);
    known.push(Uint32Array.from(words, (word) => Math.floor((word / 2 ** 32) * conversations)));
  }
  return known.slice(0, count);
}

/** The interval that holds the figure in 95 % of draws; null: it rests on fewer than two conversations.
 * Draws in which nothing is counted are left out. */
export function intervalOf(
  estimate: Estimate,
  conversations: number,
  count: number,
): Interval | null {
  // Draws of what one conversation alone has are all alike, and say nothing of others.
  let having = 0;
  for (let i = 0; i < conversations && having < 2; i++) having += estimate([i]).events > 0 ? 1 : 0;
  if (having < 2) return null;
  const values = drawsOf(conversations, count).map((drawn) => estimate(drawn).value)
    .filter((value) => !Number.isNaN(value));
  return values.length === 0 ? null : [quantile(values, 0.025), quantile(values, 0.975)];
}
