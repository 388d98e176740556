/** NUT (FFmpeg's own container, made for pipes): raw RGB24 pictures and 32-bit float samples. */
import { concat } from "../system/bytes.ts";
import { mediaPieces, type MuxedUnit, type Muxer } from "./media_pieces.ts";
import type { StreamShape } from "./stream_shape.ts";

const encoder = new TextEncoder();

/** First bytes of every packet but a frame's. */
export const nutStartcodes = {
  main: 0x4e4d7a561f5f04adn,
  stream: 0x4e5311405bf2f9dbn,
  syncpoint: 0x4e4be4adeeca4569n,
  index: 0x4e58dd672f23e64en,
  info: 0x4e49ab68b596ba78n,
} as const;

/** First bytes of every file, the 0 included. */
export const nutId = encoder.encode("nut/multimedia container\0");

/** Frame flags in use: every frame is a key frame and carries its stream, time, size and checksum. */
const frameFlags = 1 | 8 | 16 | 32 | 64;
const codedFlags = 4096;
/** Frames up to twice this size would need no checksum. */
const maxDistance = 65536;
/** Most units in the index; of a longer stream every second, fourth, ... is in it. */
const maxIndexed = 4096;
/** Times below 2^shift are abbreviations; ours are not. */
const ptsShift = 7;

/** CRC-32 with polynomial 0x04c11db7, highest bit first, from 0. */
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
  return crc;
});

function checksum(bytes: Uint8Array): Uint8Array {
  let crc = 0;
  for (const byte of bytes) crc = (crc << 8) ^ (crcTable[(crc >>> 24) ^ byte] ?? 0);
  return number64(BigInt(crc >>> 0)).subarray(4);
}

function number64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** Numbers of 7 bits a byte, highest first; all bytes but the last have their highest bit set. */
function varint(...values: number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => {
    const bytes = [value % 128];
    for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
      bytes.unshift(128 + (rest % 128));
    }
    return bytes;
  }));
}

function text(value: string): Uint8Array {
  const bytes = encoder.encode(value);
  return concat([varint(bytes.length), bytes]);
}

/** A packet: startcode, how far its end is, content, checksum. */
function packet(startcode: bigint, parts: Uint8Array[]): Uint8Array {
  const content = concat(parts);
  let head = concat([number64(startcode), varint(content.length + 4)]);
  if (content.length + 4 > 4096) head = concat([head, checksum(head)]);
  return concat([head, content, checksum(content)]);
}

/** Streams 0 (video) and 1 (audio) have the time bases of the same number: a frame, a sample. */
export class NutMuxer implements Muxer {
  readonly #shape: StreamShape;
  #parts: Uint8Array[] = [];
  #written = 0;
  #syncpoint: number | null = null;
  /** Where units begin, for the index: every `#stride`-th from `#first` on. */
  #positions: number[] = [];
  #stride = 1;
  #first = 0;
  #units = 0;

  constructor(shape: StreamShape) {
    this.#shape = shape;
  }

  start(): Uint8Array<ArrayBuffer> {
    const { fps, sampleRate, width, height } = this.#shape;
    const [fpsNumber, fpsUnit] = Number.isInteger(fps) ? [fps, 1] : [Math.round(fps * 1000), 1000];
    const main = packet(nutStartcodes.main, [
      // Version, streams, distance between syncpoints, time bases.
      varint(3, 2, maxDistance, 2, fpsUnit, fpsNumber, 1, sampleRate),
      // One rule for all 255 frame codes: the flags follow. 6 fields: time, size x 1, ..., count.
      varint(codedFlags, 6, 0, 1, 0, 0, 0, 255),
      // No headers are left out of frames.
      varint(0),
    ]);
    const stream = (id: number, fourcc: string, more: number[]) =>
      packet(nutStartcodes.stream, [
        varint(id, id),
        concat([varint(4), Uint8Array.from(fourcc, (letter) => letter.charCodeAt(0))]),
        // Time base, abbreviation, longest gap, frames kept back, flags, no codec data.
        varint(id, ptsShift, id === 0 ? Math.ceil(fps) : sampleRate, 0, 0, 0),
        varint(...more),
      ]);
    const rate = packet(nutStartcodes.info, [
      // Of stream 0, the whole of it, one entry: text (-1 is written as 2).
      varint(1, 0, 0, 0, 1),
      text("r_frame_rate"),
      varint(2),
      text(`${fpsNumber}/${fpsUnit}`),
    ]);
    this.#add(
      nutId,
      main,
      stream(0, "RGB\x18", [width, height, 1, 1, 0]),
      stream(1, "PFD\x20", [sampleRate, 1, 1]),
      rate,
    );
    return this.#take();
  }

  unit(unit: MuxedUnit): Uint8Array<ArrayBuffer> {
    if (this.#units === 0) this.#first = unit.unit;
    if (this.#units++ % this.#stride === 0) this.#positions.push(this.#written);
    if (this.#positions.length > maxIndexed) {
      this.#positions = this.#positions.filter((_, i) => i % 2 === 0);
      this.#stride *= 2;
    }
    for (const { frame, sample, picture, sound } of mediaPieces(this.#shape, unit)) {
      this.#frame(0, frame, picture);
      this.#frame(1, sample, sound);
    }
    return this.#take();
  }

  /** A frame with its own syncpoint: none may begin further than `maxDistance` behind one. */
  #frame(stream: number, time: number, data: Uint8Array): void {
    const back = Math.floor((this.#written - (this.#syncpoint ?? this.#written)) / 16);
    this.#syncpoint = this.#written;
    // A time is counted in its base: time x 2 bases + base.
    this.#add(packet(nutStartcodes.syncpoint, [varint(time * 2 + stream, back)]));
    const head = varint(0, frameFlags, stream, time + 2 ** ptsShift, data.length);
    this.#add(head, checksum(head), data);
  }

  /** The index; a stream that lacks it was cut off. */
  end(): Uint8Array<ArrayBuffer> {
    const { frames, samples } = this.#shape;
    const count = this.#positions.length;
    if (count === 0) return new Uint8Array();
    const sixteenths = this.#positions.map((position) => Math.floor(position / 16));
    // A run of ones says that both streams have a key frame between each two positions; none is before
    // the first. Then the times of those frames, as differences.
    const run = (ones: number) => varint(ones * 4 + 3);
    const keys = (step: number) =>
      count === 1 ? run(0) : concat([
        run(0),
        run(count - 1),
        varint(1 + this.#first * step, ...Array(count - 2).fill(step * this.#stride)),
      ]);
    const content = [
      varint(((this.#first + this.#units) * frames - 1) * 2, count),
      varint(...sixteenths.map((at, i) => at - (sixteenths[i - 1] ?? 0))),
      keys(frames),
      keys(samples),
    ];
    const size = content.reduce((sum, part) => sum + part.length, 0) + 8 + 4;
    const head = 8 + varint(size).length + (size > 4096 ? 4 : 0);
    this.#add(packet(nutStartcodes.index, [...content, number64(BigInt(head + size))]));
    return this.#take();
  }

  #add(...parts: Uint8Array[]): void {
    this.#parts.push(...parts);
    for (const part of parts) this.#written += part.length;
  }

  #take(): Uint8Array<ArrayBuffer> {
    return concat(this.#parts.splice(0));
  }
}
