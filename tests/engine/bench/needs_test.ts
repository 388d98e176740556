import { assert, assertEquals } from "@std/assert";
import { needsOf } from "../../../engine/bench/needs.ts";
import { unitLayout } from "../../../engine/checkpoint/unit.ts";
import { preset, presetNames } from "../../../engine/models/presets.ts";
import { presetTable } from "../../../io/bench/presets.ts";
import { cardRates } from "../../../kernels/card/facts.ts";

Deno.test("presets at the paper's scale: tokens of a unit by the picture and its compression", () => {
  const tokens = Object.fromEntries(
    presetNames.map((name) => [name, unitLayout(preset(name)).tokens]),
  );
  const rest = 8 + 4 + 49 + 2 + 4;
  for (const backbone of ["0.6b", "1.7b"]) {
    assertEquals(tokens[`v0.1-${backbone}`], rest + 12 * 21);
    assertEquals(tokens[`v0.1-${backbone}-32x`], rest + 6 * 11);
    assertEquals(tokens[`v0.2-${backbone}`], rest + 40 * 23);
    assertEquals(tokens[`v0.2-${backbone}-32x`], rest + 20 * 12);
  }
});

Deno.test("needsOf() says what part of a machine's rates keeps up, launches taken off", async () => {
  const needs = await needsOf(preset("v0.1-0.6b-32x"), cardRates);
  const { launches, oneSeconds, oneEfficiency, twoEfficiency, twoSeconds } = needs;
  const fixed = launches * cardRates.launchSeconds;
  assert(Math.abs(oneEfficiency - (oneSeconds - fixed) / (0.16 - fixed)) < 1e-9);
  assert(twoSeconds < oneSeconds && twoEfficiency < oneEfficiency && oneEfficiency < 1);
  assert(needs.parameters > 6e8 && needs.deviceBytes > 2 * needs.parameters);
  // A machine a hundred times as slow keeps up on no number of cards.
  const { flops, bytesPerSecond } = cardRates;
  const slow = { ...cardRates, flops: flops / 100, bytesPerSecond: bytesPerSecond / 100 };
  assert((await needsOf(preset("v0.1-0.6b-32x"), slow)).twoEfficiency > 1);
  const { columns, rows } = presetTable([{ preset: "x", ...needs }]);
  assertEquals(rows.map((row) => row.length), [columns.length]);
});
