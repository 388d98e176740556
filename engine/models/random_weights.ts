/**
 * Seeded random weights for a checkpoint of any config, scaled so that every stack passes signals on
 * at about unit size, and random output is a lively picture and sound: neither black nor clipped.
 *
 * The scales follow the mean square m of the signal through the layers: a layer with weights of
 * variance 1 / (inputs x m) gives mean square 1 again.
 */
import type { ModelConfig, StackLayer } from "../config/config.ts";
import type { Dtype } from "../weights/safetensors.ts";
import { mediumShape, stackShapes } from "../layers/stack_shapes.ts";
import type { Shape4 } from "../layers/stack_shapes.ts";
import { elementCount, expectedTensors, layerTensors, tauFeatures } from "../checkpoint/tensors.ts";
import { randomNumbers, toStorage } from "./random.ts";

/** How a tensor is filled: ones for the weights of norms, else random with this deviation. */
export type Fill = "ones" | { std: number };

/** Mean squares of what comes in and what should come out. */
const meanSquare = {
  /** Pictures and sounds in [-1, 1]. */
  picture: 0.3,
  sound: 0.01,
  /** Random output: wide enough to be seen and heard, seldom clipped. */
  pictureOut: 0.12,
  soundOut: 0.01,
  latent: 1,
  /** Predicted v: latents = noise - v then stay near the size of noise. */
  flow: 0.25,
  /** silu of a unit normal. */
  silu: 0.3557,
  /** log(power + 1e-5) of speech and of silence lies between -11.5 and 3. */
  logmel: 60,
  /** What a residual branch adds, relative to its input. */
  branch: 0.25,
};

/** How to fill every tensor of a config, in the order of `expectedTensors`. */
export function randomFills(config: ModelConfig): Map<string, Fill> {
  const found = new Map<string, Fill>();
  addBackbone(found, config);
  // Embedded tokens of every kind come in at the size of text tokens.
  const token = embeddingStd(config);
  const linear = (name: string, inputs: number, m: number, std: number) => {
    found.set(`${name}.weight`, { std: std / Math.sqrt(inputs * m) });
    found.set(`${name}.bias`, { std: std / 10 });
  };
  found.set("type_embedding.weight", { std: token / 2 });
  found.set("no_picture_embedding", { std: token });
  found.set("no_sound_embedding", { std: token });
  linear("tau_embedding.linear1", tauFeatures, 0.5, 1);
  linear("tau_embedding.linear2", config.hidden_size, meanSquare.silu, token / 2);
  for (const medium of ["audio", "video"] as const) {
    const { encoder } = config.observation[medium];
    const m = medium === "audio" ? meanSquare.sound : meanSquare.picture;
    const name = `observation.${medium}`;
    if (encoder === "codec") {
      const { latent_channels: channels } = config.response[medium];
      linear(`${name}.projection`, channels, meanSquare.latent, token);
    } else {
      const input = mediumShape(config, "observation", medium);
      const out = addStack(found, `${name}.encoder`, encoder, input, m, 1);
      linear(`${name}.projection`, out.shape[3], out.m, token);
    }
    const codec = config.response[medium];
    const input = mediumShape(config, "response", medium);
    const response = `response.${medium}`;
    const latents =
      addStack(found, `${response}.encoder`, codec.encoder, input, m, meanSquare.latent).shape;
    const target = medium === "audio" ? meanSquare.soundOut : meanSquare.pictureOut;
    addStack(found, `${response}.decoder`, codec.decoder, latents, meanSquare.latent, target);
    linear(`${response}.input`, codec.latent_channels, meanSquare.latent, token);
    linear(`${response}.output`, config.hidden_size, 1, Math.sqrt(meanSquare.flow));
  }
  const fills = new Map<string, Fill>();
  for (const name of expectedTensors(config).keys()) {
    const fill = found.get(name);
    if (!fill) throw new Error(`no scale for tensor ${name}`);
    fills.set(name, fill);
  }
  return fills;
}

/** Deviation that gives logits of unit variance on a normed hidden state. */
function embeddingStd(config: ModelConfig): number {
  return 1 / Math.sqrt(config.hidden_size);
}

