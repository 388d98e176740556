/**
 * 3-D convolution, causal in time, for the codecs' stacks. 1x1x1 is a plain product with bias.
 *
 *   y[to, ho, wo, n] = bias[n] + sum over c, dt, dh, dw of weight[n, c, dt, dh, dw]
 *     x[to st + st - 1 - (kt - 1 - dt) dilation, ho sh + dh - ph, wo sw + dw - pw, c]
 *
 * with kernel [kt, kh, kw], stride [st, sh, sw], zeros outside the picture (ph = (kh - sh) / 2, pw
 * likewise), and in time the frames of `state` before x. So the last input frame that output to reads
 * is the last of its own st frames, and the first one is (kt - 1) dilation - (st - 1) frames before
 * them: `historyFrames`. Dilation above 1 goes with st = 1 only.
 *
 * An implicit matrix product of [positions, taps x channels] with [taps x channels, outputs]: 6
 * positions x 16 outputs per invocation in registers, both operands read from images
 * (kernels/gpu/image.ts). Weights are packed in panels of 16 (8 where there are no more) outputs, so that
 * an invocation walks its panel in order. Where taps are neighbours in memory (all of time for sound,
 * a line of a kernel as wide as its stride) they are merged into one longer run.
 *
 * Measured on llvmpipe (AVX2, two cores), 3x3 over 16x16x96, and time to compile: 6 x 16 37 GFLOP/s,
 * 0.56 s; 8 x 16 39, 1.05 s; 4 x 16 28, 0.4 s; 8 x 8 30, 0.43 s; 12 x 8 34, 0.75 s.
 */
