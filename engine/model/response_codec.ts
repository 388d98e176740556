/**
 * The response codecs by themselves: what a unit of voice and picture sounds and looks like after it
 * was latents. It bounds what the model can say: nothing that it solves can be nearer to a truth than
 * the truth's own way through the codecs.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { type Medium, perMedium, responseEncoder } from "../checkpoint/coders.ts";
import { Weights } from "../weights/weights.ts";
import { type Precision, resolveSettings } from "./settings.ts";
import { type Media, UnitDecoder, UnitEncoder } from "./unit_coders.ts";
import type { AdapterSpec } from "../../kernels/gpu/adapter.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { Plan } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import type { FloatType, Tensor } from "../../kernels/gpu/tensor.ts";

/** Encoders and decoders of both media, in streams of their own, on a device of this thread. */
export class ResponseCodec {
  private readonly gpu: Gpu;
  readonly #encoders: Record<Medium, UnitEncoder>;
  readonly #decoder: UnitDecoder;
  readonly #plan: Plan;
  readonly #readback: Readback<readonly [audio: Tensor, frames: Tensor]>;

  private constructor(gpu: Gpu, checkpoint: Checkpoint, storage: FloatType) {
    this.gpu = gpu;
    const { config } = checkpoint;
    const weights = Weights.of(checkpoint.tensors);
    const { audio, video } = this.#encoders = perMedium((medium) =>
      new UnitEncoder(gpu, medium, responseEncoder(config, medium), weights, storage)
    );
    const latents = perMedium((medium) => this.#encoders[medium].coder.output);
    this.#decoder = new UnitDecoder(gpu, config, weights, storage, latents);
    const steps = [...audio.steps, ...video.steps, ...this.#decoder.steps];
    this.#plan = new Plan(steps);
    this.#readback = new Readback(gpu, this.#decoder.outputs);
  }

  /**
   * Opens an adapter and puts the codecs on it.
   *
   * @throws InputError when the adapter can't be had.
   */
  static async open(
    checkpoint: Checkpoint,
    { adapter = "default", precision = "auto" }: { adapter?: AdapterSpec; precision?: Precision } =
      {},
  ): Promise<ResponseCodec> {
    const { storage } = resolveSettings(checkpoint, { precision });
    const gpu = await Gpu.open(adapter);
    const codec = new ResponseCodec(gpu, checkpoint, storage);
    await codec.#readback.prepare();
    await gpu.check();
    return codec;
  }

  /** The next unit of a stream, encoded and decoded. Lengths must be a unit's. Waits for the GPU,
   * which blocks this thread meanwhile. */
  async roundTrip({ audio, frames }: Media): Promise<Media> {
    this.#encoders.audio.write(audio);
    this.#encoders.video.write(frames);
    return this.#decoder.media(...await this.#readback.run(this.#plan));
  }

  /** Starts a new stream. */
  reset(): void {
    for (const { coder } of Object.values(this.#encoders)) coder.reset();
    for (const coder of Object.values(this.#decoder.coders)) coder.reset();
  }

  /** Frees the adapter. */
  close(): void {
    this.gpu.destroy();
  }
}
