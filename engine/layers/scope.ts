/** What a layer may use while it records its steps: its weights, its state, scratch memory. */
import type { Weights } from "../weights/weights.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import {
  elements,
  type FloatType,
  makeTensor,
  type Tensor,
  tensorFrom,
} from "../../kernels/gpu/tensor.ts";

/** The memory of one encoder or decoder. */
export class CoderMemory {
  /** What it carries from unit to unit, e.g. "3.conv1.past", in the order of its layers. */
  readonly states = new Map<string, Tensor>();
  /** Frees everything that was made for it. */
  readonly frees: (() => void)[] = [];
  readonly #unused: { buffer: GPUBuffer; length: number }[] = [];
  readonly #lengths = new Map<GPUBuffer, number>();

  constructor(private readonly gpu: Gpu, private readonly label: string) {}

  /** An f32 tensor with a buffer of its own, long enough for whole rows of an image. */
  make(name: string, shape: readonly number[]): Tensor {
    const row = 4096;
    const length = Math.ceil(elements(shape) / row) * row;
    const whole = makeTensor(this.gpu, `${this.label} ${name}`, [length]);
    this.frees.push(() => this.gpu.free(whole.buffer));
    this.#lengths.set(whole.buffer, length);
    return { ...whole, shape };
  }

  /** A tensor in the smallest unused scratch buffer that holds it. */
  take(shape: readonly number[]): Tensor {
    const at = this.#unused.findIndex(({ length }) => length >= elements(shape));
    const [found] = at < 0 ? [] : this.#unused.splice(at, 1);
    if (!found) return this.make("scratch", shape);
    return { buffer: found.buffer, offset: 0, shape, dtype: "f32" };
  }

  /** Gives a tensor of `take` back. */
  release({ buffer }: Tensor): void {
    this.#unused.push({ buffer, length: this.#lengths.get(buffer) ?? 0 });
    this.#unused.sort((a, b) => a.length - b.length);
  }
}

/** One layer's view of its encoder's or decoder's memory and weights. */
export class LayerScope {
  constructor(
    readonly gpu: Gpu,
    /** Name of the layer, for labels: "response.audio.decoder.3". */
    readonly label: string,
    readonly weights: Weights,
    readonly memory: CoderMemory,
    readonly settings: {
      /** Storage of the weights; sums are f32. */
      storage: FloatType;
      /** Samples per second of the medium's sound. */
      sampleRate: number;
    },
    /** Name of the layer within the encoder or decoder: "3". */
    private readonly name: string,
  ) {}

  /** The scope of a layer that is a part of this one. */
  child(name: string): LayerScope {
    return new LayerScope(
      this.gpu,
      `${this.label}.${name}`,
      this.weights.under(name),
      this.memory,
      this.settings,
      `${this.name}.${name}`,
    );
  }

  /** Makes the layer's state, zero until its first unit. */
  state<T extends Record<string, number[]>>(shapes: T): { [K in keyof T]: Tensor } {
    const entries = Object.entries(shapes).map(([key, shape]) => {
      const name = `${this.name}.${key}`;
      const tensor = this.memory.make(name, shape);
      this.memory.states.set(name, tensor);
      return [key, tensor];
    });
    return Object.fromEntries(entries);
  }

  /** A vector on the GPU. */
  vector(name: string, data: Float32Array): Tensor {
    const tensor = tensorFrom(this.gpu, `${this.label}.${name}`, [data.length], data);
    this.onFree(() => this.gpu.free(tensor.buffer));
    return tensor;
  }

  /** Called when the encoder or decoder is destroyed. */
  onFree(free: () => void): void {
    this.memory.frees.push(free);
  }
}
