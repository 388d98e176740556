/**
 * TAEHV (madebyollin/taehv) and what is trained in its layout, taew2_1 first of all: a tiny autoencoder
 * that speaks the latents of a large one, here Wan2.1's, normalized as that one's are. It is one
 * safetensors file without a config; sizes are read from the tensors' shapes.
 *
 * Pictures are in [0, 1] there. A stream's first frame stands for four: what its encoder pads one frame
 * to, and of what its decoder makes of that latent it keeps the last frame.
 */
import type { LayerConfig } from "../config/config.ts";
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";
import { CoderParts } from "./coder_parts.ts";
import { type CodecFamily, configText, type Found, foundShape, type PartCoder } from "./family.ts";

const relu: LayerConfig = { op: "relu" };

/** [0, 1] from [-1, 1]; back with `inverse`. */
const unitRange = { op: "normalize", mean: [-1, -1, -1], deviation: [2, 2, 2] };

class Parts extends CoderParts {
  /** A 3x3 convolution of single frames. */
  conv(name: string, inputs: number, channels: number, more: LayerConfig | null = null): void {
    const bias = more?.["bias"] !== false;
    const layer = { op: "conv", channels, kernel: [1, 3, 3], ...more };
    this.add(layer, this.affine(name, [channels, inputs, 3, 3], "", bias));
  }

  /** relu(x + three convolutions), of which the first sees the frame and the one before it. */
  memory(name: string, channels: number): void {
    const conv = (time: number) => ({ op: "conv", channels, kernel: [time, 3, 3] });
    const shape = [channels, 2 * channels, 3, 3];
    this.add({ op: "skip", layers: [conv(2), relu, conv(1), relu, conv(1)] }, {
      // Theirs are the frame's channels, then the past one's; ours go by time.
      "0.weight": {
        from: [{ name: `${name}.conv.0.weight`, shape }],
        view: [channels, 2, channels, 3, 3],
        order: [0, 2, 1, 3, 4],
        flip: 1,
      },
      "0.bias": this.taken(`${name}.conv.0.bias`, [channels]),
      ...this.affine(`${name}.conv.2`, [channels, channels, 3, 3], "2."),
      ...this.affine(`${name}.conv.4`, [channels, channels, 3, 3], "4."),
    });
    this.add(relu, {});
  }
}

/** How many frames a tensor of `axis` takes together or makes of one. @throws InputError */
function frames(found: Found, name: string, axis: 0 | 1): number {
  const shape = foundShape(found, name, 4);
  const times = (shape[axis] ?? 0) / (shape[1 - axis] ?? 0);
  if (times === 1 || times === 2) return times;
  throw new InputError(
    `${found.where}: tensor ${valueText(name)} has shape ${valueText(shape)}; TAEHV's resampling ` +
      `takes 1 or 2 frames together: one of the first two numbers may be that many times the other`,
  );
}

interface Sizes {
  /** Lines and columns of a patch that become channels. */
  patch: number;
  latents: number;
  /** Of the encoder. */
  width: number;
  /** By level of the decoder, from the smallest picture up. */
  widths: number[];
  /** Frames that each level of the encoder takes together. */
  pools: number[];
  /** Frames that each level of the decoder makes of one. */
  grows: number[];
}

function sizes(found: Found): Sizes {
  const [width = 0, inputs = 0] = foundShape(found, "encoder.0.weight", 4);
  const [latents = 0] = foundShape(found, "encoder.17.weight", 4);
  const widths = [1, 8, 14, 20].map((i) => foundShape(found, `decoder.${i}.weight`, 4)[0] ?? 0);
  const pools = [2, 7, 12].map((i) => frames(found, `encoder.${i}.conv.weight`, 1));
  const grows = [7, 13, 19].map((i) => frames(found, `decoder.${i}.conv.weight`, 0));
  const product = (list: number[]) => list.reduce((a, b) => a * b);
  if (product(pools) !== product(grows)) {
    throw new InputError(
      `${found.where}: its encoder takes ${product(pools)} frames together and its decoder makes ` +
        `${product(grows)} of a latent; it must be as many`,
    );
  }
  const patch = Math.sqrt(inputs / 3);
  if (!Number.isInteger(patch)) {
    throw new InputError(
      `${found.where}: tensor "encoder.0.weight" reads ${inputs} channels; it may be 3, or 3 times a ` +
        `square`,
    );
  }
  return { patch, latents, width, widths, pools, grows };
}

