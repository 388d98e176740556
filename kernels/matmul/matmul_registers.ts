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
 * images, 42 with sums of four; a 16x8 or 8x16 tile gains 10% there, loses it on ragged ends and
 * takes twice as long to compile.
 */
import type { Gpu } from "../gpu/device.ts";
import { dispatchGrid } from "../gpu/grid.ts";
import { copyToImage, rowBytes, scratchImage } from "../gpu/image.ts";
import type { MatmulArguments } from "./matmul.ts";
import {
  addQuad,
  endTile,
  finishText,
  isScalar,
  productConstants,
  productCost,
  rowScale,
  sizesText,
  weightAndBias,
} from "./matmul_parts.ts";
import code from "./matmul_registers.wgsl" with { type: "text" };
import {
  isQuantized,
  loadQuad,
  loadScales,
  panelLayout,
  panelReader,
  texelReader,
} from "./packed_weight.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { fill } from "../gpu/shader.ts";
import { type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { uniformSource } from "../gpu/uniform.ts";

export interface RegisterVariant {
  form: "registers";
  /** Rows of a tile. */
  tile: number;
  /** Invocations of a workgroup, and of them those that share a tile. */
  lanes: number;
  split: number;
  /** Where x is read: copied into an image, where it is, or (small ones) as a uniform. */
  x: "image" | "buffer" | "uniform";
}

/** Steps of the product (see matmul.ts), checked there. */
export function matmulRegisters(
  gpu: Gpu,
  args: MatmulArguments,
  variant: RegisterVariant,
): Step[] {
  const { label, x, weight } = args;
  const rows = x.shape[0] ?? 0;
  const { tile, lanes, split } = variant;
  const source = readX(gpu, args, variant.x);
  const pipeline = gpu.pipeline("matmul", shader(args, variant, source));
  const dispatches = weight.parts.map((part) => {
    const bound = weightAndBias(gpu, args, part);
    return dispatch(
      gpu,
      `matmul ${label}`,
      pipeline,
      [
        productConstants(gpu, args, part, source.start),
        source.binding,
        bound.weight,
        args.y,
        bound.bias,
      ],
      dispatchGrid(gpu, Math.ceil(part.outputs / 8) * Math.ceil(rows / tile) * split, lanes),
      productCost(args, part),
    );
  });
  return [...source.steps, ...dispatches];
}

interface Source {
  steps: Step[];
  binding: Tensor | GPUTextureView | GPUBufferBinding;
  /** In vec4. */
  start: number;
  declaration: string;
  code: string;
}

function readX(gpu: Gpu, { label, x }: MatmulArguments, from: RegisterVariant["x"]): Source {
  const reader = texelReader("x_at", "x", "rgba32float", from === "image");
  if (from === "buffer") return { steps: [], binding: x, start: x.offset / 4, ...reader };
  if (from === "image") {
    const image = scratchImage(gpu, "rgba32float", tensorBytes(x));
    const steps = copyToImage(`matmul ${label} x`, x, image, rowBytes);
    return { steps, binding: image.createView(), start: rowBytes / 16, ...reader };
  }
  return { steps: [], code: reader.code, ...uniformSource(gpu, x, "x", "vec4f") };
}

function shader(
  args: MatmulArguments,
  { tile, lanes, split }: RegisterVariant,
  x: Pick<Source, "declaration" | "code">,
): string {
  const { weight, norm } = args;
  const scalar = isScalar(args);
  const normed = norm !== undefined;
  const all = Array.from({ length: tile }, (_, r) => r);
  const panel = panelReader(weight, "weight_at", "weight");
  const { blockQuads, blockTexels, quadTexels } = panelLayout(weight.dtype);
  const step = [
    ...all.map((r) => `    let v${r} = x_at(x${r} + i);`),
    loadQuad(weight.dtype),
    addQuad(all),
    ...(normed ? all.map((r) => `    s${r} += dot(v${r}, v${r});`) : []),
    `    at += ${quadTexels}u;`,
  ].join("\n");
  const sum = isQuantized(weight.dtype)
    ? `  let blocks = (sizes.quads + ${blockQuads - 1}u) / ${blockQuads}u;
  for (var block = part; block < blocks; block += ${split}u) {
    var at = (panel * blocks + block) * ${blockTexels}u;
${loadScales}
    at += 1u;
    let end = min((block + 1u) * ${blockQuads}u, sizes.quads);
    for (var i = block * ${blockQuads}u; i < end; i++) {
${step}
    }
  }`
    : `  var at = (panel * sizes.quads + part) * ${quadTexels}u;
  for (var i = part; i < sizes.quads; i += ${split}u) {
${step}${split > 1 ? `\n    at += ${(split - 1) * quadTexels}u;` : ""}
  }`;
  return fill(code, {
    sizes: sizesText(scalar),
    tile,
    lanes,
    split,
    x: x.declaration,
    weight: panel.declaration,
    y_type: scalar ? "f32" : "vec4f",
    shared: split > 1
      ? `var<workgroup> shared_sums: array<vec4f, ${lanes * tile * 2}>;` +
        (normed ? `\nvar<workgroup> shared_squares: array<f32, ${lanes * tile}>;` : "")
      : "",
    readers: `${x.code}\n\n${panel.code}`,
    finish: finishText(scalar),
    start: all.map((r) =>
      `  let x${r} = sizes.x + min(row + ${r}u, last) * sizes.quads;
  var a${r} = vec4f();
  var b${r} = vec4f();${normed ? `\n  var s${r} = 0.0;` : ""}`
    ).join("\n"),
    sum,
    end: split > 1 ? endShared(tile, split, normed) : endTile(all, normed),
  });
}

/** The invocations of a split leave their sums to each other; each ends every split-th row. */
function endShared(tile: number, split: number, normed: boolean): string {
  const all = Array.from({ length: tile }, (_, r) => r);
  return [
    ...all.map((r) =>
      `  shared_sums[local * ${2 * tile}u + ${2 * r}u] = a${r};
  shared_sums[local * ${2 * tile}u + ${2 * r + 1}u] = b${r};` +
      (normed ? `\n  shared_squares[local * ${tile}u + ${r}u] = s${r};` : "")
    ),
    "  workgroupBarrier();",
    `  let team = local - part;
  for (var r = part; r < ${tile}u && row + r < sizes.rows; r += ${split}u) {
    var a = vec4f();
    var b = vec4f();${normed ? "\n    var s = 0.0;" : ""}
    for (var lane = team; lane < team + ${split}u; lane++) {
      a += shared_sums[(lane * ${tile}u + r) * 2u];
      b += shared_sums[(lane * ${tile}u + r) * 2u + 1u];${
      normed ? `\n      s += shared_squares[lane * ${tile}u + r];` : ""
    }
    }${normed ? `\n    s = ${rowScale("s")};\n    a *= s;\n    b *= s;` : ""}
    if (sizes.gated != 0u) {
      if (panel * 4u < sizes.outputs) {
        finish(row + r, panel * 4u, a / (1.0 + exp(-a)) * b);
      }
    } else {
      finish(row + r, panel * 8u, a);
      if (panel * 8u + 4u < sizes.outputs) {
        finish(row + r, panel * 8u + 4u, b);
      }
    }
  }`,
  ].join("\n");
}
