/**
 * Attention over history: softmax(q k^T / sqrt(head_dim)) v over the keys that each row may see, by
 * ranks (a row sees the key of a slot when rank <= limit or rank == own). The scores are never
 * written: an online softmax keeps a maximum, a sum and head_dim accumulators per query
 * (Milakov, Gimelshein 2018, arXiv 1805.02867; FlashAttention, arXiv 2205.14135).
 *
 * Tile: a lane holds the query heads of one row that share a kv head, so that a key or value that it
 * loads serves all of them; neighbouring lanes are neighbouring rows and load the same addresses.
 * Nothing is shared between lanes: no barriers and no workgroup memory, which are slow on llvmpipe.
 * Few rows leave lanes idle: then the keys are split among lanes too, and a second dispatch merges.
 *
 * Measured on llvmpipe (two cores, AVX2), 18 rows, 1300 keys, 6 heads of 32 over 2, best of many: one
 * query per lane with storage buffers 31 ms, three 13 ms; K and V in uniform windows of 64 KiB 1.8 ms
 * (a dispatch per window, and merging), in textures 1.1 to 1.5 ms. There it was of no use to take 2 or
 * 4 keys per step (fewer rescalings, up to twice the time to compile), to let a lane hold more than 4
 * queries, or to split the keys of more rows than a few. Private arrays for q and the sums: 5 s to compile.
 */
import code from "./attention.wgsl" with { type: "text" };
import {
  attentionTileChoices,
  type AttentionTiles,
  attentionTiles,
  tileGroups,
} from "./attention_tiles.ts";
import { attentionPairs, fitsPairs, pairsOfLane, pairSplits } from "./attention_pairs.ts";
import mergeCode from "./attention_merge.wgsl" with { type: "text" };
import type { Gpu } from "../gpu/device.ts";
import { textureRows, textureSource } from "../gpu/texture.ts";
import { card, type KernelFacts } from "../card/facts.ts";
import { type Dispatch, dispatch, type Step } from "../gpu/plan.ts";
import {
  checkTensors,
  elementBytes,
  type FloatType,
  scratchTensor,
  type Tensor,
  tensorBytes,
} from "../gpu/tensor.ts";
import { fitsUniform, storageSource, uniformSource } from "../gpu/uniform.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

export interface AttentionArguments {
  label: string;
  /** Rotated queries, f32 [M, heads * headDim], not yet scaled. */
  q: Tensor;
  /** Caches, f32 or f16 [slots, kvHeads * headDim]. */
  keys: Tensor;
  values: Tensor;
  /** Rank of the token in each slot, i32 [slots]. */
  ranks: Tensor;
  /** i32 [M, 8]: {slot, limit, own, time, height, width, 0, 0}. */
  tokenTable: Tensor;
  /** i32 [4], read at run time: keys are in the slots [0, used) and [noisyStart, noisyEnd), given as
   * {used, noisyStart, noisyEnd, 0}, used <= noisyStart <= noisyEnd <= slots. */
  held: Tensor;
  /** f32 [M, heads * headDim]. */
  out: Tensor;
  heads: number;
  kvHeads: number;
  /** A multiple of 8. */
  headDim: number;
}

/** How attention runs on an adapter. */
export interface AttentionVariant {
  /** Reads through a texture (kernels/gpu/texture.ts) rather than storage buffers. */
  texture: boolean;
  /** Lanes of a workgroup. */
  lanes: number;
  /** Query heads per lane: divides heads / kvHeads. */
  queries: number;
  /** Parts that the keys are split into. */
  splits: number;
  /** Keys that a subgroup reads at once, each by one of its lanes, which hands it to the others; 1: every
   * lane reads all keys of its own. At most the smallest subgroup. */
  keys: 1 | 4;
  /** By tiles in workgroup memory (attention_tiles.ts): of the rest only `splits` counts then. */
  tiles?: AttentionTiles | undefined;
  /** By pairs of a row and a head, so many in a lane (attention_pairs.ts): of the rest only `splits` counts. */
  pairs?: number | undefined;
}

/** What attention's speed depends on. */
export interface AttentionShape {
  rows: number;
  slots: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Of the caches. */
  dtype: FloatType;
}

/** The attention that a launch is for; undefined: another kernel's. */
export function attentionOf({ tuned }: Pick<Dispatch, "tuned">): AttentionShape | undefined {
  return tuned?.kernel === "attention" ? tuned.shape as AttentionShape : undefined;
}

