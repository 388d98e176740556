/**
 * Media at the edges of the codecs: packed RGB24 bytes, four to a u32 word, become f32 values
 * x / 127.5 - 1 and come back; samples are clamped.
 *
 * One invocation per word. Packing reads through an image (kernels/gpu/image.ts), four values in a load.
 */
import type { Gpu } from "../gpu/device.ts";
import { dispatchGrid } from "../gpu/grid.ts";
import { copyToImage, imageReader, rowBytes, scratchImage, texelBytes } from "../gpu/image.ts";
import { type Dispatch, dispatch, type Step } from "../gpu/plan.ts";
import { fill } from "../gpu/shader.ts";
import { elements, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./pixels.wgsl" with { type: "text" };

/** `count`: values in all; the starts of `words` or samples, and of `values` or clamped samples. */
const sizes = new UniformStruct("Sizes", { u32: "count words_at values_at" });

/** Words that hold the bytes of `pixels` RGB24 pixels. */
export function pixelWords(pixels: number): number {
  return Math.ceil((pixels * 3) / 4);
}

/** y = bytes / 127.5 - 1. `pixels` u32 [words], y f32 of at most 4 x words values. */
export function unpackPixels(gpu: Gpu, { label, pixels, y }: {
  label: string;
  pixels: Tensor;
  y: Tensor;
}): Dispatch {
  const name = `unpackPixels ${label}`;
  const count = checkWords(name, pixels, y);
  const text = fill(code, {
    sizes,
    bindings: `@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;`,
    readers: "",
    body: `  let v = unpack4xU8(words[sizes.words_at + word]);
  for (var i = 0u; i < min(4u, sizes.count - first); i++) {
    values[sizes.values_at + first + i] = f32(v[i]) / 127.5 - 1.0;
  }`,
  });
  return dispatch(
    gpu,
    name,
    gpu.pipeline(name, text),
    [sizes.bind(gpu, { count, words_at: pixels.offset, values_at: y.offset }), pixels, y],
    dispatchGrid(gpu, Math.ceil(count / 4), 64),
    { bytes: tensorBytes(pixels) + tensorBytes(y) },
  );
}

/** Bytes = (x + 1) 127.5, rounded to the nearest and clamped to 0 to 255; the last word is filled up
 * with zeros. x f32 of at most 4 x words values, `pixels` u32 [words]. */
export function packPixels(gpu: Gpu, { label, x, pixels }: {
  label: string;
  x: Tensor;
  pixels: Tensor;
}): Step[] {
  const name = `packPixels ${label}`;
  const count = checkWords(name, pixels, x);
  const vector = x.offset % 4 === 0;
  const format = vector ? "rgba32float" : "r32float";
  const image = scratchImage(gpu, format, tensorBytes(x));
  const reader = imageReader("read_values", "values", format);
  const start = rowBytes / texelBytes(format);
  const text = fill(code, {
    sizes,
    bindings: `@group(0) @binding(1) ${reader.declaration}
@group(0) @binding(2) var<storage, read_write> words: array<u32>;`,
    readers: reader.code,
    body: `  let at = ${start}u + word${vector ? "" : " * 4u"};
  let x = ${
      vector ? "read_values(at)" : `vec4f(${[0, 1, 2, 3].map((i) => `read_values(at + ${i}u)`)})`
    };
  let v = vec4u(clamp((x + 1.0) * 127.5, vec4f(), vec4f(255.0)) + 0.5);
  // What follows the last value in the image is none of its bytes.
  let inside = vec4u(first, first + 1u, first + 2u, first + 3u) < vec4u(sizes.count);
  words[sizes.words_at + word] = pack4xU8(select(vec4u(), v, inside));`,
  });
  return [
    ...copyToImage(name, x, image, rowBytes),
    dispatch(
      gpu,
      name,
      gpu.pipeline(name, text),
      [
        sizes.bind(gpu, { count, words_at: pixels.offset, values_at: 0 }),
        image.createView(),
        pixels,
      ],
      dispatchGrid(gpu, Math.ceil(count / 4), 64),
      { bytes: tensorBytes(pixels) + tensorBytes(x) },
    ),
  ];
}

/** y = x clamped to [-1, 1]; f32, in another buffer. */
export function clampSamples(gpu: Gpu, { label, x, y }: {
  label: string;
  x: Tensor;
  y: Tensor;
}): Dispatch {
  const name = `clampSamples ${label}`;
  const count = elements(x.shape);
  if (count !== elements(y.shape)) throw new RangeError(`${name}: [${x.shape}] to [${y.shape}]`);
  const text = fill(code, {
    sizes,
    bindings: `@group(0) @binding(1) var<storage, read> samples: array<f32>;
@group(0) @binding(2) var<storage, read_write> clamped: array<f32>;`,
    readers: "",
    body: `  for (var i = first; i < min(first + 4u, sizes.count); i++) {
    clamped[sizes.values_at + i] = clamp(samples[sizes.words_at + i], -1.0, 1.0);
  }`,
  });
  return dispatch(
    gpu,
    name,
    gpu.pipeline(name, text),
    [sizes.bind(gpu, { count, words_at: x.offset, values_at: y.offset }), x, y],
    dispatchGrid(gpu, Math.ceil(count / 4), 64),
    { bytes: 2 * tensorBytes(x) },
  );
}

function checkWords(name: string, pixels: Tensor, values: Tensor): number {
  const count = elements(values.shape);
  const words = elements(pixels.shape);
  if (Math.ceil(count / 4) !== words) {
    throw new RangeError(`${name}: ${count} values and ${words} words of four bytes`);
  }
  return count;
}
