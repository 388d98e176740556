/**
 * A backbone alone as a plain causal language model: logits of given tokens, and greedy tokens after
 * them over a history that grows. For comparisons with other implementations:
 *
 *     deno run -A scripts/reference/causal.ts FOLDER --precision f32 --ids 1,2,3 --greedy 64 -o FILE
 *
 * writes `logits` [ids, vocabulary] and `tokens` [greedy] as safetensors, both in f32.
 */
import { parseArgs } from "node:util";
import { openBackbone } from "../../engine/checkpoint/checkpoint.ts";
import { cleanSight, emptyRank } from "../../engine/checkpoint/unit.ts";
import type { BackboneConfig, ModelConfig } from "../../engine/config/config.ts";
import { Backbone } from "../../engine/model/backbone.ts";
import { History } from "../../engine/model/history.ts";
import { writeSafetensors } from "../../engine/weights/safetensors_writer.ts";
import { type CheckpointTensor, Weights } from "../../engine/weights/weights.ts";
import { writeAll } from "../../io/system/bytes.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { Plan } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { makeTensor, rows, type Tensor, upload } from "../../kernels/gpu/tensor.ts";
import { matmul, packWeight } from "../../kernels/matmul/matmul.ts";
import { embed } from "../../kernels/tokens/embed.ts";
import type { WeightType } from "../../kernels/matmul/packed_weight.ts";

/** A folder's config and weights in memory. */
export async function readBackbone(
  folder: string,
): Promise<{ config: BackboneConfig; weights: Weights }> {
  const { config, weights } = await openBackbone(folder);
  using _ = weights;
  const tensors = new Map<string, CheckpointTensor>();
  for (const [name, { dtype, shape, length }] of weights.entries) {
    const chunk = new Uint8Array(length);
    await weights.read(name, 0, chunk);
    const bytes = new Uint8Array(new SharedArrayBuffer(length));
    bytes.set(chunk);
    tensors.set(name, { dtype, shape, bytes });
  }
  return { config, weights: Weights.of(tensors) };
}

/** Runs tokens through a backbone one span after the other. */
export class CausalText {
  private readonly gpu: Gpu;
  private readonly config: BackboneConfig;
  readonly #backbone: Backbone;
  readonly #history: History;
  readonly #window;
  readonly #table;
  readonly #head;
  readonly #zeros: Tensor;

  /** @param room Tokens that there may be in all. */
  constructor(
    gpu: Gpu,
    config: BackboneConfig,
    weights: Weights,
    precision: WeightType,
    room: number,
  ) {
    this.gpu = gpu;
    this.config = config;
    const { hidden_size: width, vocab_size: vocabulary } = config;
    const storage = precision === "f32" ? "f32" : "f16";
    this.#window = {
      slots: room + 1,
      ranks: new Int32Array(room + 1).fill(emptyRank),
      used: 0,
      noisyStart: room,
      noisyEnd: room,
    };
    this.#history = new History(gpu, config as ModelConfig, this.#window, storage);
    this.#backbone = new Backbone(gpu, config, weights, precision);
    const pack = (name: string) =>
      packWeight(gpu, name, weights.get(name, [vocabulary, width]), vocabulary, width, storage);
    this.#table = pack("model.embed_tokens.weight");
    this.#head = config.tie_word_embeddings ? this.#table : pack("lm_head.weight");
    this.#zeros = makeTensor(gpu, "no type", [width]);
  }

  /** Logits after each of the next tokens, [tokens, vocabulary]. */
  async logits(ids: readonly number[]): Promise<Float32Array> {
    const { gpu, config: { hidden_size: width, vocab_size: vocabulary } } = this;
    const window = this.#window;
    const [first, count] = [window.used, ids.length];
    const words = ids.flatMap((_, i) => {
      const { limit, own } = cleanSight(first + i);
      window.ranks[first + i] = first + i;
      return [first + i, limit, own, first + i, first + i, first + i, 0, 0];
    });
    window.used += count;
    this.#history.writeWindow();
    const make = (name: string, shape: number[], type: "f32" | "u32" | "i32" = "f32") =>
      makeTensor(gpu, name, shape, type);
    const [x, normed] = [make("x", [count, width]), make("normed", [count, width])];
    const given = make("ids", [count], "u32");
    const tokenTable = make("tokens", [count, 8], "i32");
    const logits = make("logits", [count, vocabulary]);
    upload(gpu, given, Uint32Array.from(ids));
    upload(gpu, tokenTable, Int32Array.from(words));
    const wanted = { first: 0, count };
    const plan = new Plan([
      ...embed(gpu, { label: "text", ids: given, table: this.#table, add: this.#zeros, y: x }),
      ...this.#backbone.span(this.#history, { label: "span", x, tokenTable, wanted }),
      this.#backbone.finalNorm("span", x, normed),
      ...ids.flatMap((_, i) =>
        matmul(gpu, {
          label: "logits",
          x: rows(normed, i, 1),
          weight: this.#head,
          y: rows(logits, i, 1),
        })
      ),
    ]);
    const readback = new Readback(gpu, [logits]);
    const [read = new ArrayBuffer(0)] = await readback.run(plan);
    readback.destroy();
    for (const { buffer } of [x, normed, given, tokenTable, logits]) gpu.free(buffer);
    return new Float32Array(read);
  }

  /** The likeliest token again and again. @param last Logits of the token before. */
  async greedy(last: Float32Array, count: number): Promise<number[]> {
    const tokens: number[] = [];
    for (let row = last; tokens.length < count;) {
      tokens.push(row.reduce((best, value, i) => value > (row[best] ?? NaN) ? i : best, 0));
      if (tokens.length < count) row = await this.logits(tokens.slice(-1));
    }
    return tokens;
  }
}

if (import.meta.main) {
  const { values, positionals: [folder = "."] } = parseArgs({
    allowPositionals: true,
    options: {
      precision: { type: "string", default: "f32" },
      ids: { type: "string", default: "" },
      greedy: { type: "string", default: "64" },
      output: { type: "string", short: "o", default: "causal.safetensors" },
    },
  });
  const ids = values.ids.split(",").map(Number);
  const count = Number(values.greedy);
  const { config, weights } = await readBackbone(folder);
  const gpu = await Gpu.open();
  const room = ids.length + count;
  const text = new CausalText(gpu, config, weights, values.precision as WeightType, room);
  const logits = await text.logits(ids);
  const tokens = await text.greedy(logits.slice(-config.vocab_size), count);
  const data = { logits, tokens: Float32Array.from(tokens) };
  const specs = [
    { name: "logits", dtype: "F32" as const, shape: [ids.length, config.vocab_size] },
    { name: "tokens", dtype: "F32" as const, shape: [count] },
  ];
  using file = await Deno.create(values.output);
  await writeSafetensors(specs, async function* ({ name }) {
    yield new Uint8Array(data[name as keyof typeof data].buffer as ArrayBuffer);
  }, { write: (bytes) => writeAll(file, bytes) });
  gpu.destroy();
}
