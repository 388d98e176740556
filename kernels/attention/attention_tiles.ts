/**
 * Attention by tiles in workgroup memory, for GPUs and many rows (FlashAttention, arXiv 2205.14135): what a
 * workgroup loads of K and V serves all of its pairs of a row and a query head that share a kv head.
 *
 * Tile: 64 or 128 pairs x 16 or 32 keys. Scores and sums part the work in two ways, with the weights in
 * workgroup memory between them: a lane makes 4 pairs x up to 8 scores, then 8 (or 4) pairs x 8 elements of
 * the result, in registers; the online softmax is scaled once a tile. Half-precision caches are kept as
 * they are, in words of two halves, or unpacked once (`unpacked`): neither needs shader-f16. Queries stay
 * in f32 where they lie: a tile of them is read again for every tile of keys, by neighbours together, and
 * fits a card's first cache. A tile of which no row sees a key costs no loads.
 *
 * It hasn't been measured on a GPU yet. Its results are checked on llvmpipe and SwiftShader.
 */
import type { Gpu } from "../gpu/device.ts";
import type { Access, KernelFacts } from "../card/facts.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { type FloatType, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./attention_tiles.wgsl" with { type: "text" };

export interface AttentionTiles {
  /** Pairs of a row and a query head in a workgroup. */
  pairs: 64 | 128;
  /** Keys that it holds at once. */
  keys: 16 | 32;
  /** Pairs whose sums a lane holds. */
  sums: 4 | 8;
  /** Keeps K and V of half precision as floats: twice the memory, unpacked once. */
  unpacked: boolean;
}

interface Shape {
  rows: number;
  slots: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  dtype: FloatType;
}

/** What follows from a tile for a shape; all counts are per workgroup. */
function sizesOf({ pairs, keys, sums, unpacked }: AttentionTiles, shape: Shape) {
  const eights = shape.headDim / 8;
  // No lane makes more than 4 x 8 scores.
  const lanes = Math.max((pairs * eights) / sums, (pairs * keys) / 32);
  const packed = shape.dtype === "f16" && !unpacked;
  // An odd number of vec4.
  const rowTexels = (packed ? eights : 2 * eights) + (packed && eights % 2 === 1 ? 0 : 1);
  const pairGroups = pairs / 4;
  const keysPerLane = (pairGroups * keys) / lanes;
  const keyGroups = keys / keysPerLane;
  return {
    ...{ eights, lanes, packed, rowTexels, pairGroups, keysPerLane, keyGroups },
    rowPairs: pairGroups + 1,
    tileRows: Math.floor(pairs / (shape.heads / shape.kvHeads)),
    bytes: 16 * (2 * keys * rowTexels + keys * (pairGroups + 1) + pairGroups * (keyGroups + 1)) + 8,
  };
}

/** Whether an adapter can run a tile at a shape. */
export function fitsTiles(gpu: Gpu, tiles: AttentionTiles, shape: Shape): boolean {
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = gpu.device.limits;
  const { lanes, bytes, tileRows, keysPerLane, eights } = sizesOf(tiles, shape);
  return tileRows > 0 && Number.isInteger(Math.log2(eights)) && keysPerLane >= 1 &&
    bytes <= maxComputeWorkgroupStorageSize && lanes <= maxComputeInvocationsPerWorkgroup;
}

/** Tiles worth trying for a shape on an adapter, the static default first. */
export function attentionTileChoices(gpu: Gpu, shape: Shape): AttentionTiles[] {
  const many = shape.rows * (shape.heads / shape.kvHeads) > 64;
  const first: AttentionTiles = { pairs: many ? 128 : 64, keys: 16, sums: 8, unpacked: false };
  const all: AttentionTiles[] = [first, { ...first, keys: 32 }];
  if (shape.dtype === "f16") all.push({ ...first, unpacked: true });
  all.push({ ...first, pairs: 64 }, { ...first, sums: 4 });
  return all.filter((tiles, i) =>
    fitsTiles(gpu, tiles, shape) &&
    all.findIndex((other) => JSON.stringify(other) === JSON.stringify(tiles)) === i
  );
}

/** Workgroups of a launch that isn't split. */
export function tileGroups({ pairs }: AttentionTiles, shape: Shape): number {
  const tileRows = Math.floor(pairs / (shape.heads / shape.kvHeads));
  return Math.ceil(shape.rows / tileRows) * shape.kvHeads;
}

/** Where each tensor starts: `queries` and `results` in vec4, caches in texels, others in elements, the
 * token table and `held` in fours. */
const sizes = new UniformStruct("Sizes", {
  u32: "rows splits queries keys values ranks token_table held results",
});

/** The tensors of `attention`; `results` is its output, or the partial results of its splits. */
interface TileArguments {
  label: string;
  q: Tensor;
  keys: Tensor;
  values: Tensor;
  ranks: Tensor;
  tokenTable: Tensor;
  held: Tensor;
  results: Tensor;
}

