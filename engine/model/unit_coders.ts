/** Encoders and decoders together with samples and pictures as the host has them: what is written
 * before a unit is encoded, and what is read when it was decoded. */
import { type Medium, perMedium, responseDecoder } from "../checkpoint/coders.ts";
import type { ModelConfig } from "../config/config.ts";
import { type Coder, coderOutput } from "../layers/coder.ts";
import { StreamingCoder } from "../layers/streaming_coder.ts";
import type { Weights } from "../weights/weights.ts";
import { clampSamples, pixelWords, unpackPixels } from "../../kernels/codec/pixels.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { copy, type Step } from "../../kernels/gpu/plan.ts";
import {
  byteOffset,
  elements,
  type FloatType,
  reshape,
  sharedTensor,
  type Tensor,
} from "../../kernels/gpu/tensor.ts";

/** One unit of the agent's side. */
export interface Media {
  /** Mono samples in [-1, 1] at `response.audio.sample_rate`. */
  audio: Float32Array;
  /** RGB24 frames [frames per unit, height, width, 3]. */
  frames: Uint8Array;
}

/** A tensor for so many values of RGB24 pictures, four bytes to a word. */
function packedPixels(gpu: Gpu, label: string, values: number): Tensor {
  return sharedTensor(gpu, label, [pixelWords(values / 3)], "u32");
}

/** An encoder of one medium: write a unit, then run the steps. */
export class UnitEncoder {
  private readonly gpu: Gpu;
  readonly coder: StreamingCoder;
  readonly steps: readonly Step[];
  /** In place of `steps`, once, where a stream's first frame comes alone; null: it doesn't. */
  readonly firstSteps: readonly Step[] | null;
  /** Samples, or packed pixels. */
  readonly #given: Tensor;

  /** @throws InputError when layers, shapes or weights don't fit together. */
  constructor(
    gpu: Gpu,
    medium: Medium,
    coder: Coder,
    weights: Weights,
    storage: FloatType,
  ) {
    this.gpu = gpu;
    this.coder = new StreamingCoder(gpu, coder, weights, storage);
    const { input, steps, first } = this.coder;
    if (medium === "audio") {
      this.#given = input;
      this.steps = steps;
      this.firstSteps = null;
    } else {
      const given = this.#given = packedPixels(
        gpu,
        `${coder.name} pictures`,
        elements(input.shape),
      );
      const unpack = (y: Tensor) => {
        const pixels = { ...given, shape: [pixelWords(elements(y.shape) / 3)] };
        return unpackPixels(gpu, { label: coder.name, pixels, y });
      };
      this.steps = [unpack(input), ...steps];
      this.firstSteps = first && [unpack(first.input), ...first.steps];
    }
  }

  /** Writes a unit's samples, or its RGB24 frames, or before `firstSteps` one frame. */
  write(data: Float32Array | Uint8Array): void {
    let bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    if (bytes.length % 4 !== 0) {
      const words = new Uint8Array(4 * Math.ceil(bytes.length / 4));
      words.set(bytes);
      bytes = words;
    }
    const { buffer } = this.#given;
    this.gpu.device.queue.writeBuffer(buffer, byteOffset(this.#given), bytes);
  }
}

/** A decoder of one medium: its latents become samples, or pictures. */
export class MediumDecoder {
  readonly coder: StreamingCoder;
  readonly steps: readonly Step[];
  /** Samples or packed pixels, to be read back. */
  readonly output: Tensor;
  /** Of pictures: those of a unit. */
  readonly frameBytes: number;
  private readonly medium: Medium;

  /** @throws InputError when layers, shapes or weights don't fit together. */
  constructor(gpu: Gpu, medium: Medium, coder: Coder, weights: Weights, storage: FloatType) {
    this.medium = medium;
    const values = elements(coderOutput(coder));
    this.frameBytes = values;
    if (medium === "audio") {
      const { output, steps } = this.coder = new StreamingCoder(gpu, coder, weights, storage);
      this.output = sharedTensor(gpu, "agent samples", [values]);
      this.steps = [...steps, clampSamples(gpu, { label: "agent", x: output, y: this.output })];
    } else {
      this.output = packedPixels(gpu, "agent frames", values);
      this.coder = new StreamingCoder(gpu, coder, weights, storage, this.output);
      this.steps = this.coder.steps;
    }
  }

  /** Takes the latents of a stream's first frame, where that comes alone: what it decodes to isn't asked
   * for, since it is known. */
  takeFirst(latents: Tensor): readonly Step[] {
    const { first } = this.coder;
    if (!first) return [];
    return [
      copy(`${this.medium} latents`, latents, reshape(first.input, latents.shape)),
      ...first.steps,
    ];
  }

  /** Takes a unit's latents; before `steps`. */
  take(latents: Tensor): Step {
    const input = reshape(this.coder.input, latents.shape);
    return copy(`${this.medium} latents`, latents, input);
  }

  /** What was read of the output. */
  media(read: ArrayBuffer): Float32Array | Uint8Array {
    return this.medium === "audio"
      ? new Float32Array(read)
      : new Uint8Array(read, 0, this.frameBytes);
  }
}

/** Both decoders of the response: its latents become samples and pictures. */
export class UnitDecoder {
  readonly coders: Record<Medium, StreamingCoder>;
  readonly steps: readonly Step[];
  readonly video: MediumDecoder;
  /** Samples and packed pixels, to be read back. */
  readonly outputs: readonly [audio: Tensor, frames: Tensor];

  /**
   * @param latents What is decoded: a unit's of each medium, tokens by channels.
   * @throws InputError when layers, shapes or weights don't fit together.
   */
  constructor(
    gpu: Gpu,
    config: ModelConfig,
    weights: Weights,
    storage: FloatType,
    latents: Record<Medium, Tensor>,
  ) {
    const { audio, video } = perMedium((medium) =>
      new MediumDecoder(gpu, medium, responseDecoder(config, medium), weights, storage)
    );
    this.coders = { audio: audio.coder, video: video.coder };
    this.video = video;
    this.outputs = [audio.output, video.output];
    // Both copies first: they stand outside of the compute pass.
    const given = [audio.take(latents.audio), video.take(latents.video)];
    this.steps = [...given, ...audio.steps, ...video.steps];
  }

  /** What was read of the outputs. */
  media(audio: ArrayBuffer, frames: ArrayBuffer): Media {
    return {
      audio: new Float32Array(audio),
      frames: new Uint8Array(frames, 0, this.video.frameBytes),
    };
  }
}