function addBackbone(fills: Map<string, Fill>, config: ModelConfig): void {
  const { hidden_size: width, intermediate_size: inner } = config;
  const token = embeddingStd(config);
  // 2 additions per layer: after all of them the stream is about twice a token's size.
  const branch = (2 * token) / Math.sqrt(2 * config.num_hidden_layers);
  const unit = { std: 1 / Math.sqrt(width) };
  fills.set("model.embed_tokens.weight", { std: token });
  fills.set("model.norm.weight", "ones");
  if (!config.tie_word_embeddings) fills.set("lm_head.weight", unit);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `model.layers.${i}`;
    fills.set(`${layer}.input_layernorm.weight`, "ones");
    fills.set(`${layer}.post_attention_layernorm.weight`, "ones");
    fills.set(`${layer}.self_attn.q_norm.weight`, "ones");
    fills.set(`${layer}.self_attn.k_norm.weight`, "ones");
    for (const name of ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]) {
      fills.set(`${layer}.${name}.weight`, unit);
    }
    fills.set(`${layer}.mlp.gate_proj.weight`, unit);
    fills.set(`${layer}.mlp.up_proj.weight`, unit);
    const queries = config.num_attention_heads * config.head_dim;
    fills.set(`${layer}.self_attn.o_proj.weight`, { std: branch / Math.sqrt(queries) });
    fills.set(`${layer}.mlp.down_proj.weight`, {
      std: branch / Math.sqrt(inner * meanSquare.silu),
    });
  }
}

/**
 * Scales of a stack's tensors, for input of mean square `m`; the stack's output gets `target`.
 *
 * @returns The output's shape and mean square.
 */
function addStack(
  fills: Map<string, Fill>,
  name: string,
  layers: readonly StackLayer[],
  input: Shape4,
  m: number,
  target: number,
): { shape: Shape4; m: number } {
  const shapes = stackShapes(layers, input, name);
  const lastConv = layers.findLastIndex(({ op }) => op === "conv");
  // What the layers after the last convolution make of 1: the convolution has to make up for it.
  const gain = layers.slice(lastConv + 1).reduce((at, layer) => through(layer, at), 1);
  layers.forEach((layer, i) => {
    const channels = (shapes[i - 1] ?? input)[3];
    const goal = i === lastConv ? target / gain : 1;
    for (const [key, shape] of layerTensors(layer, channels)) {
      fills.set(`${name}.${i}.${key}`, layerFill(layer, key, shape, m, goal));
    }
    m = layer.op === "conv" ? goal : through(layer, m);
  });
  return { shape: shapes.at(-1) ?? input, m };
}

/** Mean square after a layer, `m` before it; a convolution sets its own. */
function through(layer: StackLayer, m: number): number {
  switch (layer.op) {
    case "silu":
      return m * meanSquare.silu;
    case "residual":
      return m * (1 + meanSquare.branch);
    case "rmsnorm":
      return 1;
    case "overlap_add":
      return 2 * m;
    case "logmel":
      return meanSquare.logmel;
    case "conv":
    case "shuffle":
    case "unshuffle":
      return m;
  }
}

function layerFill(
  layer: StackLayer,
  key: string,
  shape: readonly number[],
  m: number,
  goal: number,
): Fill {
  if (key === "norm.weight" || layer.op === "rmsnorm") return "ones";
  // In a residual: rmsnorm, silu, conv1 to 1, silu, conv2 to the branch's share.
  const output = layer.op === "conv" || key.startsWith("conv1") ? goal : m * meanSquare.branch;
  if (key.endsWith("bias")) return { std: Math.sqrt(output) / 10 };
  const source = layer.op === "conv" ? m : meanSquare.silu;
  const inputs = elementCount(shape.slice(1));
  return { std: Math.sqrt(output / (inputs * source)) };
}

const chunkElements = 1 << 20;

/** A tensor's random bytes in chunks; the same for the same seed, name, fill and dtype anywhere. */
export async function* randomTensor(
  seed: number,
  name: string,
  shape: readonly number[],
  fill: Fill,
  dtype: Dtype,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const elements = elementCount(shape);
  for (let at = 0; at < elements; at += chunkElements) {
    const count = Math.min(chunkElements, elements - at);
    const numbers = fill === "ones"
      ? new Float64Array(count).fill(1)
      : randomNumbers(seed, name, at, count, fill.std);
    yield await Promise.resolve(toStorage(numbers, dtype));
  }
}
