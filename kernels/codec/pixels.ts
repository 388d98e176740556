/**
 * Media at the edges of the codecs: packed RGB24 bytes, four to a u32 word, become f32 values
 * x / 127.5 - 1 and come back; samples are clamped.
 *
 * One invocation per four values. Packing reads through a texture (kernels/gpu/texture.ts), four values in
 * a load.
 */
import type { Gpu } from "../gpu/device.ts";
import { textureSource } from "../gpu/texture.ts";
import { type Dispatch, dispatch, type Step } from "../gpu/plan.ts";
import { elements, type Tensor, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { arrayReader } from "../gpu/uniform.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./pixels.wgsl" with { type: "text" };

/** Values in all, and where x and y start. */
const sizes = new UniformStruct("Sizes", { u32: "count x y" });

/** Words that hold the bytes of `pixels` RGB24 pixels. */
export function pixelWords(pixels: number): number {
  return Math.ceil((pixels * 3) / 4);
}

/**
 * y = bytes / 127.5 - 1.
 *
 * @param pixels u32 [words]; y f32 of at most 4 x words values.
 * @throws RangeError when there are other words than y has values.
 */
export function unpackPixels(gpu: Gpu, { label, pixels, y }: Tensors<"pixels" | "y">): Dispatch {
  const source = { binding: pixels, ...arrayReader("x", "u32") };
  return convert(gpu, `unpackPixels ${label}`, "unpack", pixels, y, source);
}

/**
 * Bytes = (x + 1) 127.5, rounded to the nearest and clamped to 0 to 255; the last word is filled up
 * with zeros.
 *
 * @param x f32 of at most 4 x words values; pixels u32 [words].
 * @throws RangeError when there are other words than x has values.
 */
export function packPixels(gpu: Gpu, { label, x, pixels }: Tensors<"x" | "pixels">): Step[] {
  const name = `packPixels ${label}`;
  const format = x.offset % 4 === 0 ? "rgba32float" : "r32float";
  const { steps, ...source } = textureSource(gpu, name, "x", format, [x]);
  return [...steps, convert(gpu, name, "pack", x, pixels, { ...source, start: source.starts[0] })];
}

/** y = x clamped to [-1, 1]; f32, in another buffer. @throws RangeError when their sizes differ. */
export function clampSamples(gpu: Gpu, { label, x, y }: Tensors<"x" | "y">): Dispatch {
  const source = { binding: x, ...arrayReader("x", "f32") };
  return convert(gpu, `clampSamples ${label}`, "clamp", x, y, source);
}

/** @param source How x is read: its binding and WGSL, and where it starts (at its offset). */
function convert(
  gpu: Gpu,
  name: string,
  way: "unpack" | "pack" | "clamp",
  x: Tensor,
  y: Tensor,
  { binding, start = x.offset, declaration, code: reader }: {
    binding: Tensor | GPUTextureView;
    start?: number | undefined;
    declaration: string;
    code: string;
  },
): Dispatch {
  const [values, others] = way === "unpack" ? [y, x] : [x, y];
  const count = elements(values.shape);
  const words = elements(others.shape);
  if (words !== (way === "clamp" ? count : Math.ceil(count / 4))) {
    throw new RangeError(`${name}: ${count} values and ${words} words`);
  }
  const pipeline = gpu.pipeline(name, code, {
    sizes,
    unpack: way === "unpack",
    pack: way === "pack",
    vector: x.offset % 4 === 0,
    x: declaration,
    reader,
    y_type: way === "pack" ? "u32" : "f32",
  });
  return dispatch(
    gpu,
    name,
    pipeline,
    [sizes.bind(gpu, { count, x: start, y: y.offset }), binding, y],
    { items: Math.ceil(count / 4) },
    { bytes: tensorBytes(x) + tensorBytes(y) },
  );
}
