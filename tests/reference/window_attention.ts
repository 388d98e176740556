/** The `transformer` layer and its attention over a window of frames, over a whole stream at once, in
 * float64. */
import type { TransformerConfig } from "../../engine/layers/ops/transformer.ts";
import { rotaryTurns } from "../../kernels/attention/qk_rotary.ts";
import { activate } from "./activation.ts";
import { matmul } from "./matmul.ts";
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

/** (x - mean) / sqrt(variance + eps) * weight + bias of a row. */
export function layernorm(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  eps: number,
): number[] {
  const values = Array.from(x);
  const mean = values.reduce((a, b) => a + b) / values.length;
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
  return values.map((v, i) =>
    (v - mean) / Math.sqrt(variance + eps) * (weight[i] ?? NaN) + (bias[i] ?? NaN)
  );
}

/** The `transformer` layer over all frames of a stream; x [frames][channels]. */
export function transformerLayers(
  layer: TransformerConfig,
  x: number[][],
  weights: (key: string) => ArrayLike<number>,
): number[][] {
  const shape = {
    heads: layer.num_attention_heads,
    kvHeads: layer.num_key_value_heads,
    headDim: layer.head_dim,
    window: layer.sliding_window,
  };
  const { turns } = rotaryTurns(layer.head_dim, layer.rope_theta);
  for (let i = 0; i < layer.num_hidden_layers; i++) {
    const get = (name: string) => weights(`layers.${i}.${name}`);
    const norm = (name: string) => (row: number[]) =>
      layernorm(row, get(`${name}.weight`), get(`${name}.bias`), layer.norm_eps);
    const linear = (name: string) => (row: number[]) => {
      const weight = get(`${name}.weight`);
      const outputs = weight.length / row.length;
      return [...matmul(row, weight, { rows: 1, outputs, inputs: row.length })];
    };
    const add = (rows: number[][], scale: string) => {
      const scales = get(`${scale}.scale`);
      x = x.map((row, t) => row.map((v, c) => v + (scales[c] ?? NaN) * (rows[t]?.[c] ?? NaN)));
    };
    const qkv = x.map(norm("input_layernorm")).map((row) =>
      ["q", "k", "v"].flatMap((name) => linear(`self_attn.${name}_proj`)(row))
    );
    const attended = windowAttention(qkv, turns, shape);
    add(attended.map(linear("self_attn.o_proj")), "self_attn_layer_scale");
    const hidden = x.map(norm("post_attention_layernorm")).map(linear("mlp.fc1"));
    const active = hidden.map((row) => row.map((v) => activate(v, "gelu")));
    add(active.map(linear("mlp.fc2")), "mlp_layer_scale");
  }
  return x;
}
