/**
 * Slices of history: the K and V of the tokens that one tick adds, all layers, as one dense tensor that
 * can be sent to another copy of the history.
 *
 * The slots are read when the kernel runs (they lie in two or three runs that move with every tick),
 * so the steps are made once. A lane moves 16 bytes; floats and halves alike are words here.
 */
import type { Gpu } from "../gpu/device.ts";
import code from "./history_copy.wgsl" with { type: "text" };
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { byteOffset, checkTensors, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

export interface SliceArguments {
  label: string;
  /** Per layer, f32 or f16 [slots, width]; rows of whole 16 bytes. */
  caches: readonly { keys: Tensor; values: Tensor }[];
  /** i32 [M, 8]: {slot, ...}. */
  tokenTable: Tensor;
  /** [layers, 2, M, width] in the caches' storage type: K, then V of each layer. */
  slice: Tensor;
}

/** In 16 bytes: the length of a row, and where each tensor starts (the slice: this layer's part);
 * the token table in elements. */
const sizes = new UniformStruct("Sizes", { u32: "rows row token_table keys values slice" });

/**
 * One dispatch per layer that copies the rows of the tokens' slots into a slice (gather), or a slice
 * into these rows (scatter). Where two tokens have the same slot, one of their rows stays, and it isn't
 * defined which.
 *
 * @throws RangeError when shapes don't fit.
 */
export function copySlice(
  gpu: Gpu,
  way: "gather" | "scatter",
  { label, caches, tokenTable, slice }: SliceArguments,
): Dispatch[] {
  const name = `${way} slice ${label}`;
  const [, , rows = 0, width = 0] = slice.shape;
  const dtype = slice.dtype === "f16" ? "f16" : "f32";
  const texel = dtype === "f16" ? 8 : 4;
  if (width % texel !== 0) throw new RangeError(`${name}: rows of ${width} are no whole 16 bytes`);
  checkTensors(name, {
    slice: [slice, dtype, [caches.length, 2, rows, width], texel],
    tokenTable: [tokenTable, "i32", [rows, 8]],
  });
  for (const { keys, values } of caches) {
    const cache = [keys.shape[0] ?? 0, width];
    checkTensors(name, {
      keys: [keys, dtype, cache, texel],
      values: [values, dtype, cache, texel],
    });
  }
  const gather = way === "gather";
  const pipeline = gpu.pipeline(`${way} slice`, code, {
    sizes,
    gather,
    caches: gather ? "read" : "read_write",
    slice: gather ? "read_write" : "read",
  });
  const layerBytes = tensorBytes(slice) / caches.length;
  const row = layerBytes / 2 / rows / 16;
  return caches.map(({ keys, values }, layer) => {
    const constants = sizes.bind(gpu, {
      rows,
      row,
      token_table: tokenTable.offset,
      keys: byteOffset(keys) / 16,
      values: byteOffset(values) / 16,
      slice: (byteOffset(slice) + layer * layerBytes) / 16,
    });
    return dispatch(
      gpu,
      `${name} ${layer}`,
      pipeline,
      [constants, tokenTable, keys, values, slice],
      { items: 2 * rows * row },
      { bytes: 2 * layerBytes + rows * 4 },
    );
  });
}
