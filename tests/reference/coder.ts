/** The layers of encoders and decoders in plain float64, over a whole recording at once: no state, no
 * units. Tensors are flat with a shape [time, height, width, channels]. */
import type { LayerConfig } from "../../engine/config/config.ts";
import type { Activation } from "../../kernels/gpu/activation.ts";
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

/** Causal convolution: time is padded before the first frame only, space by half on both sides. */
export function convReference(
  x: Block,
  { weight, bias, outputs, kernel: [kt, kh, kw], stride: [st, sh, sw], dilation, padding }: {
    weight: ArrayLike<number>;
    bias?: ArrayLike<number> | undefined;
    outputs: number;
    kernel: readonly [number, number, number];
    stride: readonly [number, number, number];
    dilation: number;
    padding?: "replicate" | undefined;
  },
): Block {
  const [T, H, W, C] = x.shape;
  const before = (kt - st) * dilation;
  return filled([T / st, H / sh, W / sw, outputs], (t, h, w, n) => {
    let sum = bias ? bias[n] ?? NaN : 0;
    for (let c = 0; c < C; c++) {
      for (let dt = 0; dt < kt; dt++) {
        for (let dh = 0; dh < kh; dh++) {
          for (let dw = 0; dw < kw; dw++) {
            const frame = t * st + dt * dilation - before;
            const value = read(
              x,
              padding === "replicate" ? Math.max(0, frame) : frame,
              h * sh + dh - (kh - sh) / 2,
              w * sw + dw - (kw - sw) / 2,
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

/** A whole encoder or decoder; weights by the layer's index and key ("3.conv1.weight"). */
export function coderReference(
  layers: readonly LayerConfig[],
  input: Block,
  weights: (name: string) => ArrayLike<number>,
  sampleRate: number,
): Block {
  let x = input;
  layers.forEach((layer, i) => {
    x = layerReference(layer as KnownLayer, x, (key) => weights(`${i}.${key}`), sampleRate);
  });
  return x;
}

function layerReference(
  layer: KnownLayer,
  x: Block,
  weights: (key: string) => ArrayLike<number>,
  sampleRate: number,
): Block {
  switch (layer.op) {
    case "conv":
      return convReference(x, {
        weight: weights("weight"),
        bias: layer.bias === false ? undefined : weights("bias"),
        outputs: layer.channels,
        kernel: layer.kernel,
        stride: layer.stride ?? [1, 1, 1],
        dilation: layer.dilation ?? 1,
        padding: layer.padding,
      });
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
      const channels = x.shape[3];
      const { activation = "silu" } = layer;
      const normed = layer.norm === false ? x : rmsnormReference(x, weights("norm.weight"));
      const inner = convReference(activationReference(normed, activation), {
        weight: weights("conv1.weight"),
        bias: weights("conv1.bias"),
        outputs: layer.channels ?? channels,
        kernel: layer.kernel,
        stride: [1, 1, 1],
        dilation: layer.dilation ?? 1,
      });
      const pointwise = (x: Block, name: string) =>
        convReference(x, {
          weight: weights(`${name}.weight`),
          bias: weights(`${name}.bias`),
          outputs: channels,
          kernel: [1, 1, 1],
          stride: [1, 1, 1],
          dilation: 1,
        });
      const outer = pointwise(activationReference(inner, activation), "conv2");
      const { data } = layer.shortcut ? pointwise(x, "shortcut") : x;
      return { shape: x.shape, data: data.map((v, i) => v + (outer.data[i] ?? NaN)) };
    }
    case "transformer": {
      const [frames, , , channels] = x.shape;
      const rows = Array.from(
        { length: frames },
        (_, t) => [...x.data.subarray(t * channels, (t + 1) * channels)],
      );
      return block(x.shape, transformerLayers(layer, rows, weights).flat());
    }
    case "silu":
    case "elu":
    case "gelu":
      return activationReference(x, layer.op);
    case "rmsnorm":
      return rmsnormReference(x, weights("weight"));
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
