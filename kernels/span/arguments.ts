/** What the layers over a span of tokens are asked for, in every form (span.ts, whole.ts). */
import type { Step } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { PackedWeight } from "../matmul/packed_weight.ts";

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

/** How a span runs: with a launch for each product, or in whole layers. */
export type SpanVariant = { form: "launches" } | WholeVariant;

export interface WholeVariant {
  form: "whole";
  /** Rows of a workgroup at most. */
  rows: number;
  /** A workgroup is one subgroup whose lanes run in step, as a SIMD register's do, so that what one lane
   * wrote is there for all without a workgroup's barrier: only where measuring has shown it. */
  inStep: boolean;
  /** Attention in launches of its own, by pairs of a row and a head (attention_pairs.ts), which parts the keys
   * among all cores: for long histories. */
  apart: boolean;
}
