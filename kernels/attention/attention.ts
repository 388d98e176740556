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
 * (a dispatch per window, and merging), in images 1.1 to 1.5 ms. There it was of no use to take 2 or
 * 4 keys per step (fewer rescalings, up to twice the time to compile), to let a lane hold more than 4
 * queries, or to split the keys of more rows than a few. Private arrays for q and the sums: 5 s to compile.
 */
import code from "./attention.wgsl" with { type: "text" };
import mergeCode from "./attention_merge.wgsl" with { type: "text" };
import type { Gpu } from "../gpu/device.ts";
import { dispatchGrid } from "../gpu/grid.ts";
import { copyToImage, imageReader, imageRows, rowBytes, scratchImage } from "../gpu/image.ts";
import { type Dispatch, dispatch, type Step } from "../gpu/plan.ts";
import { fill } from "../gpu/shader.ts";
import { elementBytes, elements, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { fitsUniform, uniformSource } from "../gpu/uniform.ts";

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
  tokens: Tensor;
  /** i32 [4], read at run time: keys are in the slots [0, used) and [scratchStart, scratchEnd), given
   * as {used, scratchStart, scratchEnd, 0}, used <= scratchStart <= scratchEnd <= slots. */
  span: Tensor;
  /** f32 [M, heads * headDim]. */
  out: Tensor;
  heads: number;
  kvHeads: number;
  /** A multiple of 8. */
  headDim: number;
}

/** How attention runs on an adapter. */
export interface AttentionVariant {
  /** Reads through an image (kernels/gpu/image.ts) rather than storage buffers. */
  image: boolean;
  /** Lanes of a workgroup. */
  lanes: number;
  /** Query heads per lane: divides heads / kvHeads. */
  queries: number;
  /** Parts that the keys are split into. */
  splits: number;
}

/** What attention's speed depends on. */
export interface AttentionShape {
  rows: number;
  slots: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Of the caches. */
  dtype: "f32" | "f16";
}

/** The name of a shape among the choices. */
export function attentionKey({ rows, slots, heads, kvHeads, headDim, dtype }: AttentionShape) {
  return `attention ${rows} rows, ${slots} slots, ${heads} heads over ${kvHeads} of ${headDim} ${dtype}`;
}

/** The variant that a shape takes: what was chosen, else the static default. */
export function attentionVariant(gpu: Gpu, shape: AttentionShape): AttentionVariant {
  const name = gpu.choices[attentionKey(shape)];
  const chosen = name === undefined
    ? undefined
    : attentionVariants(gpu, shape).find((candidate) => candidate.name === name);
  return chosen?.variant ?? staticVariant(gpu, shape);
}

/** Everything worth trying for a shape, by name, the static default first. */
export function attentionVariants(
  gpu: Gpu,
  shape: AttentionShape,
): { name: string; variant: AttentionVariant }[] {
  const first = staticVariant(gpu, shape);
  const { splits, queries } = first;
  const most = Math.max(1, Math.floor(shape.slots / 32));
  const group = shape.heads / shape.kvHeads;
  const variants = [first];
  const splitCounts = gpu.traits.cpu
    ? [1, 2, 4]
    : [1, Math.floor(splits / 4), Math.floor(splits / 2), 2 * splits];
  for (const count of splitCounts) {
    if (count >= 1 && count <= most) variants.push({ ...first, splits: count });
  }
  // Accumulators of one lane: 128 floats compile in reasonable time on a CPU.
  if (queries > 1) variants.push({ ...first, queries: 1 });
  else if (group > 1 && group * shape.headDim <= 128) variants.push({ ...first, queries: group });
  const named = variants.map((variant) => ({ name: attentionName(variant), variant }));
  return named.filter(({ name }, i) => named.findIndex((other) => other.name === name) === i);
}

function attentionName({ image, lanes, queries, splits }: AttentionVariant): string {
  return `${image ? "images" : "buffers"}, ${lanes} lanes, queries ${queries}, splits ${splits}`;
}

function staticVariant(
  gpu: Gpu,
  { rows, slots, heads, kvHeads, headDim, dtype }: AttentionShape,
): AttentionVariant {
  const { cpu, lanes, texturesFaster } = gpu.traits;
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
  const imageHeight = 2 + imageRows(4 * rows * heads * headDim) + 2 * imageRows(cache) +
    imageRows(4 * slots);
  const image = texturesFaster && imageHeight <= gpu.device.limits.maxTextureDimension2D;
  return { image, lanes, queries, splits };
}

