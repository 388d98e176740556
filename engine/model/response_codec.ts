/**
 * The response codecs by themselves: what a unit of voice and picture sounds and looks like after it
 * was latents. It bounds what the model can say: nothing that it solves can be nearer to a truth than
 * the truth's own way through the codecs.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { type Medium, perMedium, responseDecoder, responseEncoder } from "../checkpoint/coders.ts";
import { type Precision, resolveSettings } from "./settings.ts";
import { UnitCodec } from "./unit_codec.ts";
import type { Media } from "./unit_coders.ts";
import type { AdapterSpec } from "../../kernels/gpu/adapter.ts";
import { Gpu } from "../../kernels/gpu/device.ts";

/** Encoders and decoders of both media, in streams of their own, on a device of this thread. */
export class ResponseCodec {
  private readonly gpu: Gpu;
  readonly #codecs: Record<Medium, UnitCodec>;

  private constructor(gpu: Gpu, codecs: Record<Medium, UnitCodec>) {
    this.gpu = gpu;
    this.#codecs = codecs;
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
    const { config, tensors } = checkpoint;
    const { storage } = resolveSettings(checkpoint, { precision });
    const gpu = await Gpu.open(adapter);
    const codecs = perMedium((medium) => {
      const encoder = responseEncoder(config, medium);
      const decoder = responseDecoder(config, medium);
      return new UnitCodec(gpu, { medium, encoder, decoder, tensors }, storage);
    });
    await gpu.check();
    return new ResponseCodec(gpu, codecs);
  }

  /** The next unit of a stream, encoded and decoded. Lengths must be a unit's. Waits for the GPU,
   * which blocks this thread meanwhile. */
  async roundTrip({ audio, frames }: Media): Promise<Media> {
    const sound = await this.#codecs.audio.roundTrip(audio);
    const pictures = await this.#codecs.video.roundTrip(frames);
    return { audio: sound.output as Float32Array, frames: pictures.output as Uint8Array };
  }

  /** Starts a new stream. */
  reset(): void {
    for (const codec of Object.values(this.#codecs)) codec.reset();
  }

  /** Frees the adapter. */
  close(): void {
    this.gpu.destroy();
  }
}
