/**
 * The matrix product of every linear layer: y[M, N] = x[M, K] W^T, with bias and activation.
 *
 * Tile: an invocation makes up to 9 rows x 8 outputs in registers and reads x and W from memory by
 * vec4; lanes lie along the outputs. Rows are parted evenly (27 = 3 x 9, 18 = 2 x 9, 20 = 3 x 7), so
 * that a ragged end wastes at most one row per tile, and a single row is the tile of 1 x 8.
 * Accumulators change once per four inputs (a += x.x w0 + x.y w1 + x.z w2 + x.w w3): more of them
 * than a CPU has registers, so each change is a load and a store. Measured on llvmpipe (AVX2, two
 * cores, 64x1024x1024): 2 GFLOP/s from storage buffers, 33 from images, 42 with sums of four; a
 * 16x8 or 8x16 tile gains 10% there, loses it on ragged ends and takes twice as long to compile.
 */
import type { Gpu } from "./device.ts";
import { dispatchGrid } from "./grid.ts";
import { copyToImage, rowBytes, scratchImage } from "./image.ts";
import code from "./matmul.wgsl" with { type: "text" };
import { type PackedWeight, panelReader, texelReader, type WeightPart } from "./packed_weight.ts";
import { dispatch, type Step } from "./plan.ts";
import { fill } from "./shader.ts";
import { type Tensor, tensorBytes } from "./tensor.ts";

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
}

const maxTile = 9;

/** Rows of a tile, so that all tiles of `rows` are about equally full. */
export function rowTile(rows: number): number {
  return Math.ceil(rows / Math.ceil(rows / maxTile));
}

/**
 * Steps for y = silu?(norm?(x) W^T + bias), or y += that. With a gated weight the product
 * is silu(gate) * up (SwiGLU, Shazeer 2020).
 *
 * Offsets are multiples of 4; y and bias may start anywhere when N is no multiple of 4.
 *
 * @throws RangeError when shapes don't fit, or y shares its buffer with what is read.
 */
export function matmul(gpu: Gpu, args: MatmulArguments): Step[] {
  const { label, x, weight } = args;
  const rows = check(args);
  const tile = rowTile(rows);
  const steps: Step[] = [];
  let source: { binding: Tensor | GPUTextureView; start: number };
  if (weight.image) {
    const image = scratchImage(gpu, "rgba32float", tensorBytes(x));
    steps.push(...copyToImage(`matmul ${label} x`, x, image, rowBytes));
    source = { binding: image.createView(), start: rowBytes / 16 };
  } else {
    source = { binding: x, start: x.offset / 4 };
  }
  const scalar = weight.outputs % 4 !== 0;
  const normed = args.norm !== undefined;
  // Lanes that share a SIMD register are enough on a CPU; a GPU wants whole warps.
  const workgroup = weight.image ? 8 : 64;
  const pipeline = gpu.pipeline("matmul", shader({ weight, tile, scalar, normed, workgroup }));
  for (const part of weight.parts) {
    const panels = Math.ceil(part.outputs / 8);
    const tiles = Math.ceil(rows / tile);
    const width = weight.gated ? part.outputs / 2 : part.outputs;
    const constants = gpu.constants({
      u32: [rows, panels, weight.inputs / 4, width, source.start]
        .concat(targets(args, part, scalar)),
      f32: [args.norm?.eps ?? 0],
    });
    const { panels: w } = part;
    const nothing = part.panels instanceof GPUTexture ? idle(gpu) : part.panels;
    steps.push(dispatch(
      gpu,
      `matmul ${label}`,
      pipeline,
      [
        constants,
        source.binding,
        w instanceof GPUTexture ? w.createView() : w,
        args.y,
        args.bias ?? nothing,
      ],
      dispatchGrid(gpu, panels * tiles, workgroup),
      {
        flops: 2 * rows * part.outputs * weight.inputs,
        bytes: tensorBytes(x) + 4 * rows * width +
          part.outputs * weight.inputs * (weight.dtype === "f16" ? 2 : 4),
      },
    ));
  }
  return steps;
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

/** The rest of the constants, in units of y's elements or of vec4. */
function targets(args: MatmulArguments, part: WeightPart, scalar: boolean): number[] {
  const unit = scalar ? 1 : 4;
  const { y, bias, weight, accumulate, activation } = args;
  const first = weight.gated ? part.first / 2 : part.first;
  return [
    (y.offset + first) / unit,
    (y.shape[1] ?? 0) / unit,
    ((bias?.offset ?? 0) + first) / unit,
    bias ? 1 : 0,
    accumulate ? 1 : 0,
    activation ? 1 : 0,
    weight.gated ? 1 : 0,
  ];
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

function shader({ weight, tile, scalar, normed, workgroup }: {
  weight: PackedWeight;
  tile: number;
  scalar: boolean;
  normed: boolean;
  workgroup: number;
}): string {
  const all = Array.from({ length: tile }, (_, r) => r);
  const panel = panelReader(weight, "weight_at", "weight");
  const x = texelReader("x_at", "x", "rgba32float", weight.image);
  const half = weight.dtype === "f16";
  const loads = "xyzw".split("").map((_, k) =>
    half
      ? `    let w${k} = weight_at(at + ${k}u);
    let p${k} = vec4f(unpack2x16float(w${k}.x), unpack2x16float(w${k}.y));
    let q${k} = vec4f(unpack2x16float(w${k}.z), unpack2x16float(w${k}.w));`
      : `    let p${k} = weight_at(at + ${2 * k}u);
    let q${k} = weight_at(at + ${2 * k + 1}u);`
  );
  const sum = (v: string, w: string) =>
    ["x", "y", "z", "w"].map((c, k) => `${v}.${c} * ${w}${k}`).join(" + ");
  return fill(code, {
    tile,
    workgroup,
    unit: scalar ? "elements" : "vec4",
    x: x.declaration,
    weight: panel.declaration,
    y_type: scalar ? "f32" : "vec4f",
    readers: `${x.code}\n\n${panel.code}`,
    finish: scalar ? finishScalar : finishVector,
    start: all.map((r) =>
      `  let x${r} = sizes.x + min(row + ${r}u, last) * sizes.quads;
  var a${r} = vec4f();
  var b${r} = vec4f();${normed ? `\n  var s${r} = 0.0;` : ""}`
    ).join("\n"),
    texels: 4 * panel.texels,
    step: [
      ...all.map((r) => `    let v${r} = x_at(x${r} + i);`),
      ...loads,
      ...all.map((r) => `    a${r} += ${sum(`v${r}`, "p")};\n    b${r} += ${sum(`v${r}`, "q")};`),
      ...(normed ? all.map((r) => `    s${r} += dot(v${r}, v${r});`) : []),
    ].join("\n"),
    scale: normed
      ? all.map((r) => `  s${r} = 1.0 / sqrt(s${r} / (4.0 * f32(sizes.quads)) + sizes.eps);`)
        .join("\n")
      : "",
    sums: 2 * tile,
    list: all.map((r) => normed ? `a${r} * s${r}, b${r} * s${r}` : `a${r}, b${r}`).join(", "),
  });
}

const finishVector = `fn finish(row: u32, column: u32, sum: vec4f) {
  var value = sum;
  if (sizes.has_bias != 0u) {
    value += bias[sizes.bias + column / 4u];
  }
  if (sizes.silu != 0u) {
    value /= 1.0 + exp(-value);
  }
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
    let at = row * sizes.stride + column + c;
    if (sizes.accumulate != 0u) {
      value += y[sizes.y + at];
    }
    y[sizes.y + at] = value;
  }
}`;
