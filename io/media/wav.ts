/** WAV files without FFmpeg: PCM and float samples in, 16-bit PCM out. */
import { InputError } from "../../engine/config/errors.ts";
import { ByteQueue } from "../system/byte_queue.ts";
import { writeAll } from "../system/bytes.ts";
import { fileReader, lacks, type View } from "./file_view.ts";
import type { MediaSource } from "./observation_reader.ts";
import { Resampler } from "./resample.ts";
import type { Track } from "./tracks.ts";
import { lengthUnknown, riffChunks } from "./riff.ts";

/** Where a WAV file's samples lie and how they are written. */
export interface WavFormat {
  coding: "int" | "float";
  bits: 8 | 16 | 24 | 32 | 64;
  sampleRate: number;
  channels: number;
  /** How much of each channel goes into the mix to mono. */
  weights: number[];
  /** Bytes of one sample of all channels. */
  frame: number;
  /** First byte of the samples; their bytes by the header (null: up to the end) and in the file. */
  start: number;
  stated: number | null;
  length: number;
}

/** Writers that count wrongly state so many bytes too many at the most: less than 1 ms of sound. */
const fewBytes = 64;

/** Most chunks before the samples: each costs a read, and a file can hold millions of empty ones. */
const maxChunks = 1000;

/**
 * Reads a WAV file's header (RIFF or RF64).
 *
 * @returns null when its samples are coded in another way than PCM or float.
 * @throws InputError when it is not a WAV file with samples.
 */
export async function readWavHeader(path: string): Promise<WavFormat | null> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const at = fileReader(file, size);
  let format: Omit<WavFormat, "start" | "stated" | "length"> | null = null;
  let stated64: number | null = null;
  let chunks = 0;
  for await (const { id, start, length } of riffChunks(at, size, 12)) {
    if (++chunks > maxChunks) {
      throw new InputError(`${path}: has ${maxChunks} chunks before its samples: record it again`);
    }
    if (id === "ds64" && length >= 16 && start + 16 <= size) {
      stated64 = (await at(start + 8, 8)).little(0, 8);
    } else if (id === "fmt " && length >= 16 && start + length <= size) {
      const parsed = parseFormat(await at(start, Math.min(length, 40)), path);
      if (parsed === null) return null;
      format = parsed;
    } else if (id === "data") {
      if (format === null) throw new InputError(`${path}: its samples come before their format`);
      const stated = lengthUnknown(length, size - start) ? stated64 : length;
      const there = Math.min(stated ?? Infinity, size - start);
      if (there < format.frame) break;
      return { ...format, start, stated, length: there - (there % format.frame) };
    }
  }
  throw new InputError(`${path}: is a WAV file without samples: record it again`);
}

function parseFormat(
  view: View,
  path: string,
): Omit<WavFormat, "start" | "stated" | "length"> | null {
  const extensible = view.little(0, 2) === 0xfffe && view.bytes.length >= 40;
  const tag = view.little(extensible ? 24 : 0, 2);
  const channels = view.little(2, 2);
  const sampleRate = view.little(4, 4);
  const frame = view.little(12, 2);
  const mask = extensible ? view.little(20, 4) : 0;
  const bits = (frame * 8) / channels;
  if (tag !== 1 && tag !== 3) return null;
  const known = tag === 3 ? [32, 64] : [8, 16, 24, 32];
  if (!known.includes(bits) || channels > 64 || sampleRate < 1000 || sampleRate > 1_000_000) {
    throw new InputError(
      `${path}: ${channels} channels of ${bits} bits at ${sampleRate} Hz: a WAV file may have up to ` +
        `64 channels of ${known.join(", ")} bits at 1000 to 1000000 Hz`,
    );
  }
  return {
    coding: tag === 3 ? "float" : "int",
    bits: bits as WavFormat["bits"],
    sampleRate,
    channels,
    frame,
    weights: mixWeights(channels, mask),
  };
}

