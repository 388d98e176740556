/**
 * RMSNorm (Zhang and Sennrich 2019) over rows.
 *
 * One workgroup per row; each invocation keeps its share of the row between the two passes, since a
 * second read costs more than the sums. 64 invocations suit a GPU; on a CPU they are one SIMD
 * register wide, so that the barrier joins nothing.
 */
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import code from "./rmsnorm.wgsl" with { type: "text" };
import { checkTensors, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

/** In vec4: the length of a row, and where each tensor starts. */
const sizes = new UniformStruct("Sizes", { u32: "quads x y weight", f32: "eps" });

/**
 * y = x / sqrt(mean(x^2) + eps) * weight.
 *
 * @param args x and y f32 [M, D] in different buffers, weight f32 [D]; D and offsets multiples of 4.
 * @throws RangeError when shapes don't fit.
 */
export function rmsnorm(
  gpu: Gpu,
  { label, x, weight, eps, y }: Tensors<"x" | "weight" | "y"> & {
    eps: number;
  },
): Dispatch {
  const [rows = 0, width = 0] = x.shape;
  checkTensors(`rmsnorm ${label}`, {
    x: [x, "f32", [rows, width], 4],
    weight: [weight, "f32", [width], 4],
    y: [y, "f32", [rows, width], 4],
  });
  if (width % 4 !== 0 || x.buffer === y.buffer) {
    throw new RangeError(`rmsnorm ${label}: rows of ${width}, no multiple of 4, or one buffer`);
  }
  const { lanes } = gpu.traits;
  const quads = width / 4;
  const pipeline = gpu.pipeline("rmsnorm", code, { sizes, lanes, share: Math.ceil(quads / lanes) });
  const starts = { x: x.offset / 4, y: y.offset / 4, weight: weight.offset / 4 };
  const constants = sizes.bind(gpu, { quads, ...starts, eps });
  const cost = { flops: 4 * rows * width, bytes: 2 * tensorBytes(x) + tensorBytes(weight) };
  return dispatch(gpu, `rmsnorm ${label}`, pipeline, [constants, x, weight, y], [rows, 1, 1], cost);
}
