import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { fitLine } from "../../../io/reports/line.ts";
import { chosenVariants } from "../../../io/bench/kernels.ts";
import { grows } from "../../../io/bench/latency.ts";
import { loadDoubts, shareDoubts, spreadOf, wanderingDoubts } from "../../../io/bench/doubts.ts";
import { judge } from "../../../io/bench/plan_check.ts";
import { describeDrift } from "../../../io/bench/long.ts";
import { parseRate } from "../../../io/bench/plan.ts";
import { bytesText, figure, percent, tableText } from "../../../io/reports/table.ts";
import { lengths } from "../../../io/bench/tick.ts";

Deno.test("fitLine() finds a line's slope and how much of the points it explains", () => {
  assertEquals(fitLine([[0, 1], [1, 3], [2, 5]]), { slope: 2, intercept: 1, r2: 1 });
  const { slope, intercept, r2 } = fitLine([[0, 0], [1, 1], [2, 0]]);
  assertEquals([slope, r2], [0, 0]);
  assert(Math.abs(intercept - 1 / 3) < 1e-12);
  assert(Number.isNaN(fitLine([[1, 1]]).slope));
});

Deno.test("parseRate() reads numbers with steps of a thousand", () => {
  assertEquals(parseRate("flops", "67T"), 67e12);
  assertEquals(parseRate("link", "2.5G"), 2.5e9);
  assertEquals(parseRate("link", "5e10"), 5e10);
  for (const wrong of ["", "T", "-1T", "1Z", "1 T"]) {
    assertThrows(() => parseRate("link", wrong), InputError, "is no rate");
  }
});

Deno.test("figure() keeps three digits, and says nothing of what is no number", () => {
  assertEquals([123.4, 12.34, 1.234, 0.1234, 0.00001234, 0].map(figure), [
    ...["123", "12.3", "1.23", "0.12", "0.000012", "0"],
  ]);
  assertEquals([NaN, null, undefined, Infinity].map(figure), [null, null, null, null]);
  assertEquals([0.5, 0.0123, 1.5].map(percent), ["50 %", "1.2 %", "150 %"]);
  assertEquals([0, 999, 1e6, 2.5e9].map(bytesText), ["0 B", "999 B", "1.00 MB", "2.50 GB"]);
});

Deno.test("tableText() aligns numbers on the right and shows what is missing", () => {
  const text = tableText({
    title: "T",
    columns: ["name", "ms"],
    rows: [["a", "1.00"], ["bcdef", null]],
    notes: ["N."],
  });
  assertEquals(text, "T\nname     ms\na      1.00\nbcdef     -\nN.\n");
});

Deno.test("lengths() of history go from nothing past the window, with unit 10", () => {
  assertEquals(lengths(40, 1), [0, 5, 10, 15, 20, 25, 30, 35, 40]);
  assertEquals(lengths(64, 1).slice(0, 4), [0, 8, 10, 16]);
  assertEquals(lengths(4, 1.5), [0, 1, 2, 3, 4, 5, 6]);
});

Deno.test("grows() tells latency that adds up from latency that wanders", () => {
  const wandering = Array.from({ length: 40 }, (_, i) => 100 + 90 * (i % 2));
  assert(!grows(wandering, 160));
  assert(grows(wandering.map((ms, i) => ms + 10 * i), 160));
  assert(!grows([], 160) && !grows([100], 160));
});

Deno.test("a check fails on efficiencies that can't be, however well the tick is predicted", () => {
  assert(judge(1.2, [["product", 0.6], ["attention", 1]]).passes);
  for (
    const [ratio, part, reason] of [
      [1, 2.61, "'product' reached 261 %"],
      [1, 0, "'product' reached 0.0 %"],
      [1, undefined, "'product' reached no part"],
      [1, NaN, "'product'"],
      [1.4, 0.6, "NOT within 30 %"],
      [NaN, 0.6, "NOT within 30 %"],
    ] as const
  ) {
    const verdict = judge(ratio, [["attention", 0.5], ["product", part]]);
    assertEquals(verdict.passes, false, `${part}`);
    assertStringIncludes(verdict.reason, reason);
  }
});

Deno.test("a busy machine, wandering times and shares above the whole are said", () => {
  const load = (others: number | null, before: number | null, cores = 2) => ({
    machine: { cpu: null, cores, memoryBytes: null, os: "" },
    run: { date: "", seconds: 1, load: { before, after: null, others } },
  });
  const quiet = [load(0.4, 9), load(null, 0.5), load(null, null), load(1.9, 0, 16)];
  assertEquals(quiet.flatMap((one) => loadDoubts(one, false)), []);
  assertStringIncludes(loadDoubts(load(0.6, 0), false)[0] ?? "", "kept 0.6 cores busy");
  assertStringIncludes(loadDoubts(load(2.1, 0, 16), false)[0] ?? "", "on 16 cores");
  assertStringIncludes(loadDoubts(load(null, 3), false)[0] ?? "", "load average was 3");
  // What a bench starts counts as others: it isn't held against it.
  assertEquals(loadDoubts(load(1.5, 0.2), true), []);
  assertEquals(loadDoubts(load(1.5, 0.7), true).length, 1);

  const time = (lower: number, upper: number, weight = 1) => ({
    ms: 10,
    quartiles: [lower, upper] as const,
    weight,
  });
  assertEquals(wanderingDoubts("ticks", [time(9, 13), time(1, 19, 0.1)]), []);
  assertStringIncludes(
    wanderingDoubts("ticks", [time(9, 13), time(8, 14)])[0] ?? "",
    "50 % of ticks",
  );
  assertEquals(wanderingDoubts("ticks", []), []);
  assertEquals(shareDoubts("kernels", [0.3, 1]), []);
  assertStringIncludes(
    shareDoubts("kernels", [0.3, 1.4, 1.1])[0] ?? "",
    "2 of 3 kernels pass 100 %",
  );
});

Deno.test("spreadOf() gives each figure's median and ends over the runs", () => {
  assertEquals(spreadOf([{ a: 3, b: 1 }, { a: 1, b: 1 }, { a: 2, b: 4 }]), [
    { figure: "a", median: 2, least: 1, most: 3, values: [3, 1, 2] },
    { figure: "b", median: 1, least: 1, most: 4, values: [1, 1, 4] },
  ]);
  assertEquals(spreadOf([{ a: 1 }, { a: 2 }])[0]?.median, 1.5);
  assertEquals(spreadOf([]), []);
});

Deno.test("chosenVariants() says how near a choice is to the fastest candidate", () => {
  const entry = (chosen: string) => ({ chosen, times: { a: 2, b: 1.5, c: "wrong: 3 of 4" } });
  const [near, best, ...more] = chosenVariants(
    { one: entry("a"), two: entry("b"), unused: entry("a") },
    { one: "a", two: "b", untried: "x" },
  );
  assertEquals([near?.ofBest, best?.ofBest, more.length], [0.75, 1, 0]);
});

Deno.test("describeDrift() gives what memory and time gain per minute of stream", () => {
  const minutes = [2, 3, 4].map((minute) => ({
    ...{ minute, units: 375, tickMs: 70, p95: 80, heapBytes: 1 },
    ...{ rssBytes: 1e8 + 2000 * minute, p50: 70 - minute },
  }));
  assertEquals(describeDrift(minutes), {
    ...{ minutes: 3, rssBytes: [1e8 + 4000, 1e8 + 8000], rssBytesPerMinute: 2000 },
    ...{ p50: [66, 68], msPerMinute: -1 },
  });
});
