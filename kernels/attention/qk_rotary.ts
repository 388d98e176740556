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
import { fill } from "../gpu/shader.ts";
import { byteOffset, elements, type Tensor, tensorBytes } from "../gpu/tensor.ts";

/** Rotary frequencies of the pairs (i, i + headDim / 2). */
export interface RotaryTurns {
  /** Turns per position times 2^32: round(inv_freq / (2 pi) 2^32), [headDim / 2]. */
  turns: Uint32Array<ArrayBuffer>;
  /** Which position turns a pair: 0 time, 1 height, 2 width, [headDim / 2]. */
  axes: Uint32Array<ArrayBuffer>;
}

/**
 * Frequencies theta^(-2i / headDim) as turns, and their axes.
 *
 * @param sections Pairs that turn with [time, height, width], interleaved as in Qwen3-VL: of the first
 * 3 sections[a] pairs every third, from a on, turns with axis a = 1, 2; all others with time. Absent: all
 * with time.
 */
export function rotaryTurns(
  headDim: number,
  theta: number,
  sections?: readonly [time: number, height: number, width: number],
): RotaryTurns {
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

export interface QkRotaryArguments {
  label: string;
  /** f32 [M, (heads + 2 kvHeads) * headDim]: q heads, k heads, v heads. */
  qkv: Tensor;
  /** RMSNorm weights, f32 [headDim]. */
  qNorm: Tensor;
  kNorm: Tensor;
  eps: number;
  /** `rotaryTurns` on the GPU, u32 [headDim / 2]. */
  turns: Tensor;
  axes: Tensor;
  /** i32 [M, 8]: {slot, limit, own, time, height, width, 0, 0}. */
  tokens: Tensor;
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
  const { label, qkv, qNorm, kNorm, turns, axes, tokens, q, keys, values } = args;
  const { heads, kvHeads, headDim, eps } = args;
  const rows = check(args);
  // A SIMD register of a CPU; a GPU wants whole warps.
  const lanes = Math.min(32, gpu.traits.lanes);
  const half = keys.dtype === "f16";
  const stored = (v: string) => half ? `vec2u(pack2x16float(${v}.xy), pack2x16float(${v}.zw))` : v;
  const text = fill(code, {
    lanes,
    heads,
    kv_heads: kvHeads,
    vectors: headDim / 4,
    cache: half ? "vec2u" : "vec4f",
    first: stored("a"),
    second: stored("b"),
  });
  const starts = [qkv, tokens, q, keys, values].map((tensor) => tensor.offset / 4);
  const kv = 2 * rows * kvHeads * headDim;
  return dispatch(
    gpu,
    `qk rotary ${label}`,
    gpu.pipeline("qk rotary", text),
    [
      gpu.constants({ u32: [rows, ...starts, headDim / 4], f32: [eps] }),
      qkv,
      ...[qNorm, kNorm, turns, axes].map(uniform),
      tokens,
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

function check(args: QkRotaryArguments): number {
  const { label, qkv, qNorm, kNorm, turns, axes, tokens, q, keys, values } = args;
  const { heads, kvHeads, headDim } = args;
  const [rows = 0] = qkv.shape;
  const width = kvHeads * headDim;
  const fits = rows > 0 && headDim % 8 === 0 &&
    elements(qkv.shape) === rows * (heads * headDim + 2 * width) &&
    elements(q.shape) === rows * heads * headDim && elements(tokens.shape) === rows * 8 &&
    [qNorm, kNorm].every((norm) => elements(norm.shape) === headDim) &&
    [turns, axes].every((table) => elements(table.shape) === headDim / 2) &&
    [keys, values].every((cache) => elements(cache.shape) % width === 0) &&
    keys.dtype === values.dtype;
  if (!fits) {
    throw new RangeError(
      `qk rotary ${label}: qkv [${qkv.shape}], norms [${qNorm.shape}] and [${kNorm.shape}], turns ` +
        `[${turns.shape}], axes [${axes.shape}], tokens [${tokens.shape}], q [${q.shape}], caches ` +
        `[${keys.shape}] ${keys.dtype} and [${values.shape}] ${values.dtype} don't fit ${heads} heads ` +
        `over ${kvHeads} of ${headDim}`,
    );
  }
  const uniforms = [qNorm, kNorm, turns, axes];
  for (const tensor of [qkv, tokens, q, keys, values, ...uniforms]) {
    const step = uniforms.includes(tensor) ? 64 : 4;
    if (tensor.offset % step !== 0) {
      throw new RangeError(`qk rotary ${label}: offset ${tensor.offset} is no multiple of ${step}`);
    }
  }
  return rows;
}

function uniform(tensor: Tensor): GPUBufferBinding {
  return { buffer: tensor.buffer, offset: byteOffset(tensor), size: tensorBytes(tensor) };
}
