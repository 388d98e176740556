/**
 * `conv`: a convolution, causal in time. Kernel and stride are [time, height, width].
 *
 * It pads with (kernel - stride) x dilation past frames in time, so that an output frame sees nothing
 * after its own stride of input frames, and with (kernel - stride) / 2 zeros on both sides in space:
 * every extent is divided by its stride exactly. Dilation spreads the taps in time only; above 1 it
 * needs a time stride of 1.
 *
 * Before the first frame lie zeros; with `padding` "replicate" the first frame itself. With `bias`
 * false there is none.
 */
import { carry } from "../../../kernels/codec/carry.ts";
import { conv as convSteps, historyFrames, packConv } from "../../../kernels/codec/conv.ts";
import { countFrames, holdFirst } from "../../../kernels/codec/frames_seen.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { elements } from "../../../kernels/gpu/tensor.ts";
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
};

/** What a convolution does to time and space, defaults filled in. */
function geometry({ kernel, stride = [1, 1, 1], dilation = 1 }: ConvConfig) {
  return { kernel, stride, dilation };
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
  }),
  shape(layer, [t, h, w], what): Shape4 {
    const { stride } = geometry(layer);
    requireWholePadding(geometry(layer), what);
    return [...divide([t, h, w], stride, what, "stride"), layer.channels];
  },
  parameters,
  state,
  meanSquare: (_, { goal }) => goal,
  reachesGoal: true,
  takesActivation: true,
  steps(layer, scope, x, y, fused) {
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
        ...geometry(layer),
      });
    const weight = scope.constant("weight", pack, ({ texture }) => gpu.free(texture));
    const { past, seen } = scope.state(state(layer, [time, height, width, inputs]));
    return [
      ...(past && seen ? [holdFirst(gpu, { label, seen, x, past })] : []),
      ...convSteps(gpu, { label, x, weight, y: y(), ...(past ? { state: past } : {}), ...fused }),
      ...(past ? [carry(gpu, { label, x, state: past })] : []),
      ...(seen ? [countFrames(gpu, { label, seen, frames: time })] : []),
    ];
  },
} satisfies LayerOp<ConvConfig>;
