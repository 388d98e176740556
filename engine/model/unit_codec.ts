/** A codec of one medium by itself, unit by unit: samples or pictures to latents and back. */
import { Weights } from "../weights/weights.ts";
import type { OpenCodec } from "../families/codec.ts";
import { MediumDecoder, UnitEncoder } from "./unit_coders.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { copy, Plan, submit } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import {
  elements,
  type FloatType,
  makeTensor,
  type Tensor,
  upload,
} from "../../kernels/gpu/tensor.ts";

/** Mono samples of a unit, or its RGB24 frames. */
export type UnitMedia = Float32Array | Uint8Array;

export class UnitCodec {
  private readonly gpu: Gpu;
  /** [time, height, width, channels] of a unit's latents. */
  readonly latentShape: readonly number[];
  readonly #encoder: UnitEncoder;
  readonly #decoder: MediumDecoder;
  readonly #latents: Tensor;
  readonly #encode: { plan: Plan; readback: Readback };
  readonly #decode: { plan: Plan; readback: Readback };
  readonly #both: { plan: Plan; readback: Readback };
  /** Runs the first frame, which comes alone, through both, or its latents through the decoder. */
  readonly #first: { encode: Plan; latents: Tensor; readback: Readback; decode: Plan } | null =
    null;
  /** Latents of the stream's first frame, once it came; null where it doesn't come alone. */
  firstLatents: Float32Array | null = null;

  /** @throws InputError when layers, shapes or weights don't fit together. */
  constructor(
    gpu: Gpu,
    { medium, encoder, decoder, tensors }: Pick<
      OpenCodec,
      "medium" | "encoder" | "decoder" | "tensors"
    >,
    storage: FloatType,
  ) {
    this.gpu = gpu;
    const weights = Weights.of(tensors);
    this.#encoder = new UnitEncoder(gpu, medium, encoder, weights, storage);
    const { output } = this.#encoder.coder;
    this.#latents = makeTensor(gpu, `${medium} latents`, output.shape);
    this.latentShape = output.shape;
    const made = this.#decoder = new MediumDecoder(gpu, medium, decoder, weights, storage);
    const way = (steps: ConstructorParameters<typeof Plan>[0], ...read: Tensor[]) => ({
      plan: new Plan(steps),
      readback: new Readback(gpu, read),
    });
    this.#encode = way(this.#encoder.steps, output);
    this.#decode = way([made.take(this.#latents), ...made.steps], made.output);
    this.#both = way(
      [...this.#encoder.steps, made.take(output), ...made.steps],
      output,
      made.output,
    );
    const { first } = this.#encoder.coder;
    if (!first) return;
    const latents = makeTensor(gpu, `${medium} first latents`, first.output.shape);
    const kept = copy("first latents", first.output, latents);
    this.#first = {
      encode: new Plan([...this.#encoder.firstSteps ?? [], kept]),
      latents,
      readback: new Readback(gpu, [latents]),
      decode: new Plan(made.takeFirst(latents)),
    };
  }

  /** [time, height, width, channels] of the first frame's latents where that comes alone; null else. */
  get firstShape(): readonly number[] | null {
    return this.#first?.latents.shape ?? null;
  }

  /** Begins a stream whose first frame comes alone: with the first of a unit, which then comes again. */
  async #begin(data: UnitMedia): Promise<void> {
    if (!this.#first || this.firstLatents) return;
    const { encode, readback, decode } = this.#first;
    const [frames = 1] = this.#encoder.coder.input.shape;
    this.#encoder.write(data.subarray(0, data.length / frames));
    const [latents = new ArrayBuffer(0)] = await readback.run(encode);
    this.firstLatents = new Float32Array(latents);
    submit(this.gpu, decode);
  }

  /** Begins a stream of latents with those of its first frame. */
  beginFrom(latents: Float32Array): void {
    if (!this.#first || latents.length !== elements(this.#first.latents.shape)) {
      throw new RangeError(`${latents.length} numbers aren't a first frame's latents`);
    }
    upload(this.gpu, this.#first.latents, latents);
    submit(this.gpu, this.#first.decode);
    this.firstLatents = latents;
  }

  /** The next unit's latents, [time, height, width, channels]. */
  async encode(data: UnitMedia): Promise<Float32Array> {
    await this.#begin(data);
    this.#encoder.write(data);
    const [latents = new ArrayBuffer(0)] = await this.#encode.readback.run(this.#encode.plan);
    return new Float32Array(latents);
  }

  /** The next unit of latents as samples in [-1, 1] or RGB24 frames. */
  async decode(latents: Float32Array): Promise<UnitMedia> {
    if (latents.length !== elements(this.latentShape)) {
      throw new RangeError(
        `a unit has ${elements(this.latentShape)} numbers, not ${latents.length}`,
      );
    }
    upload(this.gpu, this.#latents, latents);
    const [output = new ArrayBuffer(0)] = await this.#decode.readback.run(this.#decode.plan);
    return this.#decoder.media(output);
  }

  /** Both of the next unit. Waits for the GPU, which blocks this thread meanwhile. */
  async roundTrip(data: UnitMedia): Promise<{ latents: Float32Array; output: UnitMedia }> {
    await this.#begin(data);
    this.#encoder.write(data);
    const [latents = new ArrayBuffer(0), output = new ArrayBuffer(0)] = await this.#both.readback
      .run(this.#both.plan);
    return { latents: new Float32Array(latents), output: this.#decoder.media(output) };
  }

  /** Starts a new stream. */
  reset(): void {
    this.#encoder.coder.reset();
    this.#decoder.coder.reset();
    this.firstLatents = null;
  }
}
