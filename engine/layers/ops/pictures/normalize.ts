/**
 * `normalize`: (x - mean) / deviation per channel, for the first channels, as many as `mean` lists; others
 * are left out. With `inverse` x deviation + mean.
 */
import type { Fields } from "../../../config/config_fields.ts";
import { InputError } from "../../../config/errors.ts";
import { channelScale } from "../../../../kernels/codec/channel_scale.ts";
import { channelRange, type LayerOp, type Shape4 } from "../layer.ts";

export type NormalizeConfig = {
  op: "normalize";
  mean: number[];
  deviation: number[];
  inverse?: boolean;
};

/** A list of finite numbers of at least `least`. */
function numbers(fields: Fields, key: string, least: number): number[] {
  const list = fields.list(key, channelRange);
  const fit = list.filter((n) => typeof n === "number" && n >= least && n <= 1e6);
  if (fit.length < list.length) {
    throw fields.error(key, `a list of numbers from ${least} to 1000000`);
  }
  return fit as number[];
}

export const normalize = {
  parse(fields) {
    const mean = numbers(fields, "mean", -1e6);
    const deviation = numbers(fields, "deviation", 1e-6);
    if (deviation.length !== mean.length) {
      throw fields.error("deviation", `a list of as many numbers as mean, ${mean.length}`);
    }
    const inverse = fields.has("inverse") && fields.boolean("inverse");
    return { op: "normalize", mean, deviation, ...(inverse ? { inverse } : {}) };
  },
  shape({ mean, inverse }, [t, h, w, c], what): Shape4 {
    if (mean.length > c || (inverse && mean.length < c)) {
      throw new InputError(
        `${what}: lists ${mean.length} channels, but the layer before gives ${c}; list ` +
          (inverse ? "as many" : "as many or fewer"),
      );
    }
    return [t, h, w, mean.length];
  },
  steps({ mean, deviation, inverse }, scope, x, y) {
    // x scale + shift.
    const scale = deviation.map((std) => inverse ? std : 1 / std);
    const shift = mean.map((m, c) => inverse ? m : -m * (scale[c] ?? 0));
    return channelScale(scope.gpu, {
      label: scope.label,
      x,
      scale: scope.vector("scale", Float32Array.from(scale)),
      shift: scope.vector("shift", Float32Array.from(shift)),
      y: y(),
    });
  },
} satisfies LayerOp<NormalizeConfig>;