/** The name of a shape among the choices. */
export function attentionKey({ rows, slots, heads, kvHeads, headDim, dtype }: AttentionShape) {
  return `attention ${rows} rows, ${slots} slots, ${heads} heads over ${kvHeads} of ${headDim} ${dtype}`;
}

/** The variant that a shape takes: what was chosen, else the static default. */
export function attentionVariant(gpu: Gpu, shape: AttentionShape): AttentionVariant {
  const chosen = gpu.choices[attentionKey(shape)] ?? "";
  return attentionVariants(gpu, shape).get(chosen) ?? staticVariant(gpu, shape);
}

/** Everything worth trying for a shape, by name, the static default first. */
export function attentionVariants(gpu: Gpu, shape: AttentionShape): Map<string, AttentionVariant> {
  const chosen = staticVariant(gpu, shape);
  const first = plainVariant(gpu, shape);
  const { splits, queries } = first;
  const most = Math.max(1, Math.floor(shape.slots / 32));
  const group = shape.heads / shape.kvHeads;
  const variants = chosen.tiles ? [chosen, first] : [first];
  if (!gpu.traits.cpu) {
    for (const tiles of attentionTileChoices(gpu, shape)) {
      const splits = tileSplits(tiles, shape);
      for (const count of new Set([splits, Math.ceil(splits / 2), Math.min(most, 2 * splits)])) {
        variants.push({ ...first, tiles, splits: count });
      }
    }
  }
  const splitCounts = gpu.traits.cpu
    ? [1, 2, 4]
    : [1, Math.floor(splits / 4), Math.floor(splits / 2), 2 * splits];
  for (const count of splitCounts) {
    if (count >= 1 && count <= most) variants.push({ ...first, splits: count });
  }
  if (first.keys > 1) variants.push({ ...first, keys: 1 });
  // Where keys are handed round, few are read, and a copy into a texture may cost more than it saves.
  if (first.keys > 1 && first.texture) variants.push({ ...first, texture: false });
  // Accumulators of one lane: 128 floats compile in reasonable time on a CPU.
  if (queries > 1) variants.push({ ...first, queries: 1 });
  else if (group > 1 && group * shape.headDim <= 128) variants.push({ ...first, queries: group });
  if (fitsPairs(gpu) && shape.slots >= longHistory) {
    const pairs = pairsOfLane(gpu, shape);
    variants.push({ ...first, pairs, splits: pairSplits(shape) });
  }
  const nameOf = ({ texture, lanes, queries, splits, keys, tiles, pairs }: AttentionVariant) =>
    pairs
      ? `pairs ${lanes} x ${pairs}, splits ${splits}`
      : tiles
      ? `tiles ${tiles.pairs} x ${tiles.keys}, sums ${tiles.sums}, splits ${splits}` +
        (tiles.unpacked ? ", unpacked" : "")
      : `${
        texture ? "textures" : "buffers"
      }, ${lanes} lanes, queries ${queries}, splits ${splits}` +
        (keys > 1 ? `, keys ${keys}` : "");
  return new Map(variants.map((variant) => [nameOf(variant), variant]));
}

/** Slots from which on loading the keys, not launching, is what attention costs on a CPU. */
export const longHistory = 1024;

/** Workgroups that keep a large card busy to the end. */
const wantedGroups = 4 * card.units;

/** Parts of the keys by which tiles fill a card; of at least 256 keys, which are worth their merging. */
function tileSplits(tiles: AttentionTiles, shape: AttentionShape): number {
  const wanted = Math.ceil(wantedGroups / tileGroups(tiles, shape));
  return Math.max(1, Math.min(wanted, Math.floor(shape.slots / 256)));
}

/** By rule: a card takes tiles where its rows fill half of one, else a lane for each row and head. */
function staticVariant(gpu: Gpu, shape: AttentionShape): AttentionVariant {
  const plain = plainVariant(gpu, shape);
  const [tiles] = gpu.traits.cpu || shape.rows * (shape.heads / shape.kvHeads) < 32
    ? []
    : attentionTileChoices(gpu, shape);
  return tiles ? { ...plain, tiles, splits: tileSplits(tiles, shape) } : plain;
}

