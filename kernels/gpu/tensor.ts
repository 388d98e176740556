/** Tensors on the GPU: a typed, shaped view of a buffer. */
import type { Gpu } from "./device.ts";

/** How numbers are kept. f16 values are stored in pairs in u32 words (`pack2x16float`), so no shader
 * needs shader-f16; sums are always f32. */
export type FloatType = "f32" | "f16";

/** What a tensor's elements are. */
export type ElementType = FloatType | "u32" | "i32";

/** A dense row-major view. `offset` counts elements and is a multiple of 4 wherever a kernel loads
 * vectors; f16 extents are even in the last dimension. */
export interface Tensor {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly dtype: ElementType;
}

/** Bytes of one element. */
export function elementBytes(dtype: ElementType): number {
  return dtype === "f16" ? 2 : 4;
}

/** Number of elements of a shape. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Bytes that a tensor's elements take. */
export function tensorBytes(tensor: Pick<Tensor, "shape" | "dtype">): number {
  return elements(tensor.shape) * elementBytes(tensor.dtype);
}

/** Byte offset of a tensor in its buffer. */
export function byteOffset(tensor: Tensor): number {
  return tensor.offset * elementBytes(tensor.dtype);
}

/** Rows [start, start + count) of the first dimension, without copying. */
export function rows(tensor: Tensor, start: number, count: number): Tensor {
  const [extent = 0, ...rest] = tensor.shape;
  if (start < 0 || count < 0 || start + count > extent) {
    throw new RangeError(`rows ${start}..${start + count} of a tensor with ${extent} rows`);
  }
  return { ...tensor, offset: tensor.offset + start * elements(rest), shape: [count, ...rest] };
}

/** The same elements in another shape. */
export function reshape(tensor: Tensor, shape: readonly number[]): Tensor {
  if (elements(shape) !== elements(tensor.shape)) {
    throw new RangeError(`[${tensor.shape}] can't be reshaped to [${shape}]`);
  }
  return { ...tensor, shape };
}

/** A kernel's arguments: a label and tensors by name. */
export type Tensors<Names extends string> = { label: string } & Record<Names, Tensor>;

/** What a kernel asks of a tensor: its type, its shape, and of what its offset is a multiple (1). */
type Wanted = readonly [
  tensor: Tensor | undefined,
  dtype: ElementType,
  shape: readonly number[],
  multiple?: number,
];

/**
 * Checks a kernel's tensors by name; one that is undefined may be left out.
 *
 * @throws RangeError that says of the first tensor that doesn't fit what it is and what it must be.
 */
export function checkTensors(kernel: string, tensors: Readonly<Record<string, Wanted>>): void {
  for (const [name, [tensor, dtype, shape, multiple = 1]] of Object.entries(tensors)) {
    if (!tensor) continue;
    const fits = tensor.dtype === dtype && tensor.offset % multiple === 0 &&
      String(tensor.shape) === String(shape) &&
      shape.every((extent) => Number.isInteger(extent) && extent > 0);
    if (fits) continue;
    throw new RangeError(
      `${kernel}: ${name} is ${tensor.dtype} [${tensor.shape}] at offset ${tensor.offset}; ` +
        `it must be ${dtype} [${shape}]${multiple > 1 ? ` at a multiple of ${multiple}` : ""}`,
    );
  }
}

/**
 * Bytes that a buffer has after its tensor by how kernels read it: bound as the largest uniform (so
 * that tensors of all shapes share a pipeline), or copied by whole rows of a texture.
 */
export const room = { storage: 0, uniform: 64 << 10, texture: 16 << 10 } as const;

/**
 * Makes a tensor with a buffer of its own (zeroed by WebGPU).
 *
 * @param readAs What kernels may read it as, beside a storage buffer.
 */
export function makeTensor(
  gpu: Gpu,
  label: string,
  shape: readonly number[],
  dtype: ElementType = "f32",
  readAs: keyof typeof room = "storage",
): Tensor {
  const bytes = tensorBytes({ shape, dtype }) + room[readAs];
  return { buffer: gpu.buffer(label, bytes), offset: 0, shape, dtype };
}

/**
 * A tensor in a buffer that all kernels share under its label, for what one step writes and the next
 * one reads. There is a buffer per power of two from 64 KiB on, so that a few serve all sizes.
 */
export function scratchTensor(
  gpu: Gpu,
  label: string,
  shape: readonly number[],
  dtype: ElementType = "f32",
): Tensor {
  const bytes = 2 ** Math.ceil(Math.log2(Math.max(1 << 16, tensorBytes({ shape, dtype }))));
  const buffer = gpu.scratch(`${label} ${bytes}`, (root) => root.buffer(label, bytes));
  return { buffer, offset: 0, shape, dtype };
}

/** A tensor that the parts of a device share (`Gpu.shared`) under its label and shape. */
export function sharedTensor(
  gpu: Gpu,
  label: string,
  shape: readonly number[],
  dtype: ElementType = "f32",
  readAs: keyof typeof room = "storage",
): Tensor {
  return gpu.shared(
    `${label} ${dtype} [${shape}] ${readAs}`,
    (owner) => makeTensor(owner, label, shape, dtype, readAs),
  );
}

type Words = Float32Array | Uint32Array | Int32Array;

/** Makes a tensor from data: f32/u32/i32 as they are, f16 from floats (converted here, at load). */
export function tensorFrom(
  gpu: Gpu,
  label: string,
  shape: readonly number[],
  data: Words,
  dtype: ElementType = data instanceof Float32Array
    ? "f32"
    : data instanceof Int32Array
    ? "i32"
    : "u32",
): Tensor {
  const tensor = makeTensor(gpu, label, shape, dtype);
  if (data.length !== elements(shape)) {
    throw new RangeError(`${label}: ${data.length} values for the shape [${shape}]`);
  }
  upload(gpu, tensor, data);
  return tensor;
}

/** Writes host data over a whole tensor, in chunks so that staging memory stays small. */
export function upload(gpu: Gpu, tensor: Tensor, data: Words): void {
  const bytes = tensor.dtype === "f16" ? halves(data) : new Uint8Array(
    data.buffer as ArrayBuffer,
    data.byteOffset,
    data.byteLength,
  );
  const chunk = 16 << 20;
  for (let at = 0; at < bytes.byteLength; at += chunk) {
    const part = bytes.subarray(at, Math.min(at + chunk, bytes.byteLength));
    gpu.device.queue.writeBuffer(tensor.buffer, byteOffset(tensor) + at, part);
  }
}

/** Rounds floats to IEEE half precision, padded to whole 4-byte words. */
export function halves(data: Words): Uint8Array<ArrayBuffer> {
  const packed = new Float16Array(data.length + (data.length % 2));
  packed.set(data);
  return new Uint8Array(packed.buffer);
}
