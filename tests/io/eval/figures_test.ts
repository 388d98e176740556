/** Figures of several recordings: counterfactual pairs, spans, bars, the table. */
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { type Row, rowsOf } from "../../../io/eval/figures/bars.ts";
import { counterfactual } from "../../../io/eval/measures/counterfactual.ts";
import type { Outcome } from "../../../io/eval/measures/outcomes.ts";
import { addFeatures, features, noMoments } from "../../../io/eval/measures/picture.ts";
import { type RecordingResult, spanUnits } from "../../../io/eval/figures/recording_result.ts";
import { figuresTable } from "../../../io/eval/figures/table.ts";
import { tableText } from "../../../io/reports/table.ts";
import { random } from "../../reference/random.ts";
import { result, right } from "./made_up.ts";

const rows = (results: RecordingResult[]) =>
  new Map(rowsOf(results, 160, 0).map((row): [string, Row] => [row.key, row]));

Deno.test("counterfactual pairs each question with itself in the swapped recording", () => {
  const swap = { kind: "card", of: "a" } as const;
  const base = result("a", [
    ...Array.from({ length: 8 }, (_, i) => right(i, "red", "red")),
    right(8, "red", "red"),
    right(9, "red", "red"),
    right(10, "red", "red"),
  ]);
  const swapped = result("a-card", [
    ...Array.from({ length: 8 }, (_, i) => right(i, "blue", "blue")),
    // Changed, but to something wrong; not changed; nothing to change.
    right(8, "green", "blue"),
    right(9, "red", "blue"),
    right(10, "red", "red"),
  ], { swap });
  const found = counterfactual([base, swapped], "card");
  assertEquals(found, { pairs: 10, follows: 8, changes: 9 });
  assertEquals(counterfactual([base, swapped], "question").pairs, 0);
  assertEquals(counterfactual([swapped], "card").pairs, 0);
  assertEquals(rows([base, swapped]).get("answerFollowsCard")?.value, 0.8);
  // Swapped recordings count for nothing else.
  assertEquals(rows([base, swapped]).get("answersRight")?.events, 11);
});

Deno.test("bars are reached, fall short, or aren't known", () => {
  const outcomes = [
    ...Array.from({ length: 20 }, (_, i) => right(i, i === 0 ? "blue" : "red", "red")),
    ...Array.from({ length: 12 }, (_, i): Outcome => ({
      measure: "delay",
      unit: i,
      value: i < 11 ? 2 : 9,
    })),
    ...Array.from({ length: 9 }, (_, i): Outcome => ({ measure: "missed", unit: i, value: 0 })),
  ];
  const found = rows([result("a", outcomes)]);
  assertEquals(found.get("answersRight")?.value, 0.95);
  assertEquals(found.get("answersRight")?.bar?.met, true);
  assertEquals(found.get("delayP50")?.value, 2);
  assertEquals(found.get("delayP95")?.bar, {
    atLeast: null,
    atMost: 4,
    lossAtMost: null,
    met: false,
  });
  assertEquals(found.get("missed")?.bar?.met, null);
  assertEquals(found.get("questions")?.bar?.met, false);
  const text = tableText(figuresTable([...found.values()]));
  assertStringIncludes(text, "too few (9)");
  assert(/^answers right +0\.950 +>= 0\.950 +reached +n 20$/m.test(text), text);
  assert(/^response delay p95, units +9 +<= 4 +FALLS SHORT +n 12$/m.test(text), text);
});

Deno.test("log-mel over the codec's own is of the same words", () => {
  const words = (measure: Outcome["measure"], count: number, value: (unit: number) => number) =>
    Array.from({ length: count }, (_, truthUnit): Outcome => ({
      ...{ measure, kind: "red", truthUnit, value: value(truthUnit) },
      // The agent says them two units later; the codec's are the truth's own.
      unit: truthUnit + (measure === "word distance" ? 2 : 0),
    }));
  const found = rows([
    result("a", [
      ...words("word distance", 10, () => 2),
      ...words("word distance floor", 30, (unit) => unit < 10 ? 1 : 9),
    ]),
    // Without an oracle's recording there is nothing to hold it against.
    result("b", []),
  ]);
  assertEquals(found.get("logMelDistance")?.value, 2);
  assertEquals(found.get("logMelDistance")?.beside, { what: "codec", value: 1 });
  assertEquals([found.get("logMelOverCodec")?.value, found.get("logMelOverCodec")?.events], [
    2,
    10,
  ]);
});

Deno.test("spans are the first and last 30 s of a minute and more", () => {
  assertEquals(spanUnits("all", 100, 160), [0, 100]);
  assertEquals(spanUnits("first", 373, 160), null);
  assertEquals(spanUnits("first", 375, 160), [0, 187]);
  assertEquals(spanUnits("last", 400, 160), [213, 400]);
});

Deno.test("stability holds the last 30 s against the first", () => {
  const next = random(1);
  const units = 400;
  const pictures = () => {
    const moments = noMoments();
    for (let i = 0; i < 20; i++) {
      addFeatures(moments, Float64Array.from({ length: features }, next));
    }
    return { agent: moments, truth: moments, floor: null };
  };
  const long = (lastRight: number, lastLevel: number) =>
    result("long", [
      ...Array.from({ length: 10 }, (_, i) => right(i, "red", "red")),
      ...Array.from(
        { length: 10 },
        (_, i) => right(300 + i, i < lastRight ? "red" : "blue", "red"),
      ),
    ], {
      units,
      active: "1".repeat(units),
      truthActive: "1".repeat(units),
      rms: Array.from({ length: units }, (_, unit) => unit < 200 ? 0.1 : lastLevel),
      pictures: { all: pictures(), first: pictures(), last: pictures() },
    });
  const steady = rows([long(9, 0.1)]);
  assertEquals(steady.get("last30sAnswersRight")?.beside, { what: "first", value: 1 });
  assertEquals(steady.get("last30sAnswersRight")?.bar?.met, true);
  assertEquals(steady.get("last30sLevelDriftDb")?.bar?.met, true);
  assertEquals(steady.get("last30sMissed")?.bar?.met, null);
  const fading = rows([long(8, 0.05)]);
  assertEquals(fading.get("last30sAnswersRight")?.bar?.met, false);
  assert(Math.abs((fading.get("last30sLevelDriftDb")?.value ?? 0) + 6.02) < 0.1);
  assertEquals(fading.get("last30sLevelDriftDb")?.bar?.met, false);
  assertEquals(rows([result("short", [])]).get("longRecordings")?.value, 0);
  // What the voice says while it is silent doesn't count for its level; swapped recordings are counted.
  const hushed = result("hushed", [], {
    units,
    active: "10".repeat(units / 2),
    rms: Array.from({ length: units }, (_, unit) => unit % 2 === 0 ? 0.1 : unit / units),
  });
  const swapped = { ...hushed, name: "hushed-card", swap: { kind: "card", of: "hushed" } as const };
  const both = rows([hushed, swapped]);
  assertAlmostEquals(both.get("last30sLevelDriftDb")?.value ?? NaN, 0, 1e-9);
  assertEquals(both.get("longRecordings")?.value, 2);
});
