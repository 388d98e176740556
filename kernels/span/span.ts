/**
 * The layers of the backbone over a span of tokens: Qwen3's, RMSNorm, grouped-query attention with a norm
 * per head of q and k, rotary positions, SwiGLU. As a launch for every product, norm and attention (for
 * GPUs and many rows), or as whole layers in a launch (whole.ts).
 */
import { attention } from "../attention/attention.ts";
import { qkRotary } from "../attention/qk_rotary.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Step } from "../gpu/plan.ts";
import { checkTensors, type FloatType, rows, type Tensor } from "../gpu/tensor.ts";
import { matmul, type PackedWeight } from "../matmul/matmul.ts";
import { fitsWhole, wholeSteps, type WholeWeights } from "./whole.ts";

/** Widths of a layer. */
export interface SpanSizes {
  hidden: number;
  inner: number;
  heads: number;
  kvHeads: number;
  /** A multiple of 8. */
  headDim: number;
}

/** A layer's weights as PyTorch has them: [outputs, inputs], row-major. */
export interface LayerMatrices {
  qkv: readonly Float32Array[];
  output: Float32Array;
  gateUp: readonly Float32Array[];
  down: Float32Array;
  inputNorm: Float32Array;
  postNorm: Float32Array;
  qNorm: Float32Array;
  kNorm: Float32Array;
}

/** What stands before and after the layers of a solver's span: by medium (sound, pictures) projections of
 * latents [hidden, channels] and of the final-normed rows [channels, hidden]. */
export interface EndMatrices {
  channels: readonly [sound: number, pictures: number];
  inputs: readonly Float32Array[];
  outputs: readonly Float32Array[];
  outputBiases: readonly Float32Array[];
  finalNorm: Float32Array;
}

/** A solver's span: latents in, velocities out. */
export interface SpanEnds {
  /** Latents that every set begins with, flat f32: sound [rows, channels], then pictures. */
  z: Tensor;
  /** Velocities, the same of every set, f32. */
  velocities: Tensor;
  soundRows: number;
  /** f32 [hidden] at these rows of one tensor: what is added to embedded sound and pictures. */
  biases: Tensor;
  biasRows: readonly [sound: number, pictures: number];
}

/** A layer's weights for a launch each. */
export interface LaunchedLayer {
  /** q, k and v rows of one product, the input norm's weight in them. */
  qkv: PackedWeight;
  /** Of q, k and v; null where they have none. */
  bias: Tensor | null;
  qNorm: Tensor;
  kNorm: Tensor;
  output: PackedWeight;
  /** gate and up rows of one product, the post-attention norm's weight in them. */
  gateUp: PackedWeight;
  down: PackedWeight;
}

/** Activations of a span with a launch for each product. */
export type SpanScratch = Record<"qkv" | "q" | "heads" | "act", Tensor>;

export interface Caches {
  keys: Tensor;
  values: Tensor;
}

export interface SpanArguments {
  label: string;
  sizes: SpanSizes;
  /** Residual stream, f32 [rows, hidden]: embedded tokens in, last layer's output out. */
  x: Tensor;
  /** i32 [rows, 8]: {slot, limit, own, time, height, width, 0, 0}. */
  tokenTable: Tensor;
  /** Rows [first, first + count) whose output is needed; the others only write K and V in the last
   * layer, and their x is then undefined. Count 0: no output at all. */
  wanted: { first: number; count: number };
  /** Equally many rows after each other that see none of the other sets (1). */
  sets?: number;
  /** By layer, f32 or f16 [slots, kvHeads * headDim]. */
  caches: readonly Caches[];
  /** As attention takes them. */
  ranks: Tensor;
  held: Tensor;
  /** As qkRotary takes them. */
  turns: Tensor;
  axes: Tensor;
  /** Steps that look at rotated queries of the rows [first, first + count) before each layer's attention,
   * f32 [count, heads * headDim], once its keys are in the caches. */
  look?: { first: number; count: number; steps: (layer: number, q: Tensor) => readonly Step[] };
  eps: number;
  /** Null: heads of q and k aren't divided by their root mean square. */
  headEps: number | null;
}

/** What a span's speed depends on. */
export interface SpanShape extends SpanSizes {
  rows: number;
  sets: number;
  layers: number;
  slots: number;
  /** Of the weights, and of the caches. */
  dtype: string;
  storage: FloatType;
  /** The caches are stacked, and q, k and v have no biases. */
  whole: boolean;
}

/** How a span runs: with a launch for each product, or in whole layers. */
export type SpanVariant = { form: "launches" } | WholeVariant;

export interface WholeVariant {
  form: "whole";
  /** Rows of a workgroup at most. */
  rows: number;
  /** A workgroup is one subgroup whose lanes run in step, as a SIMD register's do, so that what one lane
   * wrote is there for all without a workgroup's barrier: only where measuring has shown it. */
  inStep: boolean;
}

/** The name of a span's shape among the choices. */
export function spanKey(shape: SpanShape): string {
  const { rows, sets, layers, slots, hidden, inner, heads, kvHeads, headDim } = shape;
  return `layers ${layers} of ${hidden} and ${inner}, ${heads} heads over ${kvHeads} of ${headDim} ` +
    `${shape.dtype}, ${sets} x ${rows / sets} rows, ${slots} slots ${shape.storage}`;
}