/**
 * Steps for attention; a row that sees no key gives zeros. What lies in unseen slots is never used,
 * so empty ones may hold anything.
 *
 * Offsets are multiples of 4, those of f16 tensors of 8; `out` has another buffer than `q`.
 *
 * @param variant Set by tests and tuning.
 * @throws RangeError when shapes don't fit.
 */
export function attention(
  gpu: Gpu,
  args: AttentionArguments,
  variant?: Partial<AttentionVariant>,
): Step[] {
  const { label, q, keys, values, tokens, span, out, heads, kvHeads, headDim } = args;
  const shape = check(args);
  const { rows, slots } = shape;
  const half = keys.dtype === "f16";
  const dtype = half ? "f16" : "f32";
  const asked = { ...shape, heads, kvHeads, headDim, dtype } as const;
  const chosen = { ...attentionVariant(gpu, asked), ...variant };
  const { lanes, queries, splits } = chosen;
  const tiles = (rows * heads) / kvHeads / queries;
  const vectors = headDim / 4;
  const cost = {
    flops: 4 * rows * heads * slots * headDim,
    bytes: tensorBytes(keys) + tensorBytes(values) + tensorBytes(q) + tensorBytes(out),
  };
  const whole = splits === 1;
  const target = whole ? out : partials(gpu, rows * heads * splits * (headDim + 4));
  const source = chosen.image ? imageSource(gpu, label, args) : bufferSource(args);
  const pipeline = gpu.pipeline(
    "attention",
    shader(chosen, { heads, kvHeads, headDim, half, readers: source.readers }),
  );
  const constants = gpu.constants({
    u32: [tiles, splits, ...source.starts, tokens.offset / 4, span.offset / 4, target.offset / 4],
  });
  const grid = [Math.ceil((tiles * splits) / lanes), kvHeads, 1] as const;
  const bindings = [constants, tokens, span, target, ...source.bindings];
  const steps: Step[] = [
    ...source.steps,
    dispatch(gpu, `attention ${label}`, pipeline, bindings, grid, cost),
  ];
  if (!whole) steps.push(merge(gpu, label, target, out, rows * heads, splits, vectors));
  return steps;
}

function check(args: AttentionArguments): { rows: number; slots: number } {
  const { label, q, keys, values, ranks, tokens, span, out, heads, kvHeads, headDim } = args;
  const [rows = 0] = q.shape;
  const [slots = 0] = keys.shape;
  const cache = slots * kvHeads * headDim;
  const fits = rows > 0 && slots > 0 && headDim % 8 === 0 && heads % kvHeads === 0 &&
    elements(q.shape) === rows * heads * headDim && elements(out.shape) === elements(q.shape) &&
    elements(keys.shape) === cache && elements(values.shape) === cache &&
    keys.dtype === values.dtype && elements(ranks.shape) === slots &&
    elements(tokens.shape) === rows * 8 && elements(span.shape) === 4;
  if (!fits) {
    throw new RangeError(
      `attention ${label}: q [${q.shape}], keys [${keys.shape}] ${keys.dtype}, values [${values.shape}] ` +
        `${values.dtype}, ranks [${ranks.shape}], tokens [${tokens.shape}], span [${span.shape}], ` +
        `out [${out.shape}] don't fit ${heads} heads over ${kvHeads} of ${headDim}`,
    );
  }
  for (const tensor of [q, keys, values, ranks, tokens, span, out]) {
    const step = tensor.dtype === "f16" ? 8 : 4;
    if (tensor.offset % step !== 0) {
      throw new RangeError(`attention ${label}: offset ${tensor.offset} is no multiple of ${step}`);
    }
  }
  if (out.buffer === q.buffer) throw new RangeError(`attention ${label}: q and out share a buffer`);
  if (ranks.buffer.size < Math.ceil((ranks.offset + slots) / 4) * 16) {
    throw new RangeError(`attention ${label}: the buffer of ranks must hold whole vec4`);
  }
  return { rows, slots };
}

/** What a kernel binds to read queries, keys, values and ranks, in this order. */
interface Source {
  /** Steps that run before. */
  steps: Step[];
  bindings: (Tensor | GPUTextureView | GPUBufferBinding)[];
  /** Declarations from binding 4 on, and the functions that read a vec4 by its index. */
  readers: string;
  /** Where each starts, in vec4; ranks in elements. */
  starts: number[];
}

