/**
 * `residual`: x + conv2(act(conv1(act(norm(x))))). conv1 has the layer's `kernel` (stride 1) and
 * `channels` (the input's by default); conv2 is 1x1x1, back to the input's channels.
 *
 * act is `activation`, silu by default. With `norm` false there is no norm (an RMSNorm else); with
 * `shortcut` true a 1x1x1 convolution takes the place of x.
 */
import { channelNorm } from "../../../kernels/codec/channel_norm.ts";
import type { Activation } from "../../../kernels/gpu/activation.ts";
import type { Tensor } from "../../../kernels/gpu/tensor.ts";
import { under } from "../../weights/parameter.ts";
import { activationMeanSquare } from "./activation.ts";
import { conv, type ConvConfig } from "./conv.ts";
import { channelRange, type Grid, kernelRange, type LayerOp } from "./layer.ts";
import { rmsnorm } from "./rmsnorm.ts";

export type ResidualConfig = {
  op: "residual";
  kernel: Grid;
  dilation?: number;
  channels?: number;
  activation?: Activation;
  norm?: false;
  shortcut?: true;
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
    ...(fields.has("activation")
      ? { activation: fields.oneOf("activation", ["silu", "elu", "gelu"]) }
      : {}),
    ...(fields.has("norm") && !fields.boolean("norm") ? { norm: false } : {}),
    ...(fields.has("shortcut") && fields.boolean("shortcut") ? { shortcut: true } : {}),
  }),
  shape(layer, input, what) {
    conv.shape(convolutions(layer, input[3]).conv1, input, what);
    return [...input];
  },
  parameters(layer, channels, { input }) {
    const { conv1, conv2 } = convolutions(layer, channels);
    const inner = layer.channels ?? channels;
    const activated = activationMeanSquare[layer.activation ?? "silu"];
    const into = layer.norm === false ? input * activated : activated;
    const goal = input * branch;
    return {
      ...(layer.norm === false ? {} : under("norm", rmsnorm.parameters(norm, channels))),
      ...under("conv1", conv.parameters(conv1, channels, { input: into, goal: 1 })),
      ...under("conv2", conv.parameters(conv2, inner, { input: activated, goal })),
      ...(layer.shortcut
        ? under("shortcut", conv.parameters(conv2, channels, { input, goal: input }))
        : {}),
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
    const activation = layer.activation ?? "silu";
    const normed = memory.take(x.shape);
    const normSteps = layer.norm === false
      ? channelNorm(scope.gpu, { label: scope.label, x, activation, y: normed })
      : rmsnorm.steps(norm, scope.child("norm"), x, () => normed, { activation });
    const hidden = memory.take([...x.shape.slice(0, 3), conv1.channels]);
    const conv1Steps = conv.steps(conv1, scope.child("conv1"), normed, () => hidden, {
      activation,
    });
    memory.release(normed);
    let add: Tensor = x;
    if (layer.shortcut) add = memory.take(x.shape);
    const shortcutSteps = layer.shortcut
      ? conv.steps(conv2, scope.child("shortcut"), x, () => add, {})
      : [];
    const last = { add, addsFirst: true, ...fused };
    const conv2Steps = conv.steps(conv2, scope.child("conv2"), hidden, y, last);
    memory.release(hidden);
    if (layer.shortcut) memory.release(add);
    return [...normSteps, ...conv1Steps, ...shortcutSteps, ...conv2Steps];
  },
} satisfies LayerOp<ResidualConfig>;
