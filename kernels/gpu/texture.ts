/**
 * Tensors laid flat into textures, for kernels that read much more than they write.
 *
 * llvmpipe gathers from a storage buffer lane by lane: where the processor has no AVX-512 that costs
 * 216 ns per vec4 load of 8 lanes (Mesa 22.3, AVX2), as workgroup memory does, but 22 ns from a
 * sampled texture, half of that from a storage texture, and 1.3 ns per multiply-add. A copy into a
 * texture costs 15 us and the memory's speed. GPUs read textures through caches of their own.
 *
 * A row of a texture is 16 KiB: 1024 texels of four floats (rgba32float), of eight halves (rgba32uint),
 * or 4096 of one float (r32float, for what isn't a multiple of 4). Row 0 of a scratch texture is zero:
 * kernels read there what lies outside a tensor.
 */
import type { Gpu } from "./device.ts";
import type { TextureCopy } from "./plan.ts";
import { byteOffset, room, type Tensor, tensorBytes } from "./tensor.ts";

export type TextureFormat = "rgba32float" | "rgba32uint" | "r32float";

/** Bytes of a row of a texture. */
export const rowBytes = room.texture;

/** Bytes of a texel. */
export function texelBytes(format: TextureFormat): number {
  return format === "r32float" ? 4 : 16;
}

/** The format of weights: floats as they are, all others as words. */
export function texelFormat(dtype: string): TextureFormat {
  return dtype === "f32" ? "rgba32float" : "rgba32uint";
}

/** Rows that `bytes` take. */
export function textureRows(bytes: number): number {
  return Math.ceil(bytes / rowBytes);
}

/** WGSL for reading a texture by the flat index of a texel: the declaration of a variable, to follow
 * its attributes, and a function VARIABLE_at that returns a texel (vec4f, vec4u, or f32). */
export function textureReader(
  variable: string,
  format: TextureFormat,
): { declaration: string; code: string } {
  const width = rowBytes / texelBytes(format);
  const type = format === "rgba32uint" ? "vec4u" : format === "r32float" ? "f32" : "vec4f";
  const load = `textureLoad(${variable}, vec2u(i & ${width - 1}u, i >> ${Math.log2(width)}u))`;
  return {
    // A storage texture, not a sampled one: llvmpipe inlines its loads (twice as fast).
    declaration: `var ${variable}: texture_storage_2d<${format}, read>;`,
    code: `fn ${variable}_at(i: u32) -> ${type} { return ${load}${
      format === "r32float" ? ".x" : ""
    }; }`,
  };
}

/**
 * A texture that kernels share for what they read: each fills it right before its dispatch. Row 0
 * stays zero; the tensor's rows come after it.
 *
 * @param bytes Bytes needed after row 0.
 */
export function scratchTexture(gpu: Gpu, format: "rgba32float" | "r32float", bytes: number) {
  const rows = 1 + textureRows(bytes);
  // Powers of two (less one) waste memory, but few textures serve all shapes.
  let height = 7;
  while (height < rows) height = 2 * height + 1;
  height = Math.max(Math.min(height, gpu.device.limits.maxTextureDimension2D - 1), rows);
  const key = `scratch ${format} ${height}`;
  return gpu.scratch(key, (root) => makeTexture(root, key, format, height));
}

function makeTexture(gpu: Gpu, label: string, format: TextureFormat, rows: number): GPUTexture {
  const texel = texelBytes(format);
  // llvmpipe compiles a kernel anew for textures whose height is a power of two and for others: here
  // it never is.
  let height = rows;
  const limit = gpu.device.limits.maxTextureDimension2D;
  while (height < limit && (height & (height - 1)) === 0) height++;
  return gpu.texture(label, [rowBytes / texel, height], format, texel);
}

/** A texture with fixed content, e.g. weights. Free it with `gpu.free`. */
export function textureFrom(
  gpu: Gpu,
  label: string,
  format: TextureFormat,
  words: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>,
): GPUTexture {
  const rows = textureRows(words.byteLength);
  const texture = makeTexture(gpu, label, format, rows);
  if (gpu.isPaper) return texture;
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const chunkRows = 1024;
  for (let row = 0; row < rows; row += chunkRows) {
    const height = Math.min(chunkRows, rows - row);
    const part = new Uint8Array(height * rowBytes);
    part.set(bytes.subarray(row * rowBytes, (row + height) * rowBytes));
    gpu.device.queue.writeTexture(
      { texture, origin: [0, row] },
      part,
      { bytesPerRow: rowBytes },
      [rowBytes / texelBytes(format), height],
    );
  }
  return texture;
}

/**
 * Steps that copy an f32 tensor into a texture so that its first element stands at byte `at` of it:
 * up to three rectangles. What follows the tensor in its buffer may come along up to the row's end.
 *
 * @param at A multiple of the texel's size.
 */
export function copyToTexture(
  label: string,
  source: Tensor,
  texture: GPUTexture,
  at: number,
): TextureCopy[] {
  const texel = texture.format === "r32float" ? 4 : 16;
  const from = byteOffset(source);
  if (source.dtype !== "f32" || at % texel !== 0 || from % texel !== 0) {
    throw new RangeError(`${label}: no ${source.dtype} at byte ${from} into a texture at ${at}`);
  }
  const steps: TextureCopy[] = [];
  const total = tensorBytes(source);
  let done = 0;
  while (done < total) {
    const row = Math.floor((at + done) / rowBytes);
    const column = (at + done) % rowBytes;
    const left = total - done;
    const rest = source.buffer.size - from - done;
    let width = Math.min(left, rowBytes - column);
    let height = 1;
    if (column === 0) {
      const whole = Math.ceil(left / rowBytes);
      // The last row is filled up from what follows, where there is enough.
      height = rest >= whole * rowBytes ? whole : Math.floor(left / rowBytes);
      if (height > 0) width = rowBytes;
      else height = 1;
    }
    steps.push({
      kind: "texture",
      label,
      source: { buffer: source.buffer, offset: from + done, bytesPerRow: rowBytes },
      target: { texture, origin: [column / texel, row] },
      size: [Math.ceil(width / texel), height],
      bytes: width * height,
    });
    done += width * height;
  }
  return steps;
}

/**
 * Copies tensors into a scratch texture, each from a row of its own; their bits are kept, whatever they
 * mean.
 *
 * @returns The copies that run right before the kernel, the texel where each tensor starts, and WGSL as
 * from `textureReader`.
 * @throws RangeError as `copyToTexture` does.
 */
export function textureSource(
  gpu: Gpu,
  label: string,
  variable: string,
  format: "rgba32float" | "r32float",
  tensors: readonly Tensor[],
) {
  const texel = texelBytes(format);
  const rowCounts = tensors.map((tensor) => textureRows(tensorBytes(tensor)));
  const texture = scratchTexture(gpu, format, rowCounts.reduce((a, b) => a + b, 0) * rowBytes);
  const steps: TextureCopy[] = [];
  const starts: number[] = [];
  let row = 1;
  for (const [i, tensor] of tensors.entries()) {
    const words = (Math.ceil(tensorBytes(tensor) / texel) * texel) / 4;
    const floats = {
      ...tensor,
      offset: byteOffset(tensor) / 4,
      shape: [words],
      dtype: "f32",
    } as const;
    steps.push(...copyToTexture(label, floats, texture, row * rowBytes));
    starts.push((row * rowBytes) / texel);
    row += rowCounts[i] ?? 0;
  }
  return { steps, binding: texture.createView(), starts, ...textureReader(variable, format) };
}
