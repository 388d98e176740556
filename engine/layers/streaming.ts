/**
 * The one streaming contract of codecs and observation encoders: a stack of causal layers that runs
 * over a span of a stream (a unit, or several) and carries its state to the next.
 *
 * Spans one after the other equal the whole recording at once, wherever it is cut; what comes later
 * changes nothing before it. State is the past that layers still look at: frames before a
 * convolution's, samples before a window's, the second half of the last overlapping frame. At the
 * start of a stream it is zero.
 */
import { type Checkpoint, toF32 } from "../checkpoint/checkpoint.ts";
import type { StackLayer, Storage } from "../config/config.ts";
import { InputError } from "../config/errors.ts";
import { type Shape4, stackShapes } from "./stack_shapes.ts";
import { carry } from "../../kernels/codec/carry.ts";
import { channelNorm } from "../../kernels/codec/channel_norm.ts";
import {
  conv,
  type ConvGeometry,
  type ConvWeight,
  historyFrames,
  packConv,
} from "../../kernels/codec/conv.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { freeTables, logmel, logmelTables, spectrumChannels } from "../../kernels/codec/logmel.ts";
import { overlapAdd } from "../../kernels/codec/overlap_add.ts";
import type { Step } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { shuffle, unshuffle } from "../../kernels/codec/shuffle.ts";
import {
  elements,
  makeTensor,
  type Tensor,
  tensorBytes,
  tensorFrom,
  upload,
} from "../../kernels/gpu/tensor.ts";

export interface StackOptions {
  /** Before the names of the stack's tensors, e.g. "response.audio.decoder". */
  prefix: string;
  layers: readonly StackLayer[];
  checkpoint: Pick<Checkpoint, "config" | "tensors">;
  /** Shape [time, height, width, channels] of the span: one unit's, or several units' in time. */
  input: Readonly<Shape4>;
  /** Storage type of the weights; sums are f32. */
  storage: Storage;
}

export class StreamingStack {
  /** f32, of the span's shape: write the span here, then run the steps. */
  readonly input: Tensor;
  /** f32 [time, height, width, channels]: holds the result until the next run. */
  readonly output: Tensor;
  /** Runs the stack over one span and carries its state on. */
  readonly steps: readonly Step[];
  readonly #states: readonly Tensor[];
  readonly #free: () => void;
  #readback: Readback | undefined;

  /** @throws InputError when layers, shapes or weights don't fit together. */
  constructor(private readonly gpu: Gpu, private readonly options: StackOptions) {
    const builder = new Builder(gpu, options);
    this.input = builder.make("input", options.input);
    this.output = builder.build(this.input);
    this.steps = builder.steps;
    this.#states = builder.states;
    this.#free = () => builder.free();
  }

  /** Bytes of the state. */
  get stateBytes(): number {
    return this.#states.reduce((sum, state) => sum + tensorBytes(state), 0);
  }

