/**
 * Log-mel spectra of sound, causal: frame i looks at the `window` samples that end where hop i ends,
 * so that the samples before a unit (window - hop of them, zeros at the start of a stream) are the
 * state.
 *
 * A periodic Hann window, zero-padded to `fft`; squared magnitudes; triangular filters of height 1,
 * evenly spaced on HTK's mel scale 2595 log10(1 + f / 700) from 0 to half of the sample rate;
 * log(power + 1e-5). As torchaudio's melscale_fbanks and MelSpectrogram with their defaults, but for
 * where windows stand.
 *
 * The windowed transform is a convolution with one input channel, `window` taps and a stride of a
 * hop, its outputs the cosine and sine sums of every bin (tables made here in float64): a product
 * that conv.ts merges into plain matrix form. Bins 0 and fft / 2 have no weight in any filter and are
 * left out. A second dispatch sums power by filter.
 */
import { conv, type ConvWeight, freeConv, packConv } from "./conv.ts";
import type { Gpu } from "../gpu/device.ts";
import { textureFrom, textureReader, textureSource } from "../gpu/texture.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { type Tensor, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./logmel.wgsl" with { type: "text" };

/** `texels`: of a spectrum; `spectrum`: where the first one starts. */
const sizes = new UniformStruct("Sizes", { u32: "frames mels texels spectrum y" });

export interface LogmelShape {
  /** Samples of a window, of a transform (even, at least window), from one frame to the next. */
  window: number;
  fft: number;
  hop: number;
  mels: number;
  /** Samples per second. */
  sampleRate: number;
}

/** Tables on the GPU, made by `logmelTables`. */
export interface LogmelTables extends LogmelShape {
  readonly transform: ConvWeight;
  readonly filters: GPUTexture;
}

/** Columns of a frame's spectrum: cosine and sine sums of bins 0 (left empty) to fft / 2 - 1. */
export function spectrumChannels({ fft }: Pick<LogmelShape, "fft">): number {
  return 4 * Math.ceil(fft / 4);
}

/** Makes the tables of the transform and the filters. */
export function logmelTables(gpu: Gpu, label: string, shape: LogmelShape): LogmelTables {
  const { window, fft, hop } = shape;
  const outputs = spectrumChannels(shape);
  const weight = new Float32Array(outputs * window);
  const hann = Float64Array.from(
    { length: window },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / window),
  );
  const angles = Float64Array.from({ length: fft }, (_, i) => (2 * Math.PI * i) / fft);
  const [cosines, sines] = [angles.map(Math.cos), angles.map(Math.sin)];
  for (let bin = 1; bin < fft / 2; bin++) {
    for (let i = 0; i < window; i++) {
      const turn = (bin * i) % fft;
      weight[2 * bin * window + i] = (hann[i] ?? 0) * (cosines[turn] ?? 0);
      weight[(2 * bin + 1) * window + i] = -(hann[i] ?? 0) * (sines[turn] ?? 0);
    }
  }
  const transform = packConv(gpu, {
    label: `${label} transform`,
    weight,
    inputs: 1,
    outputs,
    dtype: "f32",
    line: true,
    kernel: [window, 1, 1],
    stride: [hop, 1, 1],
    dilation: 1,
  });
  const filters = textureFrom(gpu, `${label} filters`, "rgba32float", filterTexels(shape));
  return { ...shape, transform, filters };
}

function filterTexels({ fft, mels, sampleRate }: LogmelShape): Float32Array<ArrayBuffer> {
  const top = 2595 * Math.log10(1 + sampleRate / 2 / 700);
  const hertz = (point: number) => 700 * (10 ** ((top * point) / (mels + 1) / 2595) - 1);
  const heads: number[] = [];
  const weights: number[] = [];
  for (let mel = 0; mel < mels; mel++) {
    const [low, middle, high] = [hertz(mel), hertz(mel + 1), hertz(mel + 2)];
    const at = (bin: number) => {
      const f = (bin * sampleRate) / fft;
      return Math.max(0, Math.min((f - low) / (middle - low), (high - f) / (high - middle)));
    };
    // Texels hold two bins each.
    const first = Math.floor((low * fft) / sampleRate / 2);
    const last = Math.min(
      Math.floor((high * fft) / sampleRate / 2),
      spectrumChannels({ fft }) / 4 - 1,
    );
    heads.push(first, last - first + 1, mels + weights.length / 4, 0);
    for (let texel = first; texel <= last; texel++) {
      const [a, b] = [at(2 * texel), at(2 * texel + 1)];
      weights.push(a, a, b, b);
    }
  }
  return Float32Array.from([...heads, ...weights]);
}

/** Frees the tables' memory. */
export function freeTables(gpu: Gpu, { transform, filters }: LogmelTables): void {
  freeConv(gpu, transform);
  gpu.free(filters);
}

/**
 * x [T, 1, 1, 1] samples and the window - hop before them -> y [T / hop, 1, 1, mels]; f32.
 *
 * @param spectrum f32 [T / hop, 1, 1, spectrumChannels]: what lies between the two dispatches.
 * @throws RangeError when shapes don't fit.
 */
export function logmel(
  gpu: Gpu,
  { label, x, state, tables, spectrum, y }: Tensors<"x" | "spectrum" | "y"> & {
    state?: Tensor;
    tables: LogmelTables;
  },
): Step[] {
  const name = `logmel ${label}`;
  const { mels } = tables;
  const frames = spectrum.shape[0] ?? 0;
  if (y.shape[0] !== frames || y.shape.at(-1) !== mels) {
    throw new RangeError(`${name}: [${spectrum.shape}] to [${y.shape}] of ${mels} mels`);
  }
  const source = textureSource(gpu, name, "spectrum", "rgba32float", [spectrum]);
  const filters = textureReader("filters", "rgba32float");
  const { lanes } = gpu.traits;
  const pipeline = gpu.pipeline(name, code, {
    sizes,
    lanes,
    spectrum: source.declaration,
    filters: filters.declaration,
    readers: `${source.code}\n${filters.code}`,
  });
  const texels = spectrumChannels(tables) / 4;
  return [
    ...conv(gpu, {
      label: `${label} transform`,
      x,
      ...(state ? { state } : {}),
      weight: tables.transform,
      y: spectrum,
    }),
    ...source.steps,
    dispatch(
      gpu,
      name,
      pipeline,
      [
        sizes.bind(gpu, { frames, mels, texels, spectrum: source.starts[0] ?? 0, y: y.offset }),
        source.binding,
        tables.filters.createView(),
        y,
      ],
      { items: frames * mels, lanes },
      { flops: 6 * frames * texels * 4, bytes: tensorBytes(spectrum) + tensorBytes(y) },
    ),
  ];
}
