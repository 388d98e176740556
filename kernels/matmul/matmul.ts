/**
 * The matrix product of every linear layer: y[M, N] = x[M, K] W^T, with the norm before it and the
 * bias, activation and sum after it. There is one file per form: matmul_registers.ts, matmul_tiles.ts,
 * matmul_dot.ts; matmul_variant.ts chooses the form for a shape, matmul_parts.ts has what they share.
 */
import type { Gpu } from "../gpu/device.ts";
import type { Step } from "../gpu/plan.ts";
import { checkTensors } from "../gpu/tensor.ts";
import { matmulDot } from "./matmul_dot.ts";
import { type MatmulArguments, productShape } from "./matmul_parts.ts";
import { matmulRegisters } from "./matmul_registers.ts";
import { matmulTiles } from "./matmul_tiles.ts";
import { type MatmulVariant, matmulVariant } from "./matmul_variant.ts";

export type { MatmulArguments } from "./matmul_parts.ts";
export { freeWeight, type PackedWeight, type PackOptions, packWeight } from "./packed_weight.ts";

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
  check(args);
  const chosen = variant ?? matmulVariant(gpu, productShape(args));
  switch (chosen.form) {
    case "registers":
      return matmulRegisters(gpu, args, chosen);
    case "tiles":
      return matmulTiles(gpu, args, chosen);
    case "dot":
      return matmulDot(gpu, args, chosen);
  }
}

function check({ label, x, weight, y, bias }: MatmulArguments): void {
  const { inputs, gated } = weight;
  const outputs = gated ? weight.outputs / 2 : weight.outputs;
  const rows = x.shape[0] ?? 0;
  const step = outputs % 4 === 0 ? 4 : 1;
  checkTensors(`matmul ${label}`, {
    x: [x, "f32", [rows, inputs], 4],
    y: [y, "f32", [rows, outputs], step],
    bias: [bias, "f32", [gated ? 0 : outputs], step],
  });
  if ([x, bias].some((tensor) => tensor?.buffer === y.buffer)) {
    throw new RangeError(`matmul ${label}: y shares a buffer with what is read (use accumulate)`);
  }
}