function encoder({ patch, latents, width, pools }: Sizes): PartCoder {
  const parts = new Parts();
  parts.add(unitRange, {});
  parts.add({ op: "first_frame", repeat: pools.reduce((a, b) => a * b) }, {});
  if (patch > 1) parts.add({ op: "unshuffle", factor: [1, patch, patch] }, {});
  parts.conv("encoder.0", 3 * patch * patch, width);
  parts.add(relu, {});
  let at = 2;
  for (const pool of pools) {
    const layer = { op: "conv", channels: width, kernel: [pool, 1, 1], stride: [pool, 1, 1] };
    const shape = [width, pool * width, 1, 1];
    const view = [width, pool, width];
    parts.add({ ...layer, bias: false }, {
      weight: { from: [{ name: `encoder.${at}.conv.weight`, shape }], view, order: [0, 2, 1] },
    });
    const halve = { op: "conv", stride: [1, 2, 2], odd_zero: "before", bias: false };
    parts.conv(`encoder.${at + 1}`, width, width, halve);
    for (let i = 2; i < 5; i++) parts.memory(`encoder.${at + i}`, width);
    at += 5;
  }
  parts.conv("encoder.17", width, latents);
  return parts.coder();
}

function decoder({ patch, latents, widths, grows }: Sizes): PartCoder {
  const parts = new Parts();
  let [width = 0] = widths;
  parts.add({ op: "soft_clamp" }, {});
  parts.conv("decoder.1", latents, width);
  parts.add(relu, {});
  let at = 3;
  grows.forEach((grow, level) => {
    for (let i = 0; i < 3; i++) parts.memory(`decoder.${at + i}`, width);
    // Theirs enlarges the picture first; a convolution of single positions may as well come before.
    const name = `decoder.${at + 4}.conv.weight`;
    const layer = { op: "conv", channels: grow * width, kernel: [1, 1, 1], bias: false };
    parts.add(layer, { weight: parts.split(name, [grow * width, width, 1, 1], grow) });
    if (grow > 1) parts.add({ op: "shuffle", factor: [grow, 1, 1] }, {});
    const next = widths[level + 1] ?? 0;
    const double = { op: "conv", upsample: [1, 2, 2], bias: false };
    parts.conv(`decoder.${at + 5}`, width, next, double);
    width = next;
    at += 6;
  });
  parts.add(relu, {});
  parts.conv("decoder.22", width, 3 * patch * patch);
  if (patch > 1) parts.add({ op: "shuffle", factor: [1, patch, patch] }, {});
  parts.add({ op: "first_frame", trim: grows.reduce((a, b) => a * b) - 1 }, {});
  parts.add({ ...unitRange, inverse: true }, {});
  return parts.coder();
}

const wide = "decoder.1.conv.0.weight";

export const taehv: CodecFamily = {
  name: "taehv",
  media: ["video"],
  recognises: (found) =>
    configText(found, "_class_name") === null && configText(found, "model_type") === null &&
    found.tensors.has("encoder.2.conv.weight") && found.tensors.has("encoder.4.conv.0.weight"),
  read(found) {
    if (found.tensors.has(wide)) {
      throw new InputError(
        `${found.where}: has the tensor ${
          valueText(wide)
        }, which is of TAEHV's 'super' decoder; it ` +
          `isn't supported: take the plain one`,
      );
    }
    const all = sizes(found);
    return {
      medium: "video",
      sampleRate: null,
      hop: all.pools.reduce((a, b) => a * b),
      multiple: 8 * all.patch,
      channels: all.latents,
      encoder: encoder(all),
      decoder: decoder(all),
      keys: { first_frame_alone: true },
    };
  },
};
