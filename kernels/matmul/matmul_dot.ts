/**
 * The matrix product in whole numbers: rows of x are quantized to 8 bits on the fly, a scale per 32
 * inputs, and multiplied with int8 or int4 weights by `dot4I8Packed`, four products in one operation
 * where the hardware has it. Sums of a block are exact; each is scaled and added in f32.
 *
 * Its error is that of rounding x: up to 1/254 of the largest magnitude of a block per input.
 *
 * Tile: as in matmul_registers.ts, up to 9 rows x 8 outputs. A dispatch before it quantizes, one
 * invocation per row and block; an RMSNorm's sum of squares comes along.
 */
import type { Gpu } from "../gpu/device.ts";
import { dispatchGrid } from "../gpu/grid.ts";
import type { MatmulArguments } from "./matmul.ts";
import code from "./matmul_dot.wgsl" with { type: "text" };
import {
  endTile,
  finishText,
  isScalar,
  productConstants,
  productCost,
  sizesText,
  weightAndBias,
} from "./matmul_parts.ts";
import {
  isQuantized,
  loadQuantized,
  loadScales,
  panelLayout,
  panelReader,
} from "./packed_weight.ts";
import { type Dispatch, dispatch, type Step } from "../gpu/plan.ts";
import { blockInputs } from "./quantize.ts";
import quantizeCode from "./quantize_rows.wgsl" with { type: "text" };
import { fill } from "../gpu/shader.ts";
import { type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { uniformSource } from "../gpu/uniform.ts";

export interface DotVariant {
  form: "dot";
  /** Rows of a tile, and invocations of a workgroup. */
  tile: number;
  lanes: number;
  /** How quantized rows are read; as a uniform only small ones. */
  x: "buffer" | "uniform";
}

/** Texels of a quantized block. */
const texels = 3;

/** Bytes of the quantized rows. */
export function quantizedBytes(rows: number, inputs: number): number {
  return rows * Math.ceil(inputs / blockInputs) * texels * 16;
}

/**
 * Quantizes rows.
 *
 * @param x f32 [M, K], its offset a multiple of 4.
 * @param y u32 [M, ceil(K / 32), 12], from its buffer's start.
 */
export function quantizeRows(gpu: Gpu, label: string, x: Tensor, y: Tensor): Dispatch {
  const [rows = 0, inputs = 0] = x.shape;
  const { lanes } = gpu.traits;
  const quads = Array.from({ length: blockInputs / 4 }, (_, j) => j);
  const lines = (line: (j: number) => string) => quads.map((j) => `  ${line(j)}`).join("\n");
  const text = fill(quantizeCode, {
    lanes,
    load: lines((j) =>
      `let v${j} = select(vec4f(), x[start + min(first + ${j}u, sizes.quads - 1u)], ` +
      `first + ${j}u < sizes.quads);`
    ),
    measure: lines((j) => `largest = max(largest, abs(v${j}));\n  squares += v${j} * v${j};`),
    round: lines((j) => `let q${j} = vec4i(round(v${j} * inverse));\n  sum += q${j};`),
    low: quads.slice(0, 4).map((j) => `pack4xI8(q${j})`).join(", "),
    high: quads.slice(4).map((j) => `pack4xI8(q${j})`).join(", "),
  });
  return dispatch(
    gpu,
    `quantize ${label}`,
    gpu.pipeline("quantize rows", text),
    [gpu.constants({ u32: [rows, inputs / 4, x.offset / 4] }), x, y],
    dispatchGrid(gpu, rows * Math.ceil(inputs / blockInputs), lanes),
    { bytes: tensorBytes(x) + tensorBytes(y) },
  );
}

/** Steps of the product (see matmul.ts), checked there; the weight is a quantized one. */
export function matmulDot(gpu: Gpu, args: MatmulArguments, variant: DotVariant): Step[] {
  const { label, x, weight } = args;
  const rows = x.shape[0] ?? 0;
  const bytes = quantizedBytes(rows, weight.inputs);
  const buffer = scratch(gpu, bytes);
  const quantized: Tensor = { buffer, offset: 0, shape: [bytes / 4], dtype: "u32" };
  const uniform = variant.x === "uniform" ? uniformSource(gpu, quantized, "x", "vec4u") : null;
  const declaration = uniform?.declaration ?? "var<storage, read> x: array<vec4u>;";
  const pipeline = gpu.pipeline("matmul dot", shader(args, variant, declaration));
  const binding = uniform?.binding ?? quantized;
  return [
    quantizeRows(gpu, label, x, quantized),
    ...weight.parts.map((part) => {
      const bound = weightAndBias(gpu, args, part);
      return dispatch(
        gpu,
        `matmul ${label}`,
        pipeline,
        [productConstants(gpu, args, part, 0), binding, bound.weight, args.y, bound.bias],
        dispatchGrid(
          gpu,
          Math.ceil(part.outputs / 8) * Math.ceil(rows / variant.tile),
          variant.lanes,
        ),
        productCost(args, part),
      );
    }),
  ];
}

const buffers = new WeakMap<Gpu, GPUBuffer>();

/** Quantized rows are read right after they were written, so that one buffer serves all. */
function scratch(gpu: Gpu, bytes: number): GPUBuffer {
  let buffer = buffers.get(gpu);
  if (!buffer || buffer.size < bytes) {
    // Steps made before keep the smaller one.
    buffer = gpu.buffer("quantized rows", Math.max(1 << 16, bytes));
    buffers.set(gpu, buffer);
  }
  return buffer;
}

function shader(
  args: MatmulArguments,
  { tile, lanes }: DotVariant,
  x: string,
): string {
  const { weight, norm } = args;
  const { dtype } = weight;
  if (!isQuantized(dtype)) {
    throw new RangeError(`matmul ${args.label}: no integer product with ${dtype}`);
  }
  const scalar = isScalar(args);
  const all = Array.from({ length: tile }, (_, r) => r);
  const panel = panelReader(weight, "weight_at", "weight");
  const { blockTexels, quadTexels } = panelLayout(dtype);
  const lines = (line: (r: number) => string) => all.map((r) => `    ${line(r)}`).join("\n");
  const dots = (r: number, lane: string, first: number) =>
    [0, 1, 2, 3].map((n) => `dot4I8Packed(u${r}.${lane}, packed${first + n})`).join(", ");
  // Weights of int4 are stored plus 8: eight times the sum of x comes off again.
  const minus = (r: number) => dtype === "int4" ? ` - 8 * bitcast<i32>(m${r}.z)` : "";
  return fill(code, {
    tile,
    lanes,
    block_texels: blockTexels,
    sizes: sizesText(scalar),
    x,
    weight: panel.declaration,
    reader: panel.code,
    y_type: scalar ? "f32" : "vec4f",
    finish: finishText(scalar),
    scales: loadScales,
    start: lines((r) =>
      `let x${r} = sizes.x + min(row + ${r}u, last) * blocks * ${texels}u;
  var a${r} = vec4f();
  var b${r} = vec4f();${norm ? `\n  var s${r} = 0.0;` : ""}`
    ),
    zero: lines((r) => `var c${r} = vec4i();\n    var d${r} = vec4i();`),
    step: [
      lines((r) => `let u${r} = x[x${r} + block * ${texels}u + half];`),
      ..."xyzw".split("").flatMap((lane) => [
        "    {",
        loadQuantized(dtype),
        lines((r) =>
          `c${r} += vec4i(${dots(r, lane, 0)});\n    d${r} += vec4i(${dots(r, lane, 4)});`
        ),
        `    at += ${quadTexels}u;`,
        "    }",
      ]),
    ].join("\n"),
    add: lines((r) =>
      `let m${r} = x[x${r} + block * ${texels}u + 2u];
    a${r} += vec4f(c${r}${minus(r)}) * scale_p * bitcast<f32>(m${r}.x);
    b${r} += vec4f(d${r}${minus(r)}) * scale_q * bitcast<f32>(m${r}.x);` +
      (norm ? `\n    s${r} += bitcast<f32>(m${r}.y);` : "")
    ),
    end: endTile(all, norm !== undefined),
  });
}
