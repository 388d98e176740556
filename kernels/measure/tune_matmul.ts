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
import { freeWeight, isQuantized, type WeightType } from "../matmul/packed_weight.ts";
import { dequantize, quantize } from "../matmul/quantize.ts";
import { makeTensor, upload } from "../gpu/tensor.ts";
import type { Candidate, Problem } from "./tune.ts";
import { uniformBytes } from "../gpu/uniform.ts";

/** Rows and outputs that are measured at most: more only take longer. */
const most = { gpu: { rows: 512, outputs: 8192 }, cpu: { rows: 36, outputs: 1024 } };

/** Multiply-adds on the host for checking a problem, about. */
export const checkedWork = 2e7;

/** A product's variants. */
export function productProblem(gpu: Gpu, shape: ProductShape): Problem {
  return {
    key: productKey(shape),
    fallback: [...matmulVariants(gpu, shape).keys()][0] ?? "",
    open: () => {
      const setup = randomProduct(gpu, shape);
      const variants = matmulVariants(gpu, shape);
      const candidates = [...variants].map(([name, v]) => setup.candidate(name, v));
      return { candidates, ...setup };
    },
  };
}

/** Whether operands lie in textures or buffers: by the product that weighs most. */
export function operandsProblem(gpu: Gpu, shape: Omit<ProductShape, "texture">): Problem {
  const first = gpu.traits.texturesFaster;
  return {
    key: operandsKey,
    fallback: first ? "textures" : "buffers",
    open: () => {
      const setups = [first, !first].map((texture) => {
        const setup = randomProduct(gpu, { ...shape, texture });
        const variant = staticVariant(gpu, { ...shape, texture });
        const candidate = setup.candidate(texture ? "textures" : "buffers", variant);
        return { candidate, close: setup.close };
      });
      return {
        candidates: setups.map(({ candidate }) => candidate),
        close: () => setups.forEach(({ close }) => close()),
      };
    },
  };
}

function randomProduct(gpu: Gpu, shape: ProductShape) {
  const { inputs, dtype, texture, gated, normed } = shape;
  const limit = gpu.traits.cpu ? most.cpu : most.gpu;
  const rows = Math.min(shape.rows, limit.rows);
  const outputs = Math.min(shape.outputs, limit.outputs);
  const width = gated ? outputs / 2 : outputs;
  const xs = spreadNumbers(rows * inputs, 2);
  const ws = spreadNumbers(outputs * inputs, 2 / Math.sqrt(inputs));
  const eps = 1e-6;
  const weight = packWeight(gpu, "tuned", ws, outputs, inputs, dtype, { gated, texture });
  // With the room that the engine's activations have, so that these pipelines are the engine's.
  const x = makeTensor(gpu, "tuned x", [rows, inputs], "f32", uniformBytes);
  upload(gpu, x, xs);
  const y = makeTensor(gpu, "tuned y", [rows, width]);
  const stored = asStored(ws, inputs, dtype);
  /** One output, summed in float64. */
  const expected = (row: number, column: number) => {
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
  const points = spread(places.length, Math.max(64, checkedWork / inputs)).map((i) => {
    const [row, column] = places[i] ?? [0, 0];
    return { at: row * width + column, value: expected(row, column) };
  });
  return {
    candidate: (name: string, variant: MatmulVariant): Candidate => ({
      name,
      steps: matmul(gpu, {
        label: "tuned",
        x,
        weight,
        y,
        ...(normed ? { norm: { eps } } : {}),
      }, variant),
      output: y,
      check: (output) => difference(output, points, variant.form === "dot" ? 3e-2 : 1e-4),
    }),
    close: () => {
      freeWeight(gpu, weight);
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

/** What is wrong with an output of values around 1: a value that is none, or far from what is
 * expected; null: nothing. */
export function difference(
  output: Float32Array,
  points: readonly { at: number; value: number }[],
  tolerance: number,
): string | null {
  const none = output.findIndex((value) => !Number.isFinite(value));
  if (none >= 0) return `element ${none} is ${output[none]}`;
  for (const { at, value } of points) {
    const is = output[at] ?? NaN;
    if (!(Math.abs(is - value) <= tolerance * (1 + Math.abs(value)))) {
      return `element ${at} is ${is}, not ${value}`;
    }
  }
  return null;
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
