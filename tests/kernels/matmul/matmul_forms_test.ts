/** Every form of the matrix product passes the same comparisons as the plain one. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Gpu } from "../../../kernels/gpu/device.ts";
import { matmul, packWeight } from "../../../kernels/matmul/matmul.ts";
import { type MatmulVariant, matmulVariants } from "../../../kernels/matmul/matmul_variant.ts";
import type { WeightType } from "../../../kernels/matmul/packed_weight.ts";
import { dequantize, quantize, quantizedLimit } from "../../../kernels/matmul/quantize.ts";
import { makeTensor } from "../../../kernels/gpu/tensor.ts";
import { normal, random } from "../../reference/random.ts";
import { type Case, checkProduct, quantizedRows } from "./matmul_check.ts";
import { surrounded, withGpu } from "../support.ts";

const registers = {
  form: "registers",
  tile: 3,
  lanes: 64,
  split: 1,
  x: "buffer",
  hands: 0,
} as const;

/** Forms, each with something of its own: a ragged tile, a split, another way to read x. */
const forms: Record<string, MatmulVariant> = {
  "registers, x in a texture": { ...registers, tile: 9, lanes: 8, x: "texture" },
  "registers, x in a uniform": { ...registers, lanes: 8, x: "uniform" },
  "registers split by 4": { ...registers, split: 4 },
  "registers split by 64": { ...registers, tile: 2, split: 64, x: "uniform" },
  "registers, rows handed round": { ...registers, lanes: 8, hands: 1 },
  "registers, rows handed round in hands": {
    ...registers,
    tile: 12,
    lanes: 16,
    x: "texture",
    hands: 3,
  },
  "tiles of 16 rows": { form: "tiles", rows: 16 },
  "tiles of 64 rows": { form: "tiles", rows: 64 },
};
const integer: Record<string, MatmulVariant> = {
  "the integer product": { form: "dot", tile: 3, lanes: 8, x: "buffer" },
  "the integer product, x in a uniform": { form: "dot", tile: 4, lanes: 64, x: "uniform" },
};

/** Shapes and options that reach every branch: tails of rows, outputs, inputs, blocks and parts. */
async function checkForm(gpu: Gpu, dtype: WeightType, variant: MatmulVariant): Promise<void> {
  const shape = { rows: 19, outputs: 72, inputs: 100, dtype, texture: false, variant } as const;
  const cases: Case[] = [
    shape,
    { ...shape, texture: true, norm: true, gated: true },
    { ...shape, rows: 1, inputs: 64, bias: true, activation: "silu", accumulate: true },
    { ...shape, rows: 5, outputs: 7, inputs: 4, bias: true, accumulate: true, norm: true },
    { ...shape, rows: 2, partBytes: 20_000, bias: true, factor: -0.5, accumulate: true },
  ];
  for (const [i, c] of cases.entries()) await checkProduct(gpu, c, 1 + i);
}

for (const dtype of ["f32", "f16", "int8", "int4"] as const) {
  const all = { ...forms, ...(dtype.startsWith("int") ? integer : {}) };
  for (const [name, variant] of Object.entries(all)) {
    withGpu(`${name} equals float64, weights in ${dtype}`, async (gpu, context) => {
      const { tile = 0, hands = 0 } = variant.form === "registers" ? variant : {};
      if (hands > 0 && tile / hands > gpu.traits.subgroup) {
        const name = "skipped: the adapter has no subgroups of as many lanes";
        await context.step({ name, ignore: true, fn: () => {} });
      } else await checkForm(gpu, dtype, variant);
    });
  }
}

/** Large tiles: the widths that lanes sum, parts of the inputs of which one has none, and each way to
 * read weights. Compiling takes long where lanes wait for each other, so each is tried once. */