/** Everything worth trying for a span, by name, the static default first. */
export function spanVariants(gpu: Gpu, shape: SpanShape): Map<string, SpanVariant> {
  const all: SpanVariant[] = [{ form: "launches" }];
  const { rows, sets, layers, dtype } = shape;
  if (shape.whole && fitsWhole(gpu, shape, dtype, layers)) {
    const { lanes } = gpu.traits;
    const perSet = rows / sets;
    // Whole layers read every weight once for each workgroup: many rows are better off with products.
    const whole = { form: "whole", rows: lanes, inStep: false } as const;
    if (rows <= 4 * lanes) all.unshift(whole);
    else all.push(whole);
    if (perSet > lanes / 2) all.push({ ...whole, rows: lanes / 2 });
    if (gpu.traits.subgroupBarrier) all.push({ ...whole, inStep: true });
  }
  const nameOf = (variant: SpanVariant) =>
    variant.form === "launches"
      ? "launches"
      : `whole layers, ${variant.rows} rows${variant.inStep ? ", in step" : ""}`;
  return new Map(all.map((variant) => [nameOf(variant), variant]));
}

/** The variant that a span takes: what was chosen, else the static default. */
export function spanVariant(gpu: Gpu, shape: SpanShape): SpanVariant {
  const variants = spanVariants(gpu, shape);
  const [first = { form: "launches" as const }] = variants.values();
  return variants.get(gpu.choices[spanKey(shape)] ?? "") ?? first;
}

/**
 * Steps of a span in whole layers: every row's K and V enter its history slot, layer by layer.
 *
 * @param args stacked: the caches of all layers, [layers, slots, kvHeads * headDim], in a buffer each.
 * With `ends` the rows come from latents and become velocities; x is then only a shape.
 * @throws RangeError when shapes don't fit.
 */
export function spanWhole(
  gpu: Gpu,
  args: SpanArguments & { stacked: Caches; ends?: SpanEnds },
  weights: WholeWeights,
  variant: WholeVariant,
): Step[] {
  checkSpan(args);
  return wholeSteps(gpu, args, weights, variant);
}

/** The same with a launch for every product, norm and attention. @throws RangeError */
export function spanLaunches(
  gpu: Gpu,
  args: SpanArguments,
  layers: readonly LaunchedLayer[],
  { qkv, q, heads: attended, act }: SpanScratch,
): Step[] {
  checkSpan(args);
  const { label, sizes, x, tokenTable, wanted, caches, ranks, held, eps, headEps, look } = args;
  const { heads, kvHeads, headDim } = sizes;
  const [count = 0] = x.shape;
  const steps: Step[] = [];
  const norm = { eps };
  layers.forEach((layer, i) => {
    const name = `${label} ${i}`;
    const own = caches[i];
    if (!own) throw new RangeError(`layers ${name}: no caches`);
    const shape = { heads, kvHeads, headDim };
    steps.push(
      ...matmul(gpu, {
        label: `${name} qkv`,
        x,
        norm,
        weight: layer.qkv,
        y: qkv,
        ...(layer.bias ? { bias: layer.bias } : {}),
      }),
      qkRotary(gpu, {
        label: name,
        qkv,
        qNorm: layer.qNorm,
        kNorm: layer.kNorm,
        eps: headEps,
        turns: args.turns,
        axes: args.axes,
        tokenTable,
        q,
        ...own,
        ...shape,
      }),
    );
    const last = i === layers.length - 1;
    const { first, count: outputs } = last ? wanted : { first: 0, count };
    if (outputs === 0) return;
    const part = (tensor: Tensor) => rows(tensor, first, outputs);
    if (look) steps.push(...look.steps(i, rows(q, look.first, look.count)));
    steps.push(
      ...attention(gpu, {
        label: name,
        q: part(q),
        tokenTable: part(tokenTable),
        ...own,
        ranks,
        held,
        out: part(attended),
        ...shape,
      }),
      ...matmul(gpu, {
        label: `${name} output`,
        x: part(attended),
        weight: layer.output,
        y: part(x),
        accumulate: true,
      }),
      ...matmul(gpu, {
        label: `${name} gate_up`,
        x: part(x),
        norm,
        weight: layer.gateUp,
        y: part(act),
      }),
      ...matmul(gpu, {
        label: `${name} down`,
        x: part(act),
        weight: layer.down,
        y: part(x),
        accumulate: true,
      }),
    );
  });
  return steps;
}

function checkSpan(args: SpanArguments & { stacked?: Caches }): void {
  const { label, sizes, x, tokenTable, sets = 1, wanted, caches, stacked, ranks, held } = args;
  const [count = 0] = x.shape;
  const [slots = 0] = ranks.shape;
  const width = sizes.kvHeads * sizes.headDim;
  const dtype = stacked?.keys.dtype === "f16" ? "f16" : "f32";
  const whole = [caches.length, slots, width];
  checkTensors(`layers ${label}`, {
    x: [x, "f32", [count, sizes.hidden], 4],
    tokenTable: [tokenTable, "i32", [count, 8], 4],
    ranks: [ranks, "i32", [slots], 4],
    held: [held, "i32", [4], 4],
    keys: [stacked?.keys, dtype, whole, 8],
    values: [stacked?.values, dtype, whole, 8],
  });
  if (count % sets !== 0 || wanted.first + wanted.count > count) {
    throw new RangeError(
      `layers ${label}: ${count} rows in ${sets} sets, wanted ${wanted.count} from ${wanted.first}`,
    );
  }
}
