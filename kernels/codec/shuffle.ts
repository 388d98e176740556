/**
 * Blocks of [time, height, width] into channels (unshuffle) and back (shuffle): for a factor
 * [ft, fh, fw], channel = ((c ft + dt) fh + dh) fw + dw.
 *
 * Both are strided copies. An invocation writes a run of outputs that are neighbours in memory (all
 * of a block of one channel; a line of a block), counting its place in x along: integer divisions,
 * slow on CPUs, come once per run. x is read through a texture (kernels/gpu/texture.ts) value by value, y
 * written by vec4 where runs allow it.
 */
import type { Gpu } from "../gpu/device.ts";
import { textureSource } from "../gpu/texture.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { type Tensor, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { arrayReader } from "../gpu/uniform.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./shuffle.wgsl" with { type: "text" };

/** `run`: values of a run, with the extents of its `inner` two dimensions and the strides of all three
 * (`steps`); extents and strides of the `outer` dimensions but the first, whose stride stands alone. */
const sizes = new UniformStruct("Sizes", {
  u32: "runs run first_stride x y",
  vec2u: "inner",
  vec3u: "steps",
  vec4u: "outer strides",
});

/** Bytes of x up to which llvmpipe read a buffer faster than it copied it into a texture. */
const smallBytes = 64 << 10;

type Triple = readonly [time: number, height: number, width: number];
type Five = [number, number, number, number, number];

/** x [T, H, W, C] -> y [T / ft, H / fh, W / fw, C ft fh fw]; f32. @throws RangeError where not. */
export function unshuffle(gpu: Gpu, { label, x, y, factor }: Tensors<"x" | "y"> & {
  factor: Triple;
}): Step[] {
  const name = `unshuffle ${label}`;
  const [ft, fh, fw] = factor;
  const [, H = 0, W = 0, C = 0] = x.shape;
  const [t = 0, h = 0, w = 0] = y.shape;
  checkBlocks(name, y, x, factor);
  return stridedCopy(gpu, name, x, y, {
    outer: [t, h, w, C, 1],
    strides: [ft * H * W * C, fh * W * C, fw * C, 1, 0],
    inner: [ft, fh, fw],
    steps: [H * W * C, W * C, C],
  });
}

/** x [T, H, W, C] -> y [T ft, H fh, W fw, C / (ft fh fw)]; f32. @throws RangeError where not. */
export function shuffle(gpu: Gpu, { label, x, y, factor }: Tensors<"x" | "y"> & {
  factor: Triple;
}): Step[] {
  const name = `shuffle ${label}`;
  const [ft, fh, fw] = factor;
  const [t = 0, h = 0, w = 0, channels = 0] = x.shape;
  const C = y.shape[3] ?? 0;
  checkBlocks(name, x, y, factor);
  return stridedCopy(gpu, name, x, y, {
    outer: [t, ft, h, fh, w],
    strides: [h * w * channels, fh * fw, w * channels, fw, channels],
    inner: [1, fw, C],
    steps: [0, 1, ft * fh * fw],
  });
}

/** `blocks` has the blocks in its channels, `whole` in time and space. */
function checkBlocks(name: string, blocks: Tensor, whole: Tensor, [ft, fh, fw]: Triple): void {
  const [t = 0, h = 0, w = 0, c = 0] = whole.shape;
  const wanted = [t / ft, h / fh, w / fw, c * ft * fh * fw];
  if (blocks.shape.length === 4 && wanted.every((n, i) => n === blocks.shape[i])) return;
  const factor = [ft, fh, fw];
  throw new RangeError(
    `${name}: [${whole.shape}] in blocks of [${factor}] is [${wanted}], not [${blocks.shape}]`,
  );
}

function stridedCopy(gpu: Gpu, name: string, x: Tensor, y: Tensor, copy: {
  outer: Five;
  strides: Five;
  inner: Triple;
  steps: Triple;
}): Step[] {
  const { outer, strides, inner, steps } = copy;
  const run = inner[0] * inner[1] * inner[2];
  const runs = outer.reduce((a, b) => a * b);
  const vector = run % 4 === 0 && y.offset % 4 === 0;
  // A small one is read where it is, unless y takes its place: a copy costs more.
  const isCopied = x.buffer === y.buffer ||
    (gpu.traits.texturesFaster && tensorBytes(x) > smallBytes);
  const source = isCopied
    ? textureSource(gpu, name, "x", "r32float", [x])
    : { steps: [], binding: x, starts: [x.offset], ...arrayReader("x", "f32") };
  const values = vector ? 4 : 1;
  const { lanes } = gpu.traits;
  const pipeline = gpu.pipeline(name, code, {
    sizes,
    lanes,
    values,
    vector,
    x: source.declaration,
    reader: source.code,
    y_type: vector ? "vec4f" : "f32",
  });
  const constants = sizes.bind(gpu, {
    runs,
    x: source.starts[0] ?? 0,
    run: run / values,
    first_stride: strides[0],
    inner: inner.slice(1),
    steps,
    outer: outer.slice(1),
    strides: strides.slice(1),
    y: y.offset / values,
  });
  return [
    ...source.steps,
    dispatch(
      gpu,
      name,
      pipeline,
      [constants, source.binding, y],
      { items: runs, lanes },
      { bytes: 2 * tensorBytes(x) },
    ),
  ];
}
