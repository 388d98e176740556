/** SwiGLU (Shazeer 2020): the gated activation between the two products of an MLP. */
import type { Gpu } from "./device.ts";
import { dispatchGrid } from "./grid.ts";
import { type Dispatch, dispatch } from "./plan.ts";
import code from "./swiglu.wgsl" with { type: "text" };
import { elements, type Tensor, tensorBytes } from "./tensor.ts";

/**
 * y = silu(gate) * up.
 *
 * @param args x f32 [M, 2 I] (gate, then up), y f32 [M, I] in another buffer; I and offsets in fours.
 * @throws RangeError when shapes don't fit.
 */
export function swiglu(
  gpu: Gpu,
  { label, x, y }: { label: string; x: Tensor; y: Tensor },
): Dispatch {
  const [rows = 0, width = 0] = y.shape;
  if (
    String(x.shape) !== String([rows, 2 * width]) || width % 4 !== 0 || x.buffer === y.buffer ||
    [x, y].some((tensor) => tensor.dtype !== "f32" || tensor.offset % 4 !== 0)
  ) {
    throw new RangeError(`swiglu ${label}: [${x.shape}] to [${y.shape}], I and offsets in fours`);
  }
  const constants = gpu.constants({ u32: [rows, width / 4, x.offset / 4, y.offset / 4] });
  return dispatch(
    gpu,
    `swiglu ${label}`,
    gpu.pipeline("swiglu", code),
    [constants, x, y],
    dispatchGrid(gpu, elements(y.shape) / 4, 64),
    { flops: 5 * elements(y.shape), bytes: tensorBytes(x) + tensorBytes(y) },
  );
}
