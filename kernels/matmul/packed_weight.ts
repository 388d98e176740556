/**
 * Weights in the layout that the matrix product and the embedding lookup read: panels of 8 outputs,
 * so that an invocation walks its panel in order. Packed once, at load. A panel holds, per texel of
 * 16 bytes,
 *
 *   f32    [inputs][8]: two texels per input
 *   f16    [inputs][8]: one texel per input
 *   int8   per block of 32 inputs: a texel of 8 scales (f16), then per four inputs two texels, a word
 *          of four values for each of the 8 outputs
 *   int4   the same with one texel per four inputs: word j holds output 2j in the low and output
 *          2j + 1 in the high halves of its bytes, each value plus 8
 *
 * A weight lies in a storage buffer, or in a texture where the adapter reads textures faster (see
 * texture.ts); one that is larger than a binding is split along its outputs into parts.
 */
import type { Gpu } from "../gpu/device.ts";
import { rowBytes, texelFormat, textureFrom, textureReader } from "../gpu/texture.ts";
import { blockInputs, quantize, type QuantizedType } from "./quantize.ts";
import { type FloatType, type Tensor, tensorFrom } from "../gpu/tensor.ts";
import { arrayReader } from "../gpu/uniform.ts";

/** How weights are kept. */
export type WeightType = FloatType | QuantizedType;

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
  /** True when the parts are textures. */
  readonly texture: boolean;
  /** True when the first half of the outputs gates the second (see packWeight). */
  readonly gated: boolean;
  readonly parts: readonly WeightPart[];
}

/** How a type's panels are laid out: groups of four inputs and texels of a block, and texels of a
 * group. */
export function panelLayout(
  dtype: WeightType,
): { blockQuads: number; blockTexels: number; quadTexels: number } {
  const quadTexels = { f32: 8, f16: 4, int8: 2, int4: 1 }[dtype];
  const blockQuads = isQuantized(dtype) ? blockInputs / 4 : 1;
  return {
    blockQuads,
    quadTexels,
    blockTexels: blockQuads * quadTexels + (isQuantized(dtype) ? 1 : 0),
  };
}

/** Bytes of one output's weights. */
export function outputBytes(dtype: WeightType, inputs: number): number {
  const { blockQuads, blockTexels } = panelLayout(dtype);
  return (Math.ceil(inputs / 4 / blockQuads) * blockTexels * 16) / 8;
}

export function isQuantized(dtype: WeightType): dtype is QuantizedType {
  return dtype === "int8" || dtype === "int4";
}

export interface PackOptions {
  /** [inputs], multiplied into every row: the weight of an RMSNorm before the product. */
  scale?: Float32Array;
  /** The rows are a gate's and then an up projection's; the product gives silu(gate) * up. */
  gated?: boolean;
  /** Where to keep it (where this adapter reads fastest), and the largest part in bytes. */
  texture?: boolean;
  partBytes?: number;
}

/**
 * Packs and uploads a weight.
 *
 * @param weight [outputs, inputs], row-major; or several matrices that share their input (q, k, v)
 * and stand one below the other.
 * @param outputs A multiple of 8 when gated.
 * @param inputs A multiple of 4.
 * @throws RangeError when sizes don't fit.
 */
export function packWeight(
  gpu: Gpu,
  label: string,
  weight: Float32Array | readonly Float32Array[],
  outputs: number,
  inputs: number,
  dtype: WeightType,
  options: PackOptions = {},
): PackedWeight {
  const matrices = weight instanceof Float32Array ? [weight] : weight;
  const length = matrices.reduce((sum, matrix) => sum + matrix.length, 0);
  const { scale, gated = false, texture = gpu.traits.texturesFaster } = options;
  if (
    length !== outputs * inputs || inputs % 4 !== 0 || outputs < 1 ||
    (gated && outputs % 8 !== 0) || (scale && scale.length !== inputs)
  ) {
    throw new RangeError(
      `${label}: ${length} values for [${outputs}, ${inputs}] ` +
        `(inputs in fours${gated ? ", gated outputs in eights" : ""})`,
    );
  }
  const { maxTextureDimension2D, maxStorageBufferBindingSize, maxBufferSize } = gpu.device.limits;
  const limit = options.partBytes ??
    (texture
      ? maxTextureDimension2D * rowBytes
      : Math.min(maxStorageBufferBindingSize, maxBufferSize));
  const panelBytes = 8 * outputBytes(dtype, inputs);
  const partOutputs = 8 * Math.floor(limit / panelBytes);
  if (partOutputs === 0) throw new RangeError(`${label}: ${inputs} inputs are too many for a part`);
  const parts: WeightPart[] = [];
  for (let first = 0; first < outputs; first += partOutputs) {
    const count = Math.min(partOutputs, outputs - first);
    const words = panelWords(matrices, first, count, inputs, dtype, {
      ...options,
      outputs,
      isPaper: gpu.isPaper,
    });
    const panels = texture
      ? textureFrom(gpu, label, texelFormat(dtype), words)
      : tensorFrom(gpu, label, [words.length], words);
    parts.push({ first, outputs: count, panels });
  }
  return { label, outputs, inputs, dtype, texture, gated, parts };
}

