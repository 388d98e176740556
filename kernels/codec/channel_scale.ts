/** x scale + shift per channel, for the first channels: what takes latents to unit size and back. */
import type { Gpu } from "../gpu/device.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { checkTensors, elements, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./channel_scale.wgsl" with { type: "text" };

const sizes = new UniformStruct("Sizes", {
  u32: "count inputs outputs x_at scale_at shift_at y_at",
});

/**
 * y[..., c] = x[..., c] scale[c] + shift[c].
 *
 * @param x f32 [..., C].
 * @param scale f32 [c], c up to C.
 * @param shift f32 [c].
 * @param y f32 [..., c].
 * @throws RangeError when shapes don't fit.
 */
export function channelScale(
  gpu: Gpu,
  { label, x, scale, shift, y }: Tensors<"x" | "scale" | "shift" | "y">,
): Step[] {
  const name = `channelScale ${label}`;
  const inputs = x.shape.at(-1) ?? 0;
  const outputs = elements(scale.shape);
  const positions = x.shape.slice(0, -1);
  checkTensors(name, {
    scale: [scale, "f32", [Math.min(inputs, outputs)]],
    shift: [shift, "f32", [outputs]],
    y: [y, "f32", [...positions, outputs]],
  });
  const count = elements(y.shape);
  const at = { x_at: x.offset, scale_at: scale.offset, shift_at: shift.offset, y_at: y.offset };
  return [dispatch(
    gpu,
    name,
    gpu.pipeline(name, code, { sizes }),
    [sizes.bind(gpu, { count, inputs, outputs, ...at }), x, scale, shift, y],
    { items: count },
    { flops: 2 * count, bytes: 2 * tensorBytes(y) },
  )];
}
