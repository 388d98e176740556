/**
 * The streaming contract of codecs and observation encoders: a coder runs over a span of a stream (a
 * unit, or several) and carries its state to the next.
 *
 * Spans one after the other equal the whole recording at once, wherever it is cut; what comes later
 * changes nothing before it. State is the past that layers still look at: frames before a
 * convolution's, samples before a window's, the second half of the last overlapping frame. At the
 * start of a stream it is zero.
 */
import { InputError } from "../config/errors.ts";
import type { Weights } from "../weights/weights.ts";
import { type Coder, placeFirst, placeLayers } from "./coder.ts";
import type { Shape4 } from "./ops/layer.ts";
import { CoderMemory, LayerScope } from "./ops/scope.ts";
import { endsInPixels, type PlacedLayer, sequenceSteps } from "./ops/sequence.ts";
import { packPixels } from "../../kernels/codec/pixels.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { type Step, submit } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { type FloatType, type Tensor, tensorBytes, upload } from "../../kernels/gpu/tensor.ts";

export class StreamingCoder {
  private readonly gpu: Gpu;
  /** f32, of the span's shape: write the span here, then run the steps. */
  readonly input: Tensor;
  /** f32 [time, height, width, channels], or the packed pixels that were given: holds the result until the
   * next run. */
  readonly output: Tensor;
  /** Runs the coder over one span and carries its state on. */
  readonly steps: readonly Step[];
  /** The same for a stream's first frame, where that comes alone (`Coder.first`): what it holds runs once,
   * before the first span. Null: streams begin with a span. */
  readonly first: { input: Tensor; output: Tensor; steps: readonly Step[] } | null;
  readonly #memory: CoderMemory;
  readonly #name: string;
  #readback: Readback | undefined;

  /**
   * @param coder Its input is the span's shape: one unit, or several units in time.
   * @param weights The whole model's.
   * @param storage Of the weights; sums are f32.
   * @param pixels u32 [words]: the output is pictures, and the steps end by packing their bytes into this.
   * @throws InputError when layers, shapes or weights don't fit together.
   */
  constructor(gpu: Gpu, coder: Coder, weights: Weights, storage: FloatType, pixels?: Tensor) {
    this.gpu = gpu;
    this.#name = coder.name;
    const memory = this.#memory = new CoderMemory(gpu);
    const build = (
      what: string,
      shape: Readonly<Shape4>,
      placed: PlacedLayer[],
      first: boolean,
    ) => {
      const settings = { storage, sampleRate: coder.sampleRate, first };
      const scope = new LayerScope(gpu, weights.under(coder.name), memory, settings);
      const input = memory.unit(`${what} input`, shape);
      const last = placed.at(-1);
      const target = first ? undefined : pixels;
      const isWhole = target !== undefined && endsInPixels(placed, gpu);
      const output = isWhole ? target : last ? memory.unit(`${what} output`, last.output) : input;
      const steps = sequenceSteps(placed, scope, input, () => output);
      if (!target || isWhole) return { input, output, steps };
      const packing = packPixels(gpu, { label: coder.name, x: output, pixels: target });
      return { input, output: target, steps: [...steps, ...packing] };
    };
    const { input, output, steps } = build(coder.name, coder.input, placeLayers(coder), false);
    this.input = input;
    this.output = output;
    this.steps = steps;
    this.first = coder.first
      ? build(`${coder.name} first`, coder.first, placeFirst(coder), true)
      : null;
  }

  /** What is carried from span to span, e.g. "response.audio.decoder.4.conv1.past", in the layers' order. */
  get states(): ReadonlyMap<string, Tensor> {
    return this.#memory.states;
  }

  /** Bytes of the state. */
  get stateBytes(): number {
    return this.states.values().reduce((sum, state) => sum + tensorBytes(state), 0);
  }

  /** Starts a new stream: what is submitted from now on sees silence before it. */
  reset(): void {
    submit(this.gpu, {
      encode: (encoder) => this.states.forEach(({ buffer }) => encoder.clearBuffer(buffer)),
    });
  }

  /** The state after everything submitted: little-endian f32, layer by layer. */
  async exportState(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(this.stateBytes);
    if (this.states.size === 0) return bytes;
    // Kept: the first run of a readback waits and sleeps once more.
    const readback = this.#readback ??= new Readback(this.gpu, [...this.states.values()]);
    let at = 0;
    for (const part of await readback.run()) {
      bytes.set(new Uint8Array(part), at);
      at += part.byteLength;
    }
    return bytes;
  }

  /**
   * Goes on from a state that a coder of the same layers and picture size exported, over spans of any
   * length.
   *
   * @throws InputError when it has another size.
   */
  importState(bytes: Uint8Array): void {
    if (bytes.length !== this.stateBytes) {
      throw new InputError(
        `state of ${this.#name}: ${bytes.length} bytes, but this checkpoint's has ` +
          `${this.stateBytes}; resume with the checkpoint that the session was saved with`,
      );
    }
    let at = 0;
    for (const state of this.states.values()) {
      const end = at + tensorBytes(state);
      upload(this.gpu, state, new Float32Array(bytes.slice(at, end).buffer));
      at = end;
    }
  }

  /** Frees the coder's memory. */
  destroy(): void {
    this.#readback?.destroy();
    for (const free of this.#memory.frees.splice(0)) free();
  }
}
