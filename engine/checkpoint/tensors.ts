/**
 * Names and shapes of a checkpoint's tensors, as PyTorch and Hugging Face's Qwen3 have them:
 * a linear layer's weight is [out, in], a convolution's [out, in, time, height, width].
 */
import type { BackboneConfig, ModelConfig, StackLayer } from "../config/config.ts";
import { codecShapes, mediumShape, observationShape, stackShapes } from "../layers/stack_shapes.ts";
import type { Shape4 } from "../layers/stack_shapes.ts";
import { tokenTypes } from "./unit.ts";

/** Channels of the sinusoidal features of tau: cosines, then sines, of 1000 tau exp(-ln(1e4) i/128). */
export const tauFeatures = 256;

/** What the parameters are counted by. */
export type TensorPart =
  | "text embedding"
  | "language head"
  | "backbone"
  | "stream embeddings"
  | "observation audio"
  | "observation video"
  | "response audio encoder"
  | "response audio decoder"
  | "response video encoder"
  | "response video decoder"
  | "response projections";

/**
 * Every tensor that a checkpoint must hold, name to shape, in a fixed order.
 *
 * @throws InputError when the stacks' shapes don't fit together.
 */
export function expectedTensors(config: ModelConfig): Map<string, number[]> {
  const tensors = backboneTensors(config);
  const width = config.hidden_size;
  const linear = (name: string, out: number, inputs: number) => {
    tensors.set(`${name}.weight`, [out, inputs]);
    tensors.set(`${name}.bias`, [out]);
  };
  tensors.set("type_embedding.weight", [tokenTypes, width]);
  tensors.set("no_picture_embedding", [width]);
  tensors.set("no_sound_embedding", [width]);
  linear("tau_embedding.linear1", width, tauFeatures);
  linear("tau_embedding.linear2", width, width);
  for (const medium of ["audio", "video"] as const) {
    const { encoder } = config.observation[medium];
    if (encoder !== "codec") {
      const input = mediumShape(config, "observation", medium);
      addStack(tensors, encoder, input, `observation.${medium}.encoder`);
    }
    linear(`observation.${medium}.projection`, width, observationShape(config, medium)[3]);
  }
  for (const medium of ["audio", "video"] as const) {
    const codec = config.response[medium];
    const { latents } = codecShapes(config, medium);
    const input = mediumShape(config, "response", medium);
    addStack(tensors, codec.encoder, input, `response.${medium}.encoder`);
    addStack(tensors, codec.decoder, latents, `response.${medium}.decoder`);
    linear(`response.${medium}.input`, width, codec.latent_channels);
    linear(`response.${medium}.output`, codec.latent_channels, width);
  }
  return tensors;
}

/** The tensors that a plain Qwen3 checkpoint of the same sizes holds under the same names. */
export function backboneTensors(config: BackboneConfig): Map<string, number[]> {
  const { hidden_size: width, intermediate_size: inner, head_dim: head } = config;
  const queries = config.num_attention_heads * head;
  const keys = config.num_key_value_heads * head;
  const tensors = new Map<string, number[]>();
  tensors.set("model.embed_tokens.weight", [config.vocab_size, width]);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `model.layers.${i}`;
    tensors.set(`${layer}.input_layernorm.weight`, [width]);
    tensors.set(`${layer}.self_attn.q_proj.weight`, [queries, width]);
    tensors.set(`${layer}.self_attn.k_proj.weight`, [keys, width]);
    tensors.set(`${layer}.self_attn.v_proj.weight`, [keys, width]);
    tensors.set(`${layer}.self_attn.o_proj.weight`, [width, queries]);
    tensors.set(`${layer}.self_attn.q_norm.weight`, [head]);
    tensors.set(`${layer}.self_attn.k_norm.weight`, [head]);
    tensors.set(`${layer}.post_attention_layernorm.weight`, [width]);
    tensors.set(`${layer}.mlp.gate_proj.weight`, [inner, width]);
    tensors.set(`${layer}.mlp.up_proj.weight`, [inner, width]);
    tensors.set(`${layer}.mlp.down_proj.weight`, [width, inner]);
  }
  tensors.set("model.norm.weight", [width]);
  if (!config.tie_word_embeddings) tensors.set("lm_head.weight", [config.vocab_size, width]);
  return tensors;
}

/** Adds the tensors of a stack under `name`, by the layer's index in the stack. */
function addStack(
  tensors: Map<string, number[]>,
  layers: readonly StackLayer[],
  input: Shape4,
  name: string,
): void {
  const shapes = stackShapes(layers, input, name);
  layers.forEach((layer, i) => {
    const channels = (shapes[i - 1] ?? input)[3];
    for (const [key, shape] of layerTensors(layer, channels)) {
      tensors.set(`${name}.${i}.${key}`, shape);
    }
  });
}

/** The tensors of one stack layer that reads `channels` channels, name within the layer to shape. */
export function layerTensors(layer: StackLayer, channels: number): [string, number[]][] {
  switch (layer.op) {
    case "conv":
      return [
        ["weight", [layer.channels, channels, ...layer.kernel]],
        ["bias", [layer.channels]],
      ];
    case "residual": {
      const inner = layer.channels ?? channels;
      return [
        ["norm.weight", [channels]],
        ["conv1.weight", [inner, channels, ...layer.kernel]],
        ["conv1.bias", [inner]],
        ["conv2.weight", [channels, inner, 1, 1, 1]],
        ["conv2.bias", [channels]],
      ];
    }
    case "rmsnorm":
      return [["weight", [channels]]];
    case "silu":
    case "unshuffle":
    case "shuffle":
    case "overlap_add":
    case "logmel":
      return [];
  }
}

/** The part of the model that a tensor of `expectedTensors` belongs to. */
export function tensorPart(name: string): TensorPart {
  if (name.startsWith("model.embed_tokens.")) return "text embedding";
  if (name.startsWith("lm_head.")) return "language head";
  if (name.startsWith("model.")) return "backbone";
  if (name.startsWith("observation.audio.")) return "observation audio";
  if (name.startsWith("observation.video.")) return "observation video";
  if (name.startsWith("response.audio.encoder.")) return "response audio encoder";
  if (name.startsWith("response.audio.decoder.")) return "response audio decoder";
  if (name.startsWith("response.video.encoder.")) return "response video encoder";
  if (name.startsWith("response.video.decoder.")) return "response video decoder";
  if (name.startsWith("response.")) return "response projections";
  return "stream embeddings";
}

/** Elements of a tensor of this shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Parameters of a checkpoint by part, parts without any left out. */
export function parameterCounts(config: ModelConfig): Map<TensorPart, number> {
  const counts = new Map<TensorPart, number>();
  for (const [name, shape] of expectedTensors(config)) {
    const part = tensorPart(name);
    counts.set(part, (counts.get(part) ?? 0) + elementCount(shape));
  }
  return counts;
}
