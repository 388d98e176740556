/**
 * Mimi (Défossez et al. 2024, arXiv 2410.00037), as transformers' MimiModel stores it: a SEANet encoder,
 * a causal Transformer, a convolution that halves the frame rate, and the same the other way round.
 *
 * Latents are what the quantizer reads, as a flow-matching model wants them; with the quantizer's layers
 * behind the encoder and before the decoder they are codes.
 */
import type { Medium } from "../checkpoint/coders.ts";
import type { LayerConfig } from "../config/config.ts";
import { Fields, type Range } from "../config/config_fields.ts";
import { valueText } from "../config/error_text.ts";
import { coderParameters } from "../layers/coder.ts";
import { channelRange, type Shape4 } from "../layers/ops/layer.ts";
import { type CodecFamily, configText, type PartCoder, taken } from "./family.ts";

/** A layer, and before which of their names its tensors stand. */
type Named = readonly [theirs: string, layer: LayerConfig];

/** The keys of a config that say what the layers are, those that are left out as MimiConfig has them. */
function parseConfig(json: unknown, where: string) {
  const fields = new Fields(json, where);
  // null is what transformers writes for a key that isn't given.
  const has = (key: string) => fields.has(key) && fields.get(key) !== null;
  const whole = (key: string, otherwise: number, range: Range = channelRange) =>
    has(key) ? fields.whole(key, range) : otherwise;
  const only = <T>(fields: Fields, key: string, value: T) => {
    if (fields.has(key) && fields.get(key) !== value) throw fields.error(key, valueText(value));
  };
  only(fields, "use_causal_conv", true);
  only(fields, "trim_right_ratio", 1);
  only(fields, "hidden_act", "gelu");
  only(fields, "attention_bias", false);
  only(fields, "audio_channels", 1);
  const rope = has("rope_parameters") ? fields.object("rope_parameters") : fields;
  if (rope !== fields) only(rope, "rope_type", "default");
  const padding = has("pad_mode")
    ? fields.oneOf("pad_mode", ["constant", "replicate"])
    : "constant";
  const ratios = has("upsampling_ratios") ? fields.list("upsampling_ratios", [1, 8]) : [8, 6, 5, 4];
  if (
    !ratios.every((ratio): ratio is number =>
      Number.isInteger(ratio) && Number(ratio) >= 1 && Number(ratio) <= 64
    )
  ) {
    throw fields.error("upsampling_ratios", "a list of whole numbers from 1 to 64");
  }
  const rate = whole("sampling_rate", 24000, [1000, 192000]);
  const hop = ratios.reduce((product, ratio) => product * ratio, 1);
  if (rate % hop !== 0) {
    throw fields.error("sampling_rate", `a multiple of ${hop}, the product of upsampling_ratios`);
  }
  // transformers writes it with an underscore, and where it isn't given halves the frames.
  const rateKey = has("_frame_rate") ? "_frame_rate" : "frame_rate";
  const frames = rate / hop;
  const stride = has(rateKey) ? frames / fields.number(rateKey, [0.01, 192000]) : 2;
  if (!Number.isInteger(stride) || stride < 2) {
    throw fields.error(
      rateKey,
      `the ${frames} frames a second of the convolutions, divided by a whole number from 2 on`,
    );
  }
  const hidden = whole("hidden_size", 512);
  const groups = whole("upsample_groups", 512);
  if (hidden % groups !== 0) {
    throw fields.error("upsample_groups", `what divides hidden_size ${hidden}`);
  }
  const heads = whole("num_attention_heads", 8, [1, 1024]);
  const width = whole("vector_quantization_hidden_dimension", 256);
  const codebookDim = whole("codebook_dim", 256);
  if (codebookDim !== width) {
    throw fields.error("codebook_dim", `vector_quantization_hidden_dimension, ${width}`);
  }
  const codebooks = whole("num_quantizers", 32, [2, 1024]);
  return {
    rate,
    hop,
    stride,
    hidden,
    groups,
    ratios,
    padding,
    filters: whole("num_filters", 64, [1, 4096]),
    kernel: whole("kernel_size", 7, [1, 64]),
    lastKernel: whole("last_kernel_size", 3, [1, 64]),
    residualKernel: whole("residual_kernel_size", 3, [1, 64]),
    residualLayers: whole("num_residual_layers", 1, [1, 8]),
    dilationGrowth: whole("dilation_growth_rate", 2, [1, 8]),
    compress: whole("compress", 2, [1, 64]),
    shortcut: has("use_conv_shortcut") && fields.boolean("use_conv_shortcut"),
    transformer: {
      op: "transformer",
      num_hidden_layers: whole("num_hidden_layers", 8, [1, 256]),
      num_attention_heads: heads,
      num_key_value_heads: whole("num_key_value_heads", 8, [1, heads]),
      head_dim: has("head_dim") ? fields.whole("head_dim", [8, 256]) : Math.floor(hidden / heads),
      intermediate_size: whole("intermediate_size", 2048),
      sliding_window: whole("sliding_window", 250, [2, 65536]),
      rope_theta: rope.has("rope_theta") ? rope.number("rope_theta", [1, 1e9]) : 1e4,
      norm_eps: has("norm_eps") ? fields.number("norm_eps", [1e-12, 1]) : 1e-5,
    },
    quantizer: {
      codebooks,
      semantic: whole("num_semantic_quantizers", 1, [1, codebooks - 1]),
      codebook_size: whole("codebook_size", 2048),
      codebook_dim: width,
    },
  };
}

