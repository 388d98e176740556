/**
 * The encoders and decoders of a model: where each one's tensors lie, its layers, and the shape of one
 * unit of its input.
 */
import type { ModelConfig } from "../config/config.ts";
import { InputError } from "../config/errors.ts";
import { type Coder, coderOutput, placeFirst } from "../layers/coder.ts";
import { requireAudio, type Shape4 } from "../layers/ops/layer.ts";

export type Medium = "audio" | "video";
export const media = ["audio", "video"] as const;

/** One of each medium. */
export function perMedium<T>(make: (medium: Medium) => T): Record<Medium, T> {
  return { audio: make("audio"), video: make("video") };
}

/**
 * One unit of a medium as it comes in or goes out: [samples, 1, 1, 1] or [frames, height, width, 3].
 *
 * @throws InputError when a unit doesn't hold a whole number of them.
 */
export function mediumShape(
  config: ModelConfig,
  side: "observation" | "response",
  medium: Medium,
): Shape4 {
  if (medium === "audio") {
    const rate = config[side].audio.sample_rate;
    const samples = (config.unit_ms * rate) / 1000;
    if (!Number.isInteger(samples)) {
      throw new InputError(
        `${side}.audio.sample_rate ${rate}: a unit of ${config.unit_ms} ms would hold ${samples} ` +
          `samples; choose a rate that makes it whole`,
      );
    }
    return [samples, 1, 1, 1];
  }
  const frames = (config.unit_ms * config.fps) / 1000;
  if (!Number.isInteger(frames)) {
    throw new InputError(
      `fps ${config.fps}: a unit of ${config.unit_ms} ms would hold ${frames} frames; choose fps ` +
        `and unit_ms that make it whole`,
    );
  }
  const { width, height } = config[side].video;
  return [frames, height, width, 3];
}

/** The encoder of the agent's own audio or video. */
export function responseEncoder(config: ModelConfig, medium: Medium): Coder {
  const input = mediumShape(config, "response", medium);
  const [, height, width, channels] = input;
  const alone = medium === "video" && config.response.video.first_frame_alone;
  return {
    name: `response.${medium}.encoder`,
    layers: config.response[medium].encoder,
    input,
    ...(alone ? { first: [1, height, width, channels] } : {}),
    sampleRate: config.response.audio.sample_rate,
  };
}

/**
 * The decoder of the agent's audio or video.
 *
 * @throws InputError unless the encoder ends in `latent_channels`, and the decoder gives back exactly
 * one unit's samples or frames.
 */
export function responseDecoder(config: ModelConfig, medium: Medium): Coder {
  const encoder = responseEncoder(config, medium);
  const latents = coderOutput(encoder);
  const { latent_channels: channels, decoder: layers } = config.response[medium];
  if (latents[3] !== channels) {
    throw new InputError(
      `${encoder.name} ends in ${latents[3]} channels, but latent_channels is ` +
        `${channels}; end it with a conv of ${channels} channels`,
    );
  }
  if (medium === "audio") requireAudio(latents, `${encoder.name}'s output`);
  const name = `response.${medium}.decoder`;
  const decoder = decoderOf(
    { name, layers, input: latents, sampleRate: encoder.sampleRate },
    encoder,
  );
  const output = coderOutput(decoder);
  if (output.some((n, i) => n !== encoder.input[i])) {
    throw new InputError(
      `${decoder.name} turns a unit's latents [${latents}] into [${output}], not back into ` +
        `[${encoder.input}] (time, height, width, channels); its strides must mirror the encoder's`,
    );
  }
  if (decoder.first && decoder.first.join() !== latents.join()) {
    throw new InputError(
      `${encoder.name} makes latents [${decoder.first}] of the first frame and [${latents}] of a unit; ` +
        `with first_frame_alone they must be alike: choose a unit that is one latent long`,
    );
  }
  return decoder;
}

/**
 * The decoder with the shape of the first frame's latents, where that comes alone.
 *
 * @param of Its encoder.
 * @throws InputError unless the first frame comes back as one frame.
 */
export function decoderOf(decoder: Coder, of: Coder): Coder {
  const latents = placeFirst(of).at(-1)?.output;
  if (!of.first || !latents) return decoder;
  const alone = { ...decoder, first: latents };
  const output = placeFirst(alone).at(-1)?.output;
  if (output?.join() === of.first.join()) return alone;
  throw new InputError(
    `${decoder.name} turns the first frame's latents [${latents}] into [${output}], not back into ` +
      `[${of.first}] (time, height, width, channels)`,
  );
}

/**
 * The encoder of the user's audio or video: one of its own, or the response codec's.
 *
 * @throws InputError also when the codec's encoder is used for a medium of another size or rate.
 */
export function observationEncoder(config: ModelConfig, medium: Medium): Coder {
  const { encoder } = config.observation[medium];
  const input = mediumShape(config, "observation", medium);
  const name = `observation.${medium}.encoder`;
  if (encoder !== "codec") {
    const sampleRate = config.observation.audio.sample_rate;
    const own = { name, layers: encoder, input, sampleRate };
    if (medium === "audio") requireAudio(coderOutput(own), `${name}'s output`);
    return own;
  }
  const codec = responseEncoder(config, medium);
  if (input.some((n, i) => n !== codec.input[i])) {
    const key = medium === "audio" ? "sample_rate" : "width and height";
    throw new InputError(
      `${name} is "codec", but its ${key} differ from response.${medium}'s (a unit is ` +
        `[${input}], the codec's [${codec.input}]); make them equal or give it an encoder of its own`,
    );
  }
  return codec;
}

/** All encoders and decoders that a checkpoint holds. @throws InputError when one doesn't fit. */
export function allCoders(config: ModelConfig): Coder[] {
  return media.flatMap((medium) => {
    const coders = [responseEncoder(config, medium), responseDecoder(config, medium)];
    const observer = observationEncoder(config, medium);
    return config.observation[medium].encoder === "codec" ? coders : [observer, ...coders];
  });
}
