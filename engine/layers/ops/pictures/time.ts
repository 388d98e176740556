/**
 * `halve_time` and `double_time`: learned resampling in time that leaves a stream's first frame alone, as
 * Wan2.1's VAE has it. Where the first frame comes alone, both hand it on: `halve_time` remembers it as the
 * frame before the first unit, `double_time` begins its past with the first unit.
 */
import { carry } from "../../../../kernels/codec/carry.ts";
import { shuffle } from "../../../../kernels/codec/shuffle.ts";
import { conv, type ConvConfig } from "../conv.ts";
import type { LayerOp, Shape4 } from "../layer.ts";

export type HalveTimeConfig = { op: "halve_time" };
export type DoubleTimeConfig = { op: "double_time" };

/** Of two frames and the one before them one. */
const halving = (channels: number): ConvConfig => ({
  op: "conv",
  channels,
  kernel: [3, 1, 1],
  stride: [2, 1, 1],
});

export const halveTime = {
  parse: () => ({ op: "halve_time" }),
  shape: (_, input, what, first) => first ? [...input] : conv.shape(halving(input[3]), input, what),
  passes: (_, first) => first,
  parameters: (_, channels, signal) => conv.parameters(halving(channels), channels, signal),
  state: (_, input) => conv.state(halving(input[3]), input),
  meanSquare: (_, { goal }) => goal,
  reachesGoal: true,
  steps(_, scope, x, y, fused) {
    const layer = halving(x.shape[3] ?? 0);
    if (!scope.settings.first) return conv.steps(layer, scope, x, y, fused);
    const { past } = scope.state(conv.state(layer, x.shape as Shape4));
    return past ? [carry(scope.gpu, { label: scope.label, x, state: past })] : [];
  },
} satisfies LayerOp<HalveTimeConfig>;

/** Of a frame and the two before it two, whose channels alternate: channel 2 c + dt. */
const doubling = (channels: number): ConvConfig => ({
  op: "conv",
  channels: 2 * channels,
  kernel: [3, 1, 1],
});

export const doubleTime = {
  parse: () => ({ op: "double_time" }),
  shape: (_, [t, h, w, c], __, first) => [first ? t : 2 * t, h, w, c],
  passes: (_, first) => first,
  parameters: (_, channels, signal) => conv.parameters(doubling(channels), channels, signal),
  state: (_, input) => conv.state(doubling(input[3]), input),
  meanSquare: (_, { goal }) => goal,
  reachesGoal: true,
  steps(_, scope, x, y) {
    const layer = doubling(x.shape[3] ?? 0);
    if (scope.settings.first) return [];
    const { gpu, label, memory } = scope;
    const pairs = memory.take([...x.shape.slice(0, 3), layer.channels]);
    const steps = conv.steps(layer, scope, x, () => pairs, {});
    memory.release(pairs);
    return [...steps, ...shuffle(gpu, { label, x: pairs, y: y(), factor: [2, 1, 1] })];
  },
} satisfies LayerOp<DoubleTimeConfig>;
