/**
 * The matrix product of every linear layer: y[M, N] = x[M, K] W^T, with what stands before and after
 * it. One file per form: matmul_registers.ts, matmul_tiles.ts, matmul_dot.ts. Which one serves a shape is chosen in
 * matmul_variant.ts.
 */
import type { Gpu } from "../gpu/device.ts";
import { matmulDot } from "./matmul_dot.ts";
import { matmulRegisters } from "./matmul_registers.ts";
import { matmulTiles } from "./matmul_tiles.ts";
import { type MatmulVariant, matmulVariant } from "./matmul_variant.ts";
import type { PackedWeight } from "./packed_weight.ts";
import type { Step } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";

export { freeWeight, type PackedWeight, type PackOptions, packWeight } from "./packed_weight.ts";

export interface MatmulArguments {
  label: string;
  /** f32 [M, K]. */
  x: Tensor;
  weight: PackedWeight;
  /** f32 [M, N] (a gated weight: [M, N / 2]), in another buffer than x and bias. */
  y: Tensor;
  /** Divides every row of x by sqrt(mean(x^2) + eps) first: an RMSNorm whose weight is the `scale`
   * that W was packed with. */
  norm?: { eps: number };
  /** f32 [N]; not with a gated weight. */
  bias?: Tensor;
  /** Applied after the bias. */
  activation?: "silu";
  /** y += instead of y =: the residual stream. */
  accumulate?: boolean;
  /** Multiplies the result before it is stored or added (1): y += factor (x W^T + bias) is a step of
   * a solver. */
  factor?: number;
}

/**
 * Steps for y = silu?(norm?(x) W^T + bias), or y += that. With a gated weight the product
 * is silu(gate) * up (SwiGLU, Shazeer 2020).
 *
 * Offsets are multiples of 4; y and bias may start anywhere when N is no multiple of 4.
 *
 * @param variant Set by tests and tuning.
 * @throws RangeError when shapes don't fit, or y shares its buffer with what is read.
 */
export function matmul(gpu: Gpu, args: MatmulArguments, variant?: MatmulVariant): Step[] {
  const rows = check(args);
  const { weight, norm } = args;
  const chosen = variant ?? matmulVariant(gpu, { ...weight, rows, normed: norm !== undefined });
  switch (chosen.form) {
    case "registers":
      return matmulRegisters(gpu, args, chosen);
    case "tiles":
      return matmulTiles(gpu, args, chosen);
    case "dot":
      return matmulDot(gpu, args, chosen);
  }
}

function check({ label, x, weight, y, bias }: MatmulArguments): number {
  const { inputs, gated } = weight;
  const outputs = gated ? weight.outputs / 2 : weight.outputs;
  const rows = x.shape[0] ?? 0;
  const whole = outputs % 4 === 0;
  const fits = (tensor: Tensor, shape: number[]) =>
    tensor.dtype === "f32" && String(tensor.shape) === String(shape) &&
    (!whole || tensor.offset % 4 === 0);
  if (
    rows < 1 || String(x.shape) !== String([rows, inputs]) || x.offset % 4 !== 0 ||
    x.dtype !== "f32" || !fits(y, [rows, outputs]) || (bias && (gated || !fits(bias, [outputs])))
  ) {
    const shapes = [x, y, bias].map((t) => t && `[${t.shape}] from ${t.offset}`);
    throw new RangeError(
      `matmul ${label}: x, y, bias ${shapes.join(", ")} for a weight [${outputs}, ${inputs}]`,
    );
  }
  if ([x, bias].some((tensor) => tensor?.buffer === y.buffer)) {
    throw new RangeError(`matmul ${label}: y shares a buffer with what is read (use accumulate)`);
  }
  return rows;
}
