/** A count of the frames of a stream that went by, for layers to which the first one matters. */
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { checkTensors, elements, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./frames_seen.wgsl" with { type: "text" };

const sizes = new UniformStruct("Sizes", { u32: "count columns seen x past" });

/**
 * Counts on: seen += frames.
 *
 * @param seen The bits of a u32 in an f32 [1]; 0 at the start of a stream.
 */
export function countFrames(
  gpu: Gpu,
  { label, seen, frames }: Tensors<"seen"> & { frames: number },
): Dispatch {
  const name = `countFrames ${label}`;
  checkTensors(name, { seen: [seen, "f32", [1]] });
  const constants = sizes.bind(gpu, {
    count: frames,
    columns: 0,
    seen: seen.offset,
    x: 0,
    past: 0,
  });
  const pipeline = gpu.pipeline(name, code, { sizes, hold: false });
  return dispatch(gpu, name, pipeline, [constants, seen], { items: 1 }, { bytes: 8 });
}

/**
 * At the start of a stream every frame before it is made its first one ('replicate' padding).
 *
 * @param seen As in `countFrames`; nothing is written where it isn't 0.
 * @param x f32 [T, ...]; past f32 [P, ...] of the same extents after the first.
 * @throws RangeError when they have others.
 */
export function holdFirst(
  gpu: Gpu,
  { label, seen, x, past }: Tensors<"seen" | "x" | "past">,
): Dispatch {
  const name = `holdFirst ${label}`;
  const column = x.shape.slice(1);
  checkTensors(name, {
    seen: [seen, "f32", [1]],
    past: [past, "f32", [past.shape[0] ?? 0, ...column]],
  });
  const count = elements(past.shape);
  const constants = sizes.bind(gpu, {
    count,
    columns: elements(column),
    seen: seen.offset,
    x: x.offset,
    past: past.offset,
  });
  return dispatch(
    gpu,
    name,
    gpu.pipeline(name, code, { sizes, hold: true }),
    [constants, seen, x, past],
    { items: count },
    { bytes: tensorBytes(past) },
  );
}
