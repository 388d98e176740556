/** Which kernels at which shapes a session spends its time in: what is measured before it opens. */
import type { ModelConfig } from "../config/config.ts";
import type { Settings, TuningRequest } from "../model/settings.ts";
import { historyWindow } from "../model/window.ts";
import { solverProgram } from "../config/solver.ts";
import { unitLayout } from "../checkpoint/unit.ts";
import type { AttentionShape } from "../../kernels/attention/attention.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { ProductShape } from "../../kernels/matmul/matmul_variant.ts";
import { type Problem, tune, type Tuning } from "../../kernels/measure/tune.ts";
import { attentionProblem } from "../../kernels/measure/tune_attention.ts";
import { operandsProblem, productProblem } from "../../kernels/measure/tune_matmul.ts";

export const defaultBudgetMs = 10_000;

/** Measures what the record doesn't have, and sets the device's choices. */
export async function tuneDevice(
  gpu: Gpu,
  config: ModelConfig,
  settings: Settings,
  { record, budgetMs = defaultBudgetMs }: Pick<TuningRequest, "record" | "budgetMs">,
  begin: () => void,
): Promise<Tuning> {
  const { products, attentions } = shapes(config, settings);
  const [heaviest] = products;
  const image = () => gpu.traits.texturesFaster;
  const stages: (() => Problem[])[] = [
    () => heaviest ? [operandsProblem(gpu, heaviest)] : [],
    () => attentions.map((shape) => attentionProblem(gpu, shape)),
    () => products.map((shape) => productProblem(gpu, { ...shape, image: image() })),
  ];
  return await tune(gpu, stages, record, budgetMs, begin);
}

type Product = Omit<ProductShape, "image">;

/** The products and attentions of a tick, those that take longest first. */
export function shapes(
  config: ModelConfig,
  settings: Settings,
): { products: Product[]; attentions: AttentionShape[] } {
  const c = config;
  const layout = unitLayout(c);
  const window = historyWindow(layout, settings);
  const qDim = c.num_attention_heads * c.head_dim;
  const kvDim = c.num_key_value_heads * c.head_dim;
  const passRows = layout.response + layout.observation;
  const noisyRows = window.sizes.noisySets * layout.response;
  const evaluations = solverProgram(settings.solver).filter(({ op }) => op === "evaluate").length;
  const layers = c.num_hidden_layers;
  // How often a layer's kernels run in a tick, by rows.
  const launches = new Map<number, number>();
  const add = (rows: number, times: number) =>
    launches.set(rows, (launches.get(rows) ?? 0) + times);
  add(passRows, layers);
  add(1, layers * layout.agentText);
  add(noisyRows, layers * evaluations);

  const weight = (outputs: number, inputs: number, normed: boolean, gated: boolean) => ({
    outputs,
    inputs,
    normed,
    gated,
    dtype: settings.weights,
  });
  const weights = [
    weight(qDim + 2 * kvDim, c.hidden_size, true, false),
    weight(c.hidden_size, qDim, false, false),
    weight(2 * c.intermediate_size, c.hidden_size, true, true),
    weight(c.hidden_size, c.intermediate_size, false, false),
  ];
  const products = [...launches].flatMap(([rows, times]) =>
    weights.map((w) => ({ ...w, rows, times }))
  );
  const head = weight(c.vocab_size, c.hidden_size, false, false);
  products.push({ ...head, dtype: settings.storage, rows: 1, times: layout.agentText });
  products.sort((a, b) => cost(b) - cost(a));
  return {
    products: products.map(({ times: _, ...product }) => product),
    attentions: [...launches].sort((a, b) => b[0] * b[1] - a[0] * a[1]).map(([rows]) => ({
      rows,
      slots: window.slots,
      heads: c.num_attention_heads,
      kvHeads: c.num_key_value_heads,
      headDim: c.head_dim,
      dtype: settings.storage,
    })),
  };
}

function cost({ rows, outputs, inputs, times }: Product & { times: number }): number {
  return rows * outputs * inputs * times;
}
