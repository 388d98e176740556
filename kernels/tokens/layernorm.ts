/**
 * LayerNorm (Ba et al. 2016, arXiv 1607.06450) over rows, with weight and bias.
 *
 * One workgroup per row, whose invocations keep their share of it, as in rmsnorm.ts. The variance is
 * taken from what is left after the mean: rows far from zero lose no digits.
 */
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { checkTensors, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./layernorm.wgsl" with { type: "text" };

/** In vec4: the length of a row, and where each tensor starts. */
const sizes = new UniformStruct("Sizes", { u32: "quads x weight bias y", f32: "eps" });

/**
 * y = (x - mean) / sqrt(variance + eps) * weight + bias.
 *
 * @param args x and y f32 [M, D] in different buffers, weight and bias f32 [D]; D and offsets multiples
 * of 4.
 * @throws RangeError when shapes don't fit.
 */
export function layernorm(
  gpu: Gpu,
  { label, x, weight, bias, eps, y }: Tensors<"x" | "weight" | "bias" | "y"> & { eps: number },
): Dispatch {
  const [rows = 0, width = 0] = x.shape;
  checkTensors(`layernorm ${label}`, {
    x: [x, "f32", [rows, width], 4],
    weight: [weight, "f32", [width], 4],
    bias: [bias, "f32", [width], 4],
    y: [y, "f32", [rows, width], 4],
  });
  if (width % 4 !== 0 || x.buffer === y.buffer) {
    throw new RangeError(`layernorm ${label}: rows of ${width}, no multiple of 4, or one buffer`);
  }
  const { lanes } = gpu.traits;
  const quads = width / 4;
  const share = Math.ceil(quads / lanes);
  return dispatch(
    gpu,
    `layernorm ${label}`,
    gpu.pipeline("layernorm", code, { sizes, lanes, share }),
    [
      sizes.bind(gpu, {
        quads,
        x: x.offset / 4,
        weight: weight.offset / 4,
        bias: bias.offset / 4,
        y: y.offset / 4,
        eps,
      }),
      x,
      weight,
      bias,
      y,
    ],
    [rows, 1, 1],
    { flops: 7 * rows * width, bytes: 2 * tensorBytes(x) + 2 * tensorBytes(weight) },
  );
}
