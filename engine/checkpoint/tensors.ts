/**
 * Names, shapes and first values of a checkpoint's tensors, as PyTorch and Hugging Face's Qwen3 name
 * them.
 *
 * The first values follow the mean square m of the signal: weights of variance 1 / (inputs x m) give
 * mean square 1 again. Random output is then a picture and a sound that are neither silent nor clipped.
 */
import type { BackboneConfig, ModelConfig } from "../config/config.ts";
import { coderParameters } from "../layers/coder.ts";
import { activationMeanSquare } from "../layers/ops/activation.ts";
import type { Fill, Parameter, Parameters } from "../weights/parameter.ts";
import { media, observationEncoder, responseDecoder, responseEncoder } from "./coders.ts";
import { tokenTypes } from "./unit.ts";
import { elements } from "../../kernels/gpu/tensor.ts";

/** Channels of the sinusoidal features of tau: cosines, then sines, of 1000 tau exp(-ln(1e4) i/128). */
export const tauFeatures = 256;

/** Mean squares of what comes in and what should come out. */
const meanSquare = {
  /** Pictures and sounds in [-1, 1]. */
  input: { audio: 0.01, video: 0.3 },
  /** Random output: large enough to be seen and heard, and rarely clipped. */
  output: { audio: 0.01, video: 0.12 },
  latent: 1,
  /** Predicted v: latents = noise - v then stay near the size of noise. */
  flow: 0.25,
};

/** A linear layer's parameters, for input of mean square `m` and output of the deviation `std`. */
function linear(name: string, outputs: number, inputs: number, m: number, std: number): Parameters {
  return {
    [`${name}.weight`]: { shape: [outputs, inputs], fill: { std: std / Math.sqrt(inputs * m) } },
    [`${name}.bias`]: { shape: [outputs], fill: { std: std / 10 } },
  };
}

/** Deviation that gives logits of unit variance on a normed hidden state: the size of a token. */
function tokenStd({ hidden_size: width }: BackboneConfig): number {
  return 1 / Math.sqrt(width);
}

/**
 * Every tensor that a checkpoint must hold, by name, in a fixed order.
 *
 * @throws InputError when the shapes of its encoders and decoders don't fit together.
 */
export function expectedTensors(config: ModelConfig): Map<string, Parameter> {
  const width = config.hidden_size;
  // Embedded tokens of every kind come in at the size of text tokens.
  const token = tokenStd(config);
  const parameters: Parameters = {
    ...Object.fromEntries(backboneTensors(config)),
    "type_embedding.weight": { shape: [tokenTypes, width], fill: { std: token / 2 } },
    no_picture_embedding: { shape: [width], fill: { std: token } },
    no_sound_embedding: { shape: [width], fill: { std: token } },
    ...linear("tau_embedding.linear1", width, tauFeatures, 0.5, 1),
    ...linear("tau_embedding.linear2", width, width, activationMeanSquare.silu, token / 2),
  };
  for (const medium of media) {
    const signal = { input: meanSquare.input[medium], goal: meanSquare.latent };
    const name = `observation.${medium}.projection`;
    if (config.observation[medium].encoder === "codec") {
      const { latent_channels: channels } = config.response[medium];
      Object.assign(parameters, linear(name, width, channels, meanSquare.latent, token));
      continue;
    }
    const encoder = coderParameters(observationEncoder(config, medium), signal);
    const channels = encoder.output[3];
    Object.assign(
      parameters,
      encoder.parameters,
      linear(name, width, channels, encoder.meanSquare, token),
    );
  }
  for (const medium of media) {
    const { latent_channels: channels } = config.response[medium];
    const { input, output, latent, flow } = meanSquare;
    const encode = { input: input[medium], goal: latent };
    const decode = { input: latent, goal: output[medium] };
    Object.assign(
      parameters,
      coderParameters(responseEncoder(config, medium), encode).parameters,
      coderParameters(responseDecoder(config, medium), decode).parameters,
      linear(`response.${medium}.input`, width, channels, latent, token),
      linear(`response.${medium}.output`, channels, width, 1, Math.sqrt(flow)),
    );
  }
  return new Map(Object.entries(parameters));
}