/** By bit of the speaker mask: front left, right and centre, low frequencies, back left and right, ... */
const speakerWeights = [
  ...[Math.SQRT1_2, Math.SQRT1_2, 1, 0, 0.5, 0.5, Math.SQRT1_2, Math.SQRT1_2, 0.5, 0.5, 0.5],
];

/** Where speakers stand when the file doesn't say, by the number of channels: FFmpeg's guess. */
const guessedMasks = [0, 0x4, 0x3, 0xb, 0x107, 0x37, 0x3f, 0x70f, 0x63f];

/**
 * How much of each channel goes into the mix: FFmpeg's downmix to mono (libswresample's rematrix), for
 * which a voice is as loud as when FFmpeg reads the file. The sum is at most 1.
 */
function mixWeights(channels: number, mask: number): number[] {
  const bits = (from: number) =>
    Array.from({ length: 32 }, (_, i) => i).filter((i) => from >>> i & 1);
  const stated = bits(mask);
  const speakers = stated.length === channels ? stated : bits(guessedMasks[channels] ?? 0);
  const weights = Array.from(
    { length: channels },
    (_, i) => speakerWeights[speakers[i] ?? Infinity] ?? 0,
  );
  const sum = weights.reduce((a, b) => a + b, 0);
  if (sum === 0) return Array(channels).fill(1 / channels);
  return weights.map((weight) => weight / Math.max(1, sum));
}

/** Samples as they are stored to mono floats: the sum of the channels by their weights. */
export function decodeSamples(
  bytes: Uint8Array,
  format: Pick<WavFormat, "coding" | "bits" | "frame" | "weights">,
): Float32Array {
  const { coding, bits, frame, weights } = format;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = bits / 8;
  const read = (at: number): number => {
    if (coding === "float") {
      return bits === 32 ? view.getFloat32(at, true) : view.getFloat64(at, true);
    }
    if (bits === 8) return (view.getUint8(at) - 128) / 128;
    if (bits === 16) return view.getInt16(at, true) / 32768;
    if (bits === 24) return (view.getUint16(at, true) + view.getInt8(at + 2) * 65536) / 8388608;
    return view.getInt32(at, true) / 2147483648;
  };
  const mixed = [...weights.entries()].filter(([, weight]) => weight !== 0);
  return Float32Array.from({ length: Math.floor(bytes.length / frame) }, (_, i) => {
    let sum = 0;
    for (const [channel, weight] of mixed) sum += weight * read(i * frame + channel * width);
    return sum;
  });
}

/** Samples in [-1, 1] as 16 bits each, little-endian. */
export function toPcm16(samples: Float32Array): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(samples.length * 2));
  samples.forEach((sample, i) => {
    const level = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    view.setInt16(i * 2, level, true);
  });
  return new Uint8Array(view.buffer);
}

/** Samples of 16 bits each, little-endian, as floats in [-1, 1). */
export function fromPcm16(bytes: Uint8Array): Float32Array {
  return decodeSamples(bytes, { coding: "int", bits: 16, frame: 2, weights: [1] });
}

/** A WAV file's one track. */
export function wavTrack({ coding, bits, channels }: WavFormat): Track {
  const letter = coding === "float" ? "f" : bits === 8 ? "u" : "s";
  return {
    ...{ kind: "audio", number: 1, isDefault: true, language: null, title: null, channels },
    codec: `pcm_${letter}${bits}${bits === 8 ? "" : "le"}`,
  };
}

/** The sound of a WAV file at `sampleRate`. @param channel The one that is taken; null: a mix. */
export function openWav(
  path: string,
  format: WavFormat,
  sampleRate: number,
  channel: number | null,
): MediaSource {
  const weights = format.weights.map((weight, i) =>
    channel === null ? weight : Number(i === channel)
  );
  const audio = new ByteQueue(readSamples(path, { ...format, weights }, sampleRate));
  return {
    video: null,
    audio,
    finish: () => {
      const { start, stated, length } = format;
      const missing = stated !== null && stated - length > fewBytes;
      return Promise.resolve(
        missing ? lacks("its data chunk", start, stated, start + length) : null,
      );
    },
    close: () => audio.close(),
  };
}

