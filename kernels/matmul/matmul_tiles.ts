/**
 * The matrix product by tiles in workgroup memory, for GPUs and many rows: what a workgroup loads
 * serves all of its 64 invocations.
 *
 * Tile: 16, 32 or 64 rows x 64 outputs; 32 inputs at a time (a block of quantized weights) are laid
 * into 8 KiB of weights and 2 to 8 KiB of x, weights unpacked once. Of it an invocation sums 2, 4 or 8
 * rows x 8 outputs in registers. On llvmpipe, where barriers and workgroup memory are slow, it is a
 * fifth as fast as registers alone; on no GPU was it measured yet.
 */
import type { Gpu } from "../gpu/device.ts";
import { dispatchGrid } from "../gpu/grid.ts";
import type { MatmulArguments } from "./matmul.ts";
import {
  addQuad,
  endTile,
  finishText,
  isScalar,
  productConstants,
  productCost,
  sizesText,
  weightAndBias,
} from "./matmul_parts.ts";
import code from "./matmul_tiles.wgsl" with { type: "text" };
import { isQuantized, loadQuad, loadScales, panelLayout, panelReader } from "./packed_weight.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { fill } from "../gpu/shader.ts";

export interface TileVariant {
  form: "tiles";
  /** Rows of a workgroup. */
  rows: 16 | 32 | 64;
}

/** Steps of the product (see matmul.ts), checked there. */
export function matmulTiles(gpu: Gpu, args: MatmulArguments, variant: TileVariant): Step[] {
  const { label, x, weight } = args;
  const rows = x.shape[0] ?? 0;
  const pipeline = gpu.pipeline("matmul tiles", shader(args, variant));
  return weight.parts.map((part) => {
    const bound = weightAndBias(gpu, args, part);
    const tiles = Math.ceil(rows / variant.rows) * Math.ceil(part.outputs / 64);
    return dispatch(
      gpu,
      `matmul ${label}`,
      pipeline,
      [productConstants(gpu, args, part, x.offset / 4), x, bound.weight, args.y, bound.bias],
      dispatchGrid(gpu, tiles * 64, 64),
      productCost(args, part),
    );
  });
}

function shader(args: MatmulArguments, { rows }: TileVariant): string {
  const { weight, norm } = args;
  const scalar = isScalar(args);
  const tile = rows / 8;
  const all = Array.from({ length: tile }, (_, r) => r);
  const halves = ["p", "q"].flatMap((half, h) => [0, 1, 2, 3].map((k) => ({ half, h, k })));
  const { blockTexels, quadTexels } = panelLayout(weight.dtype);
  const load = isQuantized(weight.dtype)
    ? `    var at = (load_panel * blocks + block) * ${blockTexels}u;
${loadScales}
    at += 1u + load_quad * ${quadTexels}u;`
    : `    let at = (load_panel * sizes.quads + quad) * ${quadTexels}u;`;
  const panel = panelReader(weight, "weight_at", "weight");
  return fill(code, {
    rows,
    tile,
    x_quads: rows * 8,
    sizes: sizesText(scalar),
    weight: panel.declaration,
    reader: panel.code,
    y_type: scalar ? "f32" : "vec4f",
    finish: finishText(scalar),
    start: all.map((r) =>
      `  var a${r} = vec4f();\n  var b${r} = vec4f();${norm ? `\n  var s${r} = 0.0;` : ""}`
    ).join("\n"),
    load: [
      load,
      loadQuad(weight.dtype),
      ...halves.map(({ half, h, k }) => `    tile_w[to_w + ${2 * k + h}u] = ${half}${k};`),
    ].join("\n"),
    step: [
      `    let w = (i * 8u + local % 8u) * 8u;`,
      ...halves.map(({ half, h, k }) => `    let ${half}${k} = tile_w[w + ${2 * k + h}u];`),
      ...all.map((r) => `    let v${r} = tile_x[(local / 8u * ${tile}u + ${r}u) * 8u + i];`),
      addQuad(all),
      ...(norm ? all.map((r) => `    s${r} += dot(v${r}, v${r});`) : []),
    ].join("\n"),
    end: endTile(all, norm !== undefined),
  });
}
