/** Intervals and paired differences, against computations that don't draw. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { rowsOf } from "../../../io/eval/figures/bars.ts";
import { compare } from "../../../io/eval/figures/compare.ts";
import {
  type Estimate,
  fromTwo,
  intervalOf,
  meanOf,
  quantileOf,
} from "../../../io/eval/figures/estimates.ts";
import type { RecordingResult } from "../../../io/eval/figures/recording_result.ts";
import type { Outcome } from "../../../io/eval/measures/outcomes.ts";
import { quantile } from "../../../kernels/measure/quantile.ts";
import { normal, random } from "../../reference/random.ts";
import { madeUpBasis, result, right } from "./made_up.ts";

/** The exact distribution of a figure: of all n^n ways to draw n conversations. */
function exactEnds(estimate: Estimate, n: number): [number, number] {
  const values: number[] = [];
  for (let code = 0; code < n ** n; code++) {
    const drawn = Array.from({ length: n }, (_, i) => Math.floor(code / n ** i) % n);
    const { value } = estimate(drawn);
    if (!Number.isNaN(value)) values.push(value);
  }
  values.sort((a, b) => a - b);
  const at = (p: number) => values[Math.ceil(p * values.length) - 1] ?? NaN;
  return [at(0.025), at(0.975)];
}

Deno.test("quantileOf is the quantile of what was drawn, as often as it was", () => {
  const lists = [[3, 1], [], [2, 2, 9], [5]];
  for (const drawn of [[0, 1, 2, 3], [2, 2, 0, 0], [3, 3, 3, 1], [1, 1, 1, 1]]) {
    const values = drawn.flatMap((i) => lists[i] ?? []);
    for (const p of [0, 0.025, 0.5, 0.95, 1]) {
      const expected = { value: quantile(values, p), events: values.length };
      assertEquals(quantileOf(lists, p)(drawn), expected, `${drawn} ${p}`);
    }
  }
});

Deno.test("the interval has the ends of the exact bootstrap distribution", () => {
  const lists = [[1, 2, 2.5], [7], [3, 3, 9, 4], [], [5.25, 0.5]];
  const estimates: Record<string, Estimate> = {
    mean: meanOf(lists),
    median: quantileOf(lists, 0.5),
    p95: quantileOf(lists, 0.95),
    ratio: fromTwo(meanOf(lists), quantileOf(lists, 0.5), (a, b) => a / b),
  };
  for (const [name, estimate] of Object.entries(estimates)) {
    const [low, high] = exactEnds(estimate, lists.length);
    const found = intervalOf(estimate, lists.length, 20_000);
    assert(found, name);
    // Of 3125 ways many give values that differ in little.
    assertAlmostEquals(found[0], low, 0.03 * (high - low), name);
    assertAlmostEquals(found[1], high, 0.03 * (high - low), name);
  }
  assertEquals(intervalOf(meanOf([[1, 2]]), 1, 1000), null);
  assertEquals(intervalOf(meanOf([[], []]), 2, 1000), null);
});

Deno.test("of many conversations the interval is the normal one, and wider where events hang together", () => {
  const next = random(1);
  const n = 400;
  const levels = normal(next, n, 1);
  const alone = Array.from(levels, (level) => [level]);
  const together = Array.from(levels, (level) => [level, level, level, level]);
  const width = (lists: number[][]) => {
    const [low = NaN, high = NaN] = intervalOf(meanOf(lists), n, 2000) ?? [];
    return high - low;
  };
  const mean = levels.reduce((sum, x) => sum + x, 0) / n;
  const deviation = Math.sqrt(levels.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n);
  assertAlmostEquals(width(alone), (2 * 1.96 * deviation) / Math.sqrt(n), 0.02);
  // Four events that are one give no more certainty than one.
  assertAlmostEquals(width(together), width(alone), 1e-9);
});

/** Conversations of ten questions each, answered right with this probability. */
function conversations(count: number, probability: number, seed: number): RecordingResult[] {
  const next = random(seed);
  return Array.from({ length: count }, (_, i) =>
    result(
      `${100 + i}`,
      Array.from(
        { length: 10 },
        (_, unit) => right(unit, next() < probability ? "red" : "blue", "red"),
      ),
      { seed: 100 + i },
    ));
}

const figureOf = (results: RecordingResult[], draws = 1000) =>
  rowsOf(results, 160, draws).find(({ key }) => key === "answersRight");

