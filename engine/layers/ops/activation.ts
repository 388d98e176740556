/** `silu`, `elu`, `gelu`, `relu`, `soft_clamp`: an activation of every value. */
import { channelNorm } from "../../../kernels/codec/channel_norm.ts";
import type { Activation } from "../../../kernels/gpu/activation.ts";
import type { LayerOp } from "./layer.ts";

/** Mean square of an activation of a unit normal x. */
export const activationMeanSquare: Readonly<Record<Activation, number>> = {
  silu: 0.3557,
  elu: 0.6449,
  gelu: 0.4252,
  relu: 0.5,
  soft_clamp: 0.85,
};

export type ActivationConfig<A extends Activation> = { op: A };

function activationOp<A extends Activation>(op: A) {
  return {
    parse: () => ({ op }),
    shape: (_, input) => [...input],
    meanSquare: (_, { input }) => input * activationMeanSquare[op],
    activation: op,
    steps: (_, { gpu, label }, x, y) => channelNorm(gpu, { label, x, activation: op, y: y() }),
  } satisfies LayerOp<ActivationConfig<A>>;
}

export const activationOps = {
  silu: activationOp("silu"),
  elu: activationOp("elu"),
  gelu: activationOp("gelu"),
  relu: activationOp("relu"),
  soft_clamp: activationOp("soft_clamp"),
};
