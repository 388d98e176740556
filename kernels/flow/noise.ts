/**
 * Standard normal noise for the solver, made where it is used. Element i of unit k depends on the
 * seed, k and i only: Philox's counter is [k, 0, i / 4, stream], and Box-Muller makes four normals of
 * its four words.
 */
import type { Gpu } from "../gpu/device.ts";
import { philoxCode, philoxKey, philoxStream } from "../gpu/philox.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { elements, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./noise.wgsl" with { type: "text" };

const settings = new UniformStruct("Settings", {
  vec2u: "key",
  u32: "count offset unit_at stream",
});

/**
 * y = noise of the unit that `unit` holds when it runs.
 *
 * @param y f32, any shape.
 * @param unit u32, its first element.
 * @param seed A whole number from 0 to 2^53 - 1.
 * @throws RangeError for another seed.
 */
export function noise(gpu: Gpu, { label, y, unit, seed }: Tensors<"y" | "unit"> & {
  seed: number;
}): Dispatch {
  const name = `noise ${label}`;
  const count = elements(y.shape);
  const constants = settings.bind(gpu, {
    key: philoxKey(seed),
    count,
    offset: y.offset,
    unit_at: unit.offset,
    stream: philoxStream.noise,
  });
  return dispatch(
    gpu,
    name,
    gpu.pipeline(name, philoxCode + code, { settings }),
    [constants, unit, y],
    { items: Math.ceil(count / 4) },
    { bytes: tensorBytes(y) },
  );
}
