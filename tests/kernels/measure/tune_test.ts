import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { attentionKey, attentionVariant } from "../../../kernels/attention/attention.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import {
  matmulVariant,
  productKey,
  staticVariant,
} from "../../../kernels/matmul/matmul_variant.ts";
import { copy } from "../../../kernels/gpu/plan.ts";
import { makeTensor, tensorFrom } from "../../../kernels/gpu/tensor.ts";
import { adapterKey, parseTuneRecord, type Problem, tune } from "../../../kernels/measure/tune.ts";
import { attentionProblem } from "../../../kernels/measure/tune_attention.ts";
import { convProblem } from "../../../kernels/measure/tune_conv.ts";
import { spanProblem } from "../../../kernels/measure/tune_span.ts";
import { operandsProblem, productProblem } from "../../../kernels/measure/tune_matmul.ts";
import { withGpu } from "../support.ts";

const data = Float32Array.from({ length: 64 }, (_, i) => i + 1);

/** A problem that is solved by copying `data`: slowly, wrongly, or not at all. */
function copying(gpu: Gpu, names: readonly ("slow" | "wrong" | "idle")[], opened: string[] = []) {
  const problem: Problem<"slow" | "wrong" | "idle"> = {
    key: "copying",
    variants: new Map(names.map((name) => [name, name])),
    open: () => {
      opened.push("copying");
      const right = tensorFrom(gpu, "right", [64], data);
      const wrong = tensorFrom(gpu, "wrong", [64], data.with(63, 0));
      const output = makeTensor(gpu, "output", [64]);
      const steps = {
        slow: Array.from({ length: 200 }, () => copy("slow", right, output)),
        wrong: [copy("wrong", wrong, output)],
        idle: [],
      };
      return {
        steps: (name) => steps[name],
        output,
        expected: [...data].map((value, at) => ({ at, value })),
        tolerance: () => 0,
        close: () => [right, wrong, output].forEach(({ buffer }) => gpu.free(buffer)),
      };
    },
  };
  return problem;
}

withGpu("tune() never chooses a candidate that is wrong or writes nothing", async (gpu) => {
  const before = gpu.allocatedBytes;
  const problem = copying(gpu, ["idle", "wrong", "slow"]);
  const { choices, record, measured } = await tune(gpu, [() => [problem]], {}, 1e9);
  assertEquals([choices["copying"], measured], ["slow", 1]);
  const times = record[adapterKey(gpu)]?.["copying"]?.times ?? {};
  assertEquals(times["wrong"], "wrong: element 63 is 0, not 64");
  assertEquals(times["idle"], "wrong: element 0 is NaN");
  assert(typeof times["slow"] === "number" && times["slow"] > 0);
  assertEquals(gpu.allocatedBytes, before);
  const hopeless = copying(gpu, ["wrong", "idle"]);
  await assertRejects(() => tune(gpu, [() => [hopeless]], {}, 1e9), Error, "wrong results");
});

withGpu("tune() measures once: what the record has is taken as it is", async (gpu) => {
  const opened: string[] = [];
  const begun: string[] = [];
  const stages = [() => [copying(gpu, ["slow", "wrong"], opened)]];
  const begin = () => begun.push("begun");
  const first = await tune(gpu, stages, {}, 1e9, begin);
  const again = await tune(gpu, stages, first.record, 1e9, begin);
  assertEquals([opened.length, begun.length, again.measured], [1, 1, 0]);
  assertEquals(again.choices, first.choices);
  assertEquals(again.record, first.record);
  // Another adapter, driver or version is another key.
  const other = { [`${adapterKey(gpu)} x`]: first.record[adapterKey(gpu)] ?? {} };
  const anew = await tune(gpu, stages, other, 1e9);
  assertEquals([opened.length, anew.measured], [2, 1]);
  assertEquals(Object.keys(anew.record).length, 2);
});

withGpu("tune() records the default where no time was left", async (gpu) => {
  const stages = [() => [copying(gpu, ["slow", "wrong"])]];
  const { choices, record, measured, skipped } = await tune(gpu, stages, {}, 0);
  assertEquals([measured, skipped], [0, 1]);
  assertEquals(choices, { copying: "slow" });
  assertEquals(record[adapterKey(gpu)]?.["copying"]?.times, { slow: "no time was left" });
});