const blocks = [
  ["f16", { form: "blocks", rows: 128, columns: 64, parts: 1 }, { norm: true, gated: true }],
  ["f32", { form: "blocks", rows: 64, columns: 32, parts: 1 }, { bias: true, activation: "silu" }],
  ["f16", { form: "blocks", rows: 64, columns: 32, parts: 3 }, { bias: true, norm: true }],
  ["int8", { form: "blocks", rows: 64, columns: 64, parts: 5 }, { norm: true, gated: true }],
  ["int4", { form: "blocks", rows: 64, columns: 64, parts: 1 }, { factor: -0.5 }],
] as const;
for (const [dtype, variant, options] of blocks) {
  const { rows, columns, parts } = variant;
  withGpu(`blocks of ${rows} x ${columns} in ${parts} parts, ${dtype}`, async (gpu) => {
    const shape = {
      rows: 133,
      outputs: 72,
      inputs: 100,
      dtype,
      texture: false,
      variant,
      ...options,
    };
    await checkProduct(gpu, { ...shape, accumulate: true }, 31);
    await checkProduct(gpu, { ...shape, rows: 1, outputs: 8, inputs: 16 }, 32);
    if (parts === 1 && !("gated" in options)) {
      await checkProduct(gpu, { ...shape, rows: 65, outputs: 7, inputs: 4 }, 33);
    }
    if (parts > 1) await checkProduct(gpu, { ...shape, partBytes: 20_000 }, 34);
  });
}

/** Large tiles in words of two halves or four whole numbers. */
const words = [
  ["f16", { form: "words", rows: 128, columns: 64, parts: 1 }, { norm: true, gated: true }],
  ["f16", { form: "words", rows: 64, columns: 32, parts: 3 }, { bias: true, norm: true }],
  ["int8", { form: "words", rows: 64, columns: 64, parts: 1 }, { bias: true, activation: "silu" }],
  ["int8", { form: "words", rows: 64, columns: 32, parts: 5 }, { norm: true, gated: true }],
  ["int4", { form: "words", rows: 128, columns: 64, parts: 1 }, { factor: -0.5 }],
] as const;
for (const [dtype, variant, options] of words) {
  const { rows, columns, parts } = variant;
  withGpu(`words of ${rows} x ${columns} in ${parts} parts, ${dtype}`, async (gpu, context) => {
    if (dtype === "f16" && !gpu.traits.halves) {
      const name = "skipped: the adapter has no half precision";
      return void await context.step({ name, ignore: true, fn: () => {} });
    }
    const shape = { rows: 133, outputs: 72, inputs: 100, dtype, texture: false, variant };
    await checkProduct(gpu, { ...shape, ...options, accumulate: true }, 51);
    await checkProduct(gpu, { ...shape, ...options, rows: 1, outputs: 8, inputs: 16 }, 52);
    if (parts === 1 && !("gated" in options)) {
      await checkProduct(gpu, { ...shape, ...options, rows: 65, outputs: 7, inputs: 4 }, 53);
    }
    if (parts > 1) await checkProduct(gpu, { ...shape, ...options, partBytes: 20_000 }, 54);
    // Sums that halves hold exactly are exact: what is added up, and with what.
    if (dtype === "f16") await checkProduct(gpu, { ...shape, inputs: 228, range: 4 }, 55);
  });
}

/** Few rows, added up by subgroups: every way to read weights, parts of which one has no inputs. */
for (const dtype of ["f16", "f32", "int8", "int4"] as const) {
  withGpu(`rows added up by subgroups equal float64, weights in ${dtype}`, async (gpu, context) => {
    if (gpu.traits.subgroup < 4) {
      const name = "skipped: the adapter has no subgroups";
      return void await context.step({ name, ignore: true, fn: () => {} });
    }
    const variant = (parts: number) => ({ form: "rows", parts } as const);
    const shape = { rows: 1, outputs: 72, inputs: 100, dtype, texture: false };
    const cases: Case[] = [
      { ...shape, variant: variant(1), bias: true, activation: "silu", accumulate: true },
      { ...shape, variant: variant(3), norm: true, gated: true },
      { ...shape, rows: 3, outputs: 7, inputs: 4, variant: variant(1), bias: true, norm: true },
      { ...shape, rows: 6, variant: variant(60), partBytes: 20_000, bias: true, factor: -0.5 },
    ];
    for (const [i, c] of cases.entries()) await checkProduct(gpu, c, 41 + i);
  });
}

