/** History on a GPU: the KV cache of every layer, ranks, and what crosses to another copy of it. */
import type { ModelConfig } from "../config/config.ts";
import { InputError } from "../config/errors.ts";
import type { HistoryWindow } from "./window.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { copySlice } from "../../kernels/attention/history_copy.ts";
import { copy, type Step } from "../../kernels/gpu/plan.ts";
import {
  byteOffset,
  elementBytes,
  type FloatType,
  makeTensor,
  reshape,
  room,
  rows,
  sharedTensor,
  type Tensor,
  upload,
} from "../../kernels/gpu/tensor.ts";

/** Bytes of one token's K and V in all layers. */
export function tokenBytes(config: ModelConfig, storage: FloatType): number {
  const numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim;
  return numbers * elementBytes(storage);
}

/** What the GPU's side needs to know of the slots. */
export type Slots = Pick<HistoryWindow, "slots" | "ranks" | "used" | "noisyStart" | "noisyEnd">;

/**
 * The K and V of every token that a query may still see: one cache of keys and one of values per layer,
 * [slots, K/V heads x head_dim], and the rank of the token in each slot. The window says which slot a
 * token has; the layers write K and V there, attention reads them. Each role has a history of its own
 * (`fused`: both have one), and slices carry the tokens of a tick from one to the other.
 */
export class History {
  private readonly gpu: Gpu;
  private readonly config: ModelConfig;
  readonly window: Slots;
  private readonly storage: FloatType;
  /** Rank of the token in each slot, i32 [slots]. */
  readonly ranks: Tensor;
  /** {used, noisyStart, noisyEnd, 0}: the slots that attention walks, i32 [4]. */
  readonly held: Tensor;
  /** The caches by layer. */
  readonly layers: readonly { keys: Tensor; values: Tensor }[];
  /** The caches of all layers, [layers, slots, K/V heads x head_dim]; null where no binding holds them. */
  readonly stacked: { keys: Tensor; values: Tensor } | null;
  readonly #kvDim: number;

  /** @throws InputError when the adapter has no buffers of that size. */
  constructor(
    gpu: Gpu,
    config: ModelConfig,
    window: Slots,
    storage: FloatType,
  ) {
    this.gpu = gpu;
    this.config = config;
    this.window = window;
    this.storage = storage;
    const { slots } = window;
    this.#kvDim = config.num_key_value_heads * config.head_dim;
    const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
    const limit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    const bytes = slots * this.#kvDim * elementBytes(storage);
    if (bytes > limit) {
      throw new InputError(
        `options: historyUnits: a layer's keys have ${bytes} bytes; ${gpu.name} may hold ${limit} in ` +
          "one buffer: allow fewer units, or f16",
      );
    }
    const layers = config.num_hidden_layers;
    const whole = (label: string, count: number) =>
      makeTensor(gpu, `history ${label}`, [count, slots, this.#kvDim], storage, "texture");
    const cache = (tensor: Tensor, layer: number) =>
      reshape(rows(tensor, layer, 1), [slots, this.#kvDim]);
    // Side by side where they fit into a binding, so that one launch can reach all layers'.
    this.stacked = layers * bytes + room.texture <= limit
      ? { keys: whole("keys", layers), values: whole("values", layers) }
      : null;
    this.layers = Array.from(
      { length: layers },
      (_, i) =>
        this.stacked
          ? { keys: cache(this.stacked.keys, i), values: cache(this.stacked.values, i) }
          : { keys: cache(whole(`keys ${i}`, 1), 0), values: cache(whole(`values ${i}`, 1), 0) },
    );
    this.ranks = makeTensor(gpu, "history ranks", [slots], "i32", "uniform");
    this.held = makeTensor(gpu, "history slots held", [4], "i32");
  }

  /** Tells the GPU which slots hold what: once per tick, before its plans are submitted. */
  writeWindow(): void {
    const { ranks, used, noisyStart, noisyEnd } = this.window;
    upload(this.gpu, this.ranks, ranks);
    upload(this.gpu, this.held, new Int32Array([used, noisyStart, noisyEnd, 0]));
  }

  /** A tensor for the K and V of `count` tokens in all layers: [layers, 2, count, kvDim]. */
  makeSlice(label: string, count: number, gpu: Gpu = this.gpu): Tensor {
    return makeTensor(gpu, label, this.#sliceShape(count), this.storage);
  }

  /** The same for what is written and read within one submit. */
  sharedSlice(label: string, count: number): Tensor {
    return sharedTensor(this.gpu, label, this.#sliceShape(count), this.storage);
  }

  #sliceShape(count: number): number[] {
    return [this.layers.length, 2, count, this.#kvDim];
  }

  /** Steps that copy the K and V of the tokens' slots into a slice. */
  gather(label: string, tokenTable: Tensor, slice: Tensor): Step[] {
    return copySlice(this.gpu, "gather", { label, caches: this.layers, tokenTable, slice });
  }

  /** Steps that copy a slice into the tokens' slots. */
  scatter(label: string, tokenTable: Tensor, slice: Tensor): Step[] {
    return copySlice(this.gpu, "scatter", { label, caches: this.layers, tokenTable, slice });
  }

  /** Bytes of the K and V of `count` tokens in all layers. */
  sliceBytes(count: number): number {
    return count * tokenBytes(this.config, this.storage);
  }

  /** Steps that copy the slots from `start` on into a slice, as many as it has tokens. */
  copyOut(label: string, start: number, slice: Tensor): Step[] {
    const [layers = 0, , count = 0] = slice.shape;
    const parts = reshape(slice, [layers * 2, count, this.#kvDim]);
    return this.#ordered().map((cache, i) => {
      const slots = rows(cache, start, count);
      return copy(label, slots, reshape(rows(parts, i, 1), slots.shape));
    });
  }

  /** Writes the K and V of as many slots as `bytes` holds, laid out as a slice, from `start` on. */
  write(start: number, bytes: Uint8Array<ArrayBuffer>): void {
    const count = bytes.length / this.sliceBytes(1);
    const part = bytes.length / (this.layers.length * 2);
    this.#ordered().forEach((cache, i) => {
      const slots = rows(cache, start, count);
      const { queue } = this.gpu.device;
      queue.writeBuffer(cache.buffer, byteOffset(slots), bytes, i * part, part);
    });
  }

  /** All caches in the order of a slice. */
  #ordered(): Tensor[] {
    return this.layers.flatMap(({ keys, values }) => [keys, values]);
  }
}
