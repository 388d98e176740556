/** Small kernels that no product can take along. */
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { checkTensors, type Tensor, tensorFrom } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import timeFeaturesCode from "./time_features.wgsl" with { type: "text" };

const sizes = new UniformStruct("Sizes", { u32: "count half y" });

/**
 * Sinusoidal features of 1000 tau: cosines, then sines, at the frequencies exp(-ln(10000) i / half)
 * with half = C / 2 (the time embedding of DiT, Peebles and Xie 2023). Used at set-up only: it makes
 * two small buffers that live as long as the device.
 *
 * @param args tau in [0, 1], n of them; y f32 [n, C], C even.
 * @throws RangeError when shapes don't fit.
 */
export function timeFeatures(
  gpu: Gpu,
  { label, tau, y }: { label: string; tau: readonly number[]; y: Tensor },
): Dispatch {
  const [count = 0, width = 0] = y.shape;
  checkTensors(`timeFeatures ${label}`, { y: [y, "f32", [tau.length, 2 * Math.ceil(width / 2)]] });
  const half = width / 2;
  const turns = Float32Array.from(
    { length: half },
    (_, i) => (1000 * Math.exp((-Math.log(10000) * i) / half)) / (2 * Math.PI),
  );
  return dispatch(
    gpu,
    `timeFeatures ${label}`,
    gpu.pipeline("timeFeatures", timeFeaturesCode, { sizes }),
    [
      sizes.bind(gpu, { count, half, y: y.offset }),
      tensorFrom(gpu, "tau", [count], Float32Array.from(tau)),
      tensorFrom(gpu, "turns per tau", [half], turns),
      y,
    ],
    { items: count * half },
  );
}
