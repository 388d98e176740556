/**
 * Wan2.1's VAE: in the layout of diffusers' AutoencoderKLWan (a folder with config.json, or its weights
 * alone), and in that of the Wan2.1 repository as safetensors. Its first frame comes alone: a stream has
 * 1 + 4k frames, and latents are of unit size by the published mean and deviation.
 *
 * Where no config stands beside the weights, sizes are read from the tensors' shapes.
 */
import type { LayerConfig } from "../config/config.ts";
import { Fields } from "../config/config_fields.ts";
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";
import { type CodecFamily, configText, type Found, foundShape, type PartCoder } from "./family.ts";
import { CoderParts } from "./coder_parts.ts";

/** Of the 16 channels of Wan2.1's latents, as published. */
const published = {
  mean: [
    ...[-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508],
    ...[0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921],
  ],
  deviation: [
    ...[2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743],
    ...[3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.916],
  ],
};

interface Sizes {
  /** Channels of the encoder's and the decoder's narrowest layers. */
  encoder: number;
  decoder: number;
  latents: number;
  /** By level, from the largest picture down: how many times wider. */
  wider: number[];
  /** Residual blocks of a level in the encoder; the decoder has one more. */
  blocks: number;
  /** By level but the last: true where time is halved on the way down. */
  halves: boolean[];
  mean: number[];
  deviation: number[];
}

type Layout = "diffusers" | "original";

/** Epsilon that leaves a norm as it is, for it is none in the original. */
const norm: LayerConfig = { op: "rmsnorm", eps: 1e-24 };
const silu: LayerConfig = { op: "silu" };
const conv = (channels: number, ...kernel: [number, number, number]): LayerConfig => ({
  op: "conv",
  channels,
  kernel,
});

/** The layers of an encoder or decoder and their tensors, by either layout's names. */
class Parts extends CoderParts {
  readonly layout: Layout;
  readonly side: string;

  constructor(layout: Layout, side: "encoder" | "decoder") {
    super();
    this.layout = layout;
    this.side = side;
  }

  /** A name of the layout within the encoder or decoder. */
  name(diffusers: string, original: string): string {
    return `${this.side}.${this.layout === "diffusers" ? diffusers : original}`;
  }

  /** A convolution in time and space. */
  conv(name: string, inputs: number, channels: number, kernel: 1 | 3): void {
    const shape = [channels, inputs, kernel, kernel, kernel];
    this.add(conv(channels, kernel, kernel, kernel), this.affine(name, shape));
  }

  residual(name: string, inputs: number, channels: number): void {
    const of = (diffusers: string, original: string) =>
      `${name}.${this.layout === "diffusers" ? diffusers : original}`;
    const gain = (name: string, channels: number) => this.taken(name, [channels, 1, 1, 1]);
    const wide = conv(channels, 3, 3, 3);
    const rules = {
      "0.weight": gain(of("norm1.gamma", "residual.0.gamma"), inputs),
      ...this.affine(of("conv1", "residual.2"), [channels, inputs, 3, 3, 3], "2."),
      "3.weight": gain(of("norm2.gamma", "residual.3.gamma"), channels),
      ...this.affine(of("conv2", "residual.6"), [channels, channels, 3, 3, 3], "5."),
    };
    const layer = { op: "skip", layers: [norm, silu, wide, norm, silu, wide] };
    if (inputs === channels) return this.add(layer, rules);
    const shortcut = this.affine(
      of("conv_shortcut", "shortcut"),
      [channels, inputs, 1, 1, 1],
      "shortcut.",
    );
    this.add({ ...layer, shortcut: conv(channels, 1, 1, 1) }, { ...rules, ...shortcut });
  }

  /** Each frame's positions look at each other. */
  attention(name: string, channels: number): void {
    const layers = [
      norm,
      conv(3 * channels, 1, 1, 1),
      { op: "frame_attention" },
      conv(channels, 1, 1, 1),
    ];
    this.add({ op: "skip", layers }, {
      "0.weight": this.taken(`${name}.norm.gamma`, [channels, 1, 1]),
      ...this.affine(`${name}.to_qkv`, [3 * channels, channels, 1, 1], "1."),
      ...this.affine(`${name}.proj`, [channels, channels, 1, 1], "3."),
    });
  }

  /** The block in the middle. */
  middle(channels: number): void {
    this.residual(this.name("mid_block.resnets.0", "middle.0"), channels, channels);
    this.attention(this.name("mid_block.attentions.0", "middle.1"), channels);
    this.residual(this.name("mid_block.resnets.1", "middle.2"), channels, channels);
  }

