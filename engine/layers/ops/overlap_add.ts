/** `overlap_add`: frames of 2 hop samples into hop samples each, the halves of neighbours added. */
import { InputError } from "../../config/errors.ts";
import { overlapAdd as overlapAddSteps } from "../../../kernels/codec/overlap_add.ts";
import { channelRange, type LayerOp, requireAudio } from "./layer.ts";

export type OverlapAddConfig = { op: "overlap_add"; hop: number };

/** The second half of the last frame. */
const state = ({ hop }: OverlapAddConfig) => ({ tail: [hop] });

export const overlapAdd = {
  parse: (fields) => ({ op: "overlap_add", hop: fields.whole("hop", channelRange) }),
  shape({ hop }, input, what) {
    requireAudio(input, what);
    const [frames, , , channels] = input;
    if (channels !== 2 * hop) {
      throw new InputError(
        `${what}: hop ${hop} needs frames of ${2 * hop} channels, but the layer ` +
          `before gives ${channels}; set hop to half of its channels`,
      );
    }
    return [frames * hop, 1, 1, 1];
  },
  state,
  meanSquare: (_, { input }) => 2 * input,
  steps(layer, scope, x, y) {
    const { tail } = scope.state(state(layer));
    return overlapAddSteps(scope.gpu, { label: scope.label, x, tail, y: y() });
  },
} satisfies LayerOp<OverlapAddConfig>;
