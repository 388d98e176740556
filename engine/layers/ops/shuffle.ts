/**
 * `unshuffle`: blocks of [time, height, width] become channels, channel = ((c ft + dt) fh + dh) fw + dw
 * for a factor [ft, fh, fw]. `shuffle` is its inverse.
 */
import { InputError } from "../../config/errors.ts";
import {
  shuffle as shuffleSteps,
  unshuffle as unshuffleSteps,
} from "../../../kernels/codec/shuffle.ts";
import { divide, type Grid, kernelRange, type LayerOp } from "./layer.ts";

export type UnshuffleConfig = { op: "unshuffle"; factor: Grid };
export type ShuffleConfig = { op: "shuffle"; factor: Grid };

export const unshuffle = {
  parse: (fields) => ({ op: "unshuffle", factor: fields.triple("factor", kernelRange) }),
  shape({ factor }, [t, h, w, c], what) {
    const [ft, fh, fw] = factor;
    return [...divide([t, h, w], factor, what, "factor"), c * ft * fh * fw];
  },
  steps: ({ factor }, { gpu, label }, x, y) => unshuffleSteps(gpu, { label, x, y: y(), factor }),
} satisfies LayerOp<UnshuffleConfig>;

export const shuffle = {
  parse: (fields) => ({ op: "shuffle", factor: fields.triple("factor", kernelRange) }),
  shape({ factor }, [t, h, w, c], what) {
    const [ft, fh, fw] = factor;
    const block = ft * fh * fw;
    if (c % block !== 0) {
      throw new InputError(
        `${what}: ${c} channels can't be shuffled by factor [${factor}]; ` +
          `the layer before must give a multiple of ${block} channels`,
      );
    }
    return [t * ft, h * fh, w * fw, c / block];
  },
  shuffles: ({ factor }) => factor,
  steps: ({ factor }, { gpu, label }, x, y) => shuffleSteps(gpu, { label, x, y: y(), factor }),
} satisfies LayerOp<ShuffleConfig>;
