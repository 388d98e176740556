/**
 * Slices of history: the K and V of the tokens that one tick adds, all layers, as one dense tensor that
 * can be sent to another copy of the history.
 *
 * The slots are read when the kernel runs (they lie in two or three runs that move with every tick),
 * so the steps are made once. A lane moves 16 bytes; floats and halves alike are words here.
 */
import type { Gpu } from "../gpu/device.ts";
import { dispatchGrid } from "../gpu/grid.ts";
import code from "./history_copy.wgsl" with { type: "text" };
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { fill } from "../gpu/shader.ts";
import { byteOffset, elements, type Tensor, tensorBytes } from "../gpu/tensor.ts";

export interface SliceArguments {
  label: string;
  /** Per layer, f32 or f16 [slots, width]; rows of whole 16 bytes. */
  caches: readonly { keys: Tensor; values: Tensor }[];
  /** i32 [M, 8]: {slot, ...}. */
  tokens: Tensor;
  /** [layers, 2, M, width] in the caches' storage type: K, then V of each layer. */
  slice: Tensor;
}

/** One dispatch per layer that copies the rows of the tokens' slots into a slice.
 *
 * @throws RangeError when shapes don't fit. */
export function gatherSlice(gpu: Gpu, args: SliceArguments): Dispatch[] {
  return move(gpu, "gather", args);
}

/** One dispatch per layer that copies a slice into the rows of the tokens' slots. Where two tokens have
 * one slot, either's row may stay.
 *
 * @throws RangeError when shapes don't fit. */
export function scatterSlice(gpu: Gpu, args: SliceArguments): Dispatch[] {
  return move(gpu, "scatter", args);
}

function move(gpu: Gpu, way: "gather" | "scatter", args: SliceArguments): Dispatch[] {
  const { label, caches, tokens, slice } = args;
  const rows = check(way, args);
  const gather = way === "gather";
  const lanes = 64;
  const text = (cache: string) =>
    gather ? `slice[in_slice] = ${cache}[in_cache];` : `${cache}[in_cache] = slice[in_slice];`;
  const pipeline = gpu.pipeline(
    `${way} slice`,
    fill(code, {
      lanes,
      cache_access: gather ? "read" : "read_write",
      slice_access: gather ? "read_write" : "read",
      move_keys: text("keys"),
      move_values: text("values"),
    }),
  );
  const layerBytes = tensorBytes(slice) / caches.length;
  const row = layerBytes / 2 / rows / 16;
  const [x, y] = dispatchGrid(gpu, rows * row, lanes);
  return caches.map(({ keys, values }, layer) =>
    dispatch(
      gpu,
      `${way} slice ${label} ${layer}`,
      pipeline,
      [
        gpu.constants({
          u32: [
            rows,
            row,
            tokens.offset,
            byteOffset(keys) / 16,
            byteOffset(values) / 16,
            (byteOffset(slice) + layer * layerBytes) / 16,
          ],
        }),
        tokens,
        keys,
        values,
        slice,
      ],
      [x, y, 2],
      { bytes: 2 * layerBytes + rows * 4 },
    )
  );
}

/** Checks shapes; gives the number of tokens. */
function check(way: string, { label, caches, tokens, slice }: SliceArguments): number {
  const [layers = 0, pair = 0, rows = 0, width = 0] = slice.shape;
  const fits = layers > 0 && layers === caches.length && pair === 2 && rows > 0 &&
    slice.shape.length === 4 && elements(tokens.shape) === rows * 8;
  const tensors = caches.flatMap(({ keys, values }) => [keys, values]);
  const same = tensors.every((cache) =>
    cache.dtype === slice.dtype && cache.shape.length === 2 && cache.shape[1] === width
  );
  if (!fits || !same) {
    const [cache = slice] = tensors;
    throw new RangeError(
      `${way} slice ${label}: [${slice.shape}] ${slice.dtype} doesn't fit ${caches.length} layers of ` +
        `[${cache.shape}] ${cache.dtype} and tokens [${tokens.shape}]`,
    );
  }
  const rowBytes = tensorBytes({ shape: [width], dtype: slice.dtype });
  for (const bytes of [rowBytes, ...[slice, ...tensors].map(byteOffset)]) {
    if (bytes % 16 !== 0) {
      throw new RangeError(`${way} slice ${label}: ${bytes} bytes are no multiple of 16`);
    }
  }
  return rows;
}