import { dispatchGrid } from "../gpu/grid.ts";
import {
  copyToImage,
  type ImageFormat,
  imageFrom,
  imageReader,
  imageRows,
  rowBytes,
  scratchImage,
  texelBytes,
} from "../gpu/image.ts";
import type { Gpu } from "../gpu/device.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { fill } from "../gpu/shader.ts";
import { elementBytes, elements, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import code from "./conv.wgsl" with { type: "text" };

type Triple = readonly [time: number, height: number, width: number];

/** What a convolution does to time and space. */
export interface ConvGeometry {
  kernel: Triple;
  stride: Triple;
  /** Input frames between two taps in time. */
  dilation: number;
}

/** Weights on the GPU, packed by `packConv`. */
export interface ConvWeight extends ConvGeometry {
  readonly image: GPUTexture;
  readonly inputs: number;
  readonly outputs: number;
  readonly dtype: "f32" | "f16";
  /** Taps that are left after merging, and the values that each reads in a row. */
  readonly taps: Triple;
  readonly run: number;
  /** Outputs per panel. */
  readonly columns: 8 | 16;
  /** True when it was packed for height = width = 1. */
  readonly line: boolean;
}

/** Frames before a unit's first that a convolution reads: the extent of its state. */
export function historyFrames({ kernel, stride, dilation }: ConvGeometry): number {
  return (kernel[0] - 1) * dilation + 1 - stride[0];
}

/**
 * Packs PyTorch's weight [outputs, inputs, kt, kh, kw] (and bias, kept in f32) into an image.
 *
 * @param line True when height and width are 1: sound, whose taps in time are merged.
 * @throws RangeError when the geometry is none that can be computed.
 */
export function packConv(
  gpu: Gpu,
  { label, weight, bias, inputs, outputs, dtype, line, ...geometry }: {
    label: string;
    weight: Float32Array;
    bias?: Float32Array;
    inputs: number;
    outputs: number;
    dtype: "f32" | "f16";
    line: boolean;
  } & ConvGeometry,
): ConvWeight {
  checkGeometry(label, geometry);
  const { kernel, stride, dilation } = geometry;
  const size = kernel[0] * kernel[1] * kernel[2];
  if (weight.length !== outputs * inputs * size || (bias && bias.length !== outputs)) {
    throw new RangeError(
      `${label}: ${weight.length} weights, ${bias?.length} biases for ` +
        `[${outputs}, ${inputs}, ${kernel}]`,
    );
  }
  const { taps, run } = mergeTaps(geometry, inputs, line);
  const columns = outputs <= 8 ? 8 : 16;
  const steps = taps[0] * taps[1] * taps[2] * Math.ceil(run / 4);
  const panels = Math.ceil(outputs / columns);
  // Words: biases as floats, then four rows of weights per step.
  const stepWords = dtype === "f32" ? 4 * columns : 2 * columns;
  const panelWords = columns + steps * stepWords;
  const words = new ArrayBuffer(panels * panelWords * 4);
  const floats = new Float32Array(words);
  const halves = dtype === "f16" ? new Float16Array(words) : undefined;
  for (let panel = 0; panel < panels && !gpu.isPaper; panel++) {
    const start = panel * panelWords;
    for (let column = 0; column < columns; column++) {
      const n = panel * columns + column;
      if (n >= outputs) break;
      floats[start + column] = bias?.[n] ?? 0;
      for (let tap = 0; tap < size; tap++) {
        for (let c = 0; c < inputs; c++) {
          // Rows run over taps, then channels; each run is padded to whole steps.
          const k = tap * inputs + c;
          const row = Math.floor(k / run) * Math.ceil(run / 4) * 4 + k % run;
          const value = weight[(n * inputs + c) * size + tap] ?? 0;
          const at = row * columns + column;
          if (halves) halves[2 * (start + columns) + at] = value;
          else floats[start + columns + at] = value;
        }
      }
    }
  }
  const format = weightFormat(dtype);
  const image = imageFrom(gpu, label, format, new Uint32Array(words));
  return { image, inputs, outputs, dtype, taps, run, columns, line, kernel, stride, dilation };
}

function checkGeometry(label: string, { kernel, stride, dilation }: ConvGeometry): void {
  const fits = kernel.every((k, axis) => {
    const s = stride[axis] ?? 1;
    return k >= s && s >= 1 && (axis === 0 || (k - s) % 2 === 0);
  });
  if (!fits || (dilation > 1 && stride[0] > 1)) {
    throw new RangeError(
      `${label}: kernel [${kernel}], stride [${stride}], dilation ${dilation}: kernels may not be ` +
        `smaller than strides nor differ by odd numbers in space; dilation needs time stride 1`,
    );
  }
}

/** Taps whose values lie one after the other in memory become one tap with a longer run. */
function mergeTaps(
  { kernel: [kt, kh, kw], stride, dilation }: ConvGeometry,
  inputs: number,
  line: boolean,
): { taps: Triple; run: number } {
  if (line && kh === 1 && kw === 1 && dilation === 1) return { taps: [1, 1, 1], run: kt * inputs };
  if (kw === stride[2]) return { taps: [kt, kh, 1], run: kw * inputs };
  return { taps: [kt, kh, kw], run: inputs };
}

function weightFormat(dtype: "f32" | "f16"): ImageFormat {
  return dtype === "f32" ? "rgba32float" : "rgba32uint";
}

/**
 * Steps of a convolution: copies of its inputs into an image, and the product.
 *
 * @param x f32 [T, H, W, inputs].
 * @param state f32 [historyFrames, H, W, inputs], the frames before x; none when there are no such.
 * @param y f32 [T / st, H / sh, W / sw, outputs].
 * @param activation Applied to the product with bias.
 * @param add f32 of y's shape, added last; may be y itself.
 * @throws RangeError when shapes don't fit.
 */
export function conv(gpu: Gpu, { label, x, state, weight, y, activation, add }: {
  label: string;
  x: Tensor;
  state?: Tensor;
  weight: ConvWeight;
  y: Tensor;
  activation?: "silu";
  add?: Tensor;
}): Step[] {
  const name = `conv ${label}`;
  checkShapes(name, { x, state, weight, y, add });
  const { kernel, stride, dilation, taps, run, columns, outputs } = weight;
  const [, height = 1, width = 1, inputs = 1] = x.shape;
  const [frames = 1, lines = 1, positions = 1] = y.shape;
  const rows = frames * lines * positions;
  const frame = height * width * inputs;
  const line = width * inputs;

  // Along an axis with one tap, positions are counted in strides: merged runs needn't start at whole
  // texels of single positions. Vector loads need whole texels everywhere.
  const frameStep = taps[0] > 1 ? frame : stride[0] * frame;
  const positionStep = taps[2] > 1 ? inputs : stride[2] * inputs;
  const steps = [run, state ? elements(state.shape) : 0, x.offset, state?.offset ?? 0];
  if (frames > 1 || taps[0] > 1) steps.push(frameStep);
  if (lines > 1 || taps[1] > 1) steps.push(line);
  if (positions > 1 || taps[2] > 1) steps.push(positionStep);
  if (add) steps.push(outputs, add.offset);
  const vector = steps.every((step) => step % 4 === 0);
  const format = vector ? "rgba32float" : "r32float";
  if (run * 4 > rowBytes && (kernel[1] > stride[1] || kernel[2] > stride[2])) {
    throw new RangeError(
      `${name}: ${run} values per tap; ${rowBytes / 4} zeros stand around pictures`,
    );
  }
  const values = vector ? 4 : 1;
  const storesVectors = outputs % 4 === 0 && y.offset % 4 === 0;

  // The image: row 0 zero; state up to the end of a row; x from the next one on; what is added.
  const texel = texelBytes(format);
  const stateBytes = state ? tensorBytes(state) : 0;
  const xAt = (1 + imageRows(stateBytes)) * rowBytes;
  const addAt = xAt + imageRows(tensorBytes(x)) * rowBytes;
  const bytes = addAt - rowBytes + (add ? imageRows(tensorBytes(add)) * rowBytes : 0);
  const image = scratchImage(gpu, format, bytes);
  const copies = [
    ...(state ? copyToImage(`${name} state`, state, image, xAt - stateBytes) : []),
    ...copyToImage(`${name} x`, x, image, xAt),
    ...(add ? copyToImage(`${name} add`, add, image, addAt) : []),
  ];

  const panels = Math.ceil(outputs / columns);
  const shape = gpu.constants({
    u32: [
      ...[rows, panels, outputs, y.offset / (storesVectors ? 4 : 1)],
      ...[lines * positions, positions, height, taps[2] > 1 ? width : positions],
      ...taps,
      dilation,
      (kernel[1] - stride[1]) / 2,
      (kernel[2] - stride[2]) / 2,
      taps[0] > 1 ? stride[0] : 1,
      stride[1],
      taps[2] > 1 ? stride[2] : 1,
      Math.ceil(run / values),
      run,
      ...[frameStep / values, line / values, positionStep / values],
      (xAt - stateBytes) / texel,
      add ? addAt / texel : 0,
      activation === "silu" ? 1 : 0,
    ],
  });
  const workgroup = gpu.traits.lanes;
  const pipeline = gpu.pipeline(
    name,
    shader({ workgroup, vector, storesVectors, columns, dtype: weight.dtype }),
  );
  const items = Math.ceil(rows / tile) * panels;
  const weights = outputs * inputs * kernel[0] * kernel[1] * kernel[2];
  return [
    ...copies,
    dispatch(
      gpu,
      name,
      pipeline,
      [shape, image.createView(), weight.image.createView(), y],
      dispatchGrid(gpu, items, workgroup),
      {
        flops: 2 * rows * weights,
        bytes: tensorBytes(x) + stateBytes + tensorBytes(y) + weights * elementBytes(weight.dtype),
      },
    ),
  ];
}

function checkShapes(
  name: string,
  { x, state, weight, y, add }: {
    x: Tensor;
    state: Tensor | undefined;
    weight: ConvWeight;
    y: Tensor;
    add: Tensor | undefined;
  },
): void {
  const [t = 0, h = 0, w = 0, c] = x.shape;
  const [st, sh, sw] = weight.stride;
  const past = historyFrames(weight);
  const wanted = [t / st, h / sh, w / sw, weight.outputs];
  const fits = c === weight.inputs && y.shape.length === 4 &&
    wanted.every((n, i) => n === y.shape[i]) &&
    (!add || add.shape.every((n, i) => n === y.shape[i])) &&
    (past === 0 ? !state : state?.shape.join() === [past, h, w, c].join()) &&
    (!weight.line || h * w === 1);
  if (!fits) {
    throw new RangeError(
      `${name}: [${x.shape}] after ${state ? `[${state.shape}]` : "nothing"} to [${y.shape}]: ` +
        `${weight.inputs} to ${weight.outputs} channels by strides [${weight.stride}] make ` +
        `[${wanted}] after ${past} frames`,
    );
  }
}

/** Positions per invocation. */
const tile = 6;

/** The kernel's text for one way of loading, storing and tiling. */
function shader({ workgroup, vector, storesVectors, columns, dtype }: {
  workgroup: number;
  vector: boolean;
  storesVectors: boolean;
  columns: number;
  dtype: "f32" | "f16";
}): string {
  const quads = Array.from({ length: columns / 4 }, (_, q) => q);
  const rows = Array.from({ length: tile }, (_, r) => r);
  const lanes = ["x", "y", "z", "w"];
  const half = dtype === "f16";
  const x = imageReader("read_x", "x", vector ? "rgba32float" : "r32float");
  const weight = imageReader("read_weight", "weight", weightFormat(dtype));
  const sums = rows.flatMap((r) => quads.map((q) => `a${r}_${q}`));
  const lines = (indent: string, list: readonly string[]) =>
    list.map((line) => indent + line).join("\n");

  return fill(code, {
    columns,
    workgroup,
    tile,
    x: x.declaration,
    weight: weight.declaration,
    readers: `${x.code}\n${weight.code}`,
    helpers: vector ? "" : readRun,
    y_type: storesVectors ? "vec4f" : "f32",
    run_steps: vector ? "shape.run" : "((shape.run + 3u) / 4u)",
    step: vector ? 1 : 4,
    bias_texels: quads.length,
    step_texels: half ? columns / 2 : columns,
    rows: lines("  ", rows.map(positionOf)),
    bias: lines(
      "  ",
      sums.map((sum) => {
        const texel = `read_weight(w + ${sum.split("_")[1]}u)`;
        return `var ${sum} = ${half ? `bitcast<vec4f>(${texel})` : texel};`;
      }),
    ),
    addresses: lines("        ", rows.map(addressOf)),
    weights: lines("          ", weightLoads(quads, half)),
    products: lines(
      "          ",
      rows.map((r) => {
        const load = vector ? `read_x(at${r} + c)` : `read_run(at${r}, c)`;
        // One change of an accumulator per four inputs: there are more than a CPU has registers.
        const products = quads.map((q) =>
          `a${r}_${q} += ${lanes.map((lane, k) => `w${k}_${q} * x.${lane}`).join(" + ")};`
        );
        return `{ let x = ${load}; ${products.join(" ")} }`;
      }),
    ),
    quads: quads.length,
    sums: sums.length,
    list: sums.join(", "),
    added: vector
      ? "read_x(shape.add + at / 4u)"
      : `vec4f(${lanes.map((_, i) => `read_x(shape.add + at + ${i}u)`)})`,
    store: storesVectors ? "  y[shape.y_offset + at / 4u] = v;" : lines(
      "  ",
      lanes.map((lane, i) =>
        `if (n + ${i}u < shape.outputs) { y[shape.y_offset + at + ${i}u] = v.${lane}; }`
      ),
    ),
  });
}

/** Time, line and column in the input where the taps of an invocation's r-th position start. */
function positionOf(r: number): string {
  return `let m${r} = min(first + ${r}u, last); let t${r} = m${r} / shape.plane * shape.step_t; ` +
    `let h${r} = m${r} % shape.plane / shape.line * shape.step_h; ` +
    `let v${r} = m${r} % shape.line * shape.step_w;`;
}

/** Where a tap's run starts in the image. Unsigned numbers wrap where the padding reaches over the
 * edge, and fail the comparison. */
function addressOf(r: number): string {
  return `let y${r} = h${r} + dh - shape.pad_h; let x${r} = v${r} + dw - shape.pad_w; ` +
    `let at${r} = select(0u, shape.origin + (t${r} + dt * shape.dilation) * shape.frame_texels + ` +
    `y${r} * shape.line_texels + x${r} * shape.position_texels, ` +
    `y${r} < shape.height && x${r} < shape.width);`;
}

/** Loads four rows of weights: w0_0, w0_1, ... w3_3. */
function weightLoads(quads: readonly number[], half: boolean): string[] {
  return [0, 1, 2, 3].flatMap((k) =>
    quads.map((q) => {
      const index = k * quads.length + q;
      if (!half) return `let w${k}_${q} = read_weight(w + ${index}u);`;
      const pair = index >> 1;
      const [low, high] = index % 2 === 0 ? "xy" : "zw";
      const texel = index % 2 === 0 ? `let h${pair} = read_weight(w + ${pair}u); ` : "";
      return `${texel}let w${k}_${q} = ` +
        `vec4f(unpack2x16float(h${pair}.${low}), unpack2x16float(h${pair}.${high}));`;
    })
  );
}

/** Loads four values of a run one by one; zeros past its end. */
const readRun = `
fn read_run(at: u32, c: u32) -> vec4f {
  let v = vec4f(read_x(at + c), read_x(at + c + 1u), read_x(at + c + 2u), read_x(at + c + 3u));
  return select(vec4f(), v, vec4u(c, c + 1u, c + 2u, c + 3u) < vec4u(shape.run_values));
}`;
