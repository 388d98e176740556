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

/** What softmax(q k^T / sqrt(headDim)) gives each of the slots that a row sees, in their order.
 * Head h reads kv head floor(h / (heads / kvHeads)). */
function weightsOf(
  { q, keys, heads, kvHeads, headDim, seen }: Omit<AttentionCase, "values">,
  row: number,
  head: number,
): number[] {
  const at = (row * heads + head) * headDim;
  const kvHead = Math.floor(head / (heads / kvHeads));
  const scores = (seen[row] ?? []).map((slot) => {
    const start = (slot * kvHeads + kvHead) * headDim;
    let dot = 0;
    for (let d = 0; d < headDim; d++) dot += (q[at + d] ?? NaN) * (keys[start + d] ?? NaN);
    return dot / Math.sqrt(headDim);
  });
  const highest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = scores.map((score) => Math.exp(score - highest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** softmax(q k^T / sqrt(headDim)) v over each row's seen slots; zeros for a row that sees none. */
export function attention(given: AttentionCase): Float64Array {
  const { values, heads, kvHeads, headDim, seen } = given;
  const out = new Float64Array(seen.length * heads * headDim);
  seen.forEach((slots, row) => {
    for (let head = 0; head < heads; head++) {
      const at = (row * heads + head) * headDim;
      const kvHead = Math.floor(head / (heads / kvHeads));
      const weights = weightsOf(given, row, head);
      slots.forEach((slot, i) => {
        const start = (slot * kvHeads + kvHead) * headDim;
        for (let d = 0; d < headDim; d++) {
          out[at + d] = (out[at + d] ?? 0) + (weights[i] ?? NaN) * (values[start + d] ?? NaN);
        }
      });
    }
  });
  return out;
}

/** The share of those weights that each class of slots gets, a mean over rows and heads.
 *
 * @param classOf Of every slot, 0 to `classes` - 1. */
export function attentionShares(
  given: Omit<AttentionCase, "values">,
  classOf: readonly number[],
  classes: number,
): Float64Array {
  const { heads, seen } = given;
  const shares = new Float64Array(classes);
  seen.forEach((slots, row) => {
    for (let head = 0; head < heads; head++) {
      const weights = weightsOf(given, row, head);
      slots.forEach((slot, i) => {
        const of = classOf[slot] ?? NaN;
        shares[of] = (shares[of] ?? NaN) + (weights[i] ?? NaN) / (seen.length * heads);
      });
    }
  });
  return shares;
}
