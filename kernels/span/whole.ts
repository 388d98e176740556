/**
 * The layers of the backbone over a few rows in few launches: a workgroup walks all phases of a layer for
 * its rows, from the residual stream to the residual stream, and leaves what one phase gives the next in
 * memory of its own. For CPUs, where a launch costs as much as a small product and one below half a
 * millisecond runs on one core: there a workgroup of one SIMD register is a plain program, and its
 * barriers join nothing.
 *
 * Rows that don't see each other (the sets of guidance) go through all layers in one launch. Rows that do
 * meet before every attention: between launches. A launch then runs from one attention to the next: attention,
 * output, gate and up, down, and q, k and v of the layer after it, all of which are a row's own work.
 *
 * Tile: up to 8 rows, of which each lane reads one and hands it to the others; a lane makes 8 outputs of
 * every row at a time. In attention a lane has a row. Sums run in the order of matmul_registers.wgsl
 * and of attention.wgsl with four keys handed round, so that both give the same bits.
 */
import { attentionPairs, pairSplits } from "../attention/attention_pairs.ts";
import { rotationCode } from "../attention/qk_rotary.ts";
import type { Gpu } from "../gpu/device.ts";
import { copy, type Dispatch, dispatch, type Step } from "../gpu/plan.ts";
import {
  byteOffset,
  elementBytes,
  type FloatType,
  reshape,
  rows as rowsOf,
  scratchTensor,
  type Tensor,
  tensorBytes,
  tensorFrom,
} from "../gpu/tensor.ts";
import { texelFormat, textureFrom } from "../gpu/texture.ts";
import { fitsUniform, storageSource, uniformSource } from "../gpu/uniform.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import { outputBytes, panelBinding, panelWords, weightReader } from "../matmul/packed_weight.ts";
import type {
  Caches,
  EndMatrices,
  LayerMatrices,
  SpanArguments,
  SpanEnds,
  SpanSizes,
  WholeVariant,
} from "./arguments.ts";
import code from "./whole.wgsl" with { type: "text" };

/** All layers' weights, one layer after the other. */
export interface WholeWeights {
  dtype: FloatType;
  layers: number;
  panels: Tensor | GPUTexture;
  /** f32: norms of q and of k by layer [layers, 2, headDim], then biases of velocities. */
  norms: Tensor;
  /** Of latents, where the weights of a solver's ends are there. */
  channels: readonly [sound: number, pictures: number] | null;
}

/** Phases of a layer (whole.wgsl), and how many of them stand before attention. */
const phases = 6;
const beforeAttention = 2;
/** Phases of a solver's span before the layers, and after them. */
const endPhases = 2;

/** The largest weights in bytes that are kept in this form: every workgroup reads all of them. */
const mostBytes = 64 << 20;

/** The products at the ends: outputs, inputs. */
const endProducts = (hidden: number, channels: readonly [number, number]) => [
  ...channels.map((count) => [hidden, count] as const),
  ...channels.map((count) => [count, hidden] as const),
];

/** The products of a layer: outputs, inputs. */
function products({ hidden, inner, heads, kvHeads, headDim }: SpanSizes) {
  return [
    [(heads + 2 * kvHeads) * headDim, hidden],
    [hidden, heads * headDim],
    [2 * inner, hidden],
    [hidden, inner],
  ] as const;
}

const layerBytes = (sizes: SpanSizes, dtype: FloatType) =>
  products(sizes).reduce((sum, [outputs, inputs]) => sum + outputs * outputBytes(dtype, inputs), 0);

/** True where rows can go through whole layers on this adapter. */
export function fitsWhole(gpu: Gpu, sizes: SpanSizes, dtype: string, layers: number): boolean {
  const { cpu, lanes, subgroup } = gpu.traits;
  const { hidden, inner, headDim, heads, kvHeads } = sizes;
  const eights = [hidden, inner, headDim, (heads + 2 * kvHeads) * headDim];
  return cpu && subgroup >= lanes && lanes >= 4 && (dtype === "f32" || dtype === "f16") &&
    eights.every((extent) => extent % 8 === 0) && layers * layerBytes(sizes, dtype) <= mostBytes &&
    fitsUniform(gpu, 8 * layers * headDim);
}

