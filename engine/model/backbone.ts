/** The Transformer: Qwen3's or Qwen2.5's layers over a span of tokens that see history by rank. */
import type { BackboneConfig } from "../config/config.ts";
import type { WeightType } from "../../kernels/matmul/packed_weight.ts";
import type { Weights } from "../weights/weights.ts";
import type { Looking } from "./attention_shares.ts";
import type { History } from "./history.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { attention } from "../../kernels/attention/attention.ts";
import {
  matmul,
  type PackedWeight,
  type PackOptions,
  packWeight,
} from "../../kernels/matmul/matmul.ts";
import type { Step } from "../../kernels/gpu/plan.ts";
import { qkRotary, rotaryTurns } from "../../kernels/attention/qk_rotary.ts";
import { rmsnorm } from "../../kernels/tokens/rmsnorm.ts";
import { rows, sharedTensor, type Tensor, tensorFrom } from "../../kernels/gpu/tensor.ts";

interface Layer {
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
  readonly #layers: Layer[] = [];
  readonly #finalNorm: Tensor;
  readonly #turns: Tensor;
  readonly #axes: Tensor;
  readonly #scratch = new Map<number, Record<"qkv" | "q" | "heads" | "act", Tensor>>();

  /** @param weights The whole model's. */
  constructor(
    gpu: Gpu,
    config: BackboneConfig,
    weights: Weights,
    storage: WeightType,
  ) {
    this.gpu = gpu;
    this.config = config;
    const c = config;
    const [width, inner, head] = [c.hidden_size, c.intermediate_size, c.head_dim];
    const [qDim, kvDim] = [c.num_attention_heads * head, c.num_key_value_heads * head];
    for (let i = 0; i < c.num_hidden_layers; i++) {
      const layer = weights.under("model.layers").under(`${i}`);
      const attn = layer.under("self_attn");
      const mlp = layer.under("mlp");
      const norm = (name: string) => layer.get(`${name}.weight`, [width]);
      const vector = (name: string, size: number, values: () => Float32Array) =>
        gpu.shared(
          attn.prefix + name,
          (owner) => tensorFrom(owner, attn.prefix + name, [size], values()),
        );
      const headNorm = (name: string) =>
        vector(
          name,
          head,
          () =>
            c.qk_norm === false
              ? new Float32Array(head).fill(1)
              : attn.get(`${name}.weight`, [head]),
        );
      const biases = () => {
        const all = new Float32Array(qDim + 2 * kvDim);
        all.set(attn.get("q_proj.bias", [qDim]));
        all.set(attn.get("k_proj.bias", [kvDim]), qDim);
        all.set(attn.get("v_proj.bias", [kvDim]), qDim + kvDim);
        return all;
      };
      /** One product of the rows of several linear layers. */
      const weight = (
        label: string,
        from: Weights,
        rows: [name: string, outputs: number][],
        inputs: number,
        options: () => PackOptions = () => ({}),
      ) =>
        gpu.shared(layer.prefix + label, (owner) => {
          const matrices = rows.map(([name, count]) => from.get(`${name}.weight`, [count, inputs]));
          const outputs = rows.reduce((sum, [, count]) => sum + count, 0);
          const name = layer.prefix + label;
          return packWeight(owner, name, matrices, outputs, inputs, storage, options());
        });
      this.#layers.push({
        qkv: weight(
          "qkv",
          attn,
          [["q_proj", qDim], ["k_proj", kvDim], ["v_proj", kvDim]],
          width,
          () => ({ scale: norm("input_layernorm") }),
        ),
        bias: c.qkv_bias ? vector("qkv_bias", qDim + 2 * kvDim, biases) : null,
        qNorm: headNorm("q_norm"),
        kNorm: headNorm("k_norm"),
        output: weight("output", attn, [["o_proj", width]], qDim),
        gateUp: weight("gate_up", mlp, [["gate_proj", inner], ["up_proj", inner]], width, () => ({
          scale: norm("post_attention_layernorm"),
          gated: true,
        })),
        down: weight("down", mlp, [["down_proj", width]], inner),
      });
    }
    const name = "model.norm.weight";
    this.#finalNorm = gpu.shared(
      name,
      (owner) => tensorFrom(owner, name, [width], weights.get(name, [width])),
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

  /** Steps that run a span: every row's K and V enter its history slot, layer by layer; x becomes
   * the last layer's output on the wanted rows (the others' x is then undefined). */
  span(history: History, { label, x, tokenTable, wanted, looking }: Span): Step[] {
    const c = this.config;
    const count = x.shape[0] ?? 0;
    const scratch = this.#scratchFor(count);
    const steps: Step[] = [];
    this.#layers.forEach((layer, i) => {
      const last = i === this.#layers.length - 1;
      const name = `${label} ${i}`;
      const { qkv, q } = scratch;
      const norm = { eps: c.rms_norm_eps };
      steps.push(
        ...matmul(this.gpu, {
          label: `${name} qkv`,
          x,
          norm,
          weight: layer.qkv,
          y: qkv,
          ...(layer.bias ? { bias: layer.bias } : {}),
        }),
        qkRotary(this.gpu, {
          label: name,
          qkv,
          qNorm: layer.qNorm,
          kNorm: layer.kNorm,
          eps: c.qk_norm === false ? null : c.rms_norm_eps,
          turns: this.#turns,
          axes: this.#axes,
          tokenTable,
          q,
          ...history.layer(i),
          heads: c.num_attention_heads,
          kvHeads: c.num_key_value_heads,
          headDim: c.head_dim,
        }),
      );
      const { first, count: outputs } = last ? wanted : { first: 0, count };
      if (outputs === 0) return;
      const part = (tensor: Tensor) => rows(tensor, first, outputs);
      if (looking) {
        const own = (tensor: Tensor) => rows(tensor, looking.first, looking.count);
        steps.push(...looking.to.steps(name, i, own(q), own(tokenTable), history));
      }
      steps.push(
        ...attention(this.gpu, {
          label: name,
          q: part(q),
          tokenTable: part(tokenTable),
          ...history.layer(i),
          ranks: history.ranks,
          held: history.held,
          out: part(scratch.heads),
          heads: c.num_attention_heads,
          kvHeads: c.num_key_value_heads,
          headDim: c.head_dim,
        }),
        ...matmul(this.gpu, {
          label: `${name} output`,
          x: part(scratch.heads),
          weight: layer.output,
          y: part(x),
          accumulate: true,
        }),
        ...matmul(this.gpu, {
          label: `${name} gate_up`,
          x: part(x),
          norm,
          weight: layer.gateUp,
          y: part(scratch.act),
        }),
        ...matmul(this.gpu, {
          label: `${name} down`,
          x: part(scratch.act),
          weight: layer.down,
          y: part(x),
          accumulate: true,
        }),
      );
    });
    return steps;
  }

  /** The final RMSNorm: y = norm(x), what every head reads. */
  finalNorm(label: string, x: Tensor, y: Tensor): Step {
    const eps = this.config.rms_norm_eps;
    return rmsnorm(this.gpu, { label: `${label} final`, x, weight: this.#finalNorm, eps, y });
  }

  /** Activations for spans of this many rows, shared by all spans and layers of that length. */
  #scratchFor(count: number) {
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
