/** The layers of encoders and decoders in plain float64, over a whole recording at once: no state, no
 * units. Tensors are flat with a shape [time, height, width, channels]. */
import type { LayerConfig } from "../../engine/config/config.ts";
import type { ConvConfig } from "../../engine/layers/ops/conv.ts";
import type { Activation } from "../../kernels/gpu/activation.ts";
import { dequantizeReference, quantizeReference } from "./quantize.ts";
import { transformerLayers } from "./window_attention.ts";
import { activate } from "./activation.ts";
import type { KnownLayer } from "../../engine/layers/registry.ts";

export type Shape4 = [time: number, height: number, width: number, channels: number];

export interface Block {
  shape: Shape4;
  data: Float64Array;
}

export function block(shape: Shape4, data: ArrayLike<number>): Block {
  return { shape, data: Float64Array.from(data) };
}

/** Makes a block by computing each element. */
function filled(
  shape: Shape4,
  at: (t: number, h: number, w: number, c: number) => number,
): Block {
  const data = new Float64Array(shape[0] * shape[1] * shape[2] * shape[3]);
  let i = 0;
  for (let t = 0; t < shape[0]; t++) {
    for (let h = 0; h < shape[1]; h++) {
      for (let w = 0; w < shape[2]; w++) {
        for (let c = 0; c < shape[3]; c++) data[i++] = at(t, h, w, c);
      }
    }
  }
  return { shape, data };
}

/** An element; zero outside the block. */
function read({ shape: [T, H, W, C], data }: Block, t: number, h: number, w: number, c: number) {
  if (t < 0 || h < 0 || w < 0 || t >= T || h >= H || w >= W) return 0;
  return data[((t * H + h) * W + w) * C + c] ?? NaN;
}

/** Causal convolution: time is padded before the first frame only, space by half on both sides, or by as
 * many as `zeros` on the first, of the input with each line and position as many times as `upsample` says. */
export function convReference(
  x: Block,
  {
    weight,
    bias,
    outputs,
    kernel: [kt, kh, kw],
    stride: [st, sh, sw],
    dilation,
    padding,
    zeros: [top, left] = [(kh - sh) / 2, (kw - sw) / 2],
    upsample: [uh, uw] = [1, 1],
  }: {
    weight: ArrayLike<number>;
    bias?: ArrayLike<number> | undefined;
    zeros?: readonly [number, number] | undefined;
    upsample?: readonly [number, number] | undefined;
    outputs: number;
    kernel: readonly [number, number, number];
    stride: readonly [number, number, number];
    dilation: number;
    padding?: "replicate" | undefined;
  },
): Block {
  const [T, H, W, C] = x.shape;
  const before = (kt - st) * dilation;
  return filled([T / st, H * uh / sh, W * uw / sw, outputs], (t, h, w, n) => {
    let sum = bias ? bias[n] ?? NaN : 0;
    for (let c = 0; c < C; c++) {
      for (let dt = 0; dt < kt; dt++) {
        for (let dh = 0; dh < kh; dh++) {
          for (let dw = 0; dw < kw; dw++) {
            const frame = t * st + dt * dilation - before;
            const value = read(
              x,
              padding === "replicate" ? Math.max(0, frame) : frame,
              Math.floor((h * sh + dh - top) / uh),
              Math.floor((w * sw + dw - left) / uw),
              c,
            );
            sum += value * (weight[(((n * C + c) * kt + dt) * kh + dh) * kw + dw] ?? NaN);
          }
        }
      }
    }
    return sum;
  });
}

/** Frame t adds weight[c, n, k] x[t, c] to output frame t stride + k; what lies past the end is cut off. */
export function convTransposeReference(
  x: Block,
  { weight, bias, outputs, kernel, stride, groups }: {
    weight: ArrayLike<number>;
    bias: ArrayLike<number> | undefined;
    outputs: number;
    kernel: number;
    stride: number;
    groups: number;
  },
): Block {
  const [T, , , C] = x.shape;
  const y = filled([T * stride, 1, 1, outputs], (_t, _h, _w, n) => bias ? bias[n] ?? NaN : 0);
  const [from, to] = [C / groups, outputs / groups];
  for (let t = 0; t < T; t++) {
    for (let k = 0; k < kernel && t * stride + k < T * stride; k++) {
      for (let c = 0; c < C; c++) {
        for (let n = 0; n < to; n++) {
          const at = (t * stride + k) * outputs + Math.floor(c / from) * to + n;
          y.data[at] = (y.data[at] ?? NaN) +
            read(x, t, 0, 0, c) * (weight[(c * to + n) * kernel + k] ?? NaN);
        }
      }
    }
  }
  return y;
}

