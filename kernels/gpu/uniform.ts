/**
 * Small tensors read as uniforms: llvmpipe loads those ten times faster than storage buffers and
 * without a copy into a texture; to a GPU they are constants.
 */
import type { Gpu } from "./device.ts";
import { byteOffset, room, type Tensor, tensorBytes } from "./tensor.ts";

/** Bytes that a uniform binding may have everywhere. */
const uniformBytes = room.uniform;

/** True when so many bytes can be bound as a uniform, wherever they start in their buffer. */
export function fitsUniform(gpu: Gpu, bytes: number): boolean {
  return bytes + gpu.device.limits.minUniformBufferOffsetAlignment <= uniformBytes;
}

/** A tensor of whole vec4 as an array that a kernel reads. */
export interface ArraySource {
  binding: GPUBufferBinding;
  /** Where the tensor starts, in vec4. */
  start: number;
  /** WGSL as from `textureReader`. */
  declaration: string;
  code: string;
}

/** WGSL for reading a storage array, as `textureReader` gives it for a texture. */
export function arrayReader(
  variable: string,
  type: string,
): { declaration: string; code: string } {
  return {
    declaration: `var<storage, read> ${variable}: array<${type}>;`,
    code: `fn ${variable}_at(i: u32) -> ${type} { return ${variable}[i]; }`,
  };
}

/** Binds a tensor as a storage array. Its offset is a multiple of 16 bytes. */
export function storageSource(tensor: Tensor, variable: string, type: string): ArraySource {
  return {
    binding: { buffer: tensor.buffer },
    start: byteOffset(tensor) / 16,
    ...arrayReader(variable, type),
  };
}

/**
 * Binds a tensor as a uniform array of vec4. Where its buffer has room for it (see `makeTensor`)
 * the array has the largest size, so that tensors of all shapes share a pipeline.
 *
 * @param type Of the elements: vec4f, vec4u or vec4i, whatever the tensor's are.
 */
export function uniformSource(
  gpu: Gpu,
  tensor: Tensor,
  variable: string,
  type: string,
): ArraySource {
  const align = gpu.device.limits.minUniformBufferOffsetAlignment;
  const offset = Math.floor(byteOffset(tensor) / align) * align;
  const start = (byteOffset(tensor) - offset) / 16;
  const needed = start * 16 + Math.ceil(tensorBytes(tensor) / 16) * 16;
  const size = tensor.buffer.size - offset >= uniformBytes ? uniformBytes : needed;
  return {
    binding: { buffer: tensor.buffer, offset, size },
    start,
    ...arrayReader(variable, type),
    declaration: `var<uniform> ${variable}: array<${type}, ${size / 16}>;`,
  };
}
