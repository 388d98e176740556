/**
 * What the engine must know of a layer op. Each op is one file of this room that exports one
 * `LayerOp`, and one line of ../registry.ts.
 */
import type { LayerConfig } from "../../config/config.ts";
import type { Fields, Range } from "../../config/config_fields.ts";
import { InputError } from "../../config/errors.ts";
import type { Parameters } from "../../weights/parameter.ts";
import type { LayerScope } from "./scope.ts";
import type { Activation } from "../../../kernels/gpu/activation.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import type { Step } from "../../../kernels/gpu/plan.ts";
import type { Tensor } from "../../../kernels/gpu/tensor.ts";

/** [time, height, width, channels] of one unit; audio has height = width = 1. */
export type Shape4 = [time: number, height: number, width: number, channels: number];

/** [time, height, width]. */
export type Grid = [time: number, height: number, width: number];

/** Mean squares of a signal: of what comes into a layer, and of what should come out of it. */
export interface Signal {
  input: number;
  goal: number;
}

/** What a layer does to its result besides its own work. */
export interface Fused {
  activation?: Activation;
  /** f32 of the result's shape, added last; where it `addsFirst`, before the activation. */
  add?: Tensor;
  addsFirst?: boolean;
  /** Its channels are blocks, which it puts in their places, as `shuffle` does. */
  shuffle?: Grid;
}

/** One layer op. `C` is the form of its layers in `config.json`. */
export interface LayerOp<C extends LayerConfig = LayerConfig> {
  /** Reads the keys besides `op`; those that it does not ask for are refused. @throws InputError */
  parse(fields: Fields): C;
  /**
   * The layer's output shape for one unit: causality and state don't change it, because every layer
   * divides its extents exactly.
   *
   * @param what The layer, for messages, e.g. "response.video.encoder[3] (conv)".
   * @param first The input is a stream's first frame, which comes alone (`Coder.first`).
   * @throws InputError when the layer can't follow such an input.
   */
  shape(layer: C, input: Readonly<Shape4>, what: string, first?: boolean): Shape4;
  /** True where it hands its input on: of a stream's first frame that comes alone, or of units. Its
   * steps then write no result. */
  passes?(layer: C, first: boolean): boolean;
  /** Its parameters, scaled so that `signal.input` becomes `signal.goal`; none by default. */
  parameters?(layer: C, channels: number, signal: Signal): Parameters;
  /** Shapes of what it carries from unit to unit, f32, zero at the start of a stream. */
  state?(layer: C, input: Readonly<Shape4>): Record<string, number[]>;
  /** Mean square of its output with its first weights; by default the input's. */
  meanSquare?(layer: C, signal: Signal): number;
  /** True where the first weights can bring the output to any mean square. */
  reachesGoal?: boolean;
  /** The activation that this op is; a layer before it that takes activations applies it. */
  activation?: Activation;
  takesActivation?: boolean;
  /** The blocks that this op puts in their places; a layer before it that can do so does it. */
  shuffles?(layer: C): Grid;
  canShuffle?(layer: C, gpu: Gpu, factor: Grid): boolean;
  /** Its steps take activation and addition. */
  takesAddition?: boolean;
  /**
   * The steps that run the layer on one unit and carry its state on.
   *
   * @param y Gives the result's tensor: called once the layer has released what it can.
   */
  steps(layer: C, scope: LayerScope, x: Tensor, y: () => Tensor, fused: Fused): Step[];
}

/** Ranges of the numbers in layers. */
export const channelRange: Range = [1, 65536];
export const kernelRange: Range = [1, 4096];

const axes = ["time", "height", "width"] as const;

/** Divides extents. @throws InputError that names the axis, when something is left over. */
export function divide(extent: Grid, by: Readonly<Grid>, what: string, key: string): Grid {
  return extent.map((n, axis) => {
    const step = by[axis] ?? 1;
    if (n % step !== 0) {
      throw new InputError(
        `${what}: ${axes[axis]} of ${n} isn't divisible by ${key} ${step}; ` +
          `choose a ${key} that divides ${n}, or another size of the input`,
      );
    }
    return n / step;
  }) as Grid;
}

/** @throws InputError unless height and width are 1. */
export function requireAudio([, h, w]: Readonly<Shape4>, what: string): void {
  if (h !== 1 || w !== 1) {
    throw new InputError(`${what}: audio has height and width 1, not ${h} x ${w}`);
  }
}

/**
 * Padding must be whole: (kernel - stride) x dilation past frames, and half of kernel - stride on
 * every side of a picture.
 *
 * @throws InputError
 */
export function requireWholePadding(
  { kernel, stride, dilation, odd = false }: {
    kernel: Readonly<Grid>;
    stride: Readonly<Grid>;
    dilation: number;
    /** It is known where one zero more stands. */
    odd?: boolean;
  },
  what: string,
): void {
  kernel.forEach((k, axis) => {
    const s = stride[axis] ?? 1;
    if (k < s) {
      throw new InputError(
        `${what}: kernel ${k} is smaller than stride ${s} along ${axes[axis]}, which would skip ` +
          `input; it may be ${s} or more`,
      );
    }
    if (axis > 0 && !odd && (k - s) % 2 !== 0) {
      throw new InputError(
        `${what}: kernel ${k} and stride ${s} along ${axes[axis]} differ by an odd number; ` +
          `make the kernel ${k + 1}, or set odd_zero`,
      );
    }
  });
  if (dilation > 1 && stride[0] !== 1) {
    throw new InputError(
      `${what}: dilation ${dilation} with time stride ${stride[0]}; a dilated layer needs stride 1`,
    );
  }
}
