/**
 * The layers of the backbone over a span of tokens: Qwen3's, RMSNorm, grouped-query attention with a norm
 * per head of q and k, rotary positions, SwiGLU. As a launch for every product, norm and attention (for
 * GPUs and many rows), or as whole layers in a launch (whole.ts).
 */
import { attention, longHistory } from "../attention/attention.ts";
import { qkRotary } from "../attention/qk_rotary.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Step } from "../gpu/plan.ts";
import { checkTensors, type FloatType, rows, type Tensor } from "../gpu/tensor.ts";
import { matmul } from "../matmul/matmul.ts";
import type { WeightType } from "../matmul/packed_weight.ts";
import type {
  Caches,
  LaunchedLayer,
  SpanArguments,
  SpanEnds,
  SpanScratch,
  SpanSizes,
  SpanVariant,
  WholeVariant,
} from "./arguments.ts";
import { fitsWhole, wholeSteps, type WholeWeights } from "./whole.ts";

export type {
  EndMatrices,
  LaunchedLayer,
  LayerMatrices,
  SpanArguments,
  SpanEnds,
  SpanScratch,
  SpanSizes,
  SpanVariant,
} from "./arguments.ts";

/** What a span's speed depends on. */
export interface SpanShape extends SpanSizes {
  rows: number;
  sets: number;
  layers: number;
  slots: number;
  /** Of the weights, and of the caches. */
  dtype: WeightType;
  storage: FloatType;
  /** The caches are stacked, and q, k and v have no biases. */
  whole: boolean;
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
    const whole = { form: "whole", rows: lanes, inStep: false, apart: false } as const;
    if (rows <= 4 * lanes) all.unshift(whole);
    else all.push(whole);
    if (perSet > lanes / 2) all.push({ ...whole, rows: lanes / 2 });
    const inStep = gpu.traits.subgroupBarrier;
    if (inStep) all.push({ ...whole, inStep });
    if (shape.slots >= longHistory) {
      all.unshift({ ...whole, apart: true });
      if (inStep) all.push({ ...whole, apart: true, inStep });
    }
  }
  const nameOf = (variant: SpanVariant) =>
    variant.form === "launches"
      ? "launches"
      : `whole layers, ${variant.rows} rows${variant.inStep ? ", in step" : ""}` +
        (variant.apart ? ", attention apart" : "");
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
