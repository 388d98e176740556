/** `rmsnorm`: RMSNorm over the channels of every position, with a learned weight per channel; `eps` is
 * added to the mean square (1e-6). */
import type { Parameter } from "../../weights/parameter.ts";
import { channelNorm } from "../../../kernels/codec/channel_norm.ts";
import type { LayerOp } from "./layer.ts";

export type RmsnormConfig = { op: "rmsnorm"; eps?: number };

function parameters(_: RmsnormConfig, channels: number): { weight: Parameter } {
  return { weight: { shape: [channels], fill: "ones" } };
}

export const rmsnorm = {
  parse: (fields) => ({
    op: "rmsnorm",
    ...(fields.has("eps") ? { eps: fields.number("eps", [1e-30, 0.1]) } : {}),
  }),
  shape: (_, input) => [...input],
  parameters,
  meanSquare: () => 1,
  takesActivation: true,
  steps(layer, scope, x, y, fused) {
    const { weight } = scope.weights.load(parameters(layer, x.shape.at(-1) ?? 0));
    return channelNorm(scope.gpu, {
      label: scope.label,
      x,
      weight: scope.vector("weight", weight),
      y: y(),
      ...(layer.eps === undefined ? {} : { eps: layer.eps }),
      ...(fused.activation ? { activation: fused.activation } : {}),
    });
  },
} satisfies LayerOp<RmsnormConfig>;