/** What one lane per row and head takes. */
function plainVariant(
  gpu: Gpu,
  { rows, slots, heads, kvHeads, headDim, dtype }: AttentionShape,
): AttentionVariant {
  const { cpu, lanes, texturesFaster, subgroup } = gpu.traits;
  const group = heads / kvHeads;
  // Queries in a lane share its loads. More than this many accumulators take too long to compile on
  // a CPU; on a GPU one query of a large head fills the registers.
  const most = cpu ? Math.max(1, Math.floor(128 / headDim)) : 1;
  let queries = Math.min(group, most);
  while (group % queries !== 0) queries--;
  const tiles = (rows * group) / queries;
  // Lanes that keep the adapter busy: a SIMD register of each of a few cores, or a large GPU. A split
  // is worth its merging from some tens of keys.
  const wanted = cpu ? 16 : 8192 / kvHeads;
  const splits = Math.max(1, Math.min(Math.floor(wanted / tiles), Math.floor(slots / 32)));
  const cache = elementBytes(dtype) * slots * kvHeads * headDim;
  const texture = texturesFaster &&
    2 + 2 * textureRows(cache) <= gpu.device.limits.maxTextureDimension2D;
  const keys = cpu && subgroup >= 4 && tiles >= 4 ? 4 : 1;
  return { texture, lanes, queries, splits, keys };
}

/** `tiles`: rows times lanes per row, and workgroups that they take; where each tensor starts, in texels (ranks: elements). */
const sizes = new UniformStruct("Sizes", {
  u32: "tiles groups splits queries keys values ranks token_table held results",
});

const mergeSizes = new UniformStruct("Sizes", { u32: "rows splits vectors results" });

/**
 * Steps for attention; a row that sees no key gives zeros. What lies in unseen slots is never used,
 * so empty ones may hold anything.
 *
 * Offsets are multiples of 4, those of caches of 8; `out` has another buffer than `q`.
 *
 * @param variant Set by tests and tuning.
 * @throws RangeError when shapes don't fit.
 */
export function attention(
  gpu: Gpu,
  args: AttentionArguments,
  variant?: Partial<AttentionVariant>,
): Step[] {
  const { label, q, keys, values, ranks, tokenTable, held, out, heads, kvHeads, headDim } = args;
  const shape = checkedShape(args);
  const { rows, slots } = shape;
  const chosen = { ...attentionVariant(gpu, shape), ...variant };
  const { texture, lanes, queries, splits, keys: read, tiles: inTiles, pairs } = chosen;
  const half = keys.dtype === "f16";
  const group = heads / kvHeads;
  const whole = splits === 1;
  const handed = read > 1;
  const results = whole
    ? out
    : scratchTensor(gpu, "attention partials", [rows * heads * splits * (headDim + 4)]);
  const cost = {
    flops: 4 * rows * heads * slots * headDim,
    bytes: tensorBytes(keys) + tensorBytes(values) + tensorBytes(q) + tensorBytes(out),
    bytesPerToken: 2 * shape.kvHeads * shape.headDim * elementBytes(shape.dtype),
    tuned: { kernel: "attention", shape },
  };
  const joined = () => whole ? [] : [mergeStep(gpu, args, shape, splits, results)];
  if (inTiles) {
    return [attentionTiles(gpu, { ...args, results }, shape, inTiles, splits, cost), ...joined()];
  }
  if (pairs) {
    const form = { splits, partial: !whole };
    return [attentionPairs(gpu, { ...args, results }, shape, form, cost), ...joined()];
  }
  // Small tensors are read as uniforms where storage buffers are slow.
  const small = (tensor: Tensor, name: string, type: string) =>
    texture && fitsUniform(gpu, tensorBytes(tensor))
      ? uniformSource(gpu, tensor, name, type)
      : storageSource(tensor, name, type);
  const [query, rank] = [small(q, "queries", "vec4f"), small(ranks, "ranks", "vec4i")];
  const copied = texture
    ? textureSource(gpu, `attention ${label}`, "caches", "rgba32float", [keys, values])
    : undefined;
  const pipeline = gpu.pipeline("attention", code, {
    sizes,
    texture,
    half,
    lanes,
    queries,
    group,
    heads,
    kv_heads: kvHeads,
    lanes_per_row: group / queries,
    handed,
    keys: read,
    eights: headDim / 8,
    eight_texels: half ? 1 : 2,
    cache: half ? "vec4u" : "vec4f",
    scale: Math.LOG2E / Math.sqrt(headDim),
    query_variable: query.declaration,
    rank_variable: rank.declaration,
    caches: copied?.declaration ?? "",
    reader: copied?.code ?? "",
  });
  const tiles = (rows * group) / queries;
  const texel = half ? 8 : 4;
  const groups = Math.ceil(tiles / lanes);
  const constants = sizes.bind(gpu, {
    tiles,
    groups,
    splits,
    queries: query.start,
    keys: copied?.starts[0] ?? keys.offset / texel,
    values: copied?.starts[1] ?? values.offset / texel,
    ranks: 4 * rank.start,
    token_table: tokenTable.offset / 4,
    held: held.offset / 4,
    results: results.offset / 4,
  });
  const caches = copied ? [copied.binding] : [keys, values];
  return [
    ...copied?.steps ?? [],
    dispatch(
      gpu,
      `attention ${label}`,
      pipeline,
      [constants, tokenTable, held, results, query.binding, rank.binding, ...caches],
      [handed ? groups * splits : Math.ceil((tiles * splits) / lanes), kvHeads, 1],
      { ...cost, facts: plainFacts(shape, chosen) },
    ),
    ...joined(),
  ];
}