function bufferSource({ q, keys, values, ranks }: AttentionArguments): Source {
  const half = keys.dtype === "f16";
  const cache = half ? "vec4u" : "vec4f";
  const names = ["query", "key", "value", "rank_texel"];
  const readers = ["vec4f", cache, cache, "vec4i"].map((type, i) =>
    `@group(0) @binding(${4 + i}) var<storage, read> source${i}: array<${type}>;
fn ${names[i]}${i === 3 ? "" : "_at"}(i: u32) -> ${type} {
  return source${i}[i];
}`
  );
  const unit = half ? 8 : 4;
  return {
    steps: [],
    bindings: [q, keys, values, ranks],
    readers: readers.join("\n"),
    starts: [q.offset / 4, keys.offset / unit, values.offset / unit, ranks.offset],
  };
}

/** Copies keys and values into one image, each from a row of its own; bits are kept as they are.
 * Queries and ranks come along where they are too large for a uniform. */
function imageSource(gpu: Gpu, label: string, args: AttentionArguments): Source {
  const { q, keys, values, ranks } = args;
  const copied: [name: string, tensor: Tensor][] = [["key", keys], ["value", values]];
  const uniforms: [name: string, tensor: Tensor][] = [];
  for (const entry of [["query", q], ["rank", ranks]] as [string, Tensor][]) {
    (fitsUniform(gpu, tensorBytes(entry[1])) ? uniforms : copied).push(entry);
  }
  const starts: Record<string, number> = {};
  const rows: number[] = [];
  let end = 1;
  for (const [name, tensor] of copied) {
    starts[name] = (end * rowBytes) / 16;
    rows.push(end);
    end += imageRows(tensorBytes(tensor));
  }
  const image = scratchImage(gpu, "rgba32float", (end - 1) * rowBytes);
  const steps = copied.flatMap(([, tensor], i) =>
    copyToImage(`attention ${label}`, asFloats(tensor), image, (rows[i] ?? 0) * rowBytes)
  );
  const reader = imageReader("texel", "image", "rgba32float");
  const declarations = [`@group(0) @binding(4) ${reader.declaration}`, reader.code];
  const bindings: Source["bindings"] = [image.createView()];
  const cache = keys.dtype === "f16" ? "vec4u" : "vec4f";
  const types: Record<string, string> = { query: "vec4f", key: cache, value: cache, rank: "vec4i" };
  const nameOf = (name: string) => name === "rank" ? "rank_texel" : `${name}_at`;
  const read = (name: string, value: string) =>
    `fn ${nameOf(name)}(i: u32) -> ${types[name]} {\n  return ${value};\n}`;
  for (const [name] of copied) {
    const type = types[name];
    declarations.push(read(name, type === "vec4f" ? "texel(i)" : `bitcast<${type}>(texel(i))`));
  }
  for (const [name, tensor] of uniforms) {
    const source = uniformSource(gpu, tensor, `${name}_uniform`, types[name] ?? "");
    declarations.push(`@group(0) @binding(${4 + bindings.length}) ${source.declaration}`);
    declarations.push(read(name, `${name}_uniform[i]`));
    bindings.push(source.binding);
    starts[name] = source.start;
  }
  const { query = 0, key = 0, value = 0, rank = 0 } = starts;
  return {
    steps,
    bindings,
    readers: declarations.join("\n"),
    starts: [query, key, value, 4 * rank],
  };
}

/** The words of a tensor as f32, whatever they mean; rounded up to whole texels. */
function asFloats(tensor: Tensor): Tensor {
  const words = Math.ceil(tensorBytes(tensor) / 16) * 4;
  const offset = tensor.dtype === "f16" ? tensor.offset / 2 : tensor.offset;
  return { buffer: tensor.buffer, offset, shape: [words], dtype: "f32" };
}