export function activationReference(x: Block, activation: Activation | undefined): Block {
  return { shape: x.shape, data: x.data.map((v) => activate(v, activation)) };
}

/** The sum of two blocks of the same shape. */
export function sumReference(a: Block, b: Block): Block {
  return { shape: a.shape, data: a.data.map((v, i) => v + (b.data[i] ?? NaN)) };
}

/** softmax(q k^T / sqrt(C)) v of each frame's positions; q, k and v side by side in the channels. */
export function frameAttentionReference(x: Block): Block {
  const [T, H, W, C3] = x.shape;
  const C = C3 / 3;
  const at = (t: number, p: number, c: number) => x.data[(t * H * W + p) * C3 + c] ?? NaN;
  const y = new Float64Array(T * H * W * C);
  for (let t = 0; t < T; t++) {
    for (let q = 0; q < H * W; q++) {
      const scores = Float64Array.from({ length: H * W }, (_, k) => {
        let sum = 0;
        for (let c = 0; c < C; c++) sum += at(t, q, c) * at(t, k, C + c);
        return Math.exp(sum / Math.sqrt(C));
      });
      const total = scores.reduce((a, b) => a + b);
      for (let c = 0; c < C; c++) {
        const sum = scores.reduce((s, score, k) => s + score * at(t, k, 2 * C + c), 0);
        y[(t * H * W + q) * C + c] = sum / total;
      }
    }
  }
  return { shape: [T, H, W, C], data: y };
}

/** The first channels, as many as the mean has: (x - mean) / deviation, or back. */
export function normalizeReference(
  x: Block,
  { mean, deviation, inverse }: { mean: number[]; deviation: number[]; inverse?: boolean },
): Block {
  const [T, H, W] = x.shape;
  return filled([T, H, W, mean.length], (t, h, w, c) => {
    const [m = NaN, std = NaN] = [mean[c], deviation[c]];
    const v = read(x, t, h, w, c);
    return inverse ? v * std + m : (v - m) / std;
  });
}

/** Frames [from, to). */
export function framesReference(x: Block, from: number, to: number): Block {
  const frame = x.data.length / x.shape[0];
  const [, ...rest] = x.shape;
  return { shape: [to - from, ...rest], data: x.data.slice(from * frame, to * frame) };
}

/** One block after the other in time. */
export function joinReference(a: Block, b: Block): Block {
  const [, ...rest] = a.shape;
  return {
    shape: [a.shape[0] + b.shape[0], ...rest],
    data: Float64Array.from([...a.data, ...b.data]),
  };
}

export function rmsnormReference(x: Block, weight: ArrayLike<number>, eps = 1e-6): Block {
  const C = x.shape[3];
  return filled(x.shape, (t, h, w, c) => {
    let squares = 0;
    for (let k = 0; k < C; k++) squares += read(x, t, h, w, k) ** 2;
    return read(x, t, h, w, c) / Math.sqrt(squares / C + eps) * (weight[c] ?? NaN);
  });
}

/** channel = ((c ft + dt) fh + dh) fw + dw. */
export function unshuffleReference(x: Block, [ft, fh, fw]: readonly number[]): Block {
  const [T, H, W, C] = x.shape;
  if (!ft || !fh || !fw) throw new RangeError("factor");
  return filled([T / ft, H / fh, W / fw, C * ft * fh * fw], (t, h, w, channel) => {
    const dw = channel % fw;
    const dh = Math.floor(channel / fw) % fh;
    const dt = Math.floor(channel / (fw * fh)) % ft;
    const c = Math.floor(channel / (fw * fh * ft));
    return read(x, t * ft + dt, h * fh + dh, w * fw + dw, c);
  });
}

