/** Chooses the kernels' variants before a session opens, by measuring what its tick will launch. */
import type { ModelConfig } from "../config/config.ts";
import type { Settings, TuningRequest } from "../model/settings.ts";
import {
  attentionKey,
  attentionOf,
  type AttentionShape,
} from "../../kernels/attention/attention.ts";
import { convKey, convOf, type ConvShape } from "../../kernels/codec/conv.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import type { Dispatch } from "../../kernels/gpu/plan.ts";
import { productOf, type ProductShape } from "../../kernels/matmul/matmul_parts.ts";
import { productKey } from "../../kernels/matmul/matmul_variant.ts";
import { type Problem, tune, type Tuning } from "../../kernels/measure/tune.ts";
import { attentionProblem } from "../../kernels/measure/tune_attention.ts";
import { convProblem } from "../../kernels/measure/tune_conv.ts";
import { spanProblem } from "../../kernels/measure/tune_span.ts";
import { operandsProblem, productProblem } from "../../kernels/measure/tune_matmul.ts";
import type { SpanShape } from "../../kernels/span/span.ts";
import { allLaunches, tickOnPaper } from "./tick_plan.ts";

export const defaultBudgetMs = 10_000;

/** Measures what the record doesn't have, and sets the device's choices. @param isWrong As `tune` has it. */
export async function tuneDevice(
  gpu: Gpu,
  config: ModelConfig,
  settings: Settings,
  { record, budgetMs = defaultBudgetMs }: Pick<TuningRequest, "record" | "budgetMs">,
  begin: () => void,
  isWrong?: (name: string) => boolean,
): Promise<Tuning> {
  const { products, spans } = await tickShapes(config, settings, gpu);
  const [span] = spans;
  const heaviest = span?.whole
    ? { ...span, outputs: 2 * span.inner, inputs: span.hidden, gated: true, normed: true }
    : products[0];
  // What is chosen first decides what the rest is: where operands lie is part of every product's shape, and
  // whole layers need no product or attention of their own.
  const rest = {
    attentions: [] as AttentionShape[],
    products: [] as ProductShape[],
    convs: [] as ConvShape[],
  };
  const stages: (() => Problem[] | Promise<Problem[]>)[] = [
    () => heaviest ? [operandsProblem(gpu, heaviest)] : [],
    () => spans.map((shape) => spanProblem(gpu, shape)).filter(({ variants }) => variants.size > 1),
    async () => {
      Object.assign(rest, await tickShapes(config, settings, gpu));
      return rest.attentions.map((shape) => attentionProblem(gpu, shape));
    },
    () => {
      const texture = gpu.traits.texturesFaster;
      return rest.products.map((shape) => productProblem(gpu, { ...shape, texture }));
    },
    () =>
      rest.convs.map((shape) => convProblem(gpu, shape)).filter(({ variants }) =>
        variants.size > 1
      ),
  ];
  return await tune(gpu, stages, record, budgetMs, begin, isWrong);
}

/** The products, attentions and convolutions of a tick, each once, those with the most operations first, and the spans
 * that go through the layers. */
export async function tickShapes(
  config: ModelConfig,
  settings: Settings,
  gpu: Gpu,
): Promise<{
  products: ProductShape[];
  attentions: AttentionShape[];
  convs: ConvShape[];
  spans: SpanShape[];
}> {
  const { stages, model } = await tickOnPaper(config, settings, Gpu.onPaper(gpu));
  return {
    ...launchShapes(allLaunches(stages)),
    spans: [...model.backbone.spans.values()].sort((a, b) => b.rows - a.rows),
  };
}

/** The shapes of launches that have variants, each once, those with the most operations first. */
export function launchShapes(all: readonly Dispatch[]) {
  return {
    products: heaviestFirst(all, productOf, productKey),
    attentions: heaviestFirst(all, attentionOf, attentionKey),
    convs: heaviestFirst(all, convOf, convKey),
  };
}

function heaviestFirst<Shape>(
  all: readonly Dispatch[],
  shapeOf: (launch: Dispatch) => Shape | undefined,
  keyOf: (shape: Shape) => string,
): Shape[] {
  const found = new Map<string, { shape: Shape; flops: number }>();
  for (const launch of all) {
    const shape = shapeOf(launch);
    if (shape === undefined) continue;
    const entry = found.get(keyOf(shape)) ?? { shape, flops: 0 };
    entry.flops += launch.flops;
    found.set(keyOf(shape), entry);
  }
  return [...found.values()].sort((a, b) => b.flops - a.flops).map(({ shape }) => shape);
}