Deno.test("rowsOf gives the same intervals in any order of results, and none of what is too few", () => {
  const results = conversations(30, 0.8, 2);
  const row = figureOf(results);
  assert(row?.interval && row.value !== null);
  assert(row.interval[0] < row.value && row.value < row.interval[1]);
  assertEquals(figureOf([...results].reverse()), row);
  assertEquals(figureOf(results.slice(0, 1))?.interval, null);
  assertEquals(figureOf(results, 0)?.interval, null);
  // What one conversation of many has alone says as little of others.
  const alone = results.map((one, i) => i === 3 ? one : { ...one, outcomes: [] });
  assert(figureOf(alone)?.value !== null);
  assertEquals(figureOf(alone)?.interval, null);
  const few = rowsOf(
    results.map((one) => ({ ...one, outcomes: one.outcomes.slice(0, 1) })).slice(0, 9),
    160,
    99,
  );
  assertEquals(
    few.map(({ value, interval }) => value === null ? interval : null),
    few.map(() => null),
  );
});

Deno.test("over several seeds of the noise a figure is their mean, with the deviation between them", () => {
  const first = conversations(12, 0.9, 3);
  const second = conversations(12, 0.6, 4).map((one) => ({ ...one, noiseSeed: 1 }));
  const [a, b, both] = [first, second, [...first, ...second]].map((list) => figureOf(list));
  const [x, y] = [a?.value ?? NaN, b?.value ?? NaN];
  assertAlmostEquals(both?.value ?? NaN, (x + y) / 2, 1e-12);
  assertEquals(both?.perNoiseSeed.values, [x, y]);
  assertAlmostEquals(both?.perNoiseSeed.deviation ?? NaN, Math.abs(x - y) / Math.SQRT2, 1e-12);
  assertEquals([both?.events, a?.perNoiseSeed.deviation], [240, null]);
});

Deno.test("compare pairs recordings and events, and knows a difference from none", () => {
  const ours = conversations(40, 0.7, 5);
  const better = ours.map((one) => ({
    ...one,
    outcomes: one.outcomes.map((outcome, i): Outcome =>
      i === 0 ? { ...outcome, value: 1, said: "red" } : outcome
    ),
  }));
  const of = (a: RecordingResult[], b: RecordingResult[]) => {
    const found = compare(a, b, 160, 1000);
    const row = found.differences.find(({ key }) => key === "answersRight");
    assert(row);
    return { ...found, row };
  };
  const same = of(ours, ours);
  assertEquals([same.row.difference, same.row.interval, same.row.isDifference], [0, [0, 0], false]);
  // A tenth of the questions, of which about three in ten were wrong: unpaired it would drown.
  const { row, events, conversations: count } = of(better, ours);
  const changed = ours.filter(({ outcomes }) => outcomes[0]?.value === 0).length;
  assertAlmostEquals(row.difference ?? NaN, changed / 400, 1e-12);
  assertEquals([row.isDifference, count], [true, 40]);
  assertEquals(events, [{ measure: "right", pairs: 400, higher: changed, lower: 0 }]);
  assertEquals(of(ours, better).row.difference, -(row.difference ?? NaN));

  // Events and recordings that one of them lacks don't count.
  const shorter = better.slice(1).map((one) => ({ ...one, outcomes: one.outcomes.slice(1) }));
  const part = of(shorter, ours);
  assertEquals([part.row.difference, part.row.events, part.leftOut], [0, 39 * 9, ["100"]]);
  const [head, ...tail] = better;
  assert(head);
  const other = { ...head, basis: { ...madeUpBasis, truth: "another" } };
  assertEquals(of([other, ...tail], ours).leftOut, ["100"]);
  // Of few conversations the interval is shown, but nothing is said by it.
  const few = of(better.slice(0, 9), ours);
  assertEquals([few.row.interval === null, few.row.isDifference], [false, null]);
  // Single runs may be of any seeds of the noise.
  assertEquals(of(better.map((one) => ({ ...one, noiseSeed: 7 })), ours).row, row);
  const seeds = [...ours, ...ours.map((one) => ({ ...one, noiseSeed: 1 }))];
  assertThrows(() => of(seeds, ours), InputError, "compare runs of the same seeds");
  assertThrows(() => of([other], ours), InputError, "no recording in common");
});
