/** WAV files without FFmpeg: PCM and float samples in, 16-bit PCM out. */
import { InputError } from "../../engine/config/errors.ts";
import { ByteQueue } from "../system/byte_queue.ts";
import { writeAll } from "../system/bytes.ts";
import { fileReader, lacks, type View } from "./file_view.ts";
import type { MediaSource } from "./observation_reader.ts";
import { Resampler } from "./resample.ts";
import { lengthUnknown, riffChunks } from "./riff.ts";

/** Where a WAV file's samples lie and how they are written. */
export interface WavFormat {
  coding: "int" | "float";
  bits: 8 | 16 | 24 | 32 | 64;
  sampleRate: number;
  channels: number;
  /** Channels that are mixed down: all but low-frequency effects. */
  mixed: number[];
  /** Bytes of one sample of all channels. */
  frame: number;
  /** First byte of the samples; their bytes by the header (null: up to the end) and in the file. */
  start: number;
  stated: number | null;
  length: number;
}

const lowFrequency = 8;

/** Most chunks before the samples: each costs a read, and a file can hold millions of empty ones. */
const maxChunks = 1000;

/**
 * Reads a WAV file's header (RIFF or RF64).
 *
 * @returns null when its samples are coded in another way than PCM or float.
 * @throws InputError when it is no WAV file that can hold samples.
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
      const stated = lengthUnknown(length) ? stated64 : length;
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
  const mask = extensible ? view.little(20, 4) : channels === 6 ? 0x3f : 0;
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
    mixed: mixedChannels(channels, mask),
  };
}

/** Indices of the channels that aren't low-frequency effects, by the speaker mask. */
function mixedChannels(channels: number, mask: number): number[] {
  const speakers = Array.from({ length: 32 }, (_, bit) => 2 ** bit).filter((bit) => mask & bit);
  const all = Array.from({ length: channels }, (_, i) => i);
  const full = all.filter((i) => speakers[i] !== lowFrequency);
  return full.length > 0 ? full : all;
}

/** Samples as they are stored to mono floats: the mean of the mixed channels. */
export function decodeSamples(bytes: Uint8Array, format: WavFormat): Float32Array {
  const { coding, bits, frame, mixed } = format;
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
  return Float32Array.from({ length: Math.floor(bytes.length / frame) }, (_, i) => {
    let sum = 0;
    for (const channel of mixed) sum += read(i * frame + channel * width);
    return sum / mixed.length;
  });
}

/** A WAV file's sound at `sampleRate`; null when its coding needs FFmpeg. @throws InputError */
export async function openWav(path: string, sampleRate: number): Promise<MediaSource | null> {
  const format = await readWavHeader(path);
  if (format === null) return null;
  const audio = new ByteQueue(readSamples(path, format, sampleRate));
  return {
    video: null,
    audio,
    finish: () => {
      const { start, stated, length } = format;
      const missing = stated !== null && stated - length >= format.frame;
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
  #bytes = 0;
  #open = true;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  static async create(path: string, sampleRate: number): Promise<WavWriter> {
    const writer = new WavWriter(await Deno.open(path, { write: true, create: true }));
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
    const view = new DataView(new ArrayBuffer(samples.length * 2));
    samples.forEach((sample, i) => {
      const level = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
      view.setInt16(i * 2, level, true);
    });
    await writeAll(this.#file, new Uint8Array(view.buffer));
    this.#bytes += view.byteLength;
  }

  /** Puts the lengths into the header and closes the file; once is enough. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    for (const [at, length] of [[4, 36 + this.#bytes], [40, this.#bytes]] as const) {
      const field = new DataView(new ArrayBuffer(4));
      field.setUint32(0, Math.min(length, 0xffffffff), true);
      await this.#file.seek(at, Deno.SeekMode.Start);
      await writeAll(this.#file, new Uint8Array(field.buffer));
    }
    this.#file.close();
  }
}