  /** The last norm and convolution. */
  head(inputs: number, channels: number): void {
    const gain = this.name("norm_out.gamma", "head.0.gamma");
    this.add(norm, { weight: this.taken(gain, [inputs, 1, 1, 1]) });
    this.add(silu, {});
    this.conv(this.name("conv_out", "head.2"), inputs, channels, 3);
  }

  /** A convolution over all channels of a latent, outside encoder and decoder. */
  latents(diffusers: string, original: string, channels: number): void {
    this.conv(this.layout === "diffusers" ? diffusers : original, channels, channels, 1);
  }
}

function encoder(sizes: Sizes, layout: Layout): PartCoder {
  const parts = new Parts(layout, "encoder");
  let channels = sizes.encoder;
  let block = 0;
  const next = () => parts.name(`down_blocks.${block}`, `downsamples.${block++}`);
  parts.conv(parts.name("conv_in", "conv1"), 3, channels, 3);
  sizes.wider.forEach((wider, level) => {
    for (let i = 0; i < sizes.blocks; i++) {
      parts.residual(next(), channels, channels = sizes.encoder * wider);
    }
    if (level === sizes.halves.length) return;
    const name = next();
    parts.add(
      { op: "conv", channels, kernel: [1, 3, 3], stride: [1, 2, 2], odd_zero: "after" },
      parts.affine(`${name}.resample.1`, [channels, channels, 3, 3]),
    );
    if (sizes.halves[level]) {
      parts.add(
        { op: "halve_time" },
        parts.affine(`${name}.time_conv`, [channels, channels, 3, 1, 1]),
      );
    }
  });
  parts.middle(channels);
  parts.head(channels, 2 * sizes.latents);
  parts.latents("quant_conv", "conv1", 2 * sizes.latents);
  // Of mean and logarithm of the variance the mean.
  parts.add({ op: "normalize", mean: sizes.mean, deviation: sizes.deviation }, {});
  return parts.coder();
}

function decoder(sizes: Sizes, layout: Layout): PartCoder {
  const parts = new Parts(layout, "decoder");
  const { mean, deviation, latents } = sizes;
  const widths = [...sizes.wider].reverse().map((wider) => sizes.decoder * wider);
  let channels = widths[0] ?? 0;
  let block = 0;
  parts.add({ op: "normalize", mean, deviation, inverse: true }, {});
  parts.latents("post_quant_conv", "conv2", latents);
  parts.conv(parts.name("conv_in", "conv1"), latents, channels, 3);
  parts.middle(channels);
  widths.forEach((width, level) => {
    for (let i = 0; i <= sizes.blocks; i++) {
      const name = parts.name(`up_blocks.${level}.resnets.${i}`, `upsamples.${block++}`);
      parts.residual(name, channels, channels = width);
    }
    if (level === sizes.halves.length) return;
    const name = parts.name(`up_blocks.${level}.upsamplers.0`, `upsamples.${block++}`);
    if (sizes.halves[sizes.halves.length - 1 - level]) {
      // Theirs are the channels of the first frame, then those of the second.
      parts.add({ op: "double_time" }, {
        weight: parts.split(`${name}.time_conv.weight`, [2 * channels, channels, 3, 1, 1], 2),
        bias: parts.split(`${name}.time_conv.bias`, [2 * channels], 2),
      });
    }
    const half = channels / 2;
    parts.add(
      { op: "conv", channels: half, kernel: [1, 3, 3], upsample: [1, 2, 2] },
      parts.affine(`${name}.resample.1`, [half, channels, 3, 3]),
    );
    channels = half;
  });
  parts.head(channels, 3);
  return parts.coder();
}

/** Sizes as a config tells them. @throws InputError */
function fromConfig({ config, where }: Found): Sizes {
  const fields = new Fields(config, `${where}/config.json`);
  const other = (key: string, may: string, isRight: (value: unknown) => boolean) => {
    if (fields.has(key) && fields.get(key) !== null && !isRight(fields.get(key))) {
      throw fields.error(
        key,
        `${may}: other VAEs of this class, Wan2.2's for one, aren't supported`,
      );
    }
  };
  other("is_residual", "false", (value) => value === false);
  other("patch_size", "null", (value) => value === 1);
  other("attn_scales", "[]", (value) => Array.isArray(value) && value.length === 0);
  for (const key of ["in_channels", "out_channels"]) other(key, "3", (value) => value === 3);
  const width = (key: string) => fields.whole(key, [1, 4096]);
  const wider = fields.list("dim_mult", [1, 8]).map(Number);
  if (!wider.every((n) => Number.isInteger(n) && n > 0 && n <= 64)) {
    throw fields.error("dim_mult", "a list of whole numbers from 1 to 64");
  }
  const halves = fields.list("temperal_downsample", [wider.length - 1, wider.length - 1]);
  if (!halves.every((half) => typeof half === "boolean")) {
    throw fields.error("temperal_downsample", "a list of true and false");
  }
  const latents = fields.whole("z_dim", [1, 1024]);
  const numbers = (key: string, least: number) => {
    const list = fields.list(key, [latents, latents]);
    if (list.every((n) => typeof n === "number" && n >= least)) return list as number[];
    throw fields.error(key, `a list of numbers from ${least} on`);
  };
  const base = width("base_dim");
  const own = fields.has("decoder_base_dim") && fields.get("decoder_base_dim") !== null;
  return {
    encoder: base,
    decoder: own ? width("decoder_base_dim") : base,
    latents,
    wider,
    blocks: fields.whole("num_res_blocks", [1, 16]),
    halves: halves as boolean[],
    mean: numbers("latents_mean", -1e6),
    deviation: numbers("latents_std", 1e-6),
  };
}

