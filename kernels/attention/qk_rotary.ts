/**
 * What stands before attention, in one dispatch: RMSNorm on every head of q and k, rotary positions
 * (Su et al. 2021, arXiv 2104.09864; pairs and axes as in Hugging Face's Qwen3 and Qwen3-VL), and K
 * and V into the history's caches.
 *
 * Tile: a lane holds one head of one row, so the norm needs no other lane. Angles are counted in turns
 * by wrapping integers: position * turns (mod 2^32) has no rounding, so a pair of tokens sees the
 * same angle between them at the start of a stream and after weeks.
 */
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import code from "./qk_rotary.wgsl" with { type: "text" };
import rotationCode from "./rotation.wgsl" with { type: "text" };
import { byteOffset, checkTensors, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

/** WGSL of `rotation`: put it beside a kernel's own text. */
export { rotationCode };

/**
 * Rotary frequencies theta^(-2i / headDim) of the pairs (i, i + headDim / 2), [headDim / 2] each: turns
 * per position times 2^32, and which position turns a pair (0 time, 1 height, 2 width).
 *
 * @param sections Pairs that turn with [time, height, width], interleaved as in Qwen3-VL: of the first
 * 3 sections[a] pairs every third, from a on, turns with axis a = 1, 2; all others with time. Absent: all
 * with time.
 */
export function rotaryTurns(
  headDim: number,
  theta: number,
  sections?: readonly [time: number, height: number, width: number],
): { turns: Uint32Array<ArrayBuffer>; axes: Uint32Array<ArrayBuffer> } {
  const pairs = headDim / 2;
  const turns = Uint32Array.from(
    { length: pairs },
    (_, i) => Math.round((theta ** (-i / pairs) / (2 * Math.PI)) * 2 ** 32),
  );
  const axes = new Uint32Array(pairs);
  for (const axis of [1, 2] as const) {
    const end = Math.min(pairs, 3 * (sections?.[axis] ?? 0));
    for (let i = axis; i < end; i += 3) axes[i] = axis;
  }
  return { turns, axes };
}

/** Where each tensor starts, in vec4 (caches: in four elements). `vectors`: vec4 of a head, a bound
 * that no compiler knows, so that none unrolls the loops: a head of 128 would take llvmpipe four
 * seconds. */
const sizes = new UniformStruct("Sizes", {
  u32: "rows qkv token_table q keys values vectors",
  f32: "eps",
});

export interface QkRotaryArguments {
  label: string;
  /** f32 [M, (heads + 2 kvHeads) * headDim]: q heads, k heads, v heads. */
  qkv: Tensor;
  /** RMSNorm weights, f32 [headDim]. */
  qNorm: Tensor;
  kNorm: Tensor;
  /** Null: heads aren't divided by their root mean square, only multiplied by the weights. */
  eps: number | null;
  /** `rotaryTurns` on the GPU, u32 [headDim / 2]. */
  turns: Tensor;
  axes: Tensor;
  /** i32 [M, 8]: {slot, limit, own, time, height, width, 0, 0}. */
  tokenTable: Tensor;
  /** f32 [M, heads * headDim]. */
  q: Tensor;
  /** Caches, f32 or f16 [slots, kvHeads * headDim]: row `slot` of each is written. */
  keys: Tensor;
  values: Tensor;
  heads: number;
  kvHeads: number;
  /** A multiple of 8. */
  headDim: number;
}

/**
 * A dispatch that normalises, rotates and stores (f16 rounded to nearest).
 *
 * Offsets are multiples of 4, those of norms, turns and axes of 64 (a uniform's alignment); `q` and the
 * caches have other buffers than what is read.
 *
 * @throws RangeError when shapes don't fit.
 */
export function qkRotary(gpu: Gpu, args: QkRotaryArguments): Dispatch {
  const { label, qkv, qNorm, kNorm, turns, axes, tokenTable, q, keys, values } = args;
  const { heads, kvHeads, headDim, eps } = args;
  const [rows = 0] = qkv.shape;
  const [slots = 0] = keys.shape;
  const name = `qk rotary ${label}`;
  if (headDim % 8 !== 0) throw new RangeError(`${name}: heads of ${headDim}, no multiple of 8`);
  const dtype = keys.dtype === "f16" ? "f16" : "f32";
  const cache = [slots, kvHeads * headDim];
  checkTensors(name, {
    qkv: [qkv, "f32", [rows, (heads + 2 * kvHeads) * headDim], 4],
    qNorm: [qNorm, "f32", [headDim], 64],
    kNorm: [kNorm, "f32", [headDim], 64],
    turns: [turns, "u32", [headDim / 2], 64],
    axes: [axes, "u32", [headDim / 2], 64],
    tokenTable: [tokenTable, "i32", [rows, 8], 4],
    q: [q, "f32", [rows, heads * headDim], 4],
    keys: [keys, dtype, cache, 4],
    values: [values, dtype, cache, 4],
  });
  // A SIMD register of a CPU; a GPU wants whole warps.
  const lanes = Math.min(32, gpu.traits.lanes);
  const half = dtype === "f16";
  const pipeline = gpu.pipeline("qk rotary", code + rotationCode, {
    sizes,
    half,
    norm: eps !== null,
    lanes,
    heads,
    kv_heads: kvHeads,
    vectors: headDim / 4,
    cache: half ? "vec2u" : "vec4f",
  });
  const kv = 2 * rows * kvHeads * headDim;
  return dispatch(
    gpu,
    `qk rotary ${label}`,
    pipeline,
    [
      sizes.bind(gpu, {
        rows,
        qkv: qkv.offset / 4,
        token_table: tokenTable.offset / 4,
        q: q.offset / 4,
        keys: keys.offset / 4,
        values: values.offset / 4,
        vectors: headDim / 4,
        eps: eps ?? 0,
      }),
      qkv,
      ...[qNorm, kNorm, turns, axes].map(uniform),
      tokenTable,
      q,
      keys,
      values,
    ],
    [Math.ceil(rows / lanes), heads + 2 * kvHeads, 1],
    {
      flops: 10 * rows * (heads + kvHeads) * headDim,
      bytes: tensorBytes(qkv) + tensorBytes(q) + kv * (half ? 2 : 4),
    },
  );
}

function uniform(tensor: Tensor): GPUBufferBinding {
  return { buffer: tensor.buffer, offset: byteOffset(tensor), size: tensorBytes(tensor) };
}
