/**
 * `transformer`: a causal Transformer over a stream's frames, as Mimi has two: in each layer
 *
 *   x += scale1 * o(attention(norm1(x)));  x += scale2 * fc2(gelu(fc1(norm2(x))))
 *
 * with LayerNorms, products without bias, layer scales (Touvron et al. 2021, arXiv 2103.17239), rotary
 * positions of time, and attention over a window of frames. Keys and names of tensors are those of
 * transformers' MimiTransformerModel.
 */
import {
  keepWindow,
  turnWindow,
  windowAttention,
} from "../../../kernels/attention/window_attention.ts";
import { rotaryTurns } from "../../../kernels/attention/qk_rotary.ts";
import { countFrames } from "../../../kernels/codec/frames_seen.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { copy, type Step } from "../../../kernels/gpu/plan.ts";
import { reshape, type Tensor, tensorFrom } from "../../../kernels/gpu/tensor.ts";
import { freeWeight, matmul, packWeight } from "../../../kernels/matmul/matmul.ts";
import { layernorm } from "../../../kernels/tokens/layernorm.ts";
import { InputError } from "../../config/errors.ts";
import { type Parameters, under } from "../../weights/parameter.ts";
import { activationMeanSquare } from "./activation.ts";
import { channelRange, type LayerOp, requireAudio, type Signal } from "./layer.ts";
import type { LayerScope } from "./scope.ts";

export type TransformerConfig = {
  op: "transformer";
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  intermediate_size: number;
  /** Frames that a frame sees, itself among them. */
  sliding_window: number;
  rope_theta: number;
  norm_eps: number;
};

/** Mean square of what the first weights of a branch add, relative to the input's. */
const branch = 0.05;

/** Widths of q and of k or v. */
const widths = (layer: TransformerConfig) => ({
  queries: layer.num_attention_heads * layer.head_dim,
  keys: layer.num_key_value_heads * layer.head_dim,
});

/** The parameters of one layer. */
function layerParameters(layer: TransformerConfig, channels: number, { input }: Signal) {
  const { queries, keys } = widths(layer);
  const { intermediate_size: inner } = layer;
  const linear = (outputs: number, inputs: number, from = 1, to = 1) => ({
    weight: { shape: [outputs, inputs], fill: { std: Math.sqrt(to / (inputs * from)) } },
  });
  const norm = {
    weight: { shape: [channels], fill: "ones" },
    bias: { shape: [channels], fill: { std: 0.02 } },
  } as const;
  const scale = { scale: { shape: [channels], fill: "ones" } } as const;
  // Of values that are averaged over a window little is left: that counts for nothing here.
  const added = branch * input;
  return {
    ...under("input_layernorm", norm),
    ...under("self_attn.q_proj", linear(queries, channels)),
    ...under("self_attn.k_proj", linear(keys, channels)),
    ...under("self_attn.v_proj", linear(keys, channels)),
    ...under("self_attn.o_proj", linear(channels, queries, 1, added)),
    ...under("self_attn_layer_scale", scale),
    ...under("post_attention_layernorm", norm),
    ...under("mlp.fc1", linear(inner, channels)),
    ...under("mlp.fc2", linear(channels, inner, activationMeanSquare.gelu, added)),
    ...under("mlp_layer_scale", scale),
  };
}

/** Per layer the keys and values of the frames before a unit's first that its own see; and how many
 * frames went by. */
function state(layer: TransformerConfig): { seen: number[] } & Record<string, number[]> {
  const past = [layer.sliding_window - 1, widths(layer).keys];
  const layers = Array.from({ length: layer.num_hidden_layers }, (_, i) => [
    [`layers.${i}.keys`, past],
    [`layers.${i}.values`, past],
  ]).flat();
  return { seen: [1], ...Object.fromEntries(layers) };
}

