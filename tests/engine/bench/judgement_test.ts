import { assert, assertEquals } from "@std/assert";
import { judgeCandidates } from "../../../engine/bench/candidates.ts";
import { bars, historyTraffic, judge, type JudgedLaunch } from "../../../engine/bench/judgement.ts";
import { workKind } from "../../../engine/bench/roofline.ts";
import { preset } from "../../../engine/models/presets.ts";
import { allLaunches, tickOnPaper } from "../../../engine/roles/tick_plan.ts";
import { launchShapes } from "../../../engine/roles/tuning.ts";
import { settingsFor } from "../support.ts";

const ticks = [
  ["v0.1-0.6b", "f16"],
  ["v0.1-0.6b", "int8"],
  ["v0.1-0.6b", "f32"],
  ["v0.2-0.6b", "f16"],
  ["v0.1-1.7b-32x", "f16"],
] as const;

for (const [name, weights] of ticks) {
  Deno.test(`every kernel of ${name} in ${weights} reaches a card's bars, or says why not`, async () => {
    const config = preset(name);
    const storage = weights === "f32" ? "f32" : "f16";
    const { model, stages } = await tickOnPaper(config, settingsFor(config, { storage, weights }));
    const all = allLaunches(stages);
    const silent = all.filter((launch) => workKind(launch) !== "other" && !launch.facts)
      .map(({ label }) => label).filter((label) => !label.startsWith("attention merge"));
    assertEquals(silent, [], "kernels that state nothing");
    const kernels = judge(all);
    const { products, convs } = launchShapes(all);
    // What tuning may take: of products with many rows and of convolutions.
    const many = products.filter(({ rows }) => rows > 1).slice(0, 3);
    const candidates = judgeCandidates(model.gpu, { products: many, convs: convs.slice(0, 3) });
    const found = new Set(candidates.map(({ form }) => form?.replace(/ .*/, "")));
    for (const form of ["blocks", "tiles", "registers", "join"]) assert(found.has(form), form);
    assertEquals(found.has("words"), weights !== "f32");
    const bare = [...kernels, ...candidates].flatMap(({ label, form, misses }) =>
      misses.filter(({ reason }) => reason === null && form !== null)
        .map(({ bar }) => `${label} (${form}): ${bar}`)
    );
    assertEquals(bare, []);
    const { least, plain, taken } = historyTraffic(model.gpu, all);
    assert(least < taken && taken < plain);
    assertEquals(kernels.reduce((sum, { historyBytes }) => sum + (historyBytes ?? 0), 0), taken);
    if (name === "v0.1-0.6b" && weights === "f16") assert(taken <= 65e9, `${taken} of K and V`);
  });
}

Deno.test("judge() finds each bar that a form misses, and its reason", () => {
  const good: JudgedLaunch = {
    label: "matmul x",
    groups: [bars.groups * 132, 1, 1],
    flops: 1e9,
    bytes: 1,
    facts: {
      ...{ form: "good", lanes: 64, registers: bars.registers },
      accesses: [
        { what: "a", memory: "storage", bytes: 16, at: (lane) => 16 * lane },
        { what: "b", memory: "workgroup", bytes: 4, at: (lane) => 8 * lane },
      ],
    },
  };
  assertEquals(judge([good])[0]?.misses, []);
  const bad: JudgedLaunch = {
    ...good,
    groups: [bars.groups * 132 - 1, 1, 1],
    facts: {
      ...{ form: "bad", lanes: 64, registers: bars.registers + 1, reasons: { registers: "tried" } },
      accesses: [
        { what: "a", memory: "storage", bytes: 4, at: (lane) => 32 * lane },
        { what: "b", memory: "workgroup", bytes: 4, at: (lane) => 16 * lane },
      ],
    },
  };
  const [judged] = judge([bad, bad]);
  assertEquals([judged?.launches, judged?.sectors, judged?.conflicts], [2, 32, 4]);
  assertEquals(judged?.misses, [
    { bar: "groups", reason: null },
    { bar: "sectors", reason: null },
    { bar: "conflicts", reason: null },
    { bar: "registers", reason: "tried" },
  ]);
  // What is small isn't asked to fill a card.
  assertEquals(judge([{ ...good, flops: 1, groups: [1, 1, 1] }])[0]?.misses, []);
});