export function shuffleReference(x: Block, [ft, fh, fw]: readonly number[]): Block {
  const [T, H, W, C] = x.shape;
  if (!ft || !fh || !fw) throw new RangeError("factor");
  return filled([T * ft, H * fh, W * fw, C / (ft * fh * fw)], (t, h, w, c) => {
    const channel = ((c * ft + t % ft) * fh + h % fh) * fw + w % fw;
    return read(x, Math.floor(t / ft), Math.floor(h / fh), Math.floor(w / fw), channel);
  });
}

/** Frames of 2 hop samples; the second half of each is added to the first half of the next. */
export function overlapAddReference(x: Block, hop: number): Block {
  return filled([x.shape[0] * hop, 1, 1, 1], (t) => {
    const frame = Math.floor(t / hop);
    return read(x, frame, 0, 0, t % hop) + read(x, frame - 1, 0, 0, hop + t % hop);
  });
}

/** Triangles of height 1, evenly spaced on HTK's mel scale (2595 log10(1 + f / 700)) from 0 to half
 * of the sample rate: [mels][fft / 2 + 1]. */
export function melFilters(sampleRate: number, fft: number, mels: number): Float64Array[] {
  const top = 2595 * Math.log10(1 + sampleRate / 2 / 700);
  const point = (i: number) => 700 * (10 ** (top * i / (mels + 1) / 2595) - 1);
  return Array.from(
    { length: mels },
    (_, m) =>
      Float64Array.from({ length: fft / 2 + 1 }, (_, bin) => {
        const f = bin * sampleRate / fft;
        const rise = (f - point(m)) / (point(m + 1) - point(m));
        const fall = (point(m + 2) - f) / (point(m + 2) - point(m + 1));
        return Math.max(0, Math.min(rise, fall));
      }),
  );
}

/** log(mel power + 1e-5) of periodic Hann windows that end where the hop ends, by a plain DFT. */
export function logmelReference(
  x: Block,
  { window, fft, hop, mels, sampleRate }: {
    window: number;
    fft: number;
    hop: number;
    mels: number;
    sampleRate: number;
  },
): Block {
  const filters = melFilters(sampleRate, fft, mels);
  const frames = x.shape[0] / hop;
  const power = Array.from(
    { length: frames },
    (_, frame) =>
      Float64Array.from({ length: fft / 2 + 1 }, (_, bin) => {
        let re = 0;
        let im = 0;
        for (let i = 0; i < window; i++) {
          const sample = read(x, (frame + 1) * hop - window + i, 0, 0, 0);
          const windowed = sample * (0.5 - 0.5 * Math.cos(2 * Math.PI * i / window));
          re += windowed * Math.cos(2 * Math.PI * bin * i / fft);
          im -= windowed * Math.sin(2 * Math.PI * bin * i / fft);
        }
        return re * re + im * im;
      }),
  );
  return filled([frames, 1, 1, mels], (t, _h, _w, m) => {
    const sum = filters[m]?.reduce((total, f, bin) => total + f * (power[t]?.[bin] ?? NaN), 0);
    return Math.log((sum ?? NaN) + 1e-5);
  });
}

/** A whole encoder or decoder; weights by the layer's index and key ("3.conv1.weight").
 *
 * @param first The first frame comes alone, before the others. */
export function coderReference(
  layers: readonly LayerConfig[],
  input: Block,
  weights: (name: string) => ArrayLike<number>,
  sampleRate: number,
  first = false,
): Block {
  let x = input;
  // How many frames the one that came alone has become.
  let alone = first ? 1 : 0;
  layers.forEach((layer, i) => {
    const known = layer as KnownLayer;
    const before = x.shape[0];
    x = layerReference(known, x, (key) => weights(`${i}.${key}`), sampleRate, alone);
    if (known.op === "first_frame") {
      if (alone > 0) alone = alone * (known.repeat ?? 1) - (known.trim ?? 0);
    } else if (known.op !== "halve_time" && known.op !== "double_time") {
      alone *= x.shape[0] / before;
    }
  });
  return x;
}

