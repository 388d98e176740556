/** What a layer may use while it records its steps: its weights, its state, scratch memory. */
import type { Weights } from "../../weights/weights.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import {
  type FloatType,
  makeTensor,
  scratchTensor,
  sharedTensor,
  type Tensor,
  tensorFrom,
} from "../../../kernels/gpu/tensor.ts";

/** The memory of one encoder or decoder. */
export class CoderMemory {
  private readonly gpu: Gpu;
  /** What it carries from unit to unit, by name, in the order of its layers. */
  readonly states = new Map<string, Tensor>();
  /** What doesn't change from unit to unit and isn't shared with other sessions, by name. */
  readonly constants = new Map<string, unknown>();
  /** Frees everything that was made for it. */
  readonly frees: (() => void)[] = [];
  readonly #taken: (GPUBuffer | undefined)[] = [];

  constructor(gpu: Gpu) {
    this.gpu = gpu;
  }

  /** An f32 tensor with a buffer of its own. */
  make(label: string, shape: readonly number[]): Tensor {
    const tensor = makeTensor(this.gpu, label, shape, "f32", "texture");
    this.frees.push(() => this.gpu.free(tensor.buffer));
    return tensor;
  }

  /** An f32 tensor for what lasts for one unit. */
  unit(label: string, shape: readonly number[]): Tensor {
    if (this.gpu.root === this.gpu) return this.make(label, shape);
    return sharedTensor(this.gpu, label, shape, "f32", "texture");
  }

  /** An f32 tensor in scratch memory, which the device's encoders and decoders share. */
  take(shape: readonly number[]): Tensor {
    let place = 0;
    while (this.#taken[place]) place++;
    const tensor = scratchTensor(this.gpu, `coder scratch ${place}`, shape);
    this.#taken[place] = tensor.buffer;
    return tensor;
  }

  /** Gives a tensor of `take` back. */
  release({ buffer }: Tensor): void {
    this.#taken[this.#taken.indexOf(buffer)] = undefined;
  }
}

export interface CoderSettings {
  /** Storage of the weights; sums are f32. */
  storage: FloatType;
  /** Samples per second of the medium's sound. */
  sampleRate: number;
  /** The steps are for a stream's first frame, which comes alone (`Coder.first`). */
  first: boolean;
}

/** One layer's view of its encoder's or decoder's memory and weights. */
export class LayerScope {
  readonly gpu: Gpu;
  /** Under the layer's name. */
  readonly weights: Weights;
  readonly memory: CoderMemory;
  readonly settings: CoderSettings;

  constructor(gpu: Gpu, weights: Weights, memory: CoderMemory, settings: CoderSettings) {
    this.gpu = gpu;
    this.weights = weights;
    this.memory = memory;
    this.settings = settings;
  }

  /** Name of the layer, for labels: "response.audio.decoder.3". */
  get label(): string {
    return this.weights.prefix.slice(0, -1);
  }

  /** The scope of a layer that is a part of this one. */
  child(name: string): LayerScope {
    return new LayerScope(this.gpu, this.weights.under(name), this.memory, this.settings);
  }

  /** The layer's state, zero until its first unit: made where it isn't there. */
  state<T extends Record<string, number[]>>(shapes: T): { [K in keyof T]: Tensor } {
    const { states } = this.memory;
    const entries = Object.entries(shapes).map(([key, shape]) => {
      const name = this.weights.prefix + key;
      const tensor = states.get(name) ?? this.memory.make(name, shape);
      states.set(name, tensor);
      return [key, tensor];
    });
    return Object.fromEntries(entries);
  }

  /** A vector on the GPU. */
  vector(name: string, data: Float32Array): Tensor {
    const label = this.weights.prefix + name;
    const make = (gpu: Gpu) => tensorFrom(gpu, label, [data.length], data);
    return this.constant(name, make, ({ buffer }) => this.gpu.free(buffer));
  }

  /** What doesn't change from unit to unit, weights most of all: the sessions of a model share it, else
   * it is freed with its encoder or decoder. */
  constant<T>(name: string, make: (gpu: Gpu) => T, free: (made: T) => void): T {
    const key = `layer ${this.weights.prefix}${name}`;
    if (this.gpu.root !== this.gpu) return this.gpu.shared(key, make);
    const { constants, frees } = this.memory;
    if (constants.has(key)) return constants.get(key) as T;
    const made = make(this.gpu);
    constants.set(key, made);
    frees.push(() => free(made));
    return made;
  }
}
