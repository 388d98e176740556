/**
 * Shape arithmetic of the streaming stacks: what each layer of an encoder or decoder turns one unit
 * into, and how many tokens a unit has. Knows numbers only: no weights, no kernels.
 *
 * Shapes are [time, height, width, channels] of ONE unit; causality and carried state don't change
 * them, because every layer divides its extents exactly.
 */
import type { CodecConfig, ModelConfig, StackLayer } from "../config/config.ts";
import { InputError } from "../config/errors.ts";

/** [time, height, width, channels]. */
export type Shape4 = [time: number, height: number, width: number, channels: number];

/** [time, height, width]. */
export type Grid = [time: number, height: number, width: number];

const unitSteps = [1, 1, 1] as const;
const axes = ["time", "height", "width"] as const;

/**
 * The output shape of every layer of a stack for one unit of input, in the stack's order.
 *
 * @param what What the stack is, for messages, e.g. "response.video.encoder".
 * @throws InputError that names the layer, when an extent can't be divided or a kernel can't be
 * centred.
 */
export function stackShapes(
  layers: readonly StackLayer[],
  input: Readonly<Shape4>,
  what: string,
): Shape4[] {
  const shapes: Shape4[] = [];
  let shape: Shape4 = [...input];
  layers.forEach((layer, i) => {
    shape = layerShape(layer, shape, `${what}[${i}] (${layer.op})`);
    shapes.push(shape);
  });
  return shapes;
}

/** What a stack makes of one unit: the last layer's shape, or the input's when it has no layers. */
export function stackOutput(
  layers: readonly StackLayer[],
  input: Readonly<Shape4>,
  what: string,
): Shape4 {
  return stackShapes(layers, input, what).at(-1) ?? [...input];
}

function layerShape(layer: StackLayer, [t, h, w, c]: Shape4, what: string): Shape4 {
  switch (layer.op) {
    case "conv": {
      const stride = layer.stride ?? unitSteps;
      checkKernel(layer.kernel, stride, layer.dilation ?? 1, what);
      return [...divide([t, h, w], stride, what, "stride"), layer.channels];
    }
    case "residual":
      checkKernel(layer.kernel, unitSteps, layer.dilation ?? 1, what);
      return [t, h, w, c];
    case "silu":
    case "rmsnorm":
      return [t, h, w, c];
    case "unshuffle": {
      const [ft, fh, fw] = layer.factor;
      return [...divide([t, h, w], layer.factor, what, "factor"), c * ft * fh * fw];
    }
    case "shuffle": {
      const [ft, fh, fw] = layer.factor;
      const block = ft * fh * fw;
      if (c % block !== 0) {
        throw new InputError(
          `${what}: ${c} channels can't be shuffled by factor [${layer.factor}]; ` +
            `the layer before must give a multiple of ${block} channels`,
        );
      }
      return [t * ft, h * fh, w * fw, c / block];
    }
    case "overlap_add":
      checkAudio([t, h, w, c], what);
      if (c !== 2 * layer.hop) {
        throw new InputError(
          `${what}: hop ${layer.hop} needs frames of ${2 * layer.hop} channels, but the layer ` +
            `before gives ${c}; set hop to half of its channels`,
        );
      }
      return [t * layer.hop, 1, 1, 1];
    case "logmel": {
      checkAudio([t, h, w, c], what);
      if (c !== 1) throw new InputError(`${what}: reads samples (1 channel), not ${c} channels`);
      if (layer.window > layer.fft || layer.window < layer.hop) {
        throw new InputError(
          `${what}: window ${layer.window} must be at least hop ${layer.hop} and at most fft ` +
            `${layer.fft}`,
        );
      }
      const [frames] = divide([t, 1, 1], [layer.hop, 1, 1], what, "hop");
      return [frames, 1, 1, layer.mels];
    }
  }
}

function divide(extent: Grid, by: Readonly<Grid>, what: string, key: string): Grid {
  return extent.map((n, axis) => {
    const step = by[axis] ?? 1;
    if (n % step !== 0) {
      throw new InputError(
        `${what}: ${axes[axis]} of ${n} isn't divisible by ${key} ${step}; ` +
          `choose a ${key} that divides ${n}, or another size of the input`,
      );
    }
    return n / step;
  }) as Grid;
}

