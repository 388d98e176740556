/**
 * `conv`: a convolution, causal in time. Kernel and stride are [time, height, width].
 *
 * It pads with (kernel - stride) x dilation past frames in time, so that an output frame sees nothing
 * after its own stride of input frames, and with (kernel - stride) / 2 zeros on both sides in space:
 * every extent is divided by its stride exactly. Dilation spreads the taps in time only; above 1 it
 * needs a time stride of 1. Where kernel - stride is odd in space, `odd_zero` says on which side the one
 * zero more stands: above and left ("before"), or below and right. `upsample` [1, height, width] repeats
 * the lines and positions of the input so many times first; it needs stride 1.
 *
 * Before the first frame lie zeros; with `padding` "replicate" the first frame itself. With `bias`
 * false there is none.
 */
import { carry } from "../../../kernels/codec/carry.ts";
import {
  canShuffle,
  conv as convSteps,
  type ConvGeometry,
  freeConv,
  historyFrames,
  packConv,
} from "../../../kernels/codec/conv.ts";
import { countFrames, holdFirst } from "../../../kernels/codec/frames_seen.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { elements } from "../../../kernels/gpu/tensor.ts";
import { InputError } from "../../config/errors.ts";
import type { Parameter } from "../../weights/parameter.ts";
import {
  channelRange,
  divide,
  type Grid,
  kernelRange,
  type LayerOp,
  requireWholePadding,
  type Shape4,
  type Signal,
} from "./layer.ts";

export type ConvConfig = {
  op: "conv";
  channels: number;
  kernel: Grid;
  stride?: Grid;
  dilation?: number;
  padding?: "replicate";
  bias?: false;
  odd_zero?: "before" | "after";
  upsample?: Grid;
};

/** What a convolution does to time and space, defaults filled in. */
function geometry(layer: ConvConfig): ConvGeometry {
  const { kernel, stride = [1, 1, 1], dilation = 1, odd_zero: side, upsample } = layer;
  const round = side === "before" ? Math.ceil : Math.floor;
  const zeros = (axis: 1 | 2) => round((kernel[axis] - stride[axis]) / 2);
  return {
    kernel,
    stride,
    dilation,
    ...(side ? { zeros: [zeros(1), zeros(2)] } : {}),
    ...(upsample ? { upsample: [upsample[1], upsample[2]] } : {}),
  };
}

function parameters(
  { channels, kernel, bias }: ConvConfig,
  inputs: number,
  { input, goal }: Signal,
): { weight: Parameter; bias?: Parameter } {
  const shape = [channels, inputs, ...kernel];
  return {
    weight: { shape, fill: { std: Math.sqrt(goal / (elements(shape.slice(1)) * input)) } },
    ...(bias === false ? {} : { bias: { shape: [channels], fill: { std: Math.sqrt(goal) / 10 } } }),
  };
}

/** The frames before a unit's first that its outputs read, and how many frames went by where the first
 * one stands for those before it. */
function state(
  layer: ConvConfig,
  [, height, width, inputs]: Readonly<Shape4>,
): { past?: number[]; seen?: number[] } {
  const past = historyFrames(geometry(layer));
  if (past === 0) return {};
  return {
    past: [past, height, width, inputs],
    ...(layer.padding ? { seen: [1] } : {}),
  };
}

export const conv = {
  parse: (fields) => ({
    op: "conv",
    channels: fields.whole("channels", channelRange),
    kernel: fields.triple("kernel", kernelRange),
    ...(fields.has("stride") ? { stride: fields.triple("stride", kernelRange) } : {}),
    ...(fields.has("dilation") ? { dilation: fields.whole("dilation", kernelRange) } : {}),
    ...(fields.has("padding") ? { padding: fields.oneOf("padding", ["replicate"]) } : {}),
    ...(fields.has("bias") && !fields.boolean("bias") ? { bias: false } : {}),
    ...(fields.has("odd_zero") ? { odd_zero: fields.oneOf("odd_zero", ["before", "after"]) } : {}),
    ...(fields.has("upsample") ? { upsample: fields.triple("upsample", [1, 16]) } : {}),
  }),
  shape(layer, [t, h, w], what): Shape4 {
    const { kernel, odd_zero, upsample: [ut, uh, uw] = [1, 1, 1] } = layer;
    const { stride, dilation } = geometry(layer);
    if (ut !== 1 || (uh * uw > 1 && stride[1] * stride[2] > 1)) {
      throw new InputError(
        `${what}: upsample [${layer.upsample}] with stride [${stride}]; the first number may be 1, ` +
          `and the strides of height and width 1`,
      );
    }
    requireWholePadding({ kernel, stride, dilation, odd: odd_zero !== undefined }, what);
    return [...divide([t, h * uh, w * uw], stride, what, "stride"), layer.channels];
  },
  parameters,
  state,
  meanSquare: (_, { goal }) => goal,
  reachesGoal: true,
  takesActivation: true,
  takesAddition: true,
  canShuffle: ({ channels }, gpu, factor) => canShuffle(gpu, channels, factor),
  steps(layer, scope, x, y, { shuffle, ...fused }) {
    const { gpu, label } = scope;
    const [time = 0, height = 0, width = 0, inputs = 0] = x.shape;
    const pack = (owner: Gpu) =>
      packConv(owner, {
        label,
        ...scope.weights.load(parameters(layer, inputs, { input: 1, goal: 1 })),
        inputs,
        outputs: layer.channels,
        dtype: scope.settings.storage,
        line: height * width === 1,
        ...(shuffle ? { shuffle } : {}),
        ...geometry(layer),
      });
    const weight = scope.constant("weight", pack, (weight) => freeConv(gpu, weight));
    const { past, seen } = scope.state(state(layer, [time, height, width, inputs]));
    return [
      ...(past && seen ? [holdFirst(gpu, { label, seen, x, past })] : []),
      ...convSteps(gpu, { label, x, weight, y: y(), ...(past ? { state: past } : {}), ...fused }),
      ...(past ? [carry(gpu, { label, x, state: past })] : []),
      ...(seen ? [countFrames(gpu, { label, seen, frames: time })] : []),
    ];
  },
} satisfies LayerOp<ConvConfig>;
