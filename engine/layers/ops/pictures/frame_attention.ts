/**
 * `frame_attention`: the positions of each frame look at each other, one head: of queries, keys and values
 * side by side in the channels it makes softmax(q k^T / sqrt(channels)) v. It has no weights: convolutions
 * before and after it have them.
 */
import { InputError } from "../../../config/errors.ts";
import { frameAttention as attentionSteps } from "../../../../kernels/codec/frame_attention.ts";
import type { LayerOp, Shape4 } from "../layer.ts";

export type FrameAttentionConfig = { op: "frame_attention" };

export const frameAttention = {
  parse: () => ({ op: "frame_attention" }),
  shape(_, [t, h, w, c], what): Shape4 {
    if (c % 12 !== 0) {
      throw new InputError(
        `${what}: ${c} channels aren't queries, keys and values of a multiple of 4 each; the layer ` +
          `before must give a multiple of 12`,
      );
    }
    return [t, h, w, c / 3];
  },
  steps: (_, { gpu, label }, x, y) => attentionSteps(gpu, { label, x, y: y() }),
} satisfies LayerOp<FrameAttentionConfig>;
