/** A span of tokens through the layers as a tuning problem: a launch for each product, or whole layers. */
import type { Gpu } from "../gpu/device.ts";
import { type ElementType, makeTensor, reshape, rows, tensorFrom, upload } from "../gpu/tensor.ts";
import { freeWeight, packWeight } from "../matmul/matmul.ts";
import {
  type LayerMatrices,
  spanKey,
  spanLaunches,
  type SpanShape,
  type SpanVariant,
  spanVariants,
  spanWhole,
} from "../span/span.ts";
import { packWhole } from "../span/whole.ts";
import type { Problem, Trial } from "./tune.ts";
import { spread, spreadNumbers } from "./tune_matmul.ts";

/** Layers and slots that are measured at most: more only take longer. */
const most = { layers: 2, slots: 1024 };
const eps = 1e-6;

/** A span's variants. */
export function spanProblem(gpu: Gpu, shape: SpanShape): Problem<SpanVariant> {
  return {
    key: spanKey(shape),
    variants: spanVariants(gpu, shape),
    open: () => openTrial(gpu, shape),
  };
}

function openTrial(gpu: Gpu, shape: SpanShape): Trial<SpanVariant> {
  const { hidden, inner, heads, kvHeads, headDim, storage, sets, rows: count } = shape;
  const dtype = shape.dtype === "f16" ? "f16" : "f32";
  const layers = Math.min(shape.layers, most.layers);
  const slots = Math.max(count, Math.min(shape.slots, most.slots));
  const before = slots - count;
  const [qDim, kvDim] = [heads * headDim, kvHeads * headDim];
  let seed = 0;
  const stored = (data: Float32Array, as: string) =>
    as === "f16" ? Float32Array.from(new Float16Array(data)) : data;
  const numbers = (length: number, range: number) =>
    spreadNumbers(length + ++seed, range).slice(seed);
  const matrix = (outputs: number, inputs: number) =>
    stored(numbers(outputs * inputs, 2 / Math.sqrt(inputs)), dtype);
  const ones = (length: number) => new Float32Array(length).fill(1);
  const matrices = Array.from({ length: layers }, (): LayerMatrices => ({
    qkv: [matrix(qDim, hidden), matrix(kvDim, hidden), matrix(kvDim, hidden)],
    output: matrix(hidden, qDim),
    gateUp: [matrix(inner, hidden), matrix(inner, hidden)],
    down: matrix(hidden, inner),
    inputNorm: ones(hidden),
    postNorm: ones(hidden),
    qNorm: ones(headDim),
    kNorm: ones(headDim),
  }));
  const xs = numbers(count * hidden, 2);
  const past = {
    keys: numbers(layers * slots * kvDim, 2),
    values: numbers(layers * slots * kvDim, 2),
  };
  // A row's own set has a rank of its own; every seventh key of the past is hidden from all.
  const perSet = count / sets;
  const setOf = (row: number) => Math.floor(row / perSet);
  const isSeen = (row: number, slot: number) =>
    slot < before ? slot % 7 !== 3 : setOf(slot - before) === setOf(row);
  const rankWords = Int32Array.from(
    { length: slots },
    (_, slot) => slot >= before ? 10 + setOf(slot - before) : isSeen(0, slot) ? 0 : 5,
  );
  const table = new Int32Array(count * 8);
  for (let row = 0; row < count; row++) table.set([before + row, 0, 10 + setOf(row)], row * 8);
  // Positions are all 0, so that nothing turns.
  const uploaded = (shape: number[], data: Float32Array | Int32Array, as: ElementType = "f32") => {
    const tensor = makeTensor(gpu, "tuned", shape, as, "uniform");
    upload(gpu, tensor, data);
    return tensor;
  };
  const cache = (data: Float32Array) => uploaded([layers, slots, kvDim], data, storage);
  const stacked = { keys: cache(past.keys), values: cache(past.values) };
  const zeros = new Uint32Array(headDim / 2);
  const given = uploaded([count, hidden], xs);
  const x = uploaded([count, hidden], xs);
  const tensors = {
    ranks: uploaded([slots], rankWords, "i32"),
    tokenTable: tensorFrom(gpu, "tuned tokens", [count, 8], table),
    held: tensorFrom(gpu, "tuned held", [4], Int32Array.of(before, before, slots, 0)),
    turns: tensorFrom(gpu, "tuned turns", [headDim / 2], zeros),
    axes: tensorFrom(gpu, "tuned axes", [headDim / 2], zeros),
  };
  const scratch = {
    qkv: uploaded([count, qDim + 2 * kvDim], new Float32Array(count * (qDim + 2 * kvDim))),
    q: uploaded([count, qDim], new Float32Array(count * qDim)),
    heads: uploaded([count, qDim], new Float32Array(count * qDim)),
    act: uploaded([count, inner], new Float32Array(count * inner)),
  };
  const whole = packWhole(gpu, shape, dtype, matrices, null);
  const apart = matrices.map((m) => ({
    qkv: packWeight(gpu, "tuned", m.qkv, qDim + 2 * kvDim, hidden, dtype),
    bias: null,
    qNorm: tensorFrom(gpu, "tuned", [headDim], m.qNorm),
    kNorm: tensorFrom(gpu, "tuned", [headDim], m.kNorm),
    output: packWeight(gpu, "tuned", m.output, hidden, qDim, dtype),
    gateUp: packWeight(gpu, "tuned", m.gateUp, 2 * inner, hidden, dtype, { gated: true }),
    down: packWeight(gpu, "tuned", m.down, hidden, inner, dtype),
  }));
  const args = {
    label: "tuned",
    sizes: shape,
    x,
    wanted: { first: 0, count },
    sets,
    stacked,
    caches: matrices.map((_, i) => ({
      keys: reshape(rows(stacked.keys, i, 1), [slots, kvDim]),
      values: reshape(rows(stacked.values, i, 1), [slots, kvDim]),
    })),
    ...tensors,
    eps,
    headEps: eps,
  };
  const expected = onHost(shape, matrices, xs, count, {
    keys: stored(past.keys, storage),
    values: stored(past.values, storage),
    before,
    slots,
    isSeen,
    round: (data) => stored(data, storage),
  });
  const restore = {
    kind: "copy",
    label: "tuned x",
    source: given.buffer,
    sourceOffset: 0,
    target: x.buffer,
    targetOffset: 0,
    bytes: 4 * count * hidden,
  } as const;
  return {
    steps: (variant) => [
      restore,
      ...(variant.form === "whole"
        ? spanWhole(gpu, args, whole, variant)
        : spanLaunches(gpu, args, apart, scratch)),
    ],
    output: x,
    expected: spread(expected.length, 4096).map((at) => ({ at, value: expected[at] ?? NaN })),
    tolerance: () => storage === "f16" ? 3e-2 : 2e-3,
    close: () => {
      for (const { qkv, output, gateUp, down, qNorm, kNorm } of apart) {
        for (const weight of [qkv, output, gateUp, down]) freeWeight(gpu, weight);
        for (const { buffer } of [qNorm, kNorm]) gpu.free(buffer);
      }
      gpu.free("shape" in whole.panels ? whole.panels.buffer : whole.panels);
      const all = [whole.norms, given, x, stacked.keys, stacked.values];
      for (const { buffer } of [...all, ...Object.values(tensors), ...Object.values(scratch)]) {
        gpu.free(buffer);
      }
    },
  };
}

