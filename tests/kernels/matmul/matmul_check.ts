/** Compares a form of the matrix product with float64. */
import { assertEquals } from "@std/assert";
import type { Activation } from "../../../kernels/gpu/activation.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { freeWeight, matmul, packWeight } from "../../../kernels/matmul/matmul.ts";
import { quantizeRows } from "../../../kernels/matmul/matmul_dot.ts";
import { wordLayout, wordRows } from "../../../kernels/matmul/matmul_words.ts";
import type { MatmulVariant } from "../../../kernels/matmul/matmul_variant.ts";
import type { WeightType } from "../../../kernels/matmul/packed_weight.ts";
import { dequantize, quantize } from "../../../kernels/matmul/quantize.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { makeTensor, type Tensor } from "../../../kernels/gpu/tensor.ts";
import { activate } from "../../reference/activation.ts";
import { matmul as reference } from "../../reference/matmul.ts";
import { integer, normal, random, roundToHalf } from "../../reference/random.ts";
import { rmsnorm, swiglu } from "../../reference/rows.ts";
import { assertClose, poisoned, run, surrounded } from "../support.ts";

export interface Case {
  rows: number;
  outputs: number;
  inputs: number;
  dtype: WeightType;
  texture: boolean;
  bias?: boolean;
  accumulate?: boolean;
  activation?: Activation;
  partBytes?: number;
  norm?: boolean;
  gated?: boolean;
  factor?: number;
  variant?: MatmulVariant;
  /** Whole numbers from -range to range times 2^20, which halves hold by their scale only. */
  range?: number;
}

/** Runs a product on random data, its output poisoned, and compares with float64 over what is stored:
 * half-precision or dequantized weights, and rows in words or quantized as the GPU has them. Sums in
 * half precision round at each of 32 inputs, unless they are whole numbers. */
export async function checkProduct(gpu: Gpu, c: Case, seed = 1): Promise<void> {
  const next = random(seed);
  const { rows: M, inputs: K } = c;
  const N = c.gated ? c.outputs / 2 : c.outputs;
  // Each block's largest is the range, so that its scale is exact.
  const integers = (length: number, range: number) =>
    Float32Array.from(
      { length },
      (_, i) => (i % K) % 32 === 0 ? range : integer(next, -range, range),
    );
  const xs = c.range
    ? integers(M * K, c.range).map((value) => value * 2 ** 20)
    : normal(next, M * K);
  const weights = c.range
    ? integers(c.outputs * K, 3)
    : normal(next, c.outputs * K, 1 / Math.sqrt(K));
  const scale = normal(next, K, 0.2, 1);
  const biases = normal(next, N);
  const before = normal(next, M * N);
  const x = surrounded(gpu, "x", [M, K], xs, { offset: 4 * integer(next, 0, 5) });
  const weight = packWeight(gpu, "w", weights, c.outputs, K, c.dtype, {
    texture: c.texture,
    gated: c.gated ?? false,
    ...(c.norm ? { scale } : {}),
    ...(c.partBytes ? { partBytes: c.partBytes } : {}),
  });
  const offset = N % 4 === 0 ? 8 : 3;
  const y = c.accumulate
    ? surrounded(gpu, "y", [M, N], before, { offset })
    : poisoned(gpu, "y", [M, N], { offset });
  const bias = surrounded(gpu, "bias", [N], biases, { offset });
  const args = {
    label: "test",
    x,
    weight,
    y,
    ...(c.bias ? { bias } : {}),
    ...(c.activation ? { activation: c.activation } : {}),
    ...(c.accumulate ? { accumulate: true } : {}),
    ...(c.norm ? { norm: { eps: 1e-5 } } : {}),
    ...(c.factor === undefined ? {} : { factor: c.factor }),
  };
  run(gpu, ...matmul(gpu, args, c.variant));
  const actual = await readTensor(gpu, y);
  const scaled = c.norm ? weights.map((w, i) => w * (scale[i % K] ?? NaN)) : weights;
  const stored = asStored(scaled, c);
  const read = c.variant?.form === "dot"
    ? await quantizedRows(gpu, x)
    : c.variant?.form === "words"
    ? await rowsInWords(gpu, x, c.dtype)
    : xs;
  const normed = c.norm ? rmsnorm(xs, new Float32Array(K).fill(1), 1e-5) : xs;
  // The norm's scale is that of x itself, however its elements are rounded.
  const input = Float64Array.from(
    read,
    (value, i) => value === 0 ? 0 : value * (c.norm ? (normed[i] ?? NaN) / (xs[i] ?? NaN) : 1),
  );
  const product = reference(input, stored, c);
  const expected = (c.gated ? gate(product, M, N) : product).map((sum, i) => {
    const biased = sum + (c.bias ? biases[i % N] ?? NaN : 0);
    return activate(biased, c.activation) * (c.factor ?? 1) +
      (c.accumulate ? before[i] ?? NaN : 0);
  });
  const inHalves = c.variant?.form === "words" && c.dtype === "f16" && !c.range;
  const absolute = inHalves ? 1.5e-2 : c.range ? 0 : 1e-5;
  assertClose(actual, expected, { absolute, relative: c.range ? 0 : 1e-5, shape: [M, N] });
  // Nothing around y was touched.
  const around: Tensor = { ...y, offset: 0, shape: [offset + M * N + 8] };
  const whole = await readTensor(gpu, around);
  assertEquals(whole.filter(Number.isNaN).length, offset + 8);
  freeWeight(gpu, weight);
  for (const tensor of [x, y, bias]) gpu.free(tensor.buffer);
}

