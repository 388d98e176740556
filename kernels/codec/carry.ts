/**
 * Carrying state over to the next unit: state <- the last frames of (state ++ x).
 *
 * Where x has enough frames this is a plain copy; else frames move within the state, one invocation
 * per column in ascending order, so that nothing is overwritten before it was read.
 */
import type { Gpu } from "../gpu/device.ts";
import { copy, dispatch, type Step } from "../gpu/plan.ts";
import { elements, rows, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./carry.wgsl" with { type: "text" };

const sizes = new UniformStruct("Sizes", { u32: "columns kept frames state_at x_at" });

/**
 * @param x f32 [T, ...].
 * @param state f32 [S, ...] with the same extents after the first.
 * @throws RangeError when they have others.
 */
export function carry(gpu: Gpu, { label, x, state }: Tensors<"x" | "state">): Step {
  const name = `carry ${label}`;
  const [frames = 0, ...column] = x.shape;
  const [kept = 0, ...same] = state.shape;
  if (column.join() !== same.join()) {
    throw new RangeError(`${name}: [${x.shape}] can't follow [${state.shape}]`);
  }
  if (frames >= kept) return copy(name, rows(x, frames - kept, kept), state);
  const columns = elements(column);
  const at = { state_at: state.offset, x_at: x.offset };
  return dispatch(
    gpu,
    name,
    gpu.pipeline(name, code, { sizes }),
    [sizes.bind(gpu, { columns, kept, frames, ...at }), x, state],
    { items: columns },
    { bytes: 2 * tensorBytes(state) },
  );
}
