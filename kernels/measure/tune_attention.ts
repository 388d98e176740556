/** Attention as a tuning problem: its variants over a full history of random keys. */
import {
  attention,
  attentionKey,
  type AttentionShape,
  type AttentionVariant,
  attentionVariants,
} from "../attention/attention.ts";
import type { Gpu } from "../gpu/device.ts";
import { type ElementType, makeTensor, tensorFrom, upload } from "../gpu/tensor.ts";
import type { Problem, Trial } from "./tune.ts";
import { checkedWork, spread, spreadNumbers } from "./tune_matmul.ts";

/** Rows and keys that are measured at most: more only take longer. */
const most = { gpu: { rows: 512, slots: 1 << 15 }, cpu: { rows: 36, slots: 2048 } };

/** Attention's variants. */
export function attentionProblem(gpu: Gpu, shape: AttentionShape): Problem<AttentionVariant> {
  return {
    key: attentionKey(shape),
    variants: attentionVariants(gpu, shape),
    open: () => openTrial(gpu, shape),
  };
}

function openTrial(gpu: Gpu, shape: AttentionShape): Trial<AttentionVariant> {
  const { heads, kvHeads, headDim, dtype } = shape;
  const limit = gpu.traits.cpu ? most.cpu : most.gpu;
  const rows = Math.min(shape.rows, limit.rows);
  const slots = Math.min(shape.slots, limit.slots);
  const cache = [slots, kvHeads * headDim];
  const qs = spreadNumbers(rows * heads * headDim, 2);
  const stored = (data: Float32Array) =>
    dtype === "f16" ? Float32Array.from(new Float16Array(data)) : data;
  const ks = stored(spreadNumbers(slots * kvHeads * headDim + 1, 2).subarray(1));
  const vs = stored(spreadNumbers(slots * kvHeads * headDim + 2, 2).subarray(2));
  // Every seventh key is hidden from all rows, so that a variant that ignores ranks is found out.
  const isSeen = (slot: number) => slot % 7 !== 3;
  const rankWords = Int32Array.from({ length: slots }, (_, slot) => isSeen(slot) ? 0 : 2);
  const tokens = new Int32Array(rows * 8);
  for (let row = 0; row < rows; row++) tokens.set([0, 1, 1], row * 8);
  // Read as the engine's are, so that these pipelines are the engine's.
  const uploaded = (shape: number[], data: Float32Array | Int32Array, dtype: ElementType) => {
    const tensor = makeTensor(gpu, "tuned", shape, dtype, "uniform");
    upload(gpu, tensor, data);
    return tensor;
  };
  const q = uploaded([rows, heads * headDim], qs, "f32");
  const keys = uploaded(cache, ks, dtype);
  const values = uploaded(cache, vs, dtype);
  const ranks = uploaded([slots], rankWords, "i32");
  const tokenTable = tensorFrom(gpu, "tuned tokens", [rows, 8], tokens);
  const held = tensorFrom(gpu, "tuned held", [4], Int32Array.of(slots, slots, slots, 0));
  const out = makeTensor(gpu, "tuned out", [rows, heads * headDim]);
  /** The first and the last element of a head's result. */
  const result = (row: number, head: number) => {
    const kv = Math.floor(head / (heads / kvHeads)) * headDim;
    let total = 0;
    let first = 0;
    let last = 0;
    for (let slot = 0; slot < slots; slot++) {
      if (!isSeen(slot)) continue;
      let score = 0;
      for (let d = 0; d < headDim; d++) {
        score += (qs[row * heads * headDim + head * headDim + d] ?? 0) *
          (ks[slot * kvHeads * headDim + kv + d] ?? 0);
      }
      const weight = Math.exp(score / Math.sqrt(headDim));
      const at = slot * kvHeads * headDim + kv;
      total += weight;
      first += weight * (vs[at] ?? 0);
      last += weight * (vs[at + headDim - 1] ?? 0);
    }
    const at = (row * heads + head) * headDim;
    return [{ at, value: first / total }, { at: at + headDim - 1, value: last / total }];
  };
  const count = Math.max(8, checkedWork / (slots * headDim));
  const tensors = { q, keys, values, ranks, tokenTable, held, out };
  return {
    steps: (variant) =>
      attention(gpu, { label: "tuned", ...tensors, heads, kvHeads, headDim }, variant),
    output: out,
    expected: spread(rows * heads, count).flatMap((i) => result(Math.floor(i / heads), i % heads)),
    tolerance: () => 1e-3,
    close: () => Object.values(tensors).forEach(({ buffer }) => gpu.free(buffer)),
  };
}
