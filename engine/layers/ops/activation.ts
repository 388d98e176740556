/** `silu`: x sigmoid(x). */
import { channelNorm } from "../../../kernels/codec/channel_norm.ts";
import type { LayerOp } from "./layer.ts";

/** Mean square of silu(x) for a unit normal x. */
export const siluMeanSquare = 0.3557;

export type SiluConfig = { op: "silu" };

export const silu = {
  parse: () => ({ op: "silu" }),
  shape: (_, input) => [...input],
  meanSquare: (_, { input }) => input * siluMeanSquare,
  activation: "silu",
  steps: (_, { gpu, label }, x, y) => channelNorm(gpu, { label, x, activation: "silu", y: y() }),
} satisfies LayerOp<SiluConfig>;
