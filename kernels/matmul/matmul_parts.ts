/** What the forms of the matrix product share: their constants, how a row ends, and its cost. */
import type { Gpu } from "../gpu/device.ts";
import type { MatmulArguments } from "./matmul.ts";
import { outputBytes, type WeightPart } from "./packed_weight.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { tensorBytes } from "../gpu/tensor.ts";

/** WGSL of the constants. `productConstants` fills them in. */
export function sizesText(scalar: boolean): string {
  return `struct Sizes {
  rows: u32,
  panels: u32,
  // Groups of four inputs.
  quads: u32,
  // Columns of y in this dispatch.
  outputs: u32,
  // Where x (in vec4), y and bias (in ${
    scalar ? "elements" : "vec4"
  }) start, and the length of y's rows.
  x: u32,
  y: u32,
  stride: u32,
  bias: u32,
  has_bias: u32,
  accumulate: u32,
  silu: u32,
  gated: u32,
  eps: f32,
  factor: f32,
}`;
}

/** True when y's rows are no whole vec4. */
export function isScalar({ weight }: MatmulArguments): boolean {
  return weight.outputs % 4 !== 0;
}

/**
 * The constants of a part's dispatch.
 *
 * @param start Where x starts, in vec4.
 */
export function productConstants(
  gpu: Gpu,
  args: MatmulArguments,
  part: WeightPart,
  start: number,
): GPUBufferBinding {
  const { x, y, bias, weight, accumulate, activation } = args;
  const { gated, inputs } = weight;
  const unit = isScalar(args) ? 1 : 4;
  const first = gated ? part.first / 2 : part.first;
  return gpu.constants({
    u32: [
      x.shape[0] ?? 0,
      Math.ceil(part.outputs / 8),
      inputs / 4,
      gated ? part.outputs / 2 : part.outputs,
      start,
      (y.offset + first) / unit,
      (y.shape[1] ?? 0) / unit,
      ((bias?.offset ?? 0) + first) / unit,
      ...[bias, accumulate, activation, gated].map((is) => is ? 1 : 0),
    ],
    f32: [args.norm?.eps ?? 0, args.factor ?? 1],
  });
}

/** What a part's dispatch costs at least. */
export function productCost(
  { x, weight: { inputs, dtype, gated } }: MatmulArguments,
  part: WeightPart,
): { flops: number; bytes: number } {
  const rows = x.shape[0] ?? 0;
  const width = gated ? part.outputs / 2 : part.outputs;
  return {
    flops: 2 * rows * part.outputs * inputs,
    bytes: tensorBytes(x) + 4 * rows * width + part.outputs * outputBytes(dtype, inputs),
  };
}

/** What is bound as a part's weights and as the bias. */
export function weightAndBias(gpu: Gpu, { bias }: MatmulArguments, { panels }: WeightPart) {
  if (!(panels instanceof GPUTexture)) return { weight: panels, bias: bias ?? panels };
  return { weight: panels.createView(), bias: bias ?? idle(gpu) };
}

const idleBuffers = new WeakMap<Gpu, Tensor>();

/** Something to bind where a kernel reads nothing. */
function idle(gpu: Gpu): Tensor {
  let tensor = idleBuffers.get(gpu);
  if (!tensor) {
    tensor = { buffer: gpu.buffer("nothing", 16), offset: 0, shape: [4], dtype: "f32" };
    idleBuffers.set(gpu, tensor);
  }
  return tensor;
}

/** WGSL of `finish(row, column, sum)`: bias, activation and store of four sums. */
export function finishText(scalar: boolean): string {
  return scalar ? finishScalar : finishVector;
}

const finishVector = `fn finish(row: u32, column: u32, sum: vec4f) {
  var value = sum;
  if (sizes.has_bias != 0u) {
    value += bias[sizes.bias + column / 4u];
  }
  if (sizes.silu != 0u) {
    value /= 1.0 + exp(-value);
  }
  value *= sizes.factor;
  let at = row * sizes.stride + column / 4u;
  if (sizes.accumulate != 0u) {
    value += y[sizes.y + at];
  }
  y[sizes.y + at] = value;
}`;

const finishScalar = `fn finish(row: u32, column: u32, sum: vec4f) {
  for (var c = 0u; c < min(4u, sizes.outputs - column); c++) {
    var value = sum[c];
    if (sizes.has_bias != 0u) {
      value += bias[sizes.bias + column + c];
    }
    if (sizes.silu != 0u) {
      value /= 1.0 + exp(-value);
    }
    value *= sizes.factor;
    let at = row * sizes.stride + column + c;
    if (sizes.accumulate != 0u) {
      value += y[sizes.y + at];
    }
    y[sizes.y + at] = value;
  }
}`;

/**
 * WGSL that ends the rows of a tile held in the array `sums`, two vec4 per row, of which an
 * invocation stores those that lie in the product. One copy of the code that ends a row, not one per
 * row: compiling costs more than the array.
 *
 * @param count Sums in the array.
 */
function endRows(count: number): string {
  return `  let count = min(${count}u, (max(row, sizes.rows) - row) * 2u);
  for (var j = 0u; j < count; j += 1u + sizes.gated) {
    var column = panel * 8u + j % 2u * 4u;
    var value = sums[j];
    if (sizes.gated != 0u) {
      column = panel * 4u;
      value = value / (1.0 + exp(-value)) * sums[j + 1u];
    }
    if (column < sizes.outputs) {
      finish(row + j / 2u, column, value);
    }
  }`;
}

/** WGSL of a tile's end: sums a_r and b_r, scaled by an RMSNorm whose squares are in s_r, through
 * `endRows`. */
export function endTile(all: readonly number[], normed: boolean): string {
  const sums = all.flatMap((r) => normed ? [`a${r} * s${r}`, `b${r} * s${r}`] : [`a${r}`, `b${r}`]);
  return [
    ...(normed ? all.map((r) => `  s${r} = ${rowScale(`s${r}`)};`) : []),
    `  var sums = array<vec4f, ${sums.length}>(${sums.join(", ")});`,
    endRows(sums.length),
  ].join("\n");
}

/** WGSL of an RMSNorm's scale. */
export function rowScale(squares: string): string {
  return `1.0 / sqrt(${squares} / (4.0 * f32(sizes.quads)) + sizes.eps)`;
}

/** WGSL that adds four inputs of every row to the tile's sums: a_r += v_r p, b_r += v_r q, from the
 * vectors v0, v1, ... and what `loadQuad` loads. An accumulator changes once per four inputs: there
 * are more of them than a CPU has registers, so each change is a load and a store. */
export function addQuad(rows: readonly number[]): string {
  const sum = (r: number, w: string) =>
    ["x", "y", "z", "w"].map((c, k) => `v${r}.${c} * ${w}${k}`).join(" + ");
  return rows.map((r) => `    a${r} += ${sum(r, "p")};\n    b${r} += ${sum(r, "q")};`).join("\n");
}