/** Joins the parts of the keys. */
function mergeStep(
  gpu: Gpu,
  { label, out }: AttentionArguments,
  { rows, heads, headDim }: AttentionShape,
  splits: number,
  results: Tensor,
): Step {
  const merged = { rows: rows * heads, splits, vectors: headDim / 4, results: out.offset / 4 };
  const items = merged.rows * merged.vectors;
  return dispatch(
    gpu,
    `attention merge ${label}`,
    gpu.pipeline("attention merge", mergeCode, { sizes: mergeSizes }),
    [mergeSizes.bind(gpu, merged), results, out],
    { items },
    { flops: 8 * items * splits, bytes: 16 * merged.rows * (splits + 1) * (merged.vectors + 1) },
  );
}

/** Bytes of K and V that a launch asks memory for when every lane reads its own keys. */
export function plainHistoryBytes(gpu: Gpu, shape: AttentionShape): number {
  return plainFacts(shape, plainVariant(gpu, shape)).historyBytes ?? 0;
}

/** The loads of attention.wgsl: neighbouring lanes are heads of a kv head, then rows, and read the same
 * keys; each lane has its queries and sums in registers. */
function plainFacts(
  shape: AttentionShape,
  { lanes, queries, splits }: AttentionVariant,
): KernelFacts {
  const { rows, slots, heads, kvHeads, headDim, dtype } = shape;
  const inStep = Math.min(card.subgroup, lanes);
  const tiles = (rows * heads) / kvHeads / queries;
  const rowBytes = kvHeads * headDim * elementBytes(dtype);
  return {
    form: `a lane for ${queries} queries`,
    lanes,
    registers: 2 * headDim * queries + 8 + 2 * queries + 14,
    historyBytes: 2 * slots * rowBytes * Math.ceil(tiles / inStep),
    accesses: [{
      what: "K and V",
      memory: "storage",
      bytes: 16,
      // Few rows: then neighbours have parts of the keys of their own.
      at: (lane) => Math.floor(lane / tiles) * Math.ceil(slots / splits) * rowBytes,
    }],
    reasons: {
      sectors: "lanes walk keys of their own, whose next load uses the rest of a sector",
      groups: "one row: its keys are split for the lanes that a kv head has",
      registers: "a lane holds a whole query and its sums: for rows that don't fill a tile",
    },
  };
}

/** Checks the arguments; gives what their speed depends on. */
function checkedShape(args: AttentionArguments): AttentionShape {
  const { label, q, keys, values, ranks, tokenTable, held, out, heads, kvHeads, headDim } = args;
  const [rows = 0] = q.shape;
  const [slots = 0] = keys.shape;
  const dtype = keys.dtype === "f16" ? "f16" : "f32";
  const name = `attention ${label}`;
  if (headDim % 8 !== 0 || heads % kvHeads !== 0) {
    throw new RangeError(`${name}: ${heads} heads over ${kvHeads} of ${headDim} (in eights)`);
  }
  const cache = [slots, kvHeads * headDim];
  checkTensors(name, {
    q: [q, "f32", [rows, heads * headDim], 4],
    keys: [keys, dtype, cache, 8],
    values: [values, dtype, cache, 8],
    ranks: [ranks, "i32", [slots], 4],
    tokenTable: [tokenTable, "i32", [rows, 8], 4],
    held: [held, "i32", [4], 4],
    out: [out, "f32", [rows, heads * headDim], 4],
  });
  if (out.buffer === q.buffer) throw new RangeError(`${name}: q and out share a buffer`);
  return { rows, slots, heads, kvHeads, headDim, dtype };
}