function asStored(weights: Float32Array, { dtype, inputs }: Case): Float32Array {
  if (dtype === "f32") return weights;
  return dtype === "f16"
    ? roundToHalf(weights)
    : dequantize(quantize(weights, inputs, dtype), inputs);
}

/** What the GPU makes of rows in 8 bits, as numbers. */
export async function quantizedRows(gpu: Gpu, x: Tensor): Promise<Float64Array> {
  const [rows = 0, inputs = 0] = x.shape;
  const blocks = Math.ceil(inputs / 32);
  const y = makeTensor(gpu, "quantized", [rows, blocks, 12], "u32");
  run(gpu, quantizeRows(gpu, "test", x, y));
  const words = await readTensor(gpu, y) as Uint32Array;
  gpu.free(y.buffer);
  const bytes = new Int8Array(words.buffer);
  const floats = new Float32Array(words.buffer);
  return Float64Array.from({ length: rows * inputs }, (_, i) => {
    const input = i % inputs;
    const block = Math.floor(i / inputs) * blocks + Math.floor(input / 32);
    return (bytes[block * 48 + input % 32] ?? NaN) * (floats[block * 12 + 8] ?? NaN);
  });
}

/** What the GPU makes of rows in words, as numbers. */
export async function rowsInWords(gpu: Gpu, x: Tensor, dtype: WeightType): Promise<Float64Array> {
  const [rows = 0, inputs = 0] = x.shape;
  const { words, perWord } = wordLayout(dtype);
  const blocks = Math.ceil(inputs / 32);
  const y = makeTensor(gpu, "words", [Math.ceil(rows / 4), blocks, words + 2, 4], "u32");
  run(gpu, wordRows(gpu, "test", x, y, dtype));
  const found = await readTensor(gpu, y) as Uint32Array;
  gpu.free(y.buffer);
  const numbers = perWord === 4 ? new Int8Array(found.buffer) : new Float16Array(found.buffer);
  const floats = new Float32Array(found.buffer);
  return Float64Array.from({ length: rows * inputs }, (_, i) => {
    const [row, input] = [Math.floor(i / inputs), i % inputs];
    const block = (row >> 2) * blocks + Math.floor(input / 32);
    const wordAt = (texel: number) => (block * (words + 2) + texel) * 4 + row % 4;
    const at = wordAt(Math.floor((input % 32) / perWord)) * perWord + input % perWord;
    return (numbers[at] ?? NaN) * (floats[wordAt(words)] ?? NaN);
  });
}

/** silu(gate) * up of rows [gate | up]. */
function gate(x: Float64Array, rows: number, width: number): Float64Array {
  assertEquals(x.length, rows * 2 * width);
  return swiglu(x, width);
}
