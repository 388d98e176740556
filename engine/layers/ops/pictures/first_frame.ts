/**
 * `first_frame`: only for a stream's first frame where that comes alone: it stands for `repeat` frames,
 * or of what was made of it the first `trim` frames are left out. Units pass as they are.
 */
import { InputError } from "../../../config/errors.ts";
import { copy } from "../../../../kernels/gpu/plan.ts";
import { rows } from "../../../../kernels/gpu/tensor.ts";
import { kernelRange, type LayerOp } from "../layer.ts";

export type FirstFrameConfig = { op: "first_frame"; repeat?: number; trim?: number };

export const firstFrame = {
  parse(fields): FirstFrameConfig {
    const key = fields.has("repeat") ? "repeat" : "trim";
    return { op: "first_frame", [key]: fields.whole(key, kernelRange) };
  },
  shape({ repeat = 1, trim = 0 }, [t, ...frame], what, first) {
    if (!first) return [t, ...frame];
    if (trim >= t) {
      throw new InputError(
        `${what}: trim ${trim} leaves nothing of ${t} frames; it may be ${t - 1}`,
      );
    }
    return [t * repeat - trim, ...frame];
  },
  passes: (_, first) => !first,
  steps({ repeat = 1, trim = 0 }, { label, settings: { first } }, x, y) {
    if (!first) return [];
    const [frames = 0] = x.shape;
    const target = y();
    const kept = rows(x, trim, frames - trim);
    return Array.from(
      { length: repeat },
      (_, i) =>
        copy(`first frame ${label}`, kept, rows(target, i * (frames - trim), frames - trim)),
    );
  },
} satisfies LayerOp<FirstFrameConfig>;
