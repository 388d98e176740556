/**
 * Linear combinations of the solver: y = a z + c_0 v_0 + ... with fixed coefficients. Steps of
 * Euler, midpoint, Heun and Adams-Bashforth are such, and so is classifier-free guidance,
 * v = v_u + g (v_c - v_u) = g v_c + (1 - g) v_u.
 */
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { elements, type Tensor, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./integrate.wgsl" with { type: "text" };

/** `a` and `c`: coefficients of z and of the terms. */
const struct = new UniformStruct("Terms", {
  u32: "count y_at z_at",
  vec4u: "v_at",
  f32: "a",
  vec4f: "c",
});

/**
 * y = a z + sum of coefficient x v.
 *
 * @param z f32 of y's size; left out: only the sum. May be y itself.
 * @param a Coefficient of z (1).
 * @param terms One to four tensors of y's size; they lie in other buffers than y.
 * @throws RangeError when counts or sizes differ, or z is another part of y's buffer.
 */
export function integrate(gpu: Gpu, { label, z, a = 1, terms, y }: Tensors<"y"> & {
  z?: Tensor;
  a?: number;
  terms: readonly { v: Tensor; coefficient: number }[];
}): Dispatch {
  const name = `integrate ${label}`;
  const count = elements(y.shape);
  const inputs = terms.map(({ v }) => v);
  const sizes = [...inputs, ...(z ? [z] : [])].map(({ shape }) => elements(shape));
  if (terms.length < 1 || terms.length > 4 || sizes.some((size) => size !== count)) {
    throw new RangeError(`${name}: ${terms.length} terms, sizes ${sizes} for ${count} elements`);
  }
  const inPlace = z?.buffer === y.buffer;
  if (inPlace && z?.offset !== y.offset) {
    throw new RangeError(`${name}: z and y are different parts of one buffer`);
  }
  const four = (values: readonly number[]) => [0, 1, 2, 3].map((i) => values[i] ?? 0);
  const constants = struct.bind(gpu, {
    count,
    y_at: y.offset,
    z_at: z?.offset ?? 0,
    v_at: four(inputs.map(({ offset }) => offset)),
    a: z ? a : 0,
    c: four(terms.map(({ coefficient }) => coefficient)),
  });
  const read = [...inputs, ...(z && !inPlace ? [z] : [])];
  const pipeline = gpu.pipeline(name, code, {
    terms: struct,
    count: terms.length,
    has_z: z !== undefined,
    reads_z: z !== undefined && !inPlace,
    z: inPlace ? "y" : "z",
  });
  return dispatch(
    gpu,
    name,
    pipeline,
    [constants, y, ...read],
    { items: count },
    { flops: 2 * (terms.length + (z ? 1 : 0)) * count, bytes: (read.length + 1) * tensorBytes(y) },
  );
}