/** The launch of `attention` by tiles: its arguments are checked there. */
export function attentionTiles(
  gpu: Gpu,
  args: TileArguments,
  shape: Shape,
  tiles: AttentionTiles,
  splits: number,
  cost: Pick<Dispatch, "flops" | "bytes" | "tuned">,
): Dispatch {
  const { label, q, keys, values, ranks, tokenTable, held, results } = args;
  const { rows, heads, kvHeads, headDim } = shape;
  const group = heads / kvHeads;
  const made = sizesOf(tiles, shape);
  const { eights, lanes, packed } = made;
  if (!fitsTiles(gpu, tiles, shape)) {
    throw new RangeError(
      `attention ${label}: no tile of ${tiles.pairs} pairs x ${tiles.keys} keys with ${group} heads ` +
        `of ${headDim} on this adapter`,
    );
  }
  const half = shape.dtype === "f16";
  const headTexels = half ? eights : 2 * eights;
  const pipeline = gpu.pipeline("attention tiles", code, {
    sizes,
    half,
    packed,
    heads,
    kv_heads: kvHeads,
    group,
    pairs: tiles.pairs,
    keys: tiles.keys,
    eights,
    lanes,
    tile_rows: made.tileRows,
    pair_groups: made.pairGroups,
    key_groups: made.keyGroups,
    keys_per_lane: made.keysPerLane,
    row_texels: made.rowTexels,
    row_pairs: made.rowPairs,
    lane_fours: tiles.sums / 4,
    sum_groups: tiles.pairs / tiles.sums,
    loads: Math.ceil((tiles.keys * headTexels) / lanes),
    head_texels: headTexels,
    cache: half ? "vec4u" : "vec4f",
    kept: packed ? "vec4u" : "vec4f",
    scale: Math.LOG2E / Math.sqrt(headDim),
  });
  const texel = half ? 8 : 4;
  const constants = sizes.bind(gpu, {
    rows,
    splits,
    queries: q.offset / 4,
    keys: keys.offset / texel,
    values: values.offset / texel,
    ranks: ranks.offset,
    token_table: tokenTable.offset / 4,
    held: held.offset / 4,
    results: results.offset / 4,
  });
  const rowTiles = Math.ceil(rows / made.tileRows);
  return dispatch(
    gpu,
    `attention ${label}`,
    pipeline,
    [constants, tokenTable, held, results, q, ranks, keys, values],
    [rowTiles * splits, kvHeads, 1],
    {
      ...cost,
      facts: facts(tiles, shape, (tensorBytes(keys) + tensorBytes(values)) * rowTiles),
    },
  );
}

/** The loads and stores of attention_tiles.wgsl, as it writes them. */
function facts(tiles: AttentionTiles, shape: Shape, historyBytes: number): KernelFacts {
  const { heads, kvHeads, headDim, dtype } = shape;
  const { eights, lanes, rowTexels, rowPairs, keyGroups, keysPerLane, bytes } = sizesOf(
    tiles,
    shape,
  );
  const group = heads / kvHeads;
  const half = dtype === "f16";
  const headTexels = half ? eights : 2 * eights;
  const keyGroup = (lane: number) => lane % keyGroups;
  const pairGroup = (lane: number) => Math.floor(lane / keyGroups);
  const sumGroup = (lane: number) => Math.floor(lane / eights);
  const tile = (what: string, bytes: 4 | 16, at: Access["at"]): Access => ({
    what,
    memory: "workgroup",
    bytes,
    at,
  });
  return {
    form: `tiles ${tiles.pairs} x ${tiles.keys}, ${tiles.sums} sums`,
    lanes,
    // Sums; the greater of scores with their queries and keys, and of weights and values; maximum and
    // sum of four pairs; places.
    registers: 8 * tiles.sums + Math.max(4 * keysPerLane + 16 + 8, tiles.sums + 8) + 8 + 13,
    workgroupBytes: bytes,
    historyBytes,
    accesses: [
      {
        what: "K and V",
        memory: "storage",
        bytes: 16,
        at: (lane) =>
          Math.floor(lane / headTexels) * kvHeads * 16 * headTexels + 16 * (lane % headTexels),
      },
      {
        what: "queries",
        memory: "storage",
        bytes: 16,
        at: (lane) => {
          const pair = 4 * pairGroup(lane);
          return 4 * headDim * (Math.floor(pair / group) * heads + pair % group);
        },
      },
      tile(
        "K and V stored",
        16,
        (lane) => {
          const [row, x] = [Math.floor(lane / headTexels), lane % headTexels];
          return 16 * (row * rowTexels + (half ? x : Math.floor(x / 2) + (x % 2) * eights));
        },
      ),
      tile("keys", 16, (lane) => 16 * keyGroup(lane) * rowTexels),
      tile("weights stored", 16, (lane) => 16 * (keyGroup(lane) * rowPairs + pairGroup(lane))),
      tile("weights", 16, (lane) => (16 * sumGroup(lane) * tiles.sums) / 4),
      tile("values", 16, (lane) => 16 * (lane % eights)),
    ],
  };
}
