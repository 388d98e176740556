/** The matrix product as a tuning problem: its variants on random data, beside a host's sums. */
import type { Gpu } from "../gpu/device.ts";
import type { ProductShape } from "../matmul/matmul_parts.ts";
import { operandsKey } from "../gpu/adapter.ts";
import { matmul, packWeight } from "../matmul/matmul.ts";
import {
  type MatmulVariant,
  matmulVariants,
  productKey,
  staticVariant,
} from "../matmul/matmul_variant.ts";
import {
  freeWeight,
  isQuantized,
  type PackedWeight,
  type WeightType,
} from "../matmul/packed_weight.ts";
import { dequantize, quantize } from "../matmul/quantize.ts";
import { makeTensor, upload } from "../gpu/tensor.ts";
import type { Problem, Trial } from "./tune.ts";

/** Rows and outputs that are measured at most: more only take longer. */
const most = { gpu: { rows: 512, outputs: 8192 }, cpu: { rows: 36, outputs: 1024 } };

/** Multiply-adds on the host for checking a problem, about. */
export const checkedWork = 2e7;

/** By how much forms may differ that round rows: to 8 bits, or to 11 and their sums too. */
const tolerances: Partial<Record<MatmulVariant["form"], number>> = { dot: 3e-2, words: 3e-2 };

/** A product's variants. */
export function productProblem(gpu: Gpu, shape: ProductShape): Problem<MatmulVariant> {
  const { texture } = shape;
  return {
    key: productKey(shape),
    variants: matmulVariants(gpu, shape),
    open: () => openTrial(gpu, shape, (variant) => ({ variant, texture })),
  };
}

/** Whether operands lie in textures or buffers: by the product that weighs most. */
export function operandsProblem(
  gpu: Gpu,
  shape: Omit<ProductShape, "texture">,
): Problem<boolean> {
  const first = gpu.traits.texturesFaster;
  const variantOf = (texture: boolean) => staticVariant(gpu, { ...shape, texture });
  return {
    key: operandsKey,
    variants: new Map([first, !first].map((is) => [is ? "textures" : "buffers", is])),
    open: () => openTrial(gpu, shape, (texture) => ({ variant: variantOf(texture), texture })),
  };
}

function openTrial<Variant>(
  gpu: Gpu,
  shape: Omit<ProductShape, "texture">,
  formOf: (variant: Variant) => { variant: MatmulVariant; texture: boolean },
): Trial<Variant> {
  const { inputs, dtype, gated, normed } = shape;
  const limit = gpu.traits.cpu ? most.cpu : most.gpu;
  const rows = Math.min(shape.rows, limit.rows);
  const outputs = Math.min(shape.outputs, limit.outputs);
  const width = gated ? outputs / 2 : outputs;
  const xs = spreadNumbers(rows * inputs, 2);
  const ws = spreadNumbers(outputs * inputs, 2 / Math.sqrt(inputs));
  const eps = 1e-6;
  const weights = new Map<boolean, PackedWeight>();
  const weightIn = (texture: boolean) => {
    const weight = weights.get(texture) ??
      packWeight(gpu, "tuned", ws, outputs, inputs, dtype, { gated, texture });
    weights.set(texture, weight);
    return weight;
  };
  // Read as the engine's activations are, so that these pipelines are the engine's.
  const x = makeTensor(gpu, "tuned x", [rows, inputs], "f32", "uniform");
  upload(gpu, x, xs);
  const y = makeTensor(gpu, "tuned y", [rows, width]);
  const stored = asStored(ws, inputs, dtype);
  /** One output, summed in float64. */
  const sum = (row: number, column: number) => {
    let squares = 0;
    let gate = 0;
    let value = 0;
    for (let k = 0; k < inputs; k++) {
      const v = xs[row * inputs + k] ?? 0;
      squares += v * v;
      gate += v * (stored[column * inputs + k] ?? 0);
      if (gated) value += v * (stored[(width + column) * inputs + k] ?? 0);
    }
    const scale = normed ? 1 / Math.sqrt(squares / inputs + eps) : 1;
    if (!gated) return gate * scale;
    return (gate * scale) / (1 + Math.exp(-gate * scale)) * value * scale;
  };
  const places = samples(rows, width);
  const expected = spread(places.length, Math.max(64, checkedWork / inputs)).map((i) => {
    const [row, column] = places[i] ?? [0, 0];
    return { at: row * width + column, value: sum(row, column) };
  });
  return {
    steps: (of) => {
      const { variant, texture } = formOf(of);
      const args = { label: "tuned", x, weight: weightIn(texture), y };
      return matmul(gpu, normed ? { ...args, norm: { eps } } : args, variant);
    },
    output: y,
    expected,
    tolerance: (of) => tolerances[formOf(of).variant.form] ?? 1e-4,
    close: () => {
      for (const weight of weights.values()) freeWeight(gpu, weight);
      for (const tensor of [x, y]) gpu.free(tensor.buffer);
    },
  };
}

/** The weights as a storage type keeps them. */
function asStored(weights: Float32Array, inputs: number, dtype: WeightType): Float32Array {
  if (isQuantized(dtype)) return dequantize(quantize(weights, inputs, dtype), inputs);
  return dtype === "f16" ? Float32Array.from(new Float16Array(weights)) : weights;
}

/** Places to compare: whole rows and whole columns at the edges and in the middle. */
function samples(rows: number, columns: number): [row: number, column: number][] {
  const list: [number, number][] = [];
  for (const row of spread(rows, 3)) {
    for (let column = 0; column < columns; column++) list.push([row, column]);
  }
  for (const column of spread(columns, 3)) {
    for (let row = 0; row < rows; row++) list.push([row, column]);
  }
  return list;
}

/** At most `most` of `count` indices, evenly spread, the first and the last among them. */
export function spread(count: number, most: number): number[] {
  const taken = Math.floor(most);
  if (count <= taken) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: taken }, (_, i) => Math.round((i * (count - 1)) / (taken - 1)));
}

/** Numbers evenly spread over [-range, range], the same every time. */
export function spreadNumbers(length: number, range: number): Float32Array<ArrayBuffer> {
  const numbers = new Float32Array(length);
  // A period that is prime, so that no two rows or columns are alike.
  const period = Math.min(length, 65521);
  let state = 1;
  for (let i = 0; i < period; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    numbers[i] = (state / 2 ** 31 - 1) * range;
  }
  for (let at = period; at < length; at += period) {
    numbers.copyWithin(at, 0, Math.min(period, length - at));
  }
  return numbers;
}
