/** The Transformer: Qwen3's or Qwen2.5's layers over a span of tokens that see history by rank. */
import type { BackboneConfig } from "../config/config.ts";
import type { WeightType } from "../../kernels/matmul/packed_weight.ts";
import type { Weights } from "../weights/weights.ts";
import type { Looking } from "./attention_shares.ts";
import type { History } from "./history.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { type PackOptions, packWeight } from "../../kernels/matmul/matmul.ts";
import type { Step } from "../../kernels/gpu/plan.ts";
import { rotaryTurns } from "../../kernels/attention/qk_rotary.ts";
import {
  type EndMatrices,
  type LaunchedLayer,
  type LayerMatrices,
  type SpanEnds,
  spanKey,
  spanLaunches,
  type SpanScratch,
  type SpanShape,
  type SpanSizes,
  spanVariant,
  spanWhole,
} from "../../kernels/span/span.ts";
import { packWhole, type WholeWeights } from "../../kernels/span/whole.ts";
import { rmsnorm } from "../../kernels/tokens/rmsnorm.ts";
import {
  type FloatType,
  rows,
  sharedTensor,
  type Tensor,
  tensorFrom,
} from "../../kernels/gpu/tensor.ts";

/** A span of tokens to run through the layers. */
export interface Span {
  label: string;
  /** Residual stream [rows, hidden]: embedded tokens in, last layer's output out. */
  x: Tensor;
  /** Per row {slot, limit, own, time, height, width, 0, 0}, i32 [rows, 8]. */
  tokenTable: Tensor;
  /** Rows [first, first + count) whose output is needed; the others only write K and V in the last
   * layer. Count 0: no output at all. */
  wanted: { first: number; count: number };
  /** Rows whose attention shares are taken in every layer; they are among the wanted ones. */
  looking?: Looking | undefined;
  /** Equally many rows after each other that see none of the other sets (1). */
  sets?: number;
  /** The rows are embedded latents and become velocities: what makes them so, for spans that take it
   * along. */
  ends?: SpanEnds;
}

/**
 * The layers' weights and their steps. A layer is Qwen3's: RMSNorm, grouped-query attention with a norm
 * per head of q and k, rotary positions, SwiGLU, no biases; Qwen2.5's has biases of q, k and v and no
 * norm per head. Every token goes through the same layers,
 * whatever its modality. `span` gives the steps of a whole pass: they write the rows' K and V into
 * history and attend to it. The final norm is apart, because only few rows need it.
 */
export class Backbone {
  private readonly gpu: Gpu;
  private readonly config: BackboneConfig;
  private readonly channels: readonly [sound: number, pictures: number] | undefined;
  readonly #weights: Weights;
  readonly #storage: WeightType;
  readonly #sizes: SpanSizes;
  readonly #finalNorm: Tensor;
  readonly #turns: Tensor;
  readonly #axes: Tensor;
  readonly #scratch = new Map<number, SpanScratch>();
  #launched: LaunchedLayer[] | undefined;
  #whole: WholeWeights | undefined;
  /** The shapes of the spans that were asked for, by their names. */
  readonly spans = new Map<string, SpanShape>();