function shader(
  { lanes, queries }: AttentionVariant,
  { heads, kvHeads, headDim, half, readers }: {
    heads: number;
    kvHeads: number;
    headDim: number;
    half: boolean;
    readers: string;
  },
): string {
  const vectors = range(headDim / 4);
  const texelSize = half ? 8 : 4;
  const group = heads / kvHeads;
  // exp2 is what the hardware has.
  const scale = Math.LOG2E / Math.sqrt(headDim);
  const all = range(queries);
  return fill(code, {
    lanes,
    queries,
    group,
    heads,
    readers,
    lanes_per_row: group / queries,
    row_texels: (kvHeads * headDim) / texelSize,
    head_texels: headDim / texelSize,
    vectors: vectors.length,
    start: all.map((r) =>
      [
        `  let query${r} = sizes.queries + (first + ${r}u) * ${vectors.length}u;`,
        ...vectors.map((j) => `  let q${r}_${j} = query_at(query${r} + ${j}u) * ${scale};`),
        ...vectors.map((j) => `  var o${r}_${j} = vec4f();`),
        `  var m${r} = lowest;`,
        `  var l${r} = 0.0;`,
      ].join("\n")
    ).join("\n"),
    step: [
      load("key", "k", vectors.length, half),
      ...all.map((r) =>
        `    let s${r} = ${vectors.map((j) => `dot(q${r}_${j}, k${j})`).join(" + ")};
    let t${r} = select(unseen, s${r}, visible);
    let d${r} = t${r} - m${r};
    let e${r} = exp2(-abs(d${r}));
    let f${r} = select(1.0, e${r}, d${r} > 0.0);
    let p${r} = select(e${r}, 1.0, d${r} > 0.0);
    m${r} = max(m${r}, t${r});
    l${r} = l${r} * f${r} + p${r};`
      ),
      load("value", "v", vectors.length, half),
      ...all.flatMap((r) =>
        vectors.map((j) => `    o${r}_${j} = o${r}_${j} * f${r} + p${r} * v${j};`)
      ),
    ].join("\n"),
    finish: all.map((r) =>
      [
        `  let scale${r} = select(1.0, select(0.0, 1.0 / l${r}, l${r} > 0.0), whole);`,
        `  let to${r} = sizes.target_start + ((first + ${r}u) * sizes.splits + split) * stride;`,
        ...vectors.map((j) => `  results[to${r} + ${j}u] = o${r}_${j} * scale${r};`),
        `  if (!whole) {\n    results[to${r} + ${vectors.length}u] = vec4f(m${r}, l${r}, 0.0, 0.0);\n  }`,
      ].join("\n")
    ).join("\n"),
  });
}

/** WGSL that loads the `count` vec4 of a cache's row at `name` into `letter`0, `letter`1, ... */
function load(name: string, letter: string, count: number, half: boolean): string {
  if (!half) {
    return range(count).map((j) => `    let ${letter}${j} = ${name}_at(${name} + ${j}u);`).join(
      "\n",
    );
  }
  const vector = (texel: string, a: string, b: string) =>
    `vec4f(unpack2x16float(${texel}.${a}), unpack2x16float(${texel}.${b}))`;
  return range(count / 2).map((j) =>
    `    let ${letter}_texel${j} = ${name}_at(${name} + ${j}u);
    let ${letter}${2 * j} = ${vector(`${letter}_texel${j}`, "x", "y")};
    let ${letter}${2 * j + 1} = ${vector(`${letter}_texel${j}`, "z", "w")};`
  ).join("\n");
}

function merge(
  gpu: Gpu,
  label: string,
  parts: Tensor,
  out: Tensor,
  rows: number,
  splits: number,
  vectors: number,
): Dispatch {
  const lanes = 64;
  const pipeline = gpu.pipeline("attention merge", fill(mergeCode, { lanes }));
  const constants = gpu.constants({ u32: [rows, splits, vectors, out.offset / 4] });
  return dispatch(
    gpu,
    `attention merge ${label}`,
    pipeline,
    [constants, parts, out],
    dispatchGrid(gpu, rows * vectors, lanes),
    { flops: 8 * rows * splits * vectors, bytes: 16 * rows * (splits + 1) * (vectors + 1) },
  );
}

const scratch = new WeakMap<Gpu, GPUBuffer>();

/** What splits leave for merging: one buffer for all, since each is merged right after. */
function partials(gpu: Gpu, count: number): Tensor {
  let buffer = scratch.get(gpu);
  if (!buffer || buffer.size < count * 4) {
    // Steps made before keep the smaller one.
    buffer = gpu.buffer("attention partials", Math.max(1 << 16, count * 4));
    scratch.set(gpu, buffer);
  }
  return { buffer, offset: 0, shape: [count], dtype: "f32" };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