  /** Starts a new stream: what is submitted from now on sees silence before it. */
  reset(): void {
    const encoder = this.gpu.device.createCommandEncoder();
    for (const state of this.#states) encoder.clearBuffer(state.buffer);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  /** The state after everything submitted: little-endian f32, layer by layer. */
  async exportState(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(this.stateBytes);
    if (this.#states.length === 0) return bytes;
    // Kept: making one waits for the GPU and sleeps.
    const readback = this.#readback ??= await Readback.create(this.gpu, this.#states);
    const encoder = this.gpu.device.createCommandEncoder();
    readback.encode(encoder);
    this.gpu.device.queue.submit([encoder.finish()]);
    let at = 0;
    for (const part of await readback.read()) {
      bytes.set(new Uint8Array(part), at);
      at += part.byteLength;
    }
    return bytes;
  }

  /**
   * Goes on from a state that a stack of the same layers and picture size exported, over spans of any
   * length.
   *
   * @throws InputError when it has another size.
   */
  importState(bytes: Uint8Array): void {
    if (bytes.length !== this.stateBytes) {
      throw new InputError(
        `state of ${this.options.prefix}: ${bytes.length} bytes, but this checkpoint's has ` +
          `${this.stateBytes}; resume with the checkpoint that the session was saved with`,
      );
    }
    let at = 0;
    for (const state of this.#states) {
      const end = at + tensorBytes(state);
      upload(this.gpu, state, new Float32Array(bytes.slice(at, end).buffer));
      at = end;
    }
  }

  /** Frees the stack's memory. */
  destroy(): void {
    this.#readback?.destroy();
    this.#free();
  }
}

const one = [1, 1, 1] as const;

/** Turns layers into steps. Activations share scratch buffers: a layer's is free when it was read. */
class Builder {
  readonly steps: Step[] = [];
  readonly states: Tensor[] = [];
  readonly #shapes: Shape4[];
  readonly #resources: (() => void)[] = [];
  readonly #scratchElements: number;
  #scratch: GPUBuffer[] = [];

  constructor(private readonly gpu: Gpu, private readonly options: StackOptions) {
    const { layers, input, prefix } = options;
    this.#shapes = stackShapes(layers, input, prefix);
    this.#scratchElements = Math.max(
      1,
      ...layers.map((layer, i) => innerElements(layer, this.#shapes[i] ?? input)),
    );
  }

  free(): void {
    for (const free of this.#resources.splice(0)) free();
  }

  /** A tensor with a buffer of its own, long enough for whole rows of an image. */
  make(label: string, shape: readonly number[]): Tensor {
    const row = 4096;
    const length = Math.ceil(elements(shape) / row) * row;
    const whole = makeTensor(this.gpu, `${this.options.prefix} ${label}`, [length]);
    this.#resources.push(() => this.gpu.free(whole.buffer));
    return { ...whole, shape };
  }

  /** A tensor in a scratch buffer that nobody uses. */
  #take(shape: readonly number[]): Tensor {
    const buffer = this.#scratch.pop() ?? this.make("scratch", [this.#scratchElements]).buffer;
    return { buffer, offset: 0, shape, dtype: "f32" };
  }

  #release(tensor: Tensor): void {
    this.#scratch.push(tensor.buffer);
  }

  #state(shape: readonly number[], label: string): Tensor {
    const state = this.make(`${label} state`, shape);
    this.states.push(state);
    return state;
  }

  #weight(name: string): Float32Array {
    const full = `${this.options.prefix}.${name}`;
    const tensor = this.options.checkpoint.tensors.get(full);
    if (!tensor) throw new InputError(`the checkpoint has no tensor ${full}`);
    return toF32(tensor);
  }

  #vector(name: string): Tensor {
    const data = this.#weight(name);
    const tensor = tensorFrom(this.gpu, `${this.options.prefix}.${name}`, [data.length], data);
    this.#resources.push(() => this.gpu.free(tensor.buffer));
    return tensor;
  }

  /** Adds all layers' steps; returns the result. */
  build(input: Tensor): Tensor {
    const { layers } = this.options;
    let x = input;
    for (let i = 0; i < layers.length; i++) {
      const layer = layers[i];
      const shape = this.#shapes[i];
      if (!layer || !shape) break;
      // SiLU right after a convolution or a norm is part of it.
      const fused = (layer.op === "conv" || layer.op === "rmsnorm") && layers[i + 1]?.op === "silu";
      const last = i + (fused ? 2 : 1) === layers.length;
      const target = () => last ? this.make("output", shape) : this.#take(shape);
      const y = this.#layer(`${i}`, layer, x, target, fused ? { activation: "silu" } : {});
      if (x !== input) this.#release(x);
      x = y;
      if (fused) i++;
    }
    return x;
  }

