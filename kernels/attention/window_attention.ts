/**
 * Causal attention over a window of a stream's frames: a frame sees itself and the window - 1 frames
 * before it, which lie in the span that is computed and, before it, in a ring of past keys and values.
 *
 * For the Transformers of codecs: few rows at a time, a short history, positions that only time has.
 * attention.ts is for the backbone's history, where ranks say what is seen.
 *
 * The order: `turnWindow` on a span's q and k, `windowAttention`, `keepWindow`; then the count of the
 * frames seen (kernels/codec/frames_seen.ts) goes on by the span's.
 */
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch, type Step } from "../gpu/plan.ts";
import { byteOffset, checkTensors, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { textureSource } from "../gpu/texture.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import { rotationCode } from "./qk_rotary.ts";
import code from "./window_attention.wgsl" with { type: "text" };
import keepCode from "./window_keep.wgsl" with { type: "text" };
import rotaryCode from "./window_rotary.wgsl" with { type: "text" };

export interface WindowArguments {
  label: string;
  /** f32 [M, (heads + 2 kvHeads) * headDim]: q heads, k heads, v heads of the span's frames. */
  qkv: Tensor;
  /** f32 [window - 1, kvHeads * headDim]: frame t of the stream lies in row t % (window - 1). */
  keys: Tensor;
  values: Tensor;
  /** The bits of a u32 in an f32 [1]: frames of the stream before the span. */
  seen: Tensor;
  heads: number;
  /** Divides heads. */
  kvHeads: number;
  /** A multiple of 8. */
  headDim: number;
}

const rotarySizes = new UniformStruct("Sizes", { u32: "rows heads stride qkv seen" });
const keepSizes = new UniformStruct("Sizes", {
  u32: "rows past width stride key qkv seen keys values",
});
const sizes = new UniformStruct("Sizes", { u32: "past qkv seen keys values out" });

/**
 * Turns q and k by their frames' positions, where they lie.
 *
 * @param turns `rotaryTurns` on the GPU, u32 [headDim / 2].
 * @throws RangeError when shapes don't fit.
 */
export function turnWindow(
  gpu: Gpu,
  { turns, ...args }: WindowArguments & { turns: Tensor },
): Dispatch {
  const { label, qkv, seen, heads, kvHeads, headDim } = args;
  const name = `turnWindow ${label}`;
  const { rows, stride } = checked(name, args);
  checkTensors(name, { turns: [turns, "u32", [headDim / 2], 64] });
  const quads = headDim / 8;
  const turned = heads + kvHeads;
  const constants = rotarySizes.bind(gpu, {
    rows,
    heads: turned,
    stride,
    qkv: qkv.offset / 4,
    seen: seen.offset,
  });
  const uniform = { buffer: turns.buffer, offset: byteOffset(turns), size: tensorBytes(turns) };
  const count = rows * turned * headDim;
  return dispatch(
    gpu,
    name,
    gpu.pipeline(name, rotaryCode + rotationCode, { sizes: rotarySizes, quads }),
    [constants, qkv, uniform, seen],
    { items: count / 8 },
    { flops: 6 * count, bytes: 8 * count },
  );
}

/**
 * out = softmax(q k^T / sqrt(headDim)) v over each frame's window.
 *
 * @param out f32 [M, heads * headDim], in another buffer.
 * @throws RangeError when shapes don't fit.
 */
export function windowAttention(
  gpu: Gpu,
  { out, ...args }: WindowArguments & { out: Tensor },
): Step[] {
  const { label, qkv, keys, values, seen, heads, kvHeads, headDim } = args;
  const name = `windowAttention ${label}`;
  const { rows, past } = checked(name, args);
  checkTensors(name, { out: [out, "f32", [rows, heads * headDim], 4] });
  const quads = headDim / 4;
  // A lane leaves its sums in workgroup memory, of which every adapter has 16 KiB.
  let { lanes } = gpu.traits;
  while (lanes * (quads + 1) > 1024 && lanes > 1) lanes /= 2;
  const texture = gpu.traits.texturesFaster;
  const read = [qkv, keys, values];
  const copied = texture ? textureSource(gpu, name, "source", "rgba32float", read) : undefined;
  const [qkvAt = 0, keysAt = 0, valuesAt = 0] = copied?.starts ?? read.map((t) => t.offset / 4);
  const pipeline = gpu.pipeline(name, code, {
    sizes,
    texture,
    lanes,
    quads,
    heads,
    kv_heads: kvHeads,
    scale: Math.LOG2E / Math.sqrt(headDim),
    source: copied?.declaration ?? "",
    reader: copied?.code ?? "",
  });
  const constants = sizes.bind(gpu, {
    past,
    qkv: qkvAt,
    seen: seen.offset,
    keys: keysAt,
    values: valuesAt,
    out: out.offset / 4,
  });
  return [
    ...copied?.steps ?? [],
    dispatch(
      gpu,
      name,
      pipeline,
      [constants, seen, out, ...(copied ? [copied.binding] : read)],
      [rows, heads, 1],
      {
        flops: 4 * rows * heads * (past + 1) * headDim,
        bytes: tensorBytes(keys) + tensorBytes(values) + tensorBytes(qkv) + tensorBytes(out),
      },
    ),
  ];
}

/** Puts the span's last keys and values into the ring. @throws RangeError when shapes don't fit. */
export function keepWindow(gpu: Gpu, args: WindowArguments): Dispatch {
  const { label, qkv, keys, values, seen, heads, kvHeads, headDim } = args;
  const name = `keepWindow ${label}`;
  const { rows, past, stride } = checked(name, args);
  const width = (kvHeads * headDim) / 4;
  const constants = keepSizes.bind(gpu, {
    rows,
    past,
    width,
    stride,
    key: (heads * headDim) / 4,
    qkv: qkv.offset / 4,
    seen: seen.offset,
    keys: keys.offset / 4,
    values: values.offset / 4,
  });
  const items = Math.min(rows, past) * width;
  return dispatch(
    gpu,
    name,
    gpu.pipeline(name, keepCode, { sizes: keepSizes }),
    [constants, qkv, seen, keys, values],
    { items },
    { bytes: 64 * items },
  );
}

/** Checks the arguments; gives rows of the span and of the ring, and the length of the span's in vec4. */
function checked(
  name: string,
  { qkv, keys, values, seen, heads, kvHeads, headDim }: WindowArguments,
): { rows: number; past: number; stride: number } {
  if (headDim % 8 !== 0 || heads % kvHeads !== 0) {
    throw new RangeError(`${name}: ${heads} heads over ${kvHeads} of ${headDim} (in eights)`);
  }
  const [rows = 0] = qkv.shape;
  const [past = 0] = keys.shape;
  const width = (heads + 2 * kvHeads) * headDim;
  checkTensors(name, {
    qkv: [qkv, "f32", [rows, width], 4],
    keys: [keys, "f32", [past, kvHeads * headDim], 4],
    values: [values, "f32", [past, kvHeads * headDim], 4],
    seen: [seen, "f32", [1]],
  });
  return { rows, past, stride: width / 4 };
}