/** Padding must be whole: past frames (kernel - stride) x dilation, half of kernel - stride aside. */
function checkKernel(
  kernel: Readonly<Grid>,
  stride: Readonly<Grid>,
  dilation: number,
  what: string,
): void {
  kernel.forEach((k, axis) => {
    const s = stride[axis] ?? 1;
    if (k < s) {
      throw new InputError(
        `${what}: kernel ${k} is smaller than stride ${s} along ${axes[axis]}, which would skip ` +
          `input; it may be ${s} or more`,
      );
    }
    if (axis > 0 && (k - s) % 2 !== 0) {
      throw new InputError(
        `${what}: kernel ${k} and stride ${s} along ${axes[axis]} differ by an odd number; ` +
          `make the kernel ${k + 1}`,
      );
    }
  });
  if (dilation > 1 && stride[0] !== 1) {
    throw new InputError(
      `${what}: dilation ${dilation} with time stride ${stride[0]}; a dilated layer needs stride 1`,
    );
  }
}

function checkAudio([, h, w]: Shape4, what: string): void {
  if (h !== 1 || w !== 1) {
    throw new InputError(`${what}: audio has height and width 1, not ${h} x ${w}`);
  }
}

/** One unit of a medium as a stack's input: [samples, 1, 1, 1] or [frames, height, width, 3]. */
export function mediumShape(
  config: ModelConfig,
  side: "observation" | "response",
  medium: "audio" | "video",
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

/** Shapes of one unit on its way through a codec, layer by layer. */
export interface CodecShapes {
  encoder: Shape4[];
  decoder: Shape4[];
  /** The latents: the encoder's output and the decoder's input. */
  latents: Shape4;
}

/**
 * Shapes of one unit through a response codec, checked: the encoder ends in `latent_channels`, and
 * the decoder gives back exactly one unit's samples or frames.
 *
 * @throws InputError
 */
export function codecShapes(config: ModelConfig, medium: "audio" | "video"): CodecShapes {
  const codec: CodecConfig = config.response[medium];
  const input = mediumShape(config, "response", medium);
  const name = `response.${medium}`;
  const encoder = stackShapes(codec.encoder, input, `${name}.encoder`);
  const latents = encoder.at(-1) ?? input;
  if (latents[3] !== codec.latent_channels) {
    throw new InputError(
      `${name}.encoder ends in ${latents[3]} channels, but latent_channels is ` +
        `${codec.latent_channels}; end it with a conv of ${codec.latent_channels} channels`,
    );
  }
  if (medium === "audio") checkAudio(latents, `${name}.encoder's output`);
  const decoder = stackShapes(codec.decoder, latents, `${name}.decoder`);
  const output = decoder.at(-1) ?? latents;
  if (output.some((n, i) => n !== input[i])) {
    throw new InputError(
      `${name}.decoder turns a unit's latents [${latents}] into [${output}], not back into ` +
        `[${input}] (time, height, width, channels); its strides must mirror the encoder's`,
    );
  }
  return { encoder, decoder, latents };
}

/**
 * Shape of one unit of an observation after its encoder: [time, height, width, channels], one token
 * per position.
 *
 * @throws InputError also when the codec's encoder is used for a medium of another size or rate.
 */
export function observationShape(config: ModelConfig, medium: "audio" | "video"): Shape4 {
  const { encoder } = config.observation[medium];
  const name = `observation.${medium}`;
  if (encoder !== "codec") {
    const own = stackOutput(encoder, mediumShape(config, "observation", medium), `${name}.encoder`);
    if (medium === "audio") checkAudio(own, `${name}.encoder's output`);
    return own;
  }
  const mine = mediumShape(config, "observation", medium);
  const codecs = mediumShape(config, "response", medium);
  if (mine.some((n, i) => n !== codecs[i])) {
    const key = medium === "audio" ? "sample_rate" : "width and height";
    throw new InputError(
      `${name}.encoder is "codec", but its ${key} differ from response.${medium}'s (a unit is ` +
        `[${mine}], the codec's [${codecs}]); make them equal or give it an encoder of its own`,
    );
  }
  return codecShapes(config, medium).latents;
}

/**
 * The agent's latent tokens per unit: how many for audio, and the video's grid.
 *
 * @throws InputError when a codec's shapes don't fit together.
 */
export function latentGrid(config: ModelConfig): { audio: number; video: Grid } {
  const audio = codecShapes(config, "audio").latents;
  const [t, h, w] = codecShapes(config, "video").latents;
  return { audio: audio[0], video: [t, h, w] };
}

/**
 * The user's tokens per unit: how many for audio, and the video's grid.
 *
 * @throws InputError when an encoder's shapes don't fit together.
 */
export function observationTokens(config: ModelConfig): { audio: number; video: Grid } {
  const audio = observationShape(config, "audio");
  const [t, h, w] = observationShape(config, "video");
  return { audio: audio[0], video: [t, h, w] };
}
