/** Attention as a tuning problem: its variants over a full history of random keys. */
import { attention, attentionKey, type AttentionShape, attentionVariants } from "./attention.ts";
import type { Gpu } from "./device.ts";
import { makeTensor, tensorFrom } from "./tensor.ts";
import type { Problem } from "./tune.ts";
import { difference, noise, samples } from "./tune_matmul.ts";

/** Attention's variants. */
export function attentionProblem(gpu: Gpu, shape: AttentionShape): Problem {
  return { key: attentionKey(shape), open: () => openTrial(gpu, shape) };
}

function openTrial(gpu: Gpu, shape: AttentionShape) {
  const { rows, slots, heads, kvHeads, headDim, dtype } = shape;
  const cache = [slots, kvHeads * headDim];
  const qs = noise(rows * heads * headDim, 2);
  const stored = (data: Float32Array) =>
    dtype === "f16" ? Float32Array.from(new Float16Array(data)) : data;
  const ks = stored(noise(slots * kvHeads * headDim + 1, 2).subarray(1));
  const vs = stored(noise(slots * kvHeads * headDim + 2, 2).subarray(2));
  // Every seventh key is hidden from all rows, so that a variant that ignores ranks is found out.
  const isSeen = (slot: number) => slot % 7 !== 3;
  const rankWords = new Int32Array(Math.ceil(slots / 4) * 4);
  for (let slot = 0; slot < slots; slot++) rankWords[slot] = isSeen(slot) ? 0 : 2;
  const tokens = new Int32Array(rows * 8);
  for (let row = 0; row < rows; row++) tokens.set([0, 1, 1], row * 8);
  const q = tensorFrom(gpu, "tuned q", [rows, heads * headDim], qs);
  const keys = tensorFrom(gpu, "tuned keys", cache, ks, dtype);
  const values = tensorFrom(gpu, "tuned values", cache, vs, dtype);
  const ranks = tensorFrom(gpu, "tuned ranks", [rankWords.length], rankWords);
  const tokenTable = tensorFrom(gpu, "tuned tokens", [rows, 8], tokens);
  const span = tensorFrom(gpu, "tuned span", [4], Int32Array.of(slots, slots, slots, 0));
  const out = makeTensor(gpu, "tuned out", [rows, heads * headDim]);
  const expected = (row: number, column: number) => {
    const head = Math.floor(column / headDim);
    const kv = Math.floor(head / (heads / kvHeads)) * headDim;
    let total = 0;
    let sum = 0;
    for (let slot = 0; slot < slots; slot++) {
      if (!isSeen(slot)) continue;
      let score = 0;
      for (let d = 0; d < headDim; d++) {
        score += (qs[row * heads * headDim + head * headDim + d] ?? 0) *
          (ks[slot * kvHeads * headDim + kv + d] ?? 0);
      }
      const weight = Math.exp(score / Math.sqrt(headDim));
      total += weight;
      sum += weight * (vs[slot * kvHeads * headDim + kv + column % headDim] ?? 0);
    }
    return sum / total;
  };
  // A few elements of every head: each costs a walk over the keys.
  const points = samples(rows, heads).flatMap(([row, head]) =>
    [0, headDim - 1].map((d) => {
      const column = head * headDim + d;
      return { at: row * heads * headDim + column, value: expected(row, column) };
    })
  );
  const args = {
    label: "tuned",
    q,
    keys,
    values,
    ranks: { ...ranks, shape: [slots] },
    tokens: tokenTable,
    span,
    out,
    heads,
    kvHeads,
    headDim,
  };
  return {
    candidates: attentionVariants(gpu, shape).map(({ name, variant }) => ({
      name,
      steps: attention(gpu, args, variant),
      output: out,
      check: (output: Float32Array) => difference(output, points, 1e-3),
    })),
    close: () => {
      for (const tensor of [q, keys, values, ranks, tokenTable, span, out]) {
        gpu.free(tensor.buffer);
      }
    },
  };
}