async function* readSamples(
  path: string,
  format: WavFormat,
  sampleRate: number,
): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  await file.seek(format.start, Deno.SeekMode.Start);
  const resampler = new Resampler(format.sampleRate, sampleRate);
  const buffer = new Uint8Array(format.frame * 4096);
  let held = 0;
  for (let left = format.length; left > 0;) {
    const read = await file.read(buffer.subarray(held, Math.min(buffer.length, held + left)));
    if (read === null) break;
    left -= read;
    held += read;
    const whole = held - (held % format.frame);
    const samples = resampler.push(decodeSamples(buffer.subarray(0, whole), format));
    buffer.copyWithin(0, whole, held);
    held -= whole;
    yield new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  }
  const rest = resampler.flush();
  yield new Uint8Array(rest.buffer);
}

/** Writes mono 16-bit PCM. */
export class WavWriter {
  readonly #file: Deno.FsFile;
  readonly #info: Uint8Array;
  #bytes = 0;
  #open = true;

  private constructor(file: Deno.FsFile, info: Uint8Array) {
    this.#file = file;
    this.#info = info;
  }

  /** @param comment What the file says of itself, in a chunk after the samples. */
  static async create(
    path: string,
    sampleRate: number,
    comment: string | null = null,
  ): Promise<WavWriter> {
    const file = await Deno.open(path, { write: true, create: true });
    const writer = new WavWriter(file, comment === null ? new Uint8Array() : infoChunk(comment));
    const header = new DataView(new ArrayBuffer(44));
    for (const [at, text] of [[0, "RIFF"], [8, "WAVE"], [12, "fmt "], [36, "data"]] as const) {
      new TextEncoder().encodeInto(text, new Uint8Array(header.buffer, at, 4));
    }
    header.setUint32(16, 16, true);
    header.setUint16(20, 1, true);
    header.setUint16(22, 1, true);
    header.setUint32(24, sampleRate, true);
    header.setUint32(28, sampleRate * 2, true);
    header.setUint16(32, 2, true);
    header.setUint16(34, 16, true);
    await writeAll(writer.#file, new Uint8Array(header.buffer));
    return writer;
  }

  /** Appends samples in [-1, 1]. */
  async write(samples: Float32Array): Promise<void> {
    const bytes = toPcm16(samples);
    await writeAll(this.#file, bytes);
    this.#bytes += bytes.length;
  }

  /**
   * Cuts off what isn't a whole unit, after a write that failed, and closes the file.
   *
   * @param samples Of a unit. @returns How many units are whole.
   */
  async keepWhole(samples: number): Promise<number> {
    const { size } = await this.#file.stat();
    const units = Math.max(0, Math.floor((size - 44) / (samples * 2)));
    this.#bytes = units * samples * 2;
    await this.#file.truncate(44 + this.#bytes);
    await this.#file.seek(0, Deno.SeekMode.End);
    await this.close();
    return units;
  }

  /** Puts the lengths into the header and closes the file; once is enough. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    const info = this.#info.length;
    await writeAll(this.#file, this.#info);
    for (const [at, length] of [[4, 36 + this.#bytes + info], [40, this.#bytes]] as const) {
      const field = new DataView(new ArrayBuffer(4));
      field.setUint32(0, Math.min(length, 0xffffffff), true);
      await this.#file.seek(at, Deno.SeekMode.Start);
      await writeAll(this.#file, new Uint8Array(field.buffer));
    }
    this.#file.close();
  }
}

/** A list of facts with a comment in it. */
function infoChunk(comment: string): Uint8Array {
  const text = new TextEncoder().encode(`${comment}\0`);
  const padded = text.length + text.length % 2;
  const chunk = new Uint8Array(20 + padded);
  const view = new DataView(chunk.buffer);
  for (const [at, name] of [[0, "LIST"], [8, "INFO"], [12, "ICMT"]] as const) {
    new TextEncoder().encodeInto(name, chunk.subarray(at));
  }
  view.setUint32(4, 12 + padded, true);
  view.setUint32(16, text.length, true);
  chunk.set(text, 20);
  return chunk;
}
