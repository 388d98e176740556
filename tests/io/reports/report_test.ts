import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import type { Response } from "../../../engine/checkpoint/unit.ts";
import { type UnitEvent, unitEvent } from "../../../io/pace/events.ts";
import { progressLine } from "../../../io/cli/progress.ts";
import { report } from "../../../io/run/report.ts";
import { runFacts, startRun } from "../../../io/provenance/provenance.ts";
import { quantile } from "../../../kernels/measure/quantile.ts";
import type { PerceivedLatency } from "../../../io/pace/pace.ts";
import type { UnitTimes } from "../../../io/pace/pump.ts";
import { Quantiles } from "../../../io/pace/statistics.ts";
import { RunTotals, warmUnits } from "../../../io/pace/totals.ts";
import { random } from "../../reference/random.ts";

const times = (total: number): UnitTimes => ({
  encode: 1,
  pass: 2,
  sendSlice: 0.25,
  solve: total - 8,
  sendLatents: 0.25,
  decode: 3,
  queue: 500,
  wait: 1,
  write: 0.5,
  total,
});

Deno.test("quantile() takes the nearest rank", () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  assertEquals([0, 0.5, 0.95, 1].map((p) => quantile(values, p)), [1, 50, 95, 100]);
  assertEquals(quantile([7], 0.95), 7);
  assert(Number.isNaN(quantile([], 0.5)));
});

Deno.test("Quantiles gives the nearest rank within 0.2 % of any number of values", () => {
  const next = random(4);
  for (const spread of [1, 10, 1e6]) {
    const quantiles = new Quantiles();
    const values = Array.from(
      { length: 50_000 },
      () => 5 * spread ** next() - (next() < 0.01 ? 6 : 0),
    );
    for (const value of values) quantiles.add(value);
    for (const p of [0, 0.01, 0.5, 0.95, 0.99, 1]) {
      const exact = quantile(values, p);
      const off = Math.abs(quantiles.at(p) - exact);
      assert(
        off <= Math.abs(exact) * 0.002 + 1e-3,
        `${spread}, ${p}: ${quantiles.at(p)}, ${exact}`,
      );
    }
    assert(quantiles.bins < 9000, `${quantiles.bins}`);
  }
  assertEquals(new Quantiles().percentiles(), { p50: null, p95: null, p99: null });
});

const given: PerceivedLatency = { observation: "given", heard: true, interactionMs: 200 };

const response = (level: number): Response => ({
  unit: 3,
  text: "hi",
  tokens: [4],
  audio: new Float32Array(2560).fill(level),
  frames: new Uint8Array(),
  digest: "ab",
  historyTokens: 9,
  stages: times(20),
});

/** The event of a unit that took so many ms. */
const event = (total: number, perceived = given): UnitEvent =>
  unitEvent(response(0), times(total), perceived, 160);

Deno.test("RunTotals gives percentiles of every stage after the warm-up, and holds no unit", () => {
  const totals = new RunTotals();
  for (let i = 0; i < warmUnits; i++) totals.add(event(5000));
  const none = { p50: null, p95: null, p99: null };
  assertEquals(totals.latency().total, none);
  for (let i = 0; i < 19; i++) totals.add(event(10 + i));
  // Of 19 values none lies above p95, of 99 none above p99.
  assertEquals(totals.latency().total, { p50: 19, p95: null, p99: null });
  for (let i = 19; i < 100; i++) totals.add(event(10 + i));
  const all = totals.latency();
  assertEquals(all.total, { p50: 59, p95: 104, p99: 108 });
  assertEquals(all.solve, { p50: 51, p95: 96, p99: 100 });
  // Queueing stands apart, it isn't in `total`.
  assertEquals(all.queue, { p50: 500, p95: 500, p99: 500 });
  assertEquals(Object.keys(all).length, 10);
  const before = totals.interaction.bins;
  const same = event(10);
  for (let i = 0; i < 100_000; i++) totals.add(same);
  assertEquals([totals.units, totals.interaction.bins], [100_000 + warmUnits + 100, before]);
});

Deno.test("unitEvent() tells a voice from silence by its level", () => {
  const perceived: PerceivedLatency = {
    observation: "skipped",
    heard: true,
    interactionMs: 200.12345,
  };
  const loud = unitEvent(response(0.0101), times(20), perceived, 160);
  assertEquals([loud.audioActive, loud.audioRms, loud.start, loud.end], [true, 0.0101, 0.48, 0.64]);
  assertEquals(loud.ms["sendSlice"], 0.25);
  assertEquals([loud.observation, loud.heard, loud.interactionMs], ["skipped", true, 200.123]);
  assertEquals(unitEvent(response(0.009), times(20), perceived, 160).audioActive, false);
});

Deno.test("report() shows units, speed, stages and files", () => {
  const totals = new RunTotals();
  for (let unit = 0; unit < 50; unit++) {
    totals.add(event(120, {
      observation: unit < 3 ? "skipped" : unit < 5 ? "lost" : "given",
      heard: unit !== 9,
      interactionMs: unit === 9 ? null : 200,
    }));
  }
  const summary = totals.summary({
    ended: "complete",
    unitMs: 160,
    wallMs: 4000,
    cut: null,
    outputs: { response: "a.mkv", sideBySide: "b.mkv" },
    run: runFacts(startRun("replay")),
  });
  assertAlmostEquals(summary.realTimeFactor, 0.5);
  const text = report(summary);
  for (
    const part of [
      "units             50 (8.00 s of stream)",
      "0.500 (4.00 s of work, 2.00 times as fast as real time)",
      "  send slice            0.3       0.3   too few",
      "  total               120.0     120.0   too few",
      "  interaction         200.0     200.0   too few",
      "skipped           3 observations came too late",
      "lost              2 units up, 1 down",
      "response          a.mkv",
      "side by side      b.mkv",
    ]
  ) assertStringIncludes(text, part);
  const short = report({ ...summary, latencyMs: new RunTotals().latency() });
  assertStringIncludes(short, "latency           too few units to tell: the first 25 don't count");
});

Deno.test("progressLine() fits any width and counts down where the length is known", () => {
  const at = { units: 50, seconds: 8, total: 20, elapsed: 4 };
  assertEquals(
    progressLine(at, 80),
    "unit 50  0:08 of 0:20  [############------------------]  2.00x  0:06 left",
  );
  assertEquals(progressLine({ ...at, total: null }, 80), "unit 50  0:08  2.00x");
  assertEquals(progressLine({ ...at, elapsed: 0 }, 80).includes("left"), false);
  for (let columns = 0; columns < 90; columns++) {
    assert(progressLine(at, columns).length <= Math.max(0, columns - 1));
  }
});