export const transformer = {
  parse: (fields) => ({
    op: "transformer",
    num_hidden_layers: fields.whole("num_hidden_layers", [1, 256]),
    num_attention_heads: fields.whole("num_attention_heads", [1, 1024]),
    num_key_value_heads: fields.whole("num_key_value_heads", [1, 1024]),
    head_dim: fields.whole("head_dim", [8, 256]),
    intermediate_size: fields.whole("intermediate_size", channelRange),
    sliding_window: fields.whole("sliding_window", [2, 65536]),
    rope_theta: fields.number("rope_theta", [1, 1e9]),
    norm_eps: fields.number("norm_eps", [1e-12, 1]),
  }),
  shape(layer, input, what) {
    requireAudio(input, what);
    const { num_attention_heads: heads, num_key_value_heads: keys, head_dim } = layer;
    if (heads % keys !== 0) {
      throw new InputError(
        `${what}: num_key_value_heads ${keys} doesn't divide num_attention_heads ${heads}`,
      );
    }
    const multiples: [string, number, number][] = [
      ["head_dim", head_dim, 8],
      ["intermediate_size", layer.intermediate_size, 4],
      ["channels of the layer before", input[3], 4],
    ];
    for (const [key, value, multiple] of multiples) {
      if (value % multiple === 0) continue;
      throw new InputError(`${what}: ${key} is ${value}; it may be a multiple of ${multiple}`);
    }
    return [...input];
  },
  parameters(layer, channels, signal): Parameters {
    return Object.assign(
      {},
      ...Array.from(
        { length: layer.num_hidden_layers },
        (_, i) =>
          under(
            `layers.${i}`,
            layerParameters(layer, channels, {
              ...signal,
              input: signal.input * (1 + 2 * branch) ** i,
            }),
          ),
      ),
    );
  },
  state: (layer) => state(layer),
  meanSquare: (layer, { input }) => input * (1 + 2 * branch) ** layer.num_hidden_layers,
  steps(layer, scope, x, y) {
    const { gpu, label, memory } = scope;
    const [frames = 0, , , channels = 0] = x.shape;
    const { queries, keys } = widths(layer);
    const turns = scope.constant(
      "turns",
      (owner) => {
        const { turns } = rotaryTurns(layer.head_dim, layer.rope_theta);
        return tensorFrom(owner, `${label}.turns`, [turns.length], turns);
      },
      ({ buffer }) => gpu.free(buffer),
    );
    const { seen, ...past } = scope.state(state(layer));
    const rows = (width: number) => memory.take([frames, width]);
    const normed = rows(channels);
    const qkv = rows(queries + 2 * keys);
    const attended = rows(queries);
    const hidden = rows(layer.intermediate_size);
    const output = y();
    const sum = reshape(output, [frames, channels]);
    const steps: Step[] = [copy(label, x, output)];
    for (let i = 0; i < layer.num_hidden_layers; i++) {
      const one = scope.child(`layers.${i}`);
      const weights = productWeights(layer, one, channels);
      const norm = (name: string) => layernorms(one, name, layer, channels, sum, normed);
      const [keysBefore, valuesBefore] = [past[`layers.${i}.keys`], past[`layers.${i}.values`]];
      if (!keysBefore || !valuesBefore) break;
      const window = {
        label: one.label,
        qkv,
        keys: keysBefore,
        values: valuesBefore,
        seen,
        heads: layer.num_attention_heads,
        kvHeads: layer.num_key_value_heads,
        headDim: layer.head_dim,
      };
      const product = (x: Tensor, name: keyof typeof weights, y: Tensor) =>
        matmul(gpu, {
          label: `${one.label}.${name}`,
          x,
          weight: weights[name],
          y,
          ...(name === "fc1" ? { activation: "gelu" } : {}),
          ...(y === sum ? { accumulate: true } : {}),
        });
      steps.push(
        norm("input_layernorm"),
        ...product(normed, "qkv", qkv),
        turnWindow(gpu, { ...window, turns }),
        ...windowAttention(gpu, { ...window, out: attended }),
        keepWindow(gpu, window),
        ...product(attended, "out", sum),
        norm("post_attention_layernorm"),
        ...product(normed, "fc1", hidden),
        ...product(hidden, "fc2", sum),
      );
    }
    for (const tensor of [normed, qkv, attended, hidden]) memory.release(tensor);
    return [...steps, countFrames(gpu, { label, seen, frames })];
  },
} satisfies LayerOp<TransformerConfig>;

/** The packed weights of one layer; what its layer scales multiply is multiplied here, once. */
function productWeights(layer: TransformerConfig, scope: LayerScope, channels: number) {
  const { gpu, label, settings: { storage } } = scope;
  const { queries, keys } = widths(layer);
  const { intermediate_size: inner } = layer;
  const get = (name: string, outputs: number, inputs: number) =>
    scope.weights.get(`${name}.weight`, [outputs, inputs]);
  const scaled = (weight: Float32Array, name: string) => {
    const scales = scope.weights.get(`${name}.scale`, [channels]);
    if (gpu.isPaper) return weight;
    const inputs = weight.length / channels;
    return weight.map((value, i) => value * (scales[Math.floor(i / inputs)] ?? 0));
  };
  const packed = (
    name: string,
    outputs: number,
    inputs: number,
    make: () => Float32Array | Float32Array[],
  ) =>
    scope.constant(
      name,
      (owner: Gpu) => packWeight(owner, `${label}.${name}`, make(), outputs, inputs, storage),
      (weight) => freeWeight(gpu, weight),
    );
  return {
    qkv: packed("qkv", queries + 2 * keys, channels, () => [
      get("self_attn.q_proj", queries, channels),
      get("self_attn.k_proj", keys, channels),
      get("self_attn.v_proj", keys, channels),
    ]),
    out: packed(
      "out",
      channels,
      queries,
      () => scaled(get("self_attn.o_proj", channels, queries), "self_attn_layer_scale"),
    ),
    fc1: packed("fc1", inner, channels, () => get("mlp.fc1", inner, channels)),
    fc2: packed(
      "fc2",
      channels,
      inner,
      () => scaled(get("mlp.fc2", channels, inner), "mlp_layer_scale"),
    ),
  };
}

function layernorms(
  scope: LayerScope,
  name: string,
  { norm_eps: eps }: TransformerConfig,
  channels: number,
  x: Tensor,
  y: Tensor,
): Step {
  const own = scope.child(name);
  const vector = (key: string) => own.vector(key, own.weights.get(key, [channels]));
  return layernorm(scope.gpu, {
    label: own.label,
    x,
    weight: vector("weight"),
    bias: vector("bias"),
    eps,
    y,
  });
}
