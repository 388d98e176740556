/** Attention in float64, key by key. */

export interface AttentionCase {
  /** [rows, heads * headDim]. */
  q: ArrayLike<number>;
  /** [slots, kvHeads * headDim]. */
  keys: ArrayLike<number>;
  values: ArrayLike<number>;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Slots that each row sees. */
  seen: readonly (readonly number[])[];
}

/** softmax(q k^T / sqrt(headDim)) v over each row's seen slots; zeros for a row that sees none.
 * Head h reads kv head floor(h / (heads / kvHeads)). */
export function attention(
  { q, keys, values, heads, kvHeads, headDim, seen }: AttentionCase,
): Float64Array {
  const out = new Float64Array(seen.length * heads * headDim);
  seen.forEach((slots, row) => {
    for (let head = 0; head < heads; head++) {
      const at = (row * heads + head) * headDim;
      const kvHead = Math.floor(head / (heads / kvHeads));
      const start = (slot: number) => (slot * kvHeads + kvHead) * headDim;
      const scores = slots.map((slot) => {
        let dot = 0;
        for (let d = 0; d < headDim; d++) {
          dot += (q[at + d] ?? NaN) * (keys[start(slot) + d] ?? NaN);
        }
        return dot / Math.sqrt(headDim);
      });
      const highest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
      const weights = scores.map((score) => Math.exp(score - highest));
      const sum = weights.reduce((a, b) => a + b, 0);
      slots.forEach((slot, i) => {
        const weight = (weights[i] ?? NaN) / sum;
        for (let d = 0; d < headDim; d++) {
          out[at + d] = (out[at + d] ?? 0) + weight * (values[start(slot) + d] ?? NaN);
        }
      });
    }
  });
  return out;
}
