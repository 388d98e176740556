/**
 * Frames of 2 hop samples into hop samples each: the second half of every frame is added to the first
 * half of the next one. The last frame's second half is carried over as `tail`.
 */
import type { Gpu } from "../gpu/device.ts";
import { copy, dispatch, type Step } from "../gpu/plan.ts";
import { elements, type Tensor, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./overlap_add.wgsl" with { type: "text" };

const sizes = new UniformStruct("Sizes", { u32: "samples hop x_at tail_at y_at" });

/**
 * x [T, 1, 1, 2 hop] and the tail before it -> y [T hop, 1, 1, 1] and the tail after it; f32.
 *
 * @param tail f32 [hop], zeros at the start of a stream; updated.
 */
export function overlapAdd(gpu: Gpu, { label, x, tail, y }: Tensors<"x" | "tail" | "y">): Step[] {
  const name = `overlapAdd ${label}`;
  const hop = elements(tail.shape);
  const samples = elements(y.shape);
  const frames = x.shape[0] ?? 0;
  if (elements(x.shape) !== 2 * hop * frames || samples !== hop * frames) {
    throw new RangeError(`${name}: [${x.shape}] with a tail of ${hop} to ${samples} samples`);
  }
  const at = { x_at: x.offset, tail_at: tail.offset, y_at: y.offset };
  const last: Tensor = { ...x, offset: x.offset + (2 * frames - 1) * hop, shape: [hop] };
  return [
    dispatch(
      gpu,
      name,
      gpu.pipeline(name, code, { sizes }),
      [sizes.bind(gpu, { samples, hop, ...at }), x, tail, y],
      { items: samples },
      { flops: samples, bytes: tensorBytes(x) + tensorBytes(y) },
    ),
    copy(`${name} tail`, last, { ...tail, shape: [hop] }),
  ];
}
