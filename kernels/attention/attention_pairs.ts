/**
 * Attention over a long history on a CPU: a workgroup of one SIMD register takes up to six pairs of a row
 * and a head in each lane, so that a key that it loads serves up to 48 pairs. On llvmpipe a gathered load is what
 * such a kernel waits for; where rows are a lane each (attention.ts, span/whole.ts), a third of the lanes is idle
 * and every set of rows loads the keys again. The keys are split, so that all cores have workgroups.
 *
 * Where a device has words of 64 bits, a load of f32 caches brings eight floats in place of four, for little more.
 */
import code from "./attention_pairs.wgsl" with { type: "text" };
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { fitsUniform, storageSource, uniformSource } from "../gpu/uniform.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

const sizes = new UniformStruct("Sizes", {
  u32:
    `tiles pairs splits partial first_row tile_rows tile_stride row_stride queries keys values ranks
    token_table held results`,
});

/** As attention.ts has it. */
interface Shape {
  rows: number;
  slots: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  dtype: "f32" | "f16";
}

/** As attention.ts takes them; where the results go. */
type Arguments =
  & { label: string }
  & Record<"q" | "keys" | "values" | "ranks" | "tokenTable" | "held" | "results", Tensor>;

/** Pairs of a lane at most: more take seconds to compile. */
const most = 6;

/** Pairs of each lane, so that all workgroups are about equally full. */
export function pairsOfLane(gpu: Gpu, { rows, heads, kvHeads }: Shape): number {
  const registers = Math.ceil((rows * heads) / kvHeads / gpu.traits.lanes);
  return Math.ceil(registers / Math.ceil(registers / most));
}

/** Parts of the keys that keep a few cores busy to the end; of at least 64 keys. */
export function pairSplits({ slots, kvHeads }: Shape): number {
  return Math.max(1, Math.min(Math.ceil(8 / kvHeads), Math.floor(slots / 64)));
}

/** True where this form runs. */
export function fitsPairs(gpu: Gpu): boolean {
  const { cpu, lanes, subgroup } = gpu.traits;
  return cpu && lanes >= 4 && subgroup >= lanes;
}

/** Where rows' queries lie, in vec4 of their buffer: in tiles of so many rows. */
export interface QueryTiles {
  rows: number;
  stride: number;
  rowStride: number;
}

/**
 * The launch. Without `partial` (one split) it gives `attention`'s output; with it, for every row, head and
 * split, the unnormalised sums, and {maximum, sum of weights, 0, 0}: [rows, heads, splits, headDim + 4].
 *
 * @param firstRow Of q, tokenTable and results; `shape.rows` follow.
 */
export function attentionPairs(
  gpu: Gpu,
  { label, q, keys, values, ranks, tokenTable, held, results }: Arguments,
  { rows, heads, kvHeads, headDim, dtype }: Shape,
  { splits, partial, firstRow = 0, tiles: at }: {
    splits: number;
    partial: boolean;
    firstRow?: number;
    tiles?: QueryTiles;
  },
  cost: Partial<Pick<Dispatch, "flops" | "bytes" | "bytesPerToken" | "tuned">>,
): Dispatch {
  const { lanes, subgroup, texturesFaster, wide: hasWide } = gpu.traits;
  const half = dtype === "f16";
  const wide = hasWide && !half;
  const group = heads / kvHeads;
  const queries = pairsOfLane(gpu, { rows, heads, kvHeads, headDim, dtype, slots: 0 });
  const tiles = Math.ceil((rows * group) / (lanes * queries));
  const parts = lanes >= 8 && subgroup >= 8 && headDim % 16 === 0 ? 2 : 1;
  const rank = texturesFaster && fitsUniform(gpu, tensorBytes(ranks))
    ? uniformSource(gpu, ranks, "ranks", "vec4i")
    : storageSource(ranks, "ranks", "vec4i");
  const pipeline = gpu.pipeline("attention pairs", code, {
    sizes,
    lanes,
    queries,
    group,
    heads,
    kv_heads: kvHeads,
    half,
    wide,
    keys: 4,
    eights: headDim / 8,
    steps: headDim / 8 / parts,
    parts,
    cache: wide ? "vec4<u64>" : half ? "vec4u" : "vec4f",
    scale: Math.LOG2E / Math.sqrt(headDim),
    rank_variable: rank.declaration,
  });
  const constants = sizes.bind(gpu, {
    tiles,
    pairs: rows * group,
    splits,
    partial: partial ? 1 : 0,
    first_row: firstRow,
    tile_rows: at?.rows ?? 1,
    tile_stride: at?.stride ?? (heads * headDim) / 4,
    row_stride: at?.rowStride ?? 0,
    queries: q.offset / 4,
    keys: keys.offset / 8,
    values: values.offset / 8,
    ranks: 4 * rank.start,
    token_table: tokenTable.offset / 4,
    held: held.offset / 4,
    results: results.offset / 4,
  });
  return dispatch(
    gpu,
    `attention ${label}`,
    pipeline,
    [constants, tokenTable, held, results, q, rank.binding, keys, values],
    [tiles * splits, kvHeads, 1],
    cost,
  );
}
