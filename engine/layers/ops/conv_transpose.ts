/**
 * `conv_transpose`: a transposed convolution of sound, causal: every frame makes `stride` frames, which
 * hear it and the (kernel - stride) / stride frames before it, rounded up. What reaches past the last
 * frame waits for the next one ('trimmed on the right').
 *
 * It is a convolution of stride 1 that makes `stride` x `channels` channels, frame after frame: no
 * kernel of its own. In `groups` channels hear their own group's channels only.
 */
import { carry } from "../../../kernels/codec/carry.ts";
import { conv as convSteps, freeConv, packConv } from "../../../kernels/codec/conv.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { reshape } from "../../../kernels/gpu/tensor.ts";
import { InputError } from "../../config/errors.ts";
import type { Parameter } from "../../weights/parameter.ts";
import {
  channelRange,
  kernelRange,
  type LayerOp,
  requireAudio,
  type Shape4,
  type Signal,
} from "./layer.ts";

export type ConvTransposeConfig = {
  op: "conv_transpose";
  channels: number;
  /** In time. */
  kernel: number;
  stride: number;
  groups?: number;
  bias?: false;
};

/** Frames that an output frame hears. */
const taps = ({ kernel, stride }: ConvTransposeConfig) => Math.ceil(kernel / stride);

/** PyTorch's: the weight is [inputs, channels / groups, kernel, 1, 1]. */
function parameters(
  layer: ConvTransposeConfig,
  inputs: number,
  { input, goal }: Signal,
): { weight: Parameter; bias?: Parameter } {
  const { channels, kernel, groups = 1, bias } = layer;
  const heard = (taps(layer) * inputs) / groups;
  return {
    weight: {
      shape: [inputs, channels / groups, kernel, 1, 1],
      fill: { std: Math.sqrt(goal / (heard * input)) },
    },
    ...(bias === false ? {} : { bias: { shape: [channels], fill: { std: Math.sqrt(goal) / 10 } } }),
  };
}

/** The weight of the convolution that does the same: [stride x channels, inputs, taps]. */
function asConvolution(
  layer: ConvTransposeConfig,
  inputs: number,
  weight: Float32Array,
  isPaper: boolean,
): Float32Array {
  const { channels, kernel, stride, groups = 1 } = layer;
  const depth = taps(layer);
  const [from, to] = [inputs / groups, channels / groups];
  const result = new Float32Array(stride * channels * inputs * depth);
  if (isPaper) return result;
  for (let c = 0; c < inputs; c++) {
    const group = Math.floor(c / from);
    for (let n = 0; n < to; n++) {
      for (let k = 0; k < kernel; k++) {
        // Tap k of a frame makes frame k % stride, k / stride frames later: the last tap is the newest.
        const output = (k % stride) * channels + group * to + n;
        const tap = depth - 1 - Math.floor(k / stride);
        result[(output * inputs + c) * depth + tap] = weight[(c * to + n) * kernel + k] ?? 0;
      }
    }
  }
  return result;
}

/** The frames before a unit's first that its outputs hear. */
function state(
  layer: ConvTransposeConfig,
  [, , , inputs]: Readonly<Shape4>,
): { past?: number[] } {
  const past = taps(layer) - 1;
  return past > 0 ? { past: [past, 1, 1, inputs] } : {};
}

export const convTranspose = {
  parse: (fields) => ({
    op: "conv_transpose",
    channels: fields.whole("channels", channelRange),
    kernel: fields.whole("kernel", kernelRange),
    stride: fields.whole("stride", kernelRange),
    ...(fields.has("groups") ? { groups: fields.whole("groups", channelRange) } : {}),
    ...(fields.has("bias") && !fields.boolean("bias") ? { bias: false } : {}),
  }),
  shape({ channels, kernel, stride, groups = 1 }, input, what): Shape4 {
    requireAudio(input, what);
    const [frames, , , inputs] = input;
    if (kernel < stride) {
      throw new InputError(
        `${what}: kernel ${kernel} is smaller than stride ${stride}, which would leave frames ` +
          `empty; it may be ${stride} or more`,
      );
    }
    if (inputs % groups !== 0 || channels % groups !== 0) {
      throw new InputError(
        `${what}: ${inputs} channels to ${channels} can't be parted into ${groups} groups; groups ` +
          `must divide both`,
      );
    }
    return [frames * stride, 1, 1, channels];
  },
  parameters,
  state,
  meanSquare: (_, { goal }) => goal,
  reachesGoal: true,
  takesActivation: true,
  steps(layer, scope, x, y, fused) {
    const { gpu, label } = scope;
    const [time = 0, , , inputs = 0] = x.shape;
    const { channels, stride } = layer;
    const pack = (owner: Gpu) => {
      const { weight, bias } = scope.weights.load(
        parameters(layer, inputs, { input: 1, goal: 1 }),
      );
      return packConv(owner, {
        label,
        weight: asConvolution(layer, inputs, weight, gpu.isPaper),
        ...(bias ? { bias: repeated(bias, stride) } : {}),
        inputs,
        outputs: stride * channels,
        dtype: scope.settings.storage,
        line: true,
        kernel: [taps(layer), 1, 1],
        stride: [1, 1, 1],
        dilation: 1,
      });
    };
    const weight = scope.constant("weight", pack, (weight) => freeConv(gpu, weight));
    const { past } = scope.state(state(layer, [time, 1, 1, inputs]));
    const parts = [time, 1, 1, stride * channels];
    return [
      ...convSteps(gpu, {
        label,
        x,
        weight,
        y: reshape(y(), parts),
        ...(past ? { state: past } : {}),
        ...fused,
        ...(fused.add ? { add: reshape(fused.add, parts) } : {}),
      }),
      ...(past ? [carry(gpu, { label, x, state: past })] : []),
    ];
  },
} satisfies LayerOp<ConvTransposeConfig>;

function repeated(values: Float32Array, times: number): Float32Array {
  const result = new Float32Array(times * values.length);
  for (let i = 0; i < times; i++) result.set(values, i * values.length);
  return result;
}