/** The span's output by a plain computation, row by row. */
function onHost(
  { hidden, heads, kvHeads, headDim }: SpanShape,
  matrices: readonly LayerMatrices[],
  xs: Float32Array,
  count: number,
  past: {
    keys: Float32Array;
    values: Float32Array;
    before: number;
    slots: number;
    isSeen: (row: number, slot: number) => boolean;
    round: (data: Float32Array) => Float32Array;
  },
): number[] {
  const kvDim = kvHeads * headDim;
  const normed = (x: Float64Array) => {
    const scale = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + eps);
    return x.map((v) => v * scale);
  };
  const times = (weight: Float32Array, x: Float64Array) => {
    const y = new Float64Array(weight.length / x.length);
    for (let n = 0, at = 0; n < y.length; n++) {
      let sum = 0;
      for (let k = 0; k < x.length; k++) sum += (weight[at++] ?? 0) * (x[k] ?? 0);
      y[n] = sum;
    }
    return y;
  };
  const ofHeads = (x: Float64Array, f: (head: Float64Array) => Float64Array) => {
    for (let at = 0; at < x.length; at += headDim) x.set(f(x.slice(at, at + headDim)), at);
    return x;
  };
  let residual = Array.from(
    { length: count },
    (_, row) => Float64Array.from(xs.subarray(row * hidden, (row + 1) * hidden)),
  );
  matrices.forEach(({ qkv: [wq, wk, wv], output, gateUp: [gate, up], down }, layer) => {
    if (!wq || !wk || !wv || !gate || !up) return;
    const offset = layer * past.slots * kvDim;
    const keys = past.keys.slice(offset, offset + past.slots * kvDim);
    const values = past.values.slice(offset, offset + past.slots * kvDim);
    const queries = residual.map((x, row) => {
      const from = normed(x);
      const at = (past.before + row) * kvDim;
      keys.set(past.round(Float32Array.from(ofHeads(times(wk, from), normed))), at);
      values.set(past.round(Float32Array.from(times(wv, from))), at);
      return ofHeads(times(wq, from), normed);
    });
    residual = residual.map((x, row) => {
      const attended = new Float64Array(heads * headDim);
      for (let head = 0; head < heads; head++) {
        const kv = Math.floor(head / (heads / kvHeads)) * headDim;
        let total = 0;
        for (let slot = 0; slot < past.slots; slot++) {
          if (!past.isSeen(row, slot)) continue;
          const at = slot * kvDim + kv;
          let score = 0;
          for (let d = 0; d < headDim; d++) {
            score += (queries[row]?.[head * headDim + d] ?? 0) * (keys[at + d] ?? 0);
          }
          const weight = Math.exp(score / Math.sqrt(headDim));
          total += weight;
          for (let d = 0; d < headDim; d++) {
            const to = head * headDim + d;
            attended[to] = (attended[to] ?? 0) + weight * (values[at + d] ?? 0);
          }
        }
        for (let d = head * headDim; d < (head + 1) * headDim; d++) {
          attended[d] = (attended[d] ?? 0) / total;
        }
      }
      const projected = times(output, attended);
      const middle = x.map((v, i) => v + (projected[i] ?? 0));
      const from = normed(middle);
      const ups = times(up, from);
      const act = times(gate, from).map((g, i) => g / (1 + Math.exp(-g)) * (ups[i] ?? 0));
      const last = times(down, act);
      return middle.map((v, i) => v + (last[i] ?? 0));
    });
  });
  return residual.flatMap((x) => [...x]);
}
