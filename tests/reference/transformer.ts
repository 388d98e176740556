/**
 * The backbone in plain float64, all rows at once: what streaming must equal. Independent of the
 * engine but for the one visibility function.
 */
import type { ModelConfig } from "../../engine/config/config.ts";
import { type Position, type Sight, visible } from "../../engine/checkpoint/unit.ts";

export interface Row {
  /** Embedded token, [hidden]. */
  x: readonly number[];
  /** What the row sees, and the rank under which others see it. */
  sight: Sight;
  rank: number;
  position: Position;
  /** Tick in which the row was computed, and first tick in which it is no longer in history. */
  tick: number;
  leaves: number;
}

type Weights = (name: string) => ArrayLike<number>;

/** y = W x with W [outputs, inputs] row-major. */
export function product(weight: ArrayLike<number>, x: readonly number[], bias?: ArrayLike<number>) {
  const inputs = x.length;
  return Array.from({ length: weight.length / inputs }, (_, n) => {
    let sum = bias?.[n] ?? 0;
    for (let k = 0; k < inputs; k++) sum += (weight[n * inputs + k] ?? NaN) * (x[k] ?? NaN);
    return sum;
  });
}

export function rmsNorm(x: readonly number[], weight: ArrayLike<number>, eps: number): number[] {
  const mean = x.reduce((sum, v) => sum + v * v, 0) / x.length;
  return x.map((v, i) => v / Math.sqrt(mean + eps) * (weight[i] ?? NaN));
}

const silu = (v: number) => v / (1 + Math.exp(-v));
const add = (a: readonly number[], b: readonly number[]) => a.map((v, i) => v + (b[i] ?? NaN));

/** Which axis turns each rotary pair: Qwen3-VL's interleaved sections. */
function axisOf(pair: number, sections: readonly number[] | undefined): 0 | 1 | 2 {
  const axis = pair % 3;
  return (axis === 1 || axis === 2) && sections && pair < 3 * (sections[axis] ?? 0) ? axis : 0;
}

function rotate(head: readonly number[], position: Position, config: ModelConfig): number[] {
  const half = head.length / 2;
  const out = [...head];
  for (let i = 0; i < half; i++) {
    const axis = axisOf(i, config.rope_scaling?.mrope_section);
    const angle = position[axis] * config.rope_theta ** (-i / half);
    const [a = NaN, b = NaN] = [head[i], head[i + half]];
    out[i] = a * Math.cos(angle) - b * Math.sin(angle);
    out[i + half] = b * Math.cos(angle) + a * Math.sin(angle);
  }
  return out;
}

const heads = (x: readonly number[], dim: number) =>
  Array.from({ length: x.length / dim }, (_, h) => x.slice(h * dim, (h + 1) * dim));

/**
 * Runs all rows through all layers and the final norm: [rows][hidden].
 *
 * @param look Told what every row's heads give every other row that they see.
 */
export function transformer(
  config: ModelConfig,
  weights: Weights,
  rowList: readonly Row[],
  look?: (layer: number, row: number, seen: number, weight: number) => void,
) {
  const { head_dim: dim, rms_norm_eps: eps } = config;
  const group = config.num_attention_heads / config.num_key_value_heads;
  let xs = rowList.map((row) => [...row.x]);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const w = (name: string) => weights(`model.layers.${i}.${name}.weight`);
    const normed = xs.map((x) => rmsNorm(x, w("input_layernorm"), eps));
    const bias = (name: string) => weights(`model.layers.${i}.self_attn.${name}_proj.bias`);
    const projected = (name: "q" | "k" | "v", x: readonly number[]) =>
      product(w(`self_attn.${name}_proj`), x, config.qkv_bias ? bias(name) : undefined);
    const turned = (name: "q" | "k") =>
      normed.map((x, r) =>
        heads(projected(name, x), dim).map((head) =>
          rotate(
            config.qk_norm === false ? head : rmsNorm(head, w(`self_attn.${name}_norm`), eps),
            rowList[r]?.position ?? [0, 0, 0],
            config,
          )
        )
      );
    const [q, k] = [turned("q"), turned("k")];
    const v = normed.map((x) => heads(projected("v", x), dim));
    xs = xs.map((x, r) => {
      const sight = rowList[r]?.sight ?? { limit: 0, own: 0 };
      const tick = rowList[r]?.tick ?? 0;
      const seen = rowList.flatMap((row, j) =>
        visible(sight, row.rank) && tick < row.leaves ? [j] : []
      );
      const attended = (q[r] ?? []).flatMap((head, h) => {
        const kv = Math.floor(h / group);
        const scores = seen.map((j) =>
          head.reduce((sum, value, d) => sum + value * (k[j]?.[kv]?.[d] ?? NaN), 0) / Math.sqrt(dim)
        );
        const top = Math.max(...scores);
        const weight = scores.map((s) => Math.exp(s - top));
        const total = weight.reduce((a, b) => a + b, 0);
        if (look) seen.forEach((j, n) => look(i, r, j, (weight[n] ?? NaN) / total));
        return head.map((_, d) =>
          seen.reduce((sum, j, n) => sum + (weight[n] ?? NaN) * (v[j]?.[kv]?.[d] ?? NaN), 0) / total
        );
      });
      const middle = add(x, product(w("self_attn.o_proj"), attended));
      const post = rmsNorm(middle, w("post_attention_layernorm"), eps);
      const up = product(w("mlp.up_proj"), post);
      const act = product(w("mlp.gate_proj"), post).map((g, n) => silu(g) * (up[n] ?? NaN));
      return add(middle, product(w("mlp.down_proj"), act));
    });
  }
  return xs.map((x) => rmsNorm(x, weights("model.norm.weight"), eps));
}