Deno.test("a card's candidates are blocks where rows are many; they fill it, and none is gated by halves", () => {
  const gpu = Gpu.onPaper();
  const shape = { rows: 256, outputs: 1024, inputs: 2048, dtype: "f16", texture: false } as const;
  for (const gated of [false, true]) {
    const all = [...matmulVariants(gpu, { ...shape, gated, normed: false }).values()];
    const [first] = all;
    assert(first?.form === "blocks");
    const tiles = Math.ceil(256 / first.rows) * Math.ceil(1024 / first.columns);
    assert(tiles * first.parts >= 2 * 132, JSON.stringify(first));
    const found = all.filter(({ form }) => form === "blocks");
    assertEquals(found.some((one) => one.form === "blocks" && one.columns === 32), !gated);
    assert(all.some(({ form }) => form === "registers"));
    // In words only tuning takes them, and no weights in f32.
    for (const dtype of ["f16", "int8", "f32"] as const) {
      const forms = [...matmulVariants(gpu, { ...shape, dtype, gated, normed: false }).values()];
      assertEquals(forms.filter(({ form }) => form === "words").length, dtype === "f32" ? 0 : 3);
      assert(forms[0]?.form === "blocks");
    }
    const [few] = matmulVariants(gpu, { ...shape, rows: 1, gated, normed: false }).values();
    assert(few?.form === "rows" && 128 * few.parts >= 2 * 132);
  }
});

Deno.test("quantize() stays within half a step of the largest magnitude of a block", () => {
  const inputs = 70;
  const weights = normal(random(3), 5 * inputs);
  weights.fill(0, inputs, inputs + 40);
  weights[2] = 1e-30;
  for (const dtype of ["int8", "int4"] as const) {
    const packed = quantize(weights, inputs, dtype);
    const limit = quantizedLimit(dtype);
    assert(packed.values.every((value) => Math.abs(value) <= limit));
    assertEquals(packed.scales.length, 5 * 3);
    const back = dequantize(packed, inputs);
    for (let n = 0; n < 5; n++) {
      for (let block = 0; block < 3; block++) {
        const from = n * inputs + block * 32;
        const to = Math.min(from + 32, (n + 1) * inputs);
        const largest = Math.max(...weights.subarray(from, to).map(Math.abs));
        // The scale is rounded to f16, which may clip the largest value by as much.
        const bound = (0.5 / limit + 2 ** -10) * largest;
        for (let i = from; i < to; i++) {
          const error = Math.abs((back[i] ?? NaN) - (weights[i] ?? NaN));
          assert(error <= bound, `${dtype} [${n}, ${i % inputs}]: ${error} of ${bound}`);
        }
      }
    }
  }
});

withGpu(
  "quantizeRows() stays within half a step of the largest magnitude of a block",
  async (gpu) => {
    const [rows, inputs] = [3, 76];
    const xs = normal(random(4), rows * inputs);
    xs.fill(0, 0, 32);
    const x = surrounded(gpu, "x", [rows, inputs], xs, { offset: 8 });
    const read = await quantizedRows(gpu, x);
    assert(read.subarray(0, 32).every((value) => value === 0));
    for (let i = 0; i < xs.length; i++) {
      const from = i - (i % inputs) % 32;
      const to = Math.min(from + 32, (Math.floor(i / inputs) + 1) * inputs);
      const largest = Math.max(...xs.subarray(from, to).map(Math.abs));
      const error = Math.abs((read[i] ?? NaN) - (xs[i] ?? NaN));
      assert(error <= (0.5001 / 127) * largest, `[${i}]: ${error}, largest ${largest}`);
    }
    gpu.free(x.buffer);
  },
);

withGpu("the integer product refuses weights in floats", (gpu) => {
  const weight = packWeight(gpu, "w", new Float32Array(64), 8, 8, "f32");
  const args = { label: "bad", x: makeTensor(gpu, "x", [1, 8]), y: makeTensor(gpu, "y", [1, 8]) };
  const [variant] = Object.values(integer);
  assertThrows(() => matmul(gpu, { ...args, weight }, variant), RangeError, "f32");
});
