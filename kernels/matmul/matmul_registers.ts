/**
 * The matrix product in registers: no barriers, nothing shared, but for the sums of a split.
 *
 * Tile: an invocation makes up to 9 rows x 8 outputs in registers and reads x and W from memory by
 * vec4; lanes lie along the outputs. Rows are parted evenly (27 = 3 x 9, 18 = 2 x 9, 20 = 3 x 7), so
 * that a ragged end wastes at most one row per tile, and a single row is the tile of 1 x 8. Few rows
 * leave a GPU idle: then `split` neighbouring invocations share a tile, each takes every split-th
 * group (or block) of inputs, so that their loads lie side by side, and they add up at the end.
 *
 * Measured on llvmpipe (AVX2, two cores, 64x1024x1024): 2 GFLOP/s from storage buffers, 33 from
 * textures, 42 with sums of four; a 16x8 or 8x16 tile gains 10% there, loses it on ragged ends and
 * takes twice as long to compile.
 */
import type { Gpu } from "../gpu/device.ts";
import { textureSource } from "../gpu/texture.ts";
import type { Step } from "../gpu/plan.ts";
import { storageSource, uniformSource } from "../gpu/uniform.ts";
import { type MatmulArguments, productSteps } from "./matmul_parts.ts";
import code from "./matmul_registers.wgsl" with { type: "text" };

export interface RegisterVariant {
  form: "registers";
  /** Rows of a tile. */
  tile: number;
  /** Invocations of a workgroup, and of them those that share a tile. */
  lanes: number;
  split: number;
  /** Where x is read: copied into a texture, where it is, or (small ones) as a uniform. */
  x: "texture" | "buffer" | "uniform";
}

/** Steps of the product (see matmul.ts), checked there. */
export function matmulRegisters(
  gpu: Gpu,
  args: MatmulArguments,
  { tile, lanes, split, x }: RegisterVariant,
): Step[] {
  const rows = args.x.shape[0] ?? 0;
  const { steps, ...source } = readX(gpu, args, x);
  const form = {
    kernel: "matmul",
    code,
    texts: { lanes, split, shared: split > 1 },
    tile,
    sums: split > 1 ? 2 : 2 * tile,
    x: source,
    lanes,
    invocations: (outputs: number) => Math.ceil(outputs / 8) * Math.ceil(rows / tile) * split,
  };
  return [...steps, ...productSteps(gpu, args, form)];
}

function readX(gpu: Gpu, { label, x }: MatmulArguments, from: RegisterVariant["x"]) {
  if (from === "texture") {
    const source = textureSource(gpu, `matmul ${label} x`, "x", "rgba32float", [x]);
    return { ...source, start: source.starts[0] ?? 0 };
  }
  const source = from === "buffer"
    ? storageSource(x, "x", "vec4f")
    : uniformSource(gpu, x, "x", "vec4f");
  return { steps: [], ...source, code: "fn x_at(i: u32) -> vec4f { return x[i]; }" };
}
