/**
 * The response codecs by themselves: what a unit of voice and picture sounds and looks like after it
 * was latents. It is the floor under everything that the model says: nothing it solves can be nearer
 * to a truth than the truth's own way through the codecs.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { type Precision, resolveSettings } from "./settings.ts";
import { responseDecoder, responseEncoder } from "../checkpoint/coders.ts";
import type { Coder } from "../layers/coder.ts";
import { StreamingCoder } from "../layers/streaming_coder.ts";
import { Weights } from "../weights/weights.ts";
import { unitLayout } from "../checkpoint/unit.ts";
import { type AdapterSpec, inTurn } from "../../kernels/gpu/adapter.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { clampSamples, packPixels, pixelWords, unpackPixels } from "../../kernels/codec/pixels.ts";
import { copy, Plan } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { makeTensor, reshape, type Tensor } from "../../kernels/gpu/tensor.ts";

/** One unit of the agent's side. */
export interface Media {
  /** Mono samples in [-1, 1] at `response.audio.sample_rate`. */
  audio: Float32Array;
  /** RGB24 frames [frames per unit, height, width, 3]. */
  frames: Uint8Array;
}

/** Encoders and decoders of both media, in streams of their own, on a device of this thread. */
export class ResponseCodec {
  readonly #coders: StreamingCoder[];
  readonly #input: { audio: Tensor; frames: Tensor };
  readonly #plan: Plan;
  readonly #readback: Readback<readonly [Tensor, Tensor]>;

  private constructor(
    private readonly gpu: Gpu,
    private readonly frameBytes: number,
    parts: { coders: StreamingCoder[]; audio: Tensor; frames: Tensor; plan: Plan },
    readback: Readback<readonly [Tensor, Tensor]>,
  ) {
    this.#coders = parts.coders;
    this.#input = { audio: parts.audio, frames: parts.frames };
    this.#plan = parts.plan;
    this.#readback = readback;
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
    const { config } = checkpoint;
    const layout = unitLayout(config);
    const { storage } = resolveSettings(checkpoint, { precision });
    const { video } = config.response;
    const gpu = await inTurn(() => Gpu.open(adapter));
    const weights = Weights.of(checkpoint.tensors);
    const coder = (one: Coder) => new StreamingCoder(gpu, one, weights, storage);
    const encoders = {
      audio: coder(responseEncoder(config, "audio")),
      video: coder(responseEncoder(config, "video")),
    };
    const decoders = {
      audio: coder(responseDecoder(config, "audio")),
      video: coder(responseDecoder(config, "video")),
    };
    const words = pixelWords(layout.frames * video.width * video.height);
    const given = makeTensor(gpu, "codec frames in", [words], "u32");
    const samples = makeTensor(gpu, "codec samples out", [layout.agentSamples]);
    const pixels = makeTensor(gpu, "codec frames out", [words], "u32");
    const latents = (medium: "audio" | "video") =>
      copy(
        `${medium} latents`,
        encoders[medium].output,
        reshape(decoders[medium].input, encoders[medium].output.shape),
      );
    const plan = new Plan("codecs", [
      unpackPixels(gpu, { label: "codec", pixels: given, y: encoders.video.input }),
      ...encoders.audio.steps,
      ...encoders.video.steps,
      latents("audio"),
      latents("video"),
      ...decoders.audio.steps,
      ...decoders.video.steps,
      clampSamples(gpu, { label: "codec", x: decoders.audio.output, y: samples }),
      ...packPixels(gpu, { label: "codec", x: decoders.video.output, pixels }),
    ]);
    const readback = await new Readback(gpu, [samples, pixels]).prepare();
    await gpu.check();
    const coders = [encoders.audio, encoders.video, decoders.audio, decoders.video];
    const parts = { coders, audio: encoders.audio.input, frames: given, plan };
    return new ResponseCodec(gpu, layout.frames * video.width * video.height * 3, parts, readback);
  }

  /** The next unit of a stream, encoded and decoded. Lengths must be a unit's. Waits for the GPU,
   * which blocks this thread meanwhile. */
  async roundTrip({ audio, frames }: Media): Promise<Media> {
    const { queue } = this.gpu.device;
    const write = (to: Tensor, data: Float32Array | Uint8Array) =>
      queue.writeBuffer(
        to.buffer,
        to.offset * 4,
        data as Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>,
      );
    write(this.#input.audio, audio);
    write(this.#input.frames, frames);
    const [samples, pixels] = await this.#readback.run(this.#plan);
    return {
      audio: new Float32Array(samples),
      frames: new Uint8Array(pixels, 0, this.frameBytes),
    };
  }

  /** Starts a new stream. */
  reset(): void {
    for (const coder of this.#coders) coder.reset();
  }

  /** Frees the adapter. */
  close(): void {
    this.gpu.destroy();
  }
}
