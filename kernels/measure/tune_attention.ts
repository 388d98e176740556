/** Attention as a tuning problem: its variants over a full history of random keys. */
import {
  attention,
  attentionKey,
  type AttentionShape,
  attentionVariants,
} from "../attention/attention.ts";
import type { Gpu } from "../gpu/device.ts";
import { type ElementType, makeTensor, tensorFrom, upload } from "../gpu/tensor.ts";
import type { Problem } from "./tune.ts";
import { checkedWork, difference, spread, spreadNumbers } from "./tune_matmul.ts";
import { uniformBytes } from "../gpu/uniform.ts";

/** Rows and keys that are measured at most: more only take longer. */
const most = { gpu: { rows: 512, slots: 1 << 15 }, cpu: { rows: 36, slots: 2048 } };

/** Attention's variants. */
export function attentionProblem(gpu: Gpu, shape: AttentionShape): Problem {
  return {
    key: attentionKey(shape),
    fallback: [...attentionVariants(gpu, shape).keys()][0] ?? "",
    open: () => openTrial(gpu, shape),
  };
}

function openTrial(gpu: Gpu, shape: AttentionShape) {
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
  const rankWords = new Int32Array(Math.ceil(slots / 4) * 4);
  for (let slot = 0; slot < slots; slot++) rankWords[slot] = isSeen(slot) ? 0 : 2;
  const tokens = new Int32Array(rows * 8);
  for (let row = 0; row < rows; row++) tokens.set([0, 1, 1], row * 8);
  // With the room that the engine's have, so that these pipelines are the engine's.
  const roomy = (
    name: string,
    shape: number[],
    data: Float32Array | Int32Array,
    dtype: ElementType,
  ) => {
    const tensor = makeTensor(gpu, `tuned ${name}`, shape, dtype, uniformBytes);
    upload(gpu, tensor, data);
    return tensor;
  };
  const q = roomy("q", [rows, heads * headDim], qs, "f32");
  const keys = roomy("keys", cache, ks, dtype);
  const values = roomy("values", cache, vs, dtype);
  const ranks = roomy("ranks", [rankWords.length], rankWords, "i32");
  const tokenTable = tensorFrom(gpu, "tuned tokens", [rows, 8], tokens);
  const held = tensorFrom(gpu, "tuned held", [4], Int32Array.of(slots, slots, slots, 0));
  const out = makeTensor(gpu, "tuned out", [rows, heads * headDim]);
  /** The first and the last element of a head's result. */
  const expected = (row: number, head: number) => {
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
  const points = spread(rows * heads, Math.max(8, checkedWork / (slots * headDim))).flatMap((i) =>
    expected(Math.floor(i / heads), i % heads)
  );
  const args = {
    label: "tuned",
    q,
    keys,
    values,
    ranks: { ...ranks, shape: [slots] },
    tokenTable,
    held,
    out,
    heads,
    kvHeads,
    headDim,
  };
  return {
    candidates: [...attentionVariants(gpu, shape)].map(([name, variant]) => ({
      name,
      steps: attention(gpu, args, variant),
      output: out,
      check: (output: Float32Array) => difference(output, points, 1e-3),
    })),
    close: () => {
      for (const tensor of [q, keys, values, ranks, tokenTable, held, out]) {
        gpu.free(tensor.buffer);
      }
    },
  };
}