  /** @param weights The whole model's. @param channels Of its latents, where it solves any. */
  constructor(
    gpu: Gpu,
    config: BackboneConfig,
    weights: Weights,
    storage: WeightType,
    channels?: readonly [sound: number, pictures: number],
  ) {
    this.gpu = gpu;
    this.config = config;
    this.channels = channels;
    this.#weights = weights;
    this.#storage = storage;
    const c = config;
    this.#sizes = {
      hidden: c.hidden_size,
      inner: c.intermediate_size,
      heads: c.num_attention_heads,
      kvHeads: c.num_key_value_heads,
      headDim: c.head_dim,
    };
    const name = "model.norm.weight";
    this.#finalNorm = gpu.shared(
      name,
      (owner) => tensorFrom(owner, name, [c.hidden_size], weights.get(name, [c.hidden_size])),
    );
    const { turns, axes } = gpu.shared("rotary", (owner) => {
      const rotary = rotaryTurns(c.head_dim, c.rope_theta, c.rope_scaling?.mrope_section);
      return {
        turns: tensorFrom(owner, "rotary turns", [c.head_dim / 2], rotary.turns),
        axes: tensorFrom(owner, "rotary axes", [c.head_dim / 2], rotary.axes),
      };
    });
    this.#turns = turns;
    this.#axes = axes;
  }

  /** A layer's weights as they are stored. */
  #matrices(index: number): LayerMatrices {
    const { config: c } = this;
    const { hidden, inner, heads, kvHeads, headDim } = this.#sizes;
    const [qDim, kvDim] = [heads * headDim, kvHeads * headDim];
    const layer = this.#weights.under("model.layers").under(`${index}`);
    const attn = layer.under("self_attn");
    const mlp = layer.under("mlp");
    const norm = (name: string) => layer.get(`${name}.weight`, [hidden]);
    const headNorm = (name: string) =>
      c.qk_norm === false
        ? new Float32Array(headDim).fill(1)
        : attn.get(`${name}.weight`, [headDim]);
    const matrix = (from: Weights, name: string, outputs: number, inputs: number) =>
      from.get(`${name}.weight`, [outputs, inputs]);
    return {
      qkv: [
        matrix(attn, "q_proj", qDim, hidden),
        matrix(attn, "k_proj", kvDim, hidden),
        matrix(attn, "v_proj", kvDim, hidden),
      ],
      output: matrix(attn, "o_proj", hidden, qDim),
      gateUp: [matrix(mlp, "gate_proj", inner, hidden), matrix(mlp, "up_proj", inner, hidden)],
      down: matrix(mlp, "down_proj", hidden, inner),
      inputNorm: norm("input_layernorm"),
      postNorm: norm("post_attention_layernorm"),
      qNorm: headNorm("q_norm"),
      kNorm: headNorm("k_norm"),
    };
  }

  #all<T>(make: (index: number) => T): T[] {
    return Array.from({ length: this.config.num_hidden_layers }, (_, i) => make(i));
  }

  /** The weights for a launch for each product; packed when the first span asks for them. */
  #forLaunches(): LaunchedLayer[] {
    return this.#launched ??= this.gpu.shared(
      "layers in launches",
      (owner) => this.#all((i) => this.#launchedLayer(owner, i)),
    );
  }

  #launchedLayer(owner: Gpu, index: number): LaunchedLayer {
    const { hidden, inner, heads, kvHeads, headDim } = this.#sizes;
    const matrices = this.#matrices(index);
    const [qDim, kvDim] = [heads * headDim, kvHeads * headDim];
    const name = (what: string) => `model.layers.${index}.${what}`;
    const weight = (
      what: string,
      matrix: Float32Array | readonly Float32Array[],
      outputs: number,
      inputs: number,
      options?: PackOptions,
    ) => packWeight(owner, name(what), matrix, outputs, inputs, this.#storage, options);
    const vector = (what: string, data: Float32Array) =>
      tensorFrom(owner, name(what), [data.length], data);
    const biases = () => {
      const attn = this.#weights.under("model.layers").under(`${index}`).under("self_attn");
      const all = new Float32Array(qDim + 2 * kvDim);
      all.set(attn.get("q_proj.bias", [qDim]));
      all.set(attn.get("k_proj.bias", [kvDim]), qDim);
      all.set(attn.get("v_proj.bias", [kvDim]), qDim + kvDim);
      return all;
    };
    return {
      qkv: weight("qkv", matrices.qkv, qDim + 2 * kvDim, hidden, { scale: matrices.inputNorm }),
      bias: this.config.qkv_bias ? vector("qkv_bias", biases()) : null,
      qNorm: vector("q_norm", matrices.qNorm),
      kNorm: vector("k_norm", matrices.kNorm),
      output: weight("output", matrices.output, hidden, qDim),
      gateUp: weight("gate_up", matrices.gateUp, 2 * inner, hidden, {
        scale: matrices.postNorm,
        gated: true,
      }),
      down: weight("down", matrices.down, hidden, inner),
    };
  }

  #forWhole(dtype: FloatType): WholeWeights {
    return this.#whole ??= this.gpu.shared(
      "whole layers",
      (owner) => {
        const layers = this.#all((i) => this.#matrices(i));
        return packWhole(owner, this.#sizes, dtype, layers, this.#ends());
      },
    );
  }

  /** Weights on both sides of the layers, where the solver's spans can take them along. */
  #ends(): EndMatrices | null {
    const { channels } = this;
    if (!channels || channels.some((count) => count % 8 !== 0)) return null;
    const { hidden } = this.#sizes;
    const names = ["audio", "video"] as const;
    const of = (i: number) => this.#weights.under("response").under(names[i] ?? "");
    return {
      channels,
      inputs: channels.map((count, i) => of(i).get("input.weight", [hidden, count])),
      outputs: channels.map((count, i) => of(i).get("output.weight", [count, hidden])),
      outputBiases: channels.map((count, i) => of(i).get("output.bias", [count])),
      finalNorm: this.#weights.get("model.norm.weight", [hidden]),
    };
  }

  /** True where a span of this shape takes its ends along. */
  takesEnds(history: History, count: number, sets: number): boolean {
    const variant = spanVariant(this.gpu, this.#shape(history, count, sets));
    return variant.form === "whole" && this.#ends() !== null;
  }

  /** Steps that run a span: every row's K and V enter its history slot, layer by layer; x becomes
   * the last layer's output on the wanted rows (the others' x is then undefined). With `ends`, where it
   * `takesEnds`, x isn't touched. */
  span(history: History, { looking, ...span }: Span): Step[] {
    const { gpu, config: c } = this;
    const [count = 0] = span.x.shape;
    const shape = this.#shape(history, count, span.sets ?? 1);
    this.spans.set(spanKey(shape), shape);
    const args = {
      ...span,
      sizes: this.#sizes,
      caches: history.layers,
      ranks: history.ranks,
      held: history.held,
      turns: this.#turns,
      axes: this.#axes,
      eps: c.rms_norm_eps,
      headEps: c.qk_norm === false ? null : c.rms_norm_eps,
      ...(looking ? { look: this.#look(history, span, looking) } : {}),
    };
    const variant = spanVariant(gpu, shape);
    const { stacked } = history;
    if (variant.form === "launches" || !stacked) {
      return spanLaunches(gpu, args, this.#forLaunches(), this.#scratchFor(count));
    }
    const dtype = this.#storage === "f16" ? "f16" : "f32";
    return spanWhole(gpu, { ...args, stacked }, this.#forWhole(dtype), variant);
  }

  #look(history: History, { label, tokenTable }: Span, { first, count, to }: Looking) {
    const steps = (layer: number, q: Tensor) =>
      to.steps(`${label} ${layer}`, layer, q, rows(tokenTable, first, count), history);
    return { first, count, steps };
  }

  #shape(history: History, count: number, sets: number): SpanShape {
    const { num_hidden_layers: layers, qkv_bias } = this.config;
    return {
      ...this.#sizes,
      rows: count,
      sets,
      layers,
      slots: history.ranks.shape[0] ?? 0,
      dtype: this.#storage,
      storage: history.layers[0]?.keys.dtype === "f16" ? "f16" : "f32",
      whole: history.stacked !== null && !qkv_bias,
    };
  }

  /** The final RMSNorm: y = norm(x), what every head reads. */
  finalNorm(label: string, x: Tensor, y: Tensor): Step {
    const eps = this.config.rms_norm_eps;
    return rmsnorm(this.gpu, { label: `${label} final`, x, weight: this.#finalNorm, eps, y });
  }

  /** Activations for spans of this many rows, shared by all spans and layers of that length. */
  #scratchFor(count: number): SpanScratch {
    let scratch = this.#scratch.get(count);
    if (!scratch) {
      const c = this.config;
      const qDim = c.num_attention_heads * c.head_dim;
      const kvDim = c.num_key_value_heads * c.head_dim;
      const make = (name: string, width: number) =>
        sharedTensor(this.gpu, `span of ${count}: ${name}`, [count, width], "f32", "uniform");
      scratch = {
        qkv: make("qkv", qDim + 2 * kvDim),
        q: make("q", qDim),
        heads: make("heads", qDim),
        act: make("act", c.intermediate_size),
      };
      this.#scratch.set(count, scratch);
    }
    return scratch;
  }
}
