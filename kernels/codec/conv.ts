/**
 * 3-D convolution, causal in time, for the codecs' encoders and decoders. 1x1x1 is a plain product with bias.
 *
 *   y[to, ho, wo, n] = bias[n] + sum over c, dt, dh, dw of weight[n, c, dt, dh, dw]
 *     x[to st + st - 1 - (kt - 1 - dt) dilation, ho sh + dh - ph, wo sw + dw - pw, c]
 *
 * with kernel [kt, kh, kw], stride [st, sh, sw], zeros outside the picture (ph = (kh - sh) / 2, pw
 * likewise, or as many as `zeros` says), and in time the frames of `state` before x. So the last input
 * frame that output to reads is the last of its own st frames, and the first one is (kt - 1) dilation -
 * (st - 1) frames before them: `historyFrames`. Dilation above 1 goes with st = 1 only. With `upsample`
 * [uh, uw] it reads a picture in which every position stands uh x uw times (nearest neighbour).
 *
 * An implicit matrix product of [positions, taps x channels] with [taps x channels, outputs]: 6
 * positions x 16 outputs per invocation in registers, both operands read from textures
 * (kernels/gpu/texture.ts). Weights are packed in panels of 16 (8 where there are no more) outputs, so that
 * an invocation walks its panel in order. Where taps are neighbours in memory (all of time for sound,
 * a line of a kernel as wide as its stride) they are merged into one longer run.
 *
 * Measured on llvmpipe (AVX2, two cores), 3x3 over 16x16x96, and time to compile: 6 x 16 37 GFLOP/s,
 * 0.56 s; 8 x 16 39, 1.05 s; 4 x 16 28, 0.4 s; 8 x 8 30, 0.43 s; 12 x 8 34, 0.75 s.
 */
import {
  copyToTexture,
  rowBytes,
  scratchTexture,
  texelBytes,
  texelFormat,
  textureFrom,
  textureReader,
  textureRows,
} from "../gpu/texture.ts";
import { type Activation, activationCode, activationNumber } from "../gpu/activation.ts";
import type { Gpu } from "../gpu/device.ts";
import type { KernelFacts } from "../card/facts.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { arrayReader } from "../gpu/uniform.ts";
import {
  checkTensors,
  elementBytes,
  elements,
  type FloatType,
  type Tensor,
  tensorBytes,
  type Tensors,
} from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./conv.wgsl" with { type: "text" };

/** Positions per invocation. */
const tile = 6;

/**
 * `rows`: positions to compute, of which a frame has `plane` and a line `line`; `height` and `width` of
 * the input; `steps` of four values, of the `run` that a tap reads; texels from one frame, line and
 * position to the next. By time, height and width: `taps`, and input positions from one output to the
 * next; by height and width: zeros before the first tap.
 */
const shape = new UniformStruct("Shape", {
  u32: `rows panels outputs y_offset plane line height width dilation steps run frame_texels
    line_texels position_texels origin add adds_first adds_last activation past x before`,
  vec3u: "taps stride",
  vec2u: "pad upsample",
});

type Triple = readonly [time: number, height: number, width: number];

/** What a convolution does to time and space. */
export interface ConvGeometry {
  kernel: Triple;
  stride: Triple;
  /** Input frames between two taps in time. */
  dilation: number;
  /** Zeros above and left of the picture; by default half of kernel - stride. */
  zeros?: readonly [top: number, left: number];
  /** How many times every line and every position of the input stands before the taps read it (1);
   * above 1 it goes with stride 1 in space. */
  upsample?: readonly [height: number, width: number];
}