/** Sizes as the tensors have them. @throws InputError */
function fromTensors(found: Found, layout: Layout): Sizes {
  const { tensors, where } = found;
  const isDiffusers = layout === "diffusers";
  const blocks = isDiffusers ? "encoder.down_blocks" : "encoder.downsamples";
  const first = isDiffusers ? "conv_in" : "conv1";
  const [base = 1] = foundShape(found, `encoder.${first}.weight`, 5);
  const [top = 1] = foundShape(found, `decoder.${first}.weight`, 5);
  const [latents = 1] = foundShape(
    found,
    isDiffusers ? "post_quant_conv.weight" : "conv2.weight",
    5,
  );
  const counts: number[] = [0];
  const halves: boolean[] = [];
  const widths: number[] = [];
  for (let i = 0; i < 256; i++) {
    const name = `${blocks}.${i}`;
    const conv = `${name}.${isDiffusers ? "conv2" : "residual.6"}.weight`;
    if (tensors.has(conv)) {
      counts[counts.length - 1] = (counts.at(-1) ?? 0) + 1;
      widths[counts.length - 1] = foundShape(found, conv, 5)[0] ?? 1;
    } else if (tensors.has(`${name}.resample.1.weight`)) {
      halves.push(tensors.has(`${name}.time_conv.weight`));
      counts.push(0);
    } else break;
  }
  const wider = widths.map((width) => width / base);
  const decoder = top / (wider.at(-1) ?? 1);
  const [each = 0] = counts;
  const fit = each > 0 && counts.every((n) => n === each) && widths.length === counts.length &&
    [...wider, decoder].every((n) => Number.isInteger(n) && n > 0);
  if (!fit) {
    throw new InputError(
      `${where}: ${blocks}.* have ${valueText(counts)} residual blocks of ${valueText(widths)} ` +
        `channels by level; Wan2.1's VAE has as many in each, and multiples of ${base} channels`,
    );
  }
  if (latents !== published.mean.length) {
    throw new InputError(
      `${where}: its latents have ${latents} channels, whose mean and deviation aren't in the ` +
        `weights; they are known for ${published.mean.length}: give diffusers' folder with config.json`,
    );
  }
  return { encoder: base, decoder, latents, wider, blocks: each, halves, ...published };
}

/** Tensors that only Wan2.2's VAE has, in either layout. */
const residualDown = /^encoder\.(down_blocks\.\d+\.resnets|downsamples\.\d+\.downsamples)\./;
const ownNames = /^encoder\.(down_blocks\.0\.norm1|downsamples\.0\.residual\.0)\.gamma$/;

export const wanVae: CodecFamily = {
  name: "wan_vae",
  media: ["video"],
  recognises(found) {
    const type = configText(found, "_class_name");
    if (type !== null) return type === "AutoencoderKLWan";
    return [...found.tensors.keys()].some((name) => ownNames.test(name) || residualDown.test(name));
  },
  read(found) {
    const names = [...found.tensors.keys()];
    const other = names.find((name) => residualDown.test(name));
    if (other !== undefined) {
      throw new InputError(
        `${found.where}: has the tensor ${valueText(other)}, which is of Wan2.2's VAE; it isn't ` +
          `supported: take Wan2.1's, of which Wan2.2's 14B models are too`,
      );
    }
    const layout = names.some((name) => name.startsWith("encoder.down_blocks."))
      ? "diffusers"
      : names.some((name) => name.startsWith("encoder.downsamples."))
      ? "original"
      : "diffusers";
    const sizes = found.config === null ? fromTensors(found, layout) : fromConfig(found);
    return {
      medium: "video",
      sampleRate: null,
      hop: 2 ** sizes.halves.filter((half) => half).length,
      multiple: 2 ** sizes.halves.length,
      channels: sizes.latents,
      encoder: encoder(sizes, layout),
      decoder: decoder(sizes, layout),
      keys: { first_frame_alone: true },
    };
  },
};
