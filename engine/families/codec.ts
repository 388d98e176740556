/** A codec in memory, whatever family it came from: coders of ours, and tensors under our names. */
import { createHash } from "node:crypto";
import { decoderOf, type Medium } from "../checkpoint/coders.ts";
import { canonicalJson } from "../config/canonical_json.ts";
import { InputError } from "../config/errors.ts";
import { type Coder, coderOutput } from "../layers/coder.ts";
import type { Shape4 } from "../layers/ops/layer.ts";
import type { CheckpointTensor } from "../weights/weights.ts";
import { CodecPart, coderRules } from "./part.ts";

/** The stream that a codec works on. */
export interface CodecStream {
  unitMs: number;
  /** Of pictures. */
  fps: number;
  width: number;
  height: number;
}

export interface OpenCodec {
  medium: Medium;
  family: string;
  /** The folder or file. */
  where: string;
  /** SHA-256 (hex) over its layers and its tensors under our names: the same wherever it lies. */
  digest: string;
  /** Samples per second; null for pictures. */
  sampleRate: number | null;
  /** On one unit. */
  encoder: Coder;
  decoder: Coder;
  tensors: Map<string, CheckpointTensor>;
  /** Of a latent in time, where latents are codes; null where they are floats. */
  bits: number | null;
}

/**
 * One unit of a part's medium, [time, height, width, channels].
 *
 * @throws InputError when a unit doesn't hold a whole number of samples, frames and latents, or the
 * picture can't be parted as the codec does.
 */
export function partInput(
  { where, codec, family }: Pick<CodecPart, "where" | "codec" | "family">,
  stream: CodecStream,
): Shape4 {
  const { medium, sampleRate, hop, multiple } = codec;
  const rate = sampleRate ?? stream.fps;
  const time = (stream.unitMs * rate) / 1000;
  const [what, of] = medium === "audio" ? ["samples", `${rate} Hz`] : ["frames", `${rate} fps`];
  if (!Number.isInteger(time) || time % hop !== 0) {
    throw new InputError(
      `${where}: the ${medium} codec '${family}' makes a latent of every ${hop} ${what} at ${of}, ` +
        `${round(rate / hop)} a second; a unit of ${stream.unitMs} ms has ${
          round(time)
        } ${what}, ` +
        `which is ${round(time / hop)} latents; it must be a whole number`,
    );
  }
  if (medium === "audio") return [time, 1, 1, 1];
  const { width, height } = stream;
  if (width % multiple !== 0 || height % multiple !== 0) {
    throw new InputError(
      `${where}: the video codec '${family}' takes pictures whose width and height are multiples ` +
        `of ${multiple}, not ${width}x${height}: choose another size`,
    );
  }
  return [time, height, width, 3];
}

/**
 * The rules of a part's tensors by our whole names.
 *
 * @param before Layers of ours that stand before its decoder.
 * @throws InputError
 */
export function codecRules(
  part: Pick<CodecPart, "where" | "codec" | "family">,
  stream: CodecStream,
  before: number,
): ReturnType<typeof coderRules> {
  const { medium, encoder, decoder } = part.codec;
  const [name, input] = [`response.${medium}`, partInput(part, stream)];
  const latents = coderOutput({ name, layers: encoder.layers, input });
  return new Map([
    ...coderRules(`${name}.encoder`, encoder, input),
    ...coderRules(`${name}.decoder`, decoder, latents, before),
  ]);
}

const round = (n: number) => Number(n.toFixed(3));

/**
 * Opens a codec's folder or file and reads it.
 *
 * @param codes Its latents are the codes of its quantizer.
 * @throws InputError
 */
export async function openCodec(
  path: string | URL,
  medium: Medium,
  stream: CodecStream,
  codes = false,
): Promise<OpenCodec> {
  using part = await CodecPart.open(path, medium);
  const { codec, family, where } = part;
  const sides = codes ? codec.coded : codec;
  if (!sides) {
    throw new InputError(
      `${where}: the ${medium} codec '${family}' has no quantizer, so its latents are no codes; ` +
        `leave --codes out`,
    );
  }
  const coder = (side: "encoder" | "decoder", input: Readonly<Shape4>): Coder => ({
    name: `response.${medium}.${side}`,
    layers: sides[side].layers,
    input,
    sampleRate: codec.sampleRate ?? 1,
  });
  const input = partInput(part, stream);
  const [, height, width, channels] = input;
  const alone = codec.keys?.["first_frame_alone"] === true;
  const first: Partial<Coder> = alone ? { first: [1, height, width, channels] } : {};
  const encoder = { ...coder("encoder", input), ...first };
  const decoder = decoderOf(coder("decoder", coderOutput(encoder)), encoder);
  const output = coderOutput(decoder);
  if (output.join() !== encoder.input.join()) {
    throw new RangeError(`family ${family}: decodes to [${output}], not to [${encoder.input}]`);
  }
  const layers = [encoder.layers, decoder.layers];
  const hash = createHash("sha256");
  hash.update(`wanstream codec\n${canonicalJson({ medium, rate: codec.sampleRate, layers })}\n`);
  const tensors: OpenCodec["tensors"] = new Map();
  for (const side of [encoder, decoder]) {
    const own = side === encoder ? sides.encoder : sides.decoder;
    for (const [name, { rule, shape }] of [...coderRules(side.name, own, side.input)].sort()) {
      const read = await part.read(rule);
      const bytes = new Uint8Array(new SharedArrayBuffer(read.length));
      bytes.set(read);
      const tensor = { dtype: part.dtype(rule), shape, bytes };
      hash.update(`${JSON.stringify([name, tensor.dtype, shape])}\n`).update(read);
      tensors.set(name, tensor);
    }
  }
  const digest = hash.digest("hex");
  return {
    medium,
    family,
    where,
    digest,
    sampleRate: codec.sampleRate,
    encoder,
    decoder,
    tensors,
    bits: codes ? codec.coded?.bits ?? null : null,
  };
}