/** Weights on the GPU, packed by `packConv`. */
export interface ConvWeight extends ConvGeometry {
  readonly texture: GPUTexture;
  readonly inputs: number;
  readonly outputs: number;
  readonly dtype: FloatType;
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
 * Packs PyTorch's weight [outputs, inputs, kt, kh, kw] (and bias, kept in f32) into a texture.
 *
 * @param line True when height and width are 1: sound, whose taps in time are merged.
 * @param geometry Kernels are as large as strides or larger, in space by an even number; a dilation
 * goes with time stride 1.
 * @throws RangeError when there are other numbers of weights or biases.
 */
export function packConv(
  gpu: Gpu,
  { label, weight, bias, inputs, outputs, dtype, line, ...geometry }: {
    label: string;
    weight: Float32Array;
    bias?: Float32Array;
    inputs: number;
    outputs: number;
    dtype: FloatType;
    line: boolean;
  } & ConvGeometry,
): ConvWeight {
  const { kernel } = geometry;
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
  const format = texelFormat(dtype);
  const texture = textureFrom(gpu, label, format, new Uint32Array(words));
  return { texture, inputs, outputs, dtype, taps, run, columns, line, ...geometry };
}

/** Taps whose values lie one after the other in memory become one tap with a longer run. */
function mergeTaps(
  { kernel: [kt, kh, kw], stride, dilation, upsample = [1, 1] }: ConvGeometry,
  inputs: number,
  line: boolean,
): { taps: Triple; run: number } {
  if (upsample.some((times) => times > 1)) return { taps: [kt, kh, kw], run: inputs };
  if (line && kh === 1 && kw === 1 && dilation === 1) return { taps: [1, 1, 1], run: kt * inputs };
  if (kw === stride[2]) return { taps: [kt, kh, 1], run: kw * inputs };
  return { taps: [kt, kh, kw], run: inputs };
}

/** How neighbouring lanes share the work. */
export interface ConvVariant {
  /** They take neighbouring positions and hand the weights round (in subgroups of at least 4 lanes);
   * otherwise they take neighbouring channels and read all weights themselves. */
  handed: boolean;
  /** They take neighbouring channels of the same positions, of which each reads one and hands it round,
   * straight from the buffers: no copies into a texture (in subgroups of a workgroup's lanes, of whole
   * vectors; else as without). */
  together?: boolean;
}

type ConvArguments = Tensors<"x" | "y"> & {
  state?: Tensor;
  weight: ConvWeight;
  activation?: Activation;
  add?: Tensor;
  addsFirst?: boolean;
};

/**
 * Steps of a convolution: copies of its inputs into a texture, and the product.
 *
 * @param x f32 [T, H, W, inputs].
 * @param state f32 [historyFrames, H, W, inputs], the frames before x; none when there are no such.
 * @param y f32 [T / st, H / sh, W / sw, outputs].
 * @param activation Applied to the product with bias.
 * @param add f32 of y's shape, added last; may be y itself.
 * @param addsFirst It is added before the activation.
 * @param variant Set by tests.
 * @throws RangeError when shapes don't fit.
 */
export function conv(gpu: Gpu, args: ConvArguments, variant?: ConvVariant): Step[] {
  const { label, x, state, weight, y, activation, add, addsFirst = false } = args;
  const name = `conv ${label}`;
  checkShapes(name, args);
  const { kernel, stride, dilation, taps, run, columns, outputs, upsample = [1, 1] } = weight;
  const [, height = 1, width = 1, inputs = 1] = x.shape;
  const [frames = 1, lines = 1, positions = 1] = y.shape;
  const rows = frames * lines * positions;

  // Values from one frame, line and position to the next; 0 along an axis of which only the first is
  // read. Along an axis with one tap, positions are counted in strides: merged runs needn't start at
  // whole texels of single positions. Vector loads need whole texels everywhere.
  const step = (axis: 0 | 1 | 2, outputs: number, values: number) =>
    taps[axis] > 1 ? values : outputs > 1 ? values * (axis === 1 ? 1 : stride[axis]) : 0;
  const frameStep = step(0, frames, height * width * inputs);
  const lineStep = step(1, lines, width * inputs);
  const positionStep = step(2, positions, inputs);
  const steps = [run, state ? elements(state.shape) : 0, x.offset, state?.offset ?? 0]
    .concat(frameStep, lineStep, positionStep, add ? [outputs, add.offset] : []);
  const vector = steps.every((step) => step % 4 === 0);
  const format = vector ? "rgba32float" : "r32float";
  if (run * 4 > rowBytes && (kernel[1] > stride[1] || kernel[2] > stride[2])) {
    throw new RangeError(
      `${name}: ${run} values per tap; ${rowBytes / 4} zeros stand around pictures`,
    );
  }
  const values = vector ? 4 : 1;
  const storesVectors = outputs % 4 === 0 && y.offset % 4 === 0;

  const { lanes, cpu, subgroup } = gpu.traits;
  const tiles = Math.ceil(rows / tile);
  // Where positions are few, lanes would lie idle: on llvmpipe it was worth it from some 40 tiles on.
  const handed = variant?.handed ?? (cpu && subgroup >= 4 && tiles >= 4 * lanes);
  const canShare = subgroup >= lanes && lanes >= tile && vector && storesVectors &&
    add?.buffer !== y.buffer && x.buffer !== y.buffer;
  const together = canShare && (variant ? variant.together ?? false : cpu && !handed);

  // The texture: row 0 zero; state up to the end of a row; x from the next one on; what is added.
  const texel = texelBytes(format);
  const stateBytes = state ? tensorBytes(state) : 0;
  const xAt = (1 + textureRows(stateBytes)) * rowBytes;
  const addAt = xAt + textureRows(tensorBytes(x)) * rowBytes;
  const bytes = addAt - rowBytes + (add ? textureRows(tensorBytes(add)) * rowBytes : 0);
  const texture = together ? null : scratchTexture(gpu, format, bytes);
  const copies = !texture ? [] : [
    ...(state ? copyToTexture(`${name} state`, state, texture, xAt - stateBytes) : []),
    ...copyToTexture(`${name} x`, x, texture, xAt),
    ...(add ? copyToTexture(`${name} add`, add, texture, addAt) : []),
  ];

  const panels = Math.ceil(outputs / columns);
  const constants = shape.bind(gpu, {
    rows,
    panels,
    outputs,
    y_offset: y.offset / (storesVectors ? 4 : 1),
    plane: lines * positions,
    line: positions,
    height: height * upsample[0],
    width: taps[2] > 1 ? width * upsample[1] : positions,
    dilation,
    steps: Math.ceil(run / 4),
    run,
    frame_texels: frameStep / values,
    line_texels: lineStep / values,
    position_texels: positionStep / values,
    origin: together ? 0 : (xAt - stateBytes) / texel,
    add: !add ? 0 : together ? add.offset / 4 : addAt / texel,
    adds_first: add !== undefined && addsFirst,
    adds_last: add !== undefined && !addsFirst,
    activation: activationNumber(activation),
    past: together ? stateBytes / 16 : 0,
    x: together ? x.offset / 4 : 0,
    before: together ? (state?.offset ?? 0) / 4 : 0,
    taps,
    stride: [taps[0] > 1 ? stride[0] : 1, stride[1], taps[2] > 1 ? stride[2] : 1],
    pad: weight.zeros ?? [(kernel[1] - stride[1]) / 2, (kernel[2] - stride[2]) / 2],
    upsample,
  });
  const half = weight.dtype === "f16";
  const xReader = together ? arrayReader("x", "vec4f") : textureReader("x", format);
  const weightReader = textureReader("weight", texelFormat(weight.dtype));
  const pipeline = gpu.pipeline(name, code, {
    shape,
    lanes,
    tile,
    vector,
    half,
    upsample: upsample.some((times) => times > 1),
    handed,
    together,
    subgroups: handed || together,
    states: Number(state !== undefined),
    has_state: together && state !== undefined,
    reads_added: together && add !== undefined,
    owns: together ? 1 : tile,
    texels: half ? 1 : 2,
    octets: columns / 8,
    step_texels: half ? columns / 2 : columns,
    stores_vectors: storesVectors,
    y_type: storesVectors ? "vec4f" : "f32",
    activate: activationCode("vec4f"),
    x: xReader.declaration,
    weight: weightReader.declaration,
    readers: `${xReader.code}\n${weightReader.code}`,
  });
  const items = handed
    ? Math.ceil(tiles / lanes) * lanes * panels
    : tiles * (together ? Math.ceil(panels / lanes) * lanes : panels);
  const more = together ? [state, add].filter((tensor) => tensor !== undefined) : [];
  const weights = outputs * inputs * kernel[0] * kernel[1] * kernel[2];
  return [
    ...copies,
    dispatch(
      gpu,
      name,
      pipeline,
      [constants, texture?.createView() ?? x, weight.texture.createView(), y, ...more],
      { items, lanes },
      {
        flops: 2 * rows * weights,
        bytes: tensorBytes(x) + stateBytes + tensorBytes(y) + weights * elementBytes(weight.dtype),
        facts: textureFacts(weight, lanes, panels, handed, together),
      },
    ),
  ];
}

/** The loads of conv.wgsl: neighbours take panels of channels, or (handed) positions. */
function textureFacts(
  { columns, dtype, taps, run }: ConvWeight,
  lanes: number,
  panels: number,
  handed: boolean,
  together: boolean,
): KernelFacts {
  const inPanel = taps[0] * taps[1] * taps[2] * Math.ceil(run / 4) * 4 * columns;
  const panelBytes = 4 * columns + inPanel * elementBytes(dtype);
  return {
    form: `${tile} x ${columns} from ${together ? "buffers" : "textures"}`,
    lanes,
    registers: tile * columns + 4 * columns + 4 + 2 * tile + 16,
    accesses: [{
      what: "weights",
      memory: "storage",
      bytes: 16,
      at: (lane) => handed ? (lane % 4) * 16 : (lane % panels) * panelBytes,
    }],
    reasons: {
      sectors: "lanes walk panels of their own, as is best on CPUs",
      groups: "six positions and a panel a lane, as is best on CPUs",
      registers: "six positions x 16 channels, as is best on CPUs",
    },
  };
}

function checkShapes(name: string, { x, state, weight, y, add }: ConvArguments): void {
  const [t = 0, h = 0, w = 0] = x.shape;
  const { stride: [st, sh, sw], upsample: [uh, uw] = [1, 1] } = weight;
  const past = historyFrames(weight);
  if ((past > 0 && !state) || (weight.line && h * w !== 1)) {
    const before = state ? `[${state.shape}]` : "nothing";
    const sound = weight.line ? ", and it is a line of sound" : "";
    throw new RangeError(
      `${name}: [${x.shape}] after ${before}: ${past} frames are read before it${sound}`,
    );
  }
  checkTensors(name, {
    x: [x, "f32", [t, h, w, weight.inputs]],
    state: [state, "f32", [past, h, w, weight.inputs]],
    y: [y, "f32", [t / st, h * uh / sh, w * uw / sw, weight.outputs]],
    add: [add, "f32", y.shape],
  });
}
