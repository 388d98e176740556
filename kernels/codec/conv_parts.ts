/** What the forms of the convolution share: what they are asked, packed weights, their constants. */
import type { Activation } from "../gpu/activation.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Dispatch } from "../gpu/plan.ts";
import {
  checkTensors,
  elementBytes,
  elements,
  type FloatType,
  type Tensor,
  tensorBytes,
  tensorFrom,
  type Tensors,
} from "../gpu/tensor.ts";
import { texelFormat, textureFrom, textureReader } from "../gpu/texture.ts";
import { arrayReader } from "../gpu/uniform.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

/**
 * `rows`: positions to compute, of which a frame has `plane` and a line `line`; `height` and `width` of
 * the input; `steps` of four values, of the `run` that a tap reads; texels from one frame, line and
 * position to the next. By time, height and width: `taps`, and input positions from one output to the
 * next; by height and width: zeros before the first tap. `parts` of the sums. Where it shuffles, by time
 * and height the extents of a `block`, and values of y in a frame, a line, and a line of a block.
 */
export const convConstants = new UniformStruct("Shape", {
  u32: `rows panels outputs y_offset plane line height width dilation steps run frame_texels
    line_texels position_texels origin add past x before parts
    block_plane block_line block_run`,
  vec3u: "taps stride",
  vec2u: "pad upsample block",
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
  /** Flat panels of `columns` outputs: texels, or vec4 words. */
  readonly panels: Tensor | GPUTexture;
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
  /** What it shuffles its outputs by; their order is that of memory then. */
  readonly shuffle?: Triple;
}

/** Frames before a unit's first that a convolution reads: the extent of its state. */
export function historyFrames({ kernel, stride, dilation }: ConvGeometry): number {
  return (kernel[0] - 1) * dilation + 1 - stride[0];
}

/**
 * Packs PyTorch's weight [outputs, inputs, kt, kh, kw] (and bias, kept in f32) into a texture, or on a card into a buffer.
 *
 * @param line True when height and width are 1: sound, whose taps in time are merged.
 * @param geometry Kernels are as large as strides or larger, in space by an even number; a dilation
 * goes with time stride 1.
 * @param shuffle Outputs are blocks of time, height and width, which `conv` puts in their places
 * (`canShuffle`).
 * @param texture Set by tests.
 * @throws RangeError when there are other numbers of weights or biases.
 */
export function packConv(
  gpu: Gpu,
  {
    label,
    weight,
    bias,
    inputs,
    outputs,
    dtype,
    line,
    shuffle,
    texture = gpu.traits.cpu,
    ...geometry
  }: {
    label: string;
    weight: Float32Array;
    bias?: Float32Array;
    inputs: number;
    outputs: number;
    dtype: FloatType;
    line: boolean;
    shuffle?: Triple;
    texture?: boolean;
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
      const place = panel * columns + column;
      if (place >= outputs) break;
      const n = shuffle ? channelAt(place, outputs, shuffle) : place;
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
  const packed = new Uint32Array(words);
  const packedPanels = texture
    ? textureFrom(gpu, label, texelFormat(dtype), packed)
    : tensorFrom(gpu, label, [packed.length], packed);
  return {
    ...{ panels: packedPanels, inputs, outputs, dtype, taps, run, columns, line, ...geometry },
    ...(shuffle ? { shuffle } : {}),
  };
}

/** Values of a line of a block of what is shuffled: neighbours in memory. */
const blockRun = (outputs: number, [ft, fh]: Triple) => outputs / ft / fh;

/** The channel, as shuffle.ts numbers them, of an output in the order of memory. */
function channelAt(place: number, outputs: number, [ft, fh, fw]: Triple): number {
  const run = blockRun(outputs, [ft, fh, fw]);
  const channels = run / fw;
  const [block, within] = [Math.floor(place / run), place % run];
  const [time, height] = [Math.floor(block / fh), block % fh];
  const [width, channel] = [Math.floor(within / channels), within % channels];
  return ((channel * ft + time) * fh + height) * fw + width;
}

/**
 * Whether a convolution can put blocks of `shuffle` (shuffle.ts) in their places itself: on a CPU, where
 * lines of blocks are whole vectors. Elsewhere it wasn't measured.
 */
export function canShuffle(gpu: Gpu, outputs: number, shuffle: Triple): boolean {
  const run = blockRun(outputs, shuffle);
  return gpu.traits.cpu && run % 4 === 0 && run % shuffle[2] === 0;
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

export type ConvArguments = Tensors<"x" | "y"> & {
  state?: Tensor;
  weight: ConvWeight;
  activation?: Activation;
  add?: Tensor;
  addsFirst?: boolean;
};

/** What a convolution's speed depends on. */
export type ConvShape = ConvGeometry & Pick<ConvWeight, "outputs" | "dtype" | "line"> & {
  /** The shape of x. */
  x: readonly number[];
  /** x, state and what is added can be read, and y written, in whole vec4. */
  vector: boolean;
};

export function convShapeOf(args: ConvArguments): ConvShape {
  const { x, weight, y } = args;
  const { outputs, dtype, line, kernel, stride, dilation, zeros, upsample } = weight;
  const vector = convMeasures(args).vector && outputs % 4 === 0 && y.offset % 4 === 0;
  return {
    ...{ x: x.shape, outputs, dtype, line, kernel, stride, dilation, vector },
    ...(zeros ? { zeros } : {}),
    ...(upsample ? { upsample } : {}),
  };
}

/** The convolution that a launch is for; undefined: another kernel's. */
export function convOf({ tuned }: Pick<Dispatch, "tuned">): ConvShape | undefined {
  return tuned?.kernel === "conv" ? tuned.shape as ConvShape : undefined;
}

/** Frames, lines and positions of what is computed. */
export function outputGrid(
  { x, stride, upsample = [1, 1] }: ConvGeometry & { x: readonly number[] },
) {
  const [t = 1, h = 1, w = 1] = x;
  return [t / stride[0], h * upsample[0] / stride[1], w * upsample[1] / stride[2]] as const;
}

/** Positions that are computed. */
export function rowsOf(shape: ConvGeometry & { x: readonly number[] }): number {
  return outputGrid(shape).reduce((product, extent) => product * extent, 1);
}

/** Operations and bytes of a convolution. */
export function convCost(args: ConvArguments) {
  const { x, state, weight, y } = args;
  const { kernel, inputs, outputs, dtype } = weight;
  const weights = outputs * inputs * kernel[0] * kernel[1] * kernel[2];
  return {
    flops: 2 * rowsOf({ ...weight, x: x.shape }) * weights,
    bytes: tensorBytes(x) + (state ? tensorBytes(state) : 0) + tensorBytes(y) +
      weights * elementBytes(dtype),
    tuned: { kernel: "conv", shape: convShapeOf(args) },
  };
}

/** WGSL for reading packed weights, as `textureReader` gives it. */
export function convWeightReader({ panels, dtype }: ConvWeight): ReturnType<typeof textureReader> {
  return panels instanceof GPUTexture
    ? textureReader("weight", texelFormat(dtype))
    : arrayReader("weight", dtype === "f32" ? "vec4f" : "vec4u");
}

export function convWeightBinding({ panels }: ConvWeight): Tensor | GPUTextureView {
  return panels instanceof GPUTexture ? panels.createView() : panels;
}

/** Frees a weight's memory. */
export function freeConv(gpu: Gpu, { panels }: ConvWeight): void {
  gpu.free(panels instanceof GPUTexture ? panels : panels.buffer);
}

/** What a convolution's constants are by its shapes. `vector`: it can be read in whole vec4. */
export function convMeasures({ x, state, weight, add }: ConvArguments) {
  const { kernel, stride, dilation, taps, run, columns, outputs, upsample = [1, 1] } = weight;
  const [, height = 1, width = 1, inputs = 1] = x.shape;
  const [frames, lines, positions] = outputGrid({ ...weight, x: x.shape });
  const [ft, fh] = weight.shuffle ?? [1, 1];
  const ownRun = outputs / ft / fh;
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
  const values = vector ? 4 : 1;
  return {
    vector,
    values,
    constants: {
      rows: frames * lines * positions,
      panels: Math.ceil(outputs / columns),
      outputs,
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
      taps,
      stride: [taps[0] > 1 ? stride[0] : 1, stride[1], taps[2] > 1 ? stride[2] : 1],
      pad: weight.zeros ?? [(kernel[1] - stride[1]) / 2, (kernel[2] - stride[2]) / 2],
      upsample,
      block: [ft, fh],
      block_plane: lines * fh * positions * ownRun,
      block_line: positions * ownRun,
      block_run: ownRun,
    },
  };
}

export function checkConv(name: string, { x, state, weight, y, add }: ConvArguments): void {
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
  const [ft, fh, fw] = weight.shuffle ?? [1, 1, 1];
  const shape = [
    ...[t * ft / st, h * uh * fh / sh, w * uw * fw / sw],
    weight.outputs / ft / fh / fw,
  ];
  if (weight.shuffle && add) throw new RangeError(`${name}: nothing is added to what is shuffled`);
  const packs = weight.shuffle && y.dtype === "u32";
  checkTensors(name, {
    x: [x, "f32", [t, h, w, weight.inputs]],
    state: [state, "f32", [past, h, w, weight.inputs]],
    y: packs ? [y, "u32", [elements(shape) / 4]] : [y, "f32", shape],
    add: [add, "f32", y.shape],
  });
}