  /** Adds a layer's steps. `target` is asked for the result's place once scratch is free for it. */
  #layer(
    name: string,
    layer: StackLayer,
    x: Tensor,
    target: () => Tensor,
    options: { activation?: "silu" },
  ): Tensor {
    const { gpu } = this;
    const label = `${this.options.prefix}.${name}`;
    switch (layer.op) {
      case "conv": {
        const { kernel, stride = one, dilation = 1, channels } = layer;
        const y = target();
        this.#conv(name, x, y, channels, { kernel, stride, dilation }, options);
        return y;
      }
      case "residual": {
        const { kernel, dilation = 1 } = layer;
        const channels = x.shape[3] ?? 0;
        const inner = layer.channels ?? channels;
        const normed = this.#take(x.shape);
        const weight = this.#vector(`${name}.norm.weight`);
        this.steps.push(
          ...channelNorm(gpu, { label, x, weight, activation: "silu", y: normed }),
        );
        const hidden = this.#take([...x.shape.slice(0, 3), inner]);
        const geometry = { kernel, stride: one, dilation };
        this.#conv(`${name}.conv1`, normed, hidden, inner, geometry, { activation: "silu" });
        this.#release(normed);
        const y = target();
        const pointwise = { kernel: one, stride: one, dilation: 1 };
        this.#conv(`${name}.conv2`, hidden, y, channels, pointwise, { add: x });
        this.#release(hidden);
        return y;
      }
      case "rmsnorm": {
        const y = target();
        const weight = this.#vector(`${name}.weight`);
        this.steps.push(...channelNorm(gpu, { label, x, weight, y, ...options }));
        return y;
      }
      case "silu": {
        const y = target();
        this.steps.push(...channelNorm(gpu, { label, x, activation: "silu", y }));
        return y;
      }
      case "unshuffle":
      case "shuffle": {
        const y = target();
        const permute = layer.op === "shuffle" ? shuffle : unshuffle;
        this.steps.push(...permute(gpu, { label, x, y, factor: layer.factor }));
        return y;
      }
      case "overlap_add": {
        const y = target();
        const tail = this.#state([layer.hop], name);
        this.steps.push(...overlapAdd(gpu, { label, x, tail, y }));
        return y;
      }
      case "logmel":
        return this.#logmel(name, layer, x, target());
    }
  }

  #conv(
    name: string,
    x: Tensor,
    y: Tensor,
    outputs: number,
    geometry: ConvGeometry,
    options: { activation?: "silu"; add?: Tensor },
  ): void {
    const { gpu } = this;
    const label = `${this.options.prefix}.${name}`;
    const [, height = 1, width = 1, inputs = 0] = x.shape;
    const weight: ConvWeight = packConv(gpu, {
      label,
      weight: this.#weight(`${name}.weight`),
      bias: this.#weight(`${name}.bias`),
      inputs,
      outputs,
      dtype: this.options.storage,
      line: height * width === 1,
      ...geometry,
    });
    this.#resources.push(() => gpu.free(weight.image));
    const past = historyFrames(geometry);
    const state = past > 0 ? this.#state([past, height, width, inputs], name) : undefined;
    this.steps.push(...conv(gpu, { label, x, weight, y, ...(state ? { state } : {}), ...options }));
    if (state) this.steps.push(carry(gpu, { label, x, state }));
  }

  #logmel(
    name: string,
    layer: Extract<StackLayer, { op: "logmel" }>,
    x: Tensor,
    y: Tensor,
  ): Tensor {
    const { gpu, options: { prefix, checkpoint: { config } } } = this;
    const label = `${prefix}.${name}`;
    const side = prefix.startsWith("observation.") ? config.observation : config.response;
    const tables = logmelTables(gpu, label, { ...layer, sampleRate: side.audio.sample_rate });
    this.#resources.push(() => freeTables(gpu, tables));
    const past = layer.window - layer.hop;
    const state = past > 0 ? this.#state([past, 1, 1, 1], name) : undefined;
    const spectrum = this.#take([y.shape[0] ?? 0, 1, 1, spectrumChannels(layer)]);
    this.steps.push(
      ...logmel(gpu, { label, x, tables, spectrum, y, ...(state ? { state } : {}) }),
    );
    if (state) this.steps.push(carry(gpu, { label, x, state }));
    this.#release(spectrum);
    return y;
  }
}

/** The most values that a layer keeps in one scratch buffer, its result included. */
function innerElements(layer: StackLayer, shape: Readonly<Shape4>): number {
  const positions = shape[0] * shape[1] * shape[2];
  const channels = layer.op === "residual"
    ? Math.max(shape[3], layer.channels ?? 0)
    : layer.op === "logmel"
    ? Math.max(shape[3], spectrumChannels(layer))
    : shape[3];
  return positions * channels;
}