/** The tensors that a plain Qwen3 or Qwen2.5 checkpoint of the same sizes holds under the same names. */
export function backboneTensors(config: BackboneConfig): Map<string, Parameter> {
  const { hidden_size: width, intermediate_size: inner, head_dim: head } = config;
  const queries = config.num_attention_heads * head;
  const keys = config.num_key_value_heads * head;
  const token = tokenStd(config);
  // 2 additions per layer: after all of them the residual stream is about twice a token's size.
  const branch = (2 * token) / Math.sqrt(2 * config.num_hidden_layers);
  const unit = { std: 1 / Math.sqrt(width) };
  const tensors = new Map<string, Parameter>();
  const add = (name: string, shape: number[], fill: Fill) =>
    tensors.set(`${name}.weight`, { shape, fill });
  add("model.embed_tokens", [config.vocab_size, width], { std: token });
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `model.layers.${i}`;
    add(`${layer}.input_layernorm`, [width], "ones");
    add(`${layer}.self_attn.q_proj`, [queries, width], unit);
    add(`${layer}.self_attn.k_proj`, [keys, width], unit);
    add(`${layer}.self_attn.v_proj`, [keys, width], unit);
    add(`${layer}.self_attn.o_proj`, [width, queries], { std: branch / Math.sqrt(queries) });
    if (config.qkv_bias) {
      for (const [name, count] of [["q", queries], ["k", keys], ["v", keys]] as const) {
        tensors.set(`${layer}.self_attn.${name}_proj.bias`, { shape: [count], fill: { std: 0.1 } });
      }
    }
    if (config.qk_norm !== false) {
      add(`${layer}.self_attn.q_norm`, [head], "ones");
      add(`${layer}.self_attn.k_norm`, [head], "ones");
    }
    add(`${layer}.post_attention_layernorm`, [width], "ones");
    add(`${layer}.mlp.gate_proj`, [inner, width], unit);
    add(`${layer}.mlp.up_proj`, [inner, width], unit);
    const down = { std: branch / Math.sqrt(inner * activationMeanSquare.silu) };
    add(`${layer}.mlp.down_proj`, [width, inner], down);
  }
  add("model.norm", [width], "ones");
  if (!config.tie_word_embeddings) add("lm_head", [config.vocab_size, width], unit);
  return tensors;
}

/** What the parameters are counted by: the part of a model, and how its tensors' names begin. */
const parts: [part: string, start: string][] = [
  ["text embedding", "model.embed_tokens."],
  ["language head", "lm_head."],
  ["backbone", "model."],
  ["observation audio", "observation.audio."],
  ["observation video", "observation.video."],
  ["response audio encoder", "response.audio.encoder."],
  ["response audio decoder", "response.audio.decoder."],
  ["response video encoder", "response.video.encoder."],
  ["response video decoder", "response.video.decoder."],
  ["response projections", "response."],
  ["stream embeddings", ""],
];

/** The part of the model that a tensor of `expectedTensors` belongs to. */
export function tensorPart(name: string): string {
  return parts.find(([, start]) => name.startsWith(start))?.[0] ?? "";
}

/** Parameters of a checkpoint by part, parts without any left out. */
export function parameterCounts(config: ModelConfig): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [name, { shape }] of expectedTensors(config)) {
    const part = tensorPart(name);
    counts.set(part, (counts.get(part) ?? 0) + elements(shape));
  }
  return counts;
}

/** All parameters of a checkpoint. */
export function parameterCount(config: ModelConfig): number {
  return parameterCounts(config).values().reduce((sum, count) => sum + count, 0);
}