type MimiConfig = ReturnType<typeof parseConfig>;

/** The layers from samples to latents, and back. */
function layersOf(c: MimiConfig): { encoder: Named[]; decoder: Named[] } {
  const conv = (channels: number, kernel: number, more = {}) => ({
    op: "conv",
    channels,
    kernel: [kernel, 1, 1],
    ...(c.padding === "replicate" ? { padding: "replicate" } : {}),
    ...more,
  });
  const elu = { op: "elu" };
  const block = (channels: number, j: number): LayerConfig => ({
    op: "skip",
    layers: [
      elu,
      conv(Math.floor(channels / c.compress), c.residualKernel, {
        dilation: c.dilationGrowth ** j,
      }),
      elu,
      conv(channels, 1),
    ],
    ...(c.shortcut ? { shortcut: conv(channels, 1) } : {}),
  });
  const blocks = (channels: number) =>
    Array.from({ length: c.residualLayers }, (_, j) => block(channels, j));
  const most = c.filters * 2 ** c.ratios.length;
  const down = c.ratios.toReversed().flatMap((ratio, i) => [
    ...blocks(c.filters * 2 ** i),
    elu,
    conv(c.filters * 2 ** (i + 1), 2 * ratio, { stride: [ratio, 1, 1] }),
  ]);
  const up = c.ratios.flatMap((ratio, i) => {
    const channels = most / 2 ** (i + 1);
    const stretched = { op: "conv_transpose", channels, kernel: 2 * ratio, stride: ratio };
    return [elu, stretched, ...blocks(channels)];
  });
  const named = (stack: string, layers: LayerConfig[]): Named[] =>
    layers.map((layer, i) => [`${stack}.layers.${i}`, layer]);
  const resampling = { kernel: 2 * c.stride, stride: c.stride, bias: false, channels: c.hidden };
  return {
    encoder: [
      ...named("encoder", [
        conv(c.filters, c.kernel),
        ...down,
        elu,
        conv(c.hidden, c.lastKernel),
      ]),
      ["encoder_transformer", c.transformer],
      ["downsample", {
        op: "conv",
        ...resampling,
        kernel: [2 * c.stride, 1, 1],
        stride: [c.stride, 1, 1],
        padding: "replicate",
      }],
    ],
    decoder: [
      ["upsample", { op: "conv_transpose", ...resampling, groups: c.groups }],
      ["decoder_transformer", c.transformer],
      ...named("decoder", [conv(most, c.kernel), ...up, elu, conv(1, c.lastKernel)]),
    ],
  };
}

/** Their name and shape of a parameter of a layer. */
function theirs([name, { op }]: Named, key: string, shape: readonly number[]) {
  if (op === "transformer") return taken(`${name}.${key}`, shape);
  if (op === "quantize" || op === "dequantize") {
    return taken(`${name}.${key}`, key.endsWith("_proj.weight") ? [...shape, 1] : shape);
  }
  // Convolutions in time alone; those of a skip by their numbers in it.
  const part = key.replace(/^(?=\d)/, "block.").replace(/(?=(weight|bias)$)/, "conv.");
  return taken(`${name}.${part}`, shape.slice(0, 3));
}

function part(named: readonly Named[], input: Shape4): PartCoder {
  const layers = named.map(([, layer]) => layer);
  const { parameters } = coderParameters({ name: "mimi", layers, input });
  const rules = Object.entries(parameters).map(([whole, { shape }]) => {
    const [, index = "", key = ""] = /^mimi\.(\d+)\.(.*)$/.exec(whole) ?? [];
    const layer = named[Number(index)];
    if (!layer) throw new RangeError(`no layer of ${whole}`);
    return [`${index}.${key}`, theirs(layer, key, shape)];
  });
  return { layers, tensors: Object.fromEntries(rules) };
}

export const mimi: CodecFamily = {
  name: "mimi",
  media: ["audio"],
  recognises: (found) => configText(found, "model_type") === "mimi",
  read(found, medium: Medium) {
    const config = parseConfig(found.config, `${found.where}/config.json`);
    const { encoder, decoder } = layersOf(config);
    const { rate, hop, stride, hidden, quantizer } = config;
    const sound: Shape4 = [hop * stride, 1, 1, 1];
    const quantize: Named = ["quantizer", { op: "quantize", ...quantizer }];
    const dequantize: Named = ["quantizer", { op: "dequantize", channels: hidden, ...quantizer }];
    return {
      medium,
      sampleRate: rate,
      hop: hop * stride,
      multiple: 1,
      channels: hidden,
      encoder: part(encoder, sound),
      decoder: part(decoder, [1, 1, 1, hidden]),
      coded: {
        channels: quantizer.codebooks,
        bits: quantizer.codebooks * Math.log2(quantizer.codebook_size),
        encoder: part([...encoder, quantize], sound),
        decoder: part([dequantize, ...decoder], [1, 1, 1, quantizer.codebooks]),
      },
      unused: [/\.codebook\.initialized$/],
    };
  },
};
