/**
 * Weights in the layout that the matrix product and the embedding lookup read: panels of 8 outputs,
 * [outputs / 8][inputs][8], so that an invocation walks its panel in order. Packed once, at load.
 *
 * A weight lies in a storage buffer, or in an image where the adapter reads images faster (see
 * image.ts); one that is larger than a binding is split along its outputs into parts.
 */
import type { Gpu } from "./device.ts";
import { imageFrom, imageReader, rowBytes } from "./image.ts";
import type { Tensor } from "./tensor.ts";

export type WeightType = "f32" | "f16";

/** Outputs [first, first + outputs) of a weight; `first` is a multiple of 8. */
export interface WeightPart {
  readonly first: number;
  readonly outputs: number;
  /** Flat panels: texels (or vec4 words) of four floats or eight halves. */
  readonly panels: Tensor | GPUTexture;
}

/** A matrix [outputs, inputs] (PyTorch's layout of a linear layer's weight), packed. */
export interface PackedWeight {
  readonly label: string;
  readonly outputs: number;
  readonly inputs: number;
  readonly dtype: WeightType;
  /** True when the parts are images. */
  readonly image: boolean;
  /** True when the first half of the outputs gates the second (see packWeight). */
  readonly gated: boolean;
  readonly parts: readonly WeightPart[];
}

/** True where kernels that read much should read from images: llvmpipe gathers from storage buffers
 * lane by lane, 20 times slower (image.ts has the figures). */
export function prefersImages(gpu: Gpu): boolean {
  return gpu.name.startsWith("llvmpipe");
}

export interface PackOptions {
  /** [inputs], multiplied into every row: the weight of an RMSNorm before the product. */
  scale?: Float32Array;
  /** The rows are a gate's and then an up projection's; the product gives silu(gate) * up. */
  gated?: boolean;
  /** Where to keep it (where this adapter reads fastest), and the largest part in bytes. */
  image?: boolean;
  partBytes?: number;
}

/**
 * Packs and uploads a weight.
 *
 * @param weight [outputs, inputs], row-major; several matrices that share their input (q, k, v) are
 * concatenated along the outputs first.
 * @param outputs A multiple of 8 when gated.
 * @param inputs A multiple of 4.
 * @throws RangeError when sizes don't fit.
 */
export function packWeight(
  gpu: Gpu,
  label: string,
  weight: Float32Array,
  outputs: number,
  inputs: number,
  dtype: WeightType,
  options: PackOptions = {},
): PackedWeight {
  const { scale, gated = false, image = prefersImages(gpu) } = options;
  if (
    weight.length !== outputs * inputs || inputs % 4 !== 0 || outputs < 1 ||
    (gated && outputs % 8 !== 0) || (scale && scale.length !== inputs)
  ) {
    throw new RangeError(
      `${label}: ${weight.length} values for [${outputs}, ${inputs}] ` +
        `(inputs in fours${gated ? ", gated outputs in eights" : ""})`,
    );
  }
  const { maxTextureDimension2D, maxStorageBufferBindingSize, maxBufferSize } = gpu.device.limits;
  const limit = options.partBytes ??
    (image
      ? maxTextureDimension2D * rowBytes
      : Math.min(maxStorageBufferBindingSize, maxBufferSize));
  const panelBytes = 8 * inputs * (dtype === "f16" ? 2 : 4);
  const partOutputs = 8 * Math.floor(limit / panelBytes);
  if (partOutputs === 0) throw new RangeError(`${label}: ${inputs} inputs are too many for a part`);
  // Gated: a panel holds four gates and the four outputs that they gate.
  const half = outputs / 2;
  const rowOf = (n: number) => gated ? (n >> 3) * 4 + (n & 3) + (n & 4 ? half : 0) : n;
  const parts: WeightPart[] = [];
  for (let first = 0; first < outputs; first += partOutputs) {
    const count = Math.min(partOutputs, outputs - first);
    const packed = new Float32Array(Math.ceil(count / 8) * 8 * inputs);
    for (let n = 0; n < count; n++) {
      const from = rowOf(first + n) * inputs;
      let to = (n >> 3) * inputs * 8 + (n & 7);
      for (let k = 0; k < inputs; k++, to += 8) {
        packed[to] = (weight[from + k] ?? 0) * (scale ? scale[k] ?? 1 : 1);
      }
    }
    const words = dtype === "f32" ? packed : new Uint32Array(new Float16Array(packed).buffer);
    parts.push({ first, outputs: count, panels: place(gpu, label, words, dtype, image) });
  }
  return { label, outputs, inputs, dtype, image, gated, parts };
}

/** Frees a weight's memory. */
export function freeWeight(gpu: Gpu, weight: PackedWeight): void {
  for (const { panels } of weight.parts) {
    gpu.free(panels instanceof GPUTexture ? panels : panels.buffer);
  }
}

type Words = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

function place(
  gpu: Gpu,
  label: string,
  words: Words,
  dtype: WeightType,
  image: boolean,
): Tensor | GPUTexture {
  if (image) return imageFrom(gpu, label, dtype === "f32" ? "rgba32float" : "rgba32uint", words);
  const buffer = gpu.buffer(label, words.byteLength);
  const chunk = 4 << 20;
  for (let at = 0; at < words.length; at += chunk) {
    gpu.device.queue.writeBuffer(buffer, at * 4, words.subarray(at, at + chunk));
  }
  return { buffer, offset: 0, shape: [words.length], dtype: dtype === "f32" ? "f32" : "u32" };
}

/** WGSL for reading packed panels by the flat index of a texel (vec4f, or vec4u of eight halves): the
 * declaration of a variable, a function `name`, and the texels per input. */
export function panelReader(
  { image, dtype }: Pick<PackedWeight, "image" | "dtype">,
  name: string,
  variable: string,
): { declaration: string; code: string; texels: number } {
  const format = dtype === "f32" ? "rgba32float" : "rgba32uint";
  return { ...texelReader(name, variable, format, image), texels: dtype === "f32" ? 2 : 1 };
}

/** WGSL for reading four-word texels by their flat index, from an image or a storage buffer. */
export function texelReader(
  name: string,
  variable: string,
  format: "rgba32float" | "rgba32uint",
  image: boolean,
): { declaration: string; code: string } {
  if (image) return imageReader(name, variable, format);
  const type = format === "rgba32float" ? "vec4f" : "vec4u";
  return {
    declaration: `var<storage, read> ${variable}: array<${type}>;`,
    code: `fn ${name}(i: u32) -> ${type} { return ${variable}[i]; }`,
  };
}