withGpu("every candidate of the real problems is right on this adapter", async (gpu) => {
  const product = { rows: 7, outputs: 48, inputs: 64, dtype: "f32", normed: true } as const;
  const problems: Problem[] = [
    operandsProblem(gpu, { ...product, gated: true }),
    ...(["f32", "f16", "int8", "int4"] as const).flatMap((dtype) =>
      [1, 7].flatMap((rows) =>
        [true, false].map((texture) =>
          productProblem(gpu, { ...product, rows, dtype, texture, gated: rows > 1 })
        )
      )
    ),
    ...(["f32", "f16"] as const).map((dtype) =>
      attentionProblem(gpu, { rows: 3, slots: 130, heads: 6, kvHeads: 2, headDim: 32, dtype })
    ),
    spanProblem(gpu, {
      ...{ hidden: 32, inner: 24, heads: 4, kvHeads: 2, headDim: 16, layers: 2, slots: 40 },
      ...{ rows: 10, sets: 2, dtype: "f32", storage: "f32", whole: true },
    }),
  ];
  // A card's form too, here where only lanes are candidates.
  const more = { stride: [2, 1, 1], dilation: 1, upsample: [1, 2], outputs: 12 } as const;
  const shape = { ...more, x: [4, 5, 7, 8], kernel: [4, 3, 3], line: false, vector: true } as const;
  const forms = convProblem(gpu, { ...shape, dtype: "f16" });
  const variants = new Map([...forms.variants, ["blocks", { form: "blocks", rows: 64, parts: 2 }]]);
  problems.push({ ...forms, variants });
  const { record } = await tune(gpu, [() => problems], {}, 1e9);
  const entries = Object.values(record[adapterKey(gpu)] ?? {});
  assertEquals(entries.length, problems.length);
  for (const { times } of entries) {
    for (const [name, time] of Object.entries(times)) assert(typeof time === "number", name);
  }
  gpu.choices = {};
});

withGpu(
  "kernels take the choice that the device has, and their default for a strange one",
  (gpu) => {
    const shape = {
      rows: 7,
      outputs: 48,
      inputs: 64,
      dtype: "f32",
      texture: true,
      gated: false,
      normed: false,
    } as const;
    const heads = { rows: 3, slots: 130, heads: 6, kvHeads: 2, headDim: 32, dtype: "f32" } as const;
    const rule = attentionVariant(gpu, heads);
    gpu.choices = { [productKey(shape)]: "sorcery", [attentionKey(heads)]: "__proto__" };
    assertEquals(matmulVariant(gpu, shape), staticVariant(gpu, shape));
    assertEquals(attentionVariant(gpu, heads), rule);
    const name = `${
      rule.texture ? "textures" : "buffers"
    }, ${rule.lanes} lanes, queries ${rule.queries}`;
    gpu.choices = { [attentionKey(heads)]: `${name}, splits 1` };
    assertEquals(attentionVariant(gpu, heads).splits, 1);
    gpu.choices = {};
  },
);

Deno.test("parseTuneRecord() keeps what is a record and nothing else", () => {
  const entry = { chosen: "a", times: { a: 1, b: "wrong: NaN" } };
  const hostile = JSON.parse(`{
    "gpu": {
      "matmul": ${JSON.stringify(entry)},
      "no name": { "chosen": 3, "times": {} },
      "no times": { "chosen": "a", "times": [1] },
      "odd times": { "chosen": "a", "times": { "a": -1, "b": null, "c": 2, "__proto__": 4 } },
      "list": [],
      "__proto__": { "chosen": "b", "times": {} }
    },
    "list": [1, 2], "null": null, "__proto__": { "x": ${JSON.stringify(entry)} }
  }`);
  const record = parseTuneRecord(hostile);
  assertEquals(Object.keys(record).sort(), ["__proto__", "gpu"]);
  const gpu = record["gpu"] ?? {};
  assertEquals(Object.keys(gpu).sort(), ["__proto__", "matmul", "odd times"]);
  assertEquals(gpu["matmul"], entry);
  assertEquals(Object.entries(gpu["odd times"]?.times ?? {}), [["c", 2], ["__proto__", 4]]);
  assertEquals(({} as Record<string, unknown>)["x"], undefined);
  for (const wrong of [null, 3, "x", [1]]) {
    assertThrows(() => parseTuneRecord(wrong), TypeError);
  }
});