/**
 * Panels of the outputs [first, first + count) of matrices [outputs, inputs] that stand one below the
 * other, as `packWeight` lays them out; on paper only as long.
 */
export function panelWords(
  matrices: readonly Float32Array[],
  first: number,
  count: number,
  inputs: number,
  dtype: WeightType,
  { outputs, scale, gated = false, isPaper }: Pick<PackOptions, "scale" | "gated"> & {
    outputs: number;
    isPaper: boolean;
  },
): Words {
  if (isPaper) {
    return new Uint32Array((Math.ceil(count / 8) * 8 * outputBytes(dtype, inputs)) / 4);
  }
  // Gated: a panel holds four gates and the four outputs that they gate.
  const half = outputs / 2;
  const rowOf = (n: number) => gated ? (n >> 3) * 4 + (n & 3) + (n & 4 ? half : 0) : n;
  const part = new Float32Array(count * inputs);
  for (let n = 0; n < count; n++) {
    const row = rowAt(matrices, inputs, rowOf(first + n));
    part.set(scale ? row.map((value, k) => value * (scale[k] ?? 1)) : row, n * inputs);
  }
  return isQuantized(dtype)
    ? quantizedPanels(part, count, inputs, dtype)
    : floatPanels(part, count, inputs, dtype);
}

/** A row of matrices that stand one below the other. */
function rowAt(matrices: readonly Float32Array[], inputs: number, row: number): Float32Array {
  let at = row * inputs;
  for (const matrix of matrices) {
    if (at < matrix.length) return matrix.subarray(at, at + inputs);
    at -= matrix.length;
  }
  throw new RangeError(`no row ${row}`);
}

/** Frees a weight's memory. */
export function freeWeight(gpu: Gpu, weight: PackedWeight): void {
  for (const { panels } of weight.parts) {
    gpu.free(panels instanceof GPUTexture ? panels : panels.buffer);
  }
}

type Words = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

function floatPanels(
  part: Float32Array,
  outputs: number,
  inputs: number,
  dtype: FloatType,
): Words {
  const length = Math.ceil(outputs / 8) * 8 * inputs;
  const packed = dtype === "f32" ? new Float32Array(length) : new Float16Array(length);
  for (let n = 0, from = 0; n < outputs; n++) {
    let to = (n >> 3) * inputs * 8 + (n & 7);
    for (let k = 0; k < inputs; k++, to += 8) packed[to] = part[from++] ?? 0;
  }
  return packed instanceof Float32Array ? packed : new Uint32Array(packed.buffer);
}

function quantizedPanels(
  part: Float32Array,
  outputs: number,
  inputs: number,
  dtype: QuantizedType,
): Words {
  const { values, scales } = quantize(part, inputs, dtype);
  const { blockTexels, quadTexels } = panelLayout(dtype);
  const blocks = Math.ceil(inputs / blockInputs);
  const words = new Uint32Array(Math.ceil(outputs / 8) * blocks * blockTexels * 4);
  const bytes = new Uint8Array(words.buffer);
  const halves = new Float16Array(words.buffer);
  // Outputs and inputs that fill up a panel or a block are zero, which int4 stores as 8.
  if (dtype === "int4") bytes.fill(0x88);
  for (let n = 0; n < Math.ceil(outputs / 8) * 8; n++) {
    for (let block = 0; block < blocks; block++) {
      const at = ((n >> 3) * blocks + block) * blockTexels * 16;
      halves[at / 2 + (n & 7)] = n < outputs ? scales[n * blocks + block] ?? 0 : 0;
    }
    if (n >= outputs) continue;
    for (let k = 0; k < inputs; k++) {
      const quad = ((n >> 3) * blocks + Math.floor(k / blockInputs)) * blockTexels + 1 +
        Math.floor((k % blockInputs) / 4) * quadTexels;
      const value = values[n * inputs + k] ?? 0;
      if (dtype === "int8") bytes[quad * 16 + (n & 7) * 4 + (k & 3)] = value;
      else {
        const at = quad * 16 + ((n & 7) >> 1) * 4 + (k & 3);
        const byte = bytes[at] ?? 0;
        bytes[at] = n & 1 ? (byte & 0x0f) | ((value + 8) << 4) : (byte & 0xf0) | (value + 8);
      }
    }
  }
  return words;
}

/** What is bound to read a part's panels. */
export function panelBinding(panels: WeightPart["panels"]): Tensor | GPUTextureView {
  return panels instanceof GPUTexture ? panels.createView() : panels;
}

/** WGSL for reading packed panels: the declaration of the variable `name`, to follow its attributes,
 * and a function `name`_at that gives the texel of a flat index (f32: vec4f, else vec4u). */
export function weightReader(
  { texture, dtype }: Pick<PackedWeight, "texture" | "dtype">,
  name: string,
): { declaration: string; code: string } {
  if (texture) return textureReader(name, texelFormat(dtype));
  return arrayReader(name, dtype === "f32" ? "vec4f" : "vec4u");
}
