/**
 * RMSNorm over the channels of every position, with an activation right after it, or either alone: what stands
 * before the convolutions of codecs and observation encoders.
 *
 * Many short rows (thousands of positions of 50 to 500 channels), so an invocation takes a whole row
 * and needs no workgroup memory. x is read twice, which is cheaper than to keep a row, and where it is large
 * through a texture (kernels/gpu/texture.ts).
 */
import { type Activation, activationCode } from "../gpu/activation.ts";
import type { Gpu } from "../gpu/device.ts";
import { textureSource } from "../gpu/texture.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { elements, type Tensor, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { arrayReader, uniformSource } from "../gpu/uniform.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./channel_norm.wgsl" with { type: "text" };

/** Bytes of x up to which llvmpipe read a buffer faster than it copied it into a texture. */
const smallBytes = 64 << 10;

const sizes = new UniformStruct("Sizes", {
  u32: "positions units channels x weight y",
  f32: "eps",
});

/**
 * y = activation?(x / sqrt(mean over channels of x^2 + eps) weight).
 *
 * @param x f32 [..., C].
 * @param weight f32 [C]; left out: no norm.
 * @param y f32 of x's shape; may be x itself.
 * @throws RangeError when shapes don't fit.
 */
export function channelNorm(
  gpu: Gpu,
  { label, x, weight, eps = 1e-6, activation, y }: Tensors<"x" | "y"> & {
    weight?: Tensor;
    eps?: number;
    activation?: Activation;
  },
): Step[] {
  const name = `channelNorm ${label}`;
  const channels = x.shape.at(-1) ?? 0;
  const count = elements(x.shape);
  if (count !== elements(y.shape) || (weight && elements(weight.shape) !== channels)) {
    throw new RangeError(`${name}: [${x.shape}] by [${weight?.shape}] to [${y.shape}]`);
  }
  const vector = [channels, x.offset, weight?.offset ?? 0, y.offset].every((n) => n % 4 === 0);
  const values = vector ? 4 : 1;
  const format = vector ? "rgba32float" : "r32float";
  const type = vector ? "vec4f" : "f32";
  // Small ones are read where they are: a copy costs more.
  const isLarge = gpu.traits.texturesFaster && tensorBytes(x) > smallBytes;
  const source = isLarge || x.buffer === y.buffer
    ? textureSource(gpu, name, "x", format, [x])
    : { steps: [], binding: x, starts: [x.offset / values], ...arrayReader("x", type) };
  const scales = !weight
    ? null
    : vector
    ? uniformSource(gpu, weight, "weight", "vec4f")
    : { binding: weight, start: weight.offset, ...arrayReader("weight", "f32") };
  const { lanes } = gpu.traits;
  const pipeline = gpu.pipeline(name, code, {
    sizes,
    lanes,
    values,
    vector,
    normed: weight !== undefined,
    activate: activationCode(type, activation),
    type,
    x: source.declaration,
    weight: scales?.declaration ?? "",
    readers: `${source.code}\n${scales?.code ?? ""}`,
  });
  const positions = count / channels;
  const constants = sizes.bind(gpu, {
    positions,
    units: channels / values,
    channels,
    x: source.starts[0] ?? 0,
    weight: scales?.start ?? 0,
    y: y.offset / values,
    eps,
  });
  return [
    ...source.steps,
    dispatch(
      gpu,
      name,
      pipeline,
      [constants, source.binding, y, ...(scales ? [scales.binding] : [])],
      { items: positions, lanes },
      { flops: 4 * count, bytes: 2 * tensorBytes(x) },
    ),
  ];
}
