/** Rotary positions and causal attention over a window of frames, over a whole stream at once, in float64. */
import { angle, rotate } from "./rotary.ts";

export interface WindowShape {
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Frames that a frame sees, itself among them. */
  window: number;
  /** Of the first frame. */
  position?: number;
}

/** qkv [frames][(heads + 2 kvHeads) headDim] by rows -> [frames][heads headDim]. */
export function windowAttention(
  qkv: readonly ArrayLike<number>[],
  turns: ArrayLike<number>,
  { heads, kvHeads, headDim, window, position = 0 }: WindowShape,
): number[][] {
  const head = (frame: number, index: number): number[] => {
    const from = index * headDim;
    const values = Array.from({ length: headDim }, (_, i) => qkv[frame]?.[from + i] ?? NaN);
    if (index >= heads + kvHeads) return values;
    return rotate(values, Array.from(turns, (turn) => angle(position + frame, turn)));
  };
  const all = qkv.map((_, frame) =>
    Array.from({ length: heads + 2 * kvHeads }, (_, index) => head(frame, index))
  );
  return all.map((own, frame) =>
    Array.from({ length: heads }, (_, h) => {
      const kv = heads + Math.floor(h / (heads / kvHeads));
      const seen = all.slice(Math.max(0, frame - window + 1), frame + 1);
      const scores = seen.map((other) => dot(own[h] ?? [], other[kv] ?? []) / Math.sqrt(headDim));
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const sum = weights.reduce((a, b) => a + b);
      return Array.from({ length: headDim }, (_, i) =>
        seen.reduce(
          (total, other, j) =>
            total + (weights[j] ?? NaN) * (other[kv + kvHeads]?.[i] ?? NaN) / sum,
          0,
        ));
    }).flat()
  );
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0);
}