/** Packs the layers' weights, and those of a solver's ends (channels in eights). */
export function packWhole(
  gpu: Gpu,
  sizes: SpanSizes,
  dtype: FloatType,
  matrices: readonly LayerMatrices[],
  ends: EndMatrices | null,
): WholeWeights {
  const texture = gpu.traits.texturesFaster;
  const parts: Uint8Array[] = [];
  const pack = (
    matrix: Float32Array | readonly Float32Array[],
    [outputs, inputs]: readonly [number, number],
    form: { scale?: Float32Array; gated?: boolean } = {},
  ) => {
    const list = matrix instanceof Float32Array ? [matrix] : matrix;
    const options = { ...form, outputs, isPaper: gpu.isPaper };
    const { buffer } = panelWords(list, 0, outputs, inputs, dtype, options);
    parts.push(new Uint8Array(buffer));
  };
  const [ofQkv, ofOutput, ofGateUp, ofDown] = products(sizes);
  for (const { qkv, output, gateUp, down, inputNorm, postNorm } of matrices) {
    pack(qkv, ofQkv, { scale: inputNorm });
    pack(output, ofOutput);
    pack(gateUp, ofGateUp, { scale: postNorm, gated: true });
    pack(down, ofDown);
  }
  if (ends) {
    const shapes = endProducts(sizes.hidden, ends.channels);
    [...ends.inputs, ...ends.outputs].forEach((matrix, i) => {
      const shape = shapes[i] ?? [0, 0];
      pack(matrix, shape, i < ends.inputs.length ? {} : { scale: ends.finalNorm });
    });
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  const words = dtype === "f32" ? new Float32Array(bytes.buffer) : new Uint32Array(bytes.buffer);
  const norms = [
    ...matrices.flatMap(({ qNorm, kNorm }) => [...qNorm, ...kNorm]),
    ...(ends?.outputBiases ?? []).flatMap((bias) => [...bias]),
  ];
  const { headDim } = sizes;
  const count = 2 * matrices.length * headDim + (ends ? ends.channels[0] + ends.channels[1] : 0);
  return {
    dtype,
    layers: matrices.length,
    panels: texture
      ? textureFrom(gpu, "layers", texelFormat(dtype), words)
      : tensorFrom(gpu, "layers", [words.length], words),
    norms: tensorFrom(gpu, "layers' vectors", [count], Float32Array.from(norms)),
    channels: ends?.channels ?? null,
  };
}

type WholeArguments = SpanArguments & { stacked: Caches; ends?: SpanEnds };

const struct = new UniformStruct("Sizes", {
  u32: `rows begin start end slots eights x keys values ranks token_table held response sound_rows z
    sound_bias picture_bias`,
  f32: "eps head_eps",
});

/**
 * Launches that run a span (`spanSteps` has checked it).
 *
 * @param most Rows of a workgroup.
 * @param inStep The lanes of a subgroup run in step: phases meet without a workgroup's barrier.
 */
export function wholeSteps(
  gpu: Gpu,
  args: WholeArguments,
  weights: WholeWeights,
  { rows: most, inStep, apart }: Pick<WholeVariant, "rows" | "inStep" | "apart">,
): Step[] {
  const { x, sets = 1, wanted, ends } = args;
  const [rows = 0] = x.shape;
  // The ends' phases stand before and after those of the layers.
  const extra = ends ? endPhases : 0;
  const layers = phases * weights.layers;
  const firstAttention = extra + beforeAttention;
  const lastAttention = firstAttention + layers - phases;
  const end = wanted.count === 0 ? lastAttention : layers + 2 * extra;
  const perSet = rows / sets;
  const alone = perSet <= most;
  const tile = alone ? perSet : Math.ceil(rows / Math.ceil(rows / most));
  const groups = Math.ceil(rows / tile);
  // One piece of memory for all launches: they leave queries and residual stream to each other.
  const work = scratchTensor(gpu, "whole layers", [groups * tile, workWidth(args.sizes, weights)]);
  const steps: Step[] = [];
  for (let start = 0; start < end;) {
    const isLast = start === lastAttention;
    const meets = start === 0 ? firstAttention : start + phases;
    const next = isLast || (alone && !args.look && !apart) ? end : meets;
    // Of the last layer only the workgroups with wanted rows.
    const few = !alone && isLast;
    const from = few ? Math.floor(wanted.first / tile) : 0;
    const to = few ? Math.ceil((wanted.first + wanted.count) / tile) : groups;
    if (args.look && start > 0) {
      steps.push(...looking(gpu, args, args.look, work, tile, (start - firstAttention) / phases));
    }
    const part = { inStep, tile, from, to, start, end: next, partials: undefined };
    if (apart && start > 0) {
      const layer = (start - firstAttention) / phases;
      const { step, partials } = attended(gpu, args, weights, work, { ...part, layer });
      steps.push(step, launch(gpu, args, weights, work, { ...part, partials }));
    } else steps.push(launch(gpu, args, weights, work, part));
    start = next;
  }
  return steps;
}

/** Floats of a row in a workgroup's memory: residual stream, q | k | v, heads, activation, latents. */
function workWidth(
  { hidden, inner, heads, kvHeads, headDim }: SpanSizes,
  { channels }: WholeWeights,
): number {
  return hidden + (2 * heads + 2 * kvHeads) * headDim + inner + Math.max(...channels ?? [0]);
}

/** Attention of a layer in a launch of its own: its partial sums are what the next launch begins with. */
function attended(
  gpu: Gpu,
  args: WholeArguments,
  weights: WholeWeights,
  work: Tensor,
  { tile, from, to, layer }: Pick<Part, "tile" | "from" | "to"> & { layer: number },
): { step: Dispatch; partials: Partials } {
  const { label, sizes, x, tokenTable, stacked, ranks, held } = args;
  const { hidden, heads, kvHeads, headDim } = sizes;
  const [all = 0] = x.shape;
  const [, slots = 0, width = 0] = stacked.keys.shape;
  const firstRow = from * tile;
  const dtype = stacked.keys.dtype === "f16" ? "f16" : "f32";
  const shape = {
    rows: Math.min(all, to * tile) - firstRow,
    slots,
    heads,
    kvHeads,
    headDim,
    dtype,
  } as const;
  const splits = pairSplits(shape);
  const results = scratchTensor(gpu, "attention partials", [all * heads * splits * (headDim + 4)]);
  const ofLayer = (cache: Tensor) => reshape(rowsOf(cache, layer, 1), [slots, width]);
  const step = attentionPairs(
    gpu,
    {
      label: `${label} ${layer}`,
      q: { ...work, offset: work.offset + tile * hidden },
      keys: ofLayer(stacked.keys),
      values: ofLayer(stacked.values),
      ranks,
      tokenTable,
      held,
      results,
    },
    shape,
    {
      splits,
      partial: true,
      firstRow,
      tiles: {
        rows: tile,
        stride: tile * workWidth(sizes, weights) / 4,
        rowStride: (heads + 2 * kvHeads) * headDim / 4,
      },
    },
    {
      flops: 4 * shape.rows * heads * slots * headDim,
      bytes: 2 * slots * width * elementBytes(dtype),
      bytesPerToken: 2 * width * elementBytes(dtype),
    },
  );
  return { step, partials: { results, splits } };
}

/** Hands the queries of a layer, as a launch left them, to the steps that look at them. */
function looking(
  gpu: Gpu,
  { label, sizes: { hidden, heads, kvHeads, headDim } }: WholeArguments,
  { first, count, steps }: NonNullable<SpanArguments["look"]>,
  work: Tensor,
  tile: number,
  layer: number,
): Step[] {
  const [, width = 0] = work.shape;
  const q = scratchTensor(gpu, "queries looked at", [count, heads * headDim]);
  const copies = Array.from({ length: count }, (_, i) => {
    const row = first + i;
    const offset = Math.floor(row / tile) * tile * width + tile * hidden +
      (row % tile) * (heads + 2 * kvHeads) * headDim;
    const own = { ...work, offset, shape: [1, heads * headDim] };
    return copy(`${label} queries`, own, rowsOf(q, i, 1));
  });
  return [...copies, ...steps(layer, q)];
}

/** Phases [start, end) of the rows of workgroups [from, to), `tile` rows in each. */
interface Part {
  inStep: boolean;
  tile: number;
  from: number;
  to: number;
  start: number;
  end: number;
  /** Of the attention that stands before `start`, where it is apart. */
  partials: Partials | undefined;
}

interface Partials {
  results: Tensor;
  splits: number;
}

function launch(
  gpu: Gpu,
  args: WholeArguments,
  weights: WholeWeights,
  work: Tensor,
  { inStep, tile, from, to, start, end, partials }: Part,
): Dispatch {
  const { label, sizes, x, tokenTable, stacked, ranks, held, turns, axes, eps, headEps, ends } =
    args;
  const { hidden, inner, heads, kvHeads, headDim } = sizes;
  const { lanes, subgroup, texturesFaster } = gpu.traits;
  const { dtype } = weights;
  const { keys, values } = stacked;
  const [, slots = 0] = keys.shape;
  const half = keys.dtype === "f16";
  const group = heads / kvHeads;
  // Accumulators of one lane, as in attention.ts.
  let queries = Math.min(group, Math.max(1, Math.floor(128 / headDim)));
  while (group % queries !== 0) queries--;
  // With eight lanes each reads half of a key.
  const parts = lanes >= 8 && subgroup >= 8 && headDim % 16 === 0 ? 2 : 1;
  const [sound = 0, pictures = 0] = weights.channels ?? [];
  const [rows = 0] = x.shape;
  const texels = products(sizes).map(([outputs, inputs]) =>
    outputs * outputBytes(dtype, inputs) / 16
  );
  const [qkvTexels = 0, outputTexels = 0, gateTexels = 0] = texels;
  const layerTexels = texels.reduce((sum, count) => sum + count, 0);
  let next = weights.layers * layerTexels;
  const endsAt = endProducts(hidden, [sound, pictures]).map(([outputs, inputs]) => {
    next += outputs * outputBytes(dtype, inputs) / 16;
    return next - outputs * outputBytes(dtype, inputs) / 16;
  });
  const rank = texturesFaster && fitsUniform(gpu, tensorBytes(ranks))
    ? uniformSource(gpu, ranks, "ranks", "vec4i")
    : storageSource(ranks, "ranks", "vec4i");
  const texture = weights.panels instanceof GPUTexture;
  const reader = weightReader({ texture, dtype }, "weight");
  const pipeline = gpu.pipeline("layers", rotationCode + code, {
    sizes: struct,
    rows: tile,
    lanes,
    hidden,
    inner,
    heads,
    kv_heads: kvHeads,
    eights: headDim / 8,
    steps: headDim / 8 / parts,
    parts,
    keys: 4,
    others: Array.from({ length: tile }, (_, r) => ` || rank == own${r}`).join(""),
    barrier: inStep ? "subgroupBarrier()" : "storageBarrier()",
    queries,
    normed: headEps !== null,
    half,
    half_weights: dtype === "f16",
    cache: half ? "vec2u" : "vec4f",
    scale: Math.LOG2E / Math.sqrt(headDim),
    norms: tensorBytes(weights.norms) / 16,
    work: tile * workWidth(sizes, weights) / 4,
    longest: Math.max(hidden, inner, heads * headDim, ...weights.channels ?? []) / 4,
    quad_texels: dtype === "f16" ? 4 : 8,
    layer_texels: layerTexels,
    output_at: qkvTexels,
    gate_at: qkvTexels + outputTexels,
    down_at: qkvTexels + outputTexels + gateTexels,
    ends: ends !== undefined,
    joins: partials !== undefined,
    splits: partials?.splits ?? 1,
    layers: weights.layers,
    sound_channels: sound,
    picture_channels: pictures,
    norm_vectors: 2 * weights.layers * headDim / 4,
    ends_at: endsAt.map((texel) => `${texel}u`).join(", "),
    ranks: rank.declaration,
    weight: reader.declaration,
    readers: reader.code,
  });
  const biasAt = (of: 0 | 1) => ends ? (ends.biases.offset + ends.biasRows[of] * hidden) / 4 : 0;
  const constants = struct.bind(gpu, {
    rows,
    begin: from,
    start,
    end,
    slots,
    eights: headDim / 8,
    x: (ends?.velocities ?? x).offset / 4,
    keys: keys.offset / 4,
    values: values.offset / 4,
    ranks: 4 * rank.start,
    token_table: tokenTable.offset / 4,
    held: held.offset / 4,
    response: rows / (args.sets ?? 1),
    sound_rows: ends?.soundRows ?? 0,
    z: (ends?.z.offset ?? 0) / 4,
    sound_bias: biasAt(0),
    picture_bias: biasAt(1),
    eps,
    head_eps: headEps ?? 0,
  });
  const bindings = [
    constants,
    ends?.velocities ?? x,
    work,
    keys,
    values,
    tokenTable,
    held,
    partials?.results ?? rank.binding,
    uniform(weights.norms),
    uniform(turns),
    uniform(axes),
    panelBinding(weights.panels),
    ...(ends ? [ends.z, ends.biases] : []),
  ];
  const count = Math.min(rows, to * tile) - from * tile;
  const cost = costOf(args, weights, count, start + (partials ? 1 : 0), end);
  return dispatch(gpu, `layers ${label}`, pipeline, bindings, [to - from, 1, 1], cost);
}

function costOf(
  { sizes, stacked: { keys }, ends }: WholeArguments,
  { dtype, layers, channels }: WholeWeights,
  rows: number,
  start: number,
  end: number,
) {
  const { heads, kvHeads, headDim, hidden } = sizes;
  const [, slots = 0] = keys.shape;
  const [qkv, output, gateUp, down] = products(sizes);
  const extra = ends ? endPhases : 0;
  const ofEnds = endProducts(hidden, channels ?? [0, 0]);
  const perToken = 2 * kvHeads * headDim * elementBytes(keys.dtype === "f16" ? "f16" : "f32");
  let flops = 0;
  let bytes = 8 * rows * hidden;
  let bytesPerToken = 0;
  const all = extra + phases * layers;
  for (let phase = start; phase < end; phase++) {
    const kind = (phase - extra) % phases;
    const product = phase < extra
      ? ofEnds[phase]
      : phase >= all
      ? ofEnds[phase - all + extra]
      : [qkv, undefined, undefined, output, gateUp, down][kind];
    if (product) {
      flops += 2 * rows * product[0] * product[1];
      bytes += product[0] * outputBytes(dtype, product[1]);
    } else if (kind === beforeAttention) {
      flops += 4 * rows * heads * slots * headDim;
      bytes += slots * perToken;
      bytesPerToken += perToken;
    } else flops += 10 * rows * (heads + kvHeads) * headDim;
  }
  return { flops, bytes, bytesPerToken };
}

function uniform(tensor: Tensor): GPUBufferBinding {
  return { buffer: tensor.buffer, offset: byteOffset(tensor), size: tensorBytes(tensor) };
}