function layerReference(
  layer: KnownLayer,
  x: Block,
  weights: (key: string) => ArrayLike<number>,
  sampleRate: number,
  alone: number,
): Block {
  const convolve = (
    x: Block,
    layer: Pick<ConvConfig, "kernel" | "channels"> & Partial<ConvConfig>,
    key = "",
  ) => {
    const { kernel, stride = [1, 1, 1], odd_zero: odd, upsample } = layer;
    const zeros = (axis: 1 | 2) =>
      Math[odd === "before" ? "ceil" : "floor"]((kernel[axis] - stride[axis]) / 2);
    return convReference(x, {
      weight: weights(`${key}weight`),
      bias: layer.bias === false ? undefined : weights(`${key}bias`),
      outputs: layer.channels,
      kernel,
      stride,
      dilation: layer.dilation ?? 1,
      padding: layer.padding,
      zeros: odd ? [zeros(1), zeros(2)] : undefined,
      upsample: upsample ? [upsample[1], upsample[2]] : undefined,
    });
  };
  const [frames, , , channels] = x.shape;
  switch (layer.op) {
    case "conv":
      return convolve(x, layer);
    case "conv_transpose":
      return convTransposeReference(x, {
        weight: weights("weight"),
        bias: layer.bias === false ? undefined : weights("bias"),
        outputs: layer.channels,
        kernel: layer.kernel,
        stride: layer.stride,
        groups: layer.groups ?? 1,
      });
    case "residual": {
      const { kernel, dilation = 1 } = layer;
      const normed = rmsnormReference(x, weights("norm.weight"));
      const wide = { channels: layer.channels ?? channels, kernel, dilation };
      const inner = convolve(activationReference(normed, "silu"), wide, "conv1.");
      const active = activationReference(inner, "silu");
      return sumReference(x, convolve(active, { channels, kernel: [1, 1, 1] }, "conv2."));
    }
    case "quantize":
      return quantizeReference(layer, x, weights);
    case "dequantize":
      return dequantizeReference(layer, x, weights);
    case "transformer": {
      const [frames, , , channels] = x.shape;
      const rows = Array.from(
        { length: frames },
        (_, t) => [...x.data.subarray(t * channels, (t + 1) * channels)],
      );
      return block(x.shape, transformerLayers(layer, rows, weights).flat());
    }
    case "skip": {
      const inner = coderReference(layer.layers, x, weights, sampleRate);
      const { shortcut } = layer;
      const other = shortcut ? convolve(x, shortcut as ConvConfig, "shortcut.") : x;
      return sumReference(inner, other);
    }
    case "halve_time": {
      const halve = (x: Block) => convolve(x, { channels, kernel: [3, 1, 1], stride: [2, 1, 1] });
      if (alone === 0) return halve(x);
      const first = framesReference(x, 0, 1);
      const halved = halve(joinReference(first, x));
      return joinReference(first, framesReference(halved, 1, halved.shape[0]));
    }
    case "double_time": {
      const rest = framesReference(x, alone, frames);
      const pairs = convolve(rest, { channels: 2 * channels, kernel: [3, 1, 1] });
      return joinReference(framesReference(x, 0, alone), shuffleReference(pairs, [2, 1, 1]));
    }
    case "first_frame": {
      if (alone === 0) return x;
      let first = framesReference(x, layer.trim ?? 0, alone);
      for (let i = 1; i < (layer.repeat ?? 1); i++) {
        first = joinReference(first, framesReference(x, 0, alone));
      }
      return joinReference(first, framesReference(x, alone, frames));
    }
    case "normalize":
      return normalizeReference(x, layer);
    case "frame_attention":
      return frameAttentionReference(x);
    case "silu":
    case "elu":
    case "gelu":
    case "relu":
    case "soft_clamp":
      return activationReference(x, layer.op);
    case "rmsnorm":
      return rmsnormReference(x, weights("weight"), layer.eps);
    case "unshuffle":
      return unshuffleReference(x, layer.factor);
    case "shuffle":
      return shuffleReference(x, layer.factor);
    case "overlap_add":
      return overlapAddReference(x, layer.hop);
    case "logmel":
      return logmelReference(x, { ...layer, sampleRate });
  }
}
