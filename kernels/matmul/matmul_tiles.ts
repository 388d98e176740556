/**
 * The matrix product by tiles in workgroup memory, for GPUs and many rows: what a workgroup loads
 * serves all of its 64 invocations.
 *
 * Tile: 16, 32 or 64 rows x 64 outputs; 32 inputs at a time (a block of quantized weights) are laid
 * into 8 KiB of weights and 2 to 8 KiB of x, weights unpacked once. Of it an invocation sums 2, 4 or 8
 * rows x 8 outputs in registers. On llvmpipe, where barriers and workgroup memory are slow, it is a
 * fifth as fast as registers alone. It hasn't been measured on a GPU yet.
 */
import type { Gpu } from "../gpu/device.ts";
import type { Step } from "../gpu/plan.ts";
import { storageSource } from "../gpu/uniform.ts";
import { type MatmulArguments, productSteps } from "./matmul_parts.ts";
import code from "./matmul_tiles.wgsl" with { type: "text" };

export interface TileVariant {
  form: "tiles";
  /** Rows of a workgroup. */
  rows: 16 | 32 | 64;
}

/** Steps of the product (see matmul.ts), checked there. */
export function matmulTiles(gpu: Gpu, args: MatmulArguments, { rows }: TileVariant): Step[] {
  const tiles = Math.ceil((args.x.shape[0] ?? 0) / rows);
  return productSteps(gpu, args, {
    kernel: "matmul tiles",
    code,
    texts: {},
    tile: rows / 8,
    sums: rows / 4,
    x: {
      ...storageSource(args.x, "x", "vec4f"),
      code: "fn x_at(i: u32) -> vec4f { return x[i]; }",
    },
    lanes: 64,
    invocations: (outputs) => tiles * Math.ceil(outputs / 64) * 64,
  });
}
