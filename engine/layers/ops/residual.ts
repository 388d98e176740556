/**
 * `residual`: x + conv2(silu(conv1(silu(norm(x))))). conv1 has the layer's `kernel` (stride 1) and
 * `channels` (the input's by default); conv2 is 1x1x1, back to the input's channels.
 */
import { under } from "../../weights/parameter.ts";
import { conv, type ConvConfig } from "./conv.ts";
import { channelRange, type Grid, kernelRange, type LayerOp } from "./layer.ts";
import { rmsnorm } from "./rmsnorm.ts";
import { activationMeanSquare } from "./activation.ts";

export type ResidualConfig = {
  op: "residual";
  kernel: Grid;
  dilation?: number;
  channels?: number;
};

/** Mean square of what the first weights add, relative to the input's. */
const branch = 0.25;

const norm = { op: "rmsnorm" } as const;

function convolutions(
  { kernel, dilation = 1, channels }: ResidualConfig,
  inputs: number,
): { conv1: ConvConfig; conv2: ConvConfig } {
  return {
    conv1: { op: "conv", channels: channels ?? inputs, kernel, dilation },
    conv2: { op: "conv", channels: inputs, kernel: [1, 1, 1] },
  };
}

export const residual = {
  parse: (fields) => ({
    op: "residual",
    kernel: fields.triple("kernel", kernelRange),
    ...(fields.has("dilation") ? { dilation: fields.whole("dilation", kernelRange) } : {}),
    ...(fields.has("channels") ? { channels: fields.whole("channels", channelRange) } : {}),
  }),
  shape(layer, input, what) {
    conv.shape(convolutions(layer, input[3]).conv1, input, what);
    return [...input];
  },
  parameters(layer, channels, { input }) {
    const { conv1, conv2 } = convolutions(layer, channels);
    const inner = layer.channels ?? channels;
    return {
      ...under("norm", rmsnorm.parameters(norm, channels)),
      ...under(
        "conv1",
        conv.parameters(conv1, channels, { input: activationMeanSquare.silu, goal: 1 }),
      ),
      ...under(
        "conv2",
        conv.parameters(conv2, inner, { input: activationMeanSquare.silu, goal: input * branch }),
      ),
    };
  },
  state(layer, input): Record<string, number[]> {
    const { past } = conv.state(convolutions(layer, input[3]).conv1, input);
    return past ? { "conv1.past": past } : {};
  },
  meanSquare: (_, { input }) => input * (1 + branch),
  takesActivation: true,
  steps(layer, scope, x, y, fused) {
    const { memory } = scope;
    const { conv1, conv2 } = convolutions(layer, x.shape[3] ?? 0);
    const activated = { activation: "silu" } as const;
    const normed = memory.take(x.shape);
    const normSteps = rmsnorm.steps(norm, scope.child("norm"), x, () => normed, activated);
    const hidden = memory.take([...x.shape.slice(0, 3), conv1.channels]);
    const conv1Steps = conv.steps(conv1, scope.child("conv1"), normed, () => hidden, activated);
    memory.release(normed);
    const conv2Steps = conv.steps(conv2, scope.child("conv2"), hidden, y, {
      add: x,
      addsFirst: true,
      ...fused,
    });
    memory.release(hidden);
    return [...normSteps, ...conv1Steps, ...conv2Steps];
  },
} satisfies LayerOp<ResidualConfig>;
