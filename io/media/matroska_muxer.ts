/** Matroska as a live stream: raw RGB24 pictures, 32-bit float samples, the text as subtitles. */
import { concat } from "../system/bytes.ts";
import { mediaPieces, type MuxedUnit, type Muxer } from "./media_pieces.ts";
import type { StreamShape } from "./stream_shape.ts";

const encoder = new TextEncoder();

/** A whole number in as few bytes as it takes, highest first. */
function whole(value: number): Uint8Array {
  const bytes = [value % 256];
  for (let rest = Math.floor(value / 256); rest > 0; rest = Math.floor(rest / 256)) {
    bytes.unshift(rest % 256);
  }
  return Uint8Array.from(bytes);
}

function double(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return bytes;
}

/** The length of an element: 8 bytes, of which the first says so. */
function length(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  bytes[0] = 1;
  return bytes;
}

/** An element with a number, a text, bytes or other elements in it. */
function element(id: number, content: number | string | Uint8Array | Uint8Array[]): Uint8Array {
  const bytes = typeof content === "number"
    ? whole(content)
    : typeof content === "string"
    ? encoder.encode(content)
    : Array.isArray(content)
    ? concat(content)
    : content;
  return concat([whole(id), length(bytes.length), bytes]);
}

/** Marks an element whose end is where the stream ends. */
const unknownLength = Uint8Array.of(1, 255, 255, 255, 255, 255, 255, 255);

/** Element ids (RFC 9559). */
const id = {
  ebml: 0x1a45dfa3,
  segment: 0x18538067,
  info: 0x1549a966,
  tracks: 0x1654ae6b,
  track: 0xae,
  cluster: 0x1f43b675,
  timestamp: 0xe7,
  simpleBlock: 0xa3,
  blockGroup: 0xa0,
  block: 0xa1,
  duration: 0x9b,
} as const;

const kinds = { video: 1, audio: 2, subtitle: 17 } as const;

function track(number: number, kind: number, codec: string, more: Uint8Array[]): Uint8Array {
  return element(id.track, [
    element(0xd7, number),
    element(0x73c5, number),
    element(0x83, kind),
    // No lacing: a block holds one frame.
    element(0x9c, 0),
    element(0x86, codec),
    ...more,
  ]);
}

/** One cluster for each unit; times in ms. */
export class MatroskaMuxer implements Muxer {
  readonly #shape: StreamShape;

  constructor(shape: StreamShape) {
    this.#shape = shape;
  }

  start(): Uint8Array<ArrayBuffer> {
    const { fps, width, height, sampleRate } = this.#shape;
    return concat([
      element(id.ebml, [
        ...[element(0x4286, 1), element(0x42f7, 1), element(0x42f2, 4), element(0x42f3, 8)],
        ...[element(0x4282, "matroska"), element(0x4287, 4), element(0x4285, 2)],
      ]),
      whole(id.segment),
      unknownLength,
      element(id.info, [
        // A tick is a million ns.
        ...[element(0x2ad7b1, 1e6), element(0x4d80, "wanstream"), element(0x5741, "wanstream")],
      ]),
      element(id.tracks, [
        track(1, kinds.video, "V_UNCOMPRESSED", [
          element(0x23e383, Math.round(1e9 / fps)),
          element(0xe0, [
            ...[element(0xb0, width), element(0xba, height), element(0x2eb524, "RGB\x18")],
          ]),
        ]),
        track(2, kinds.audio, "A_PCM/FLOAT/IEEE", [
          element(0xe1, [element(0xb5, double(sampleRate)), element(0x9f, 1), element(0x6264, 32)]),
        ]),
        track(3, kinds.subtitle, "S_TEXT/UTF8", [element(0x22b59c, "und")]),
      ]),
    ]);
  }

  unit(unit: MuxedUnit): Uint8Array<ArrayBuffer> {
    const { fps, sampleRate, unitMs } = this.#shape;
    const start = Math.round(unit.unit * unitMs);
    // Track, time from the cluster's, flags (0x80: key frame).
    const block = (number: number, ms: number, flags: number, data: Uint8Array) =>
      concat([Uint8Array.of(0x80 + number, ...time16(Math.round(ms) - start), flags), data]);
    const blocks = mediaPieces(this.#shape, unit).flatMap(({ frame, sample, picture, sound }) => [
      element(id.simpleBlock, block(1, (frame * 1000) / fps, 0x80, picture)),
      element(id.simpleBlock, block(2, (sample * 1000) / sampleRate, 0x80, sound)),
    ]);
    if (unit.text.trim() !== "") {
      const words = block(3, start, 0, encoder.encode(unit.text));
      const duration = element(id.duration, Math.round(unitMs));
      blocks.unshift(element(id.blockGroup, [element(id.block, words), duration]));
    }
    return concat([element(id.cluster, [element(id.timestamp, start), ...blocks])]);
  }

  /** Nothing: an open segment ends where its last cluster does. */
  end(): Uint8Array<ArrayBuffer> {
    return new Uint8Array();
  }
}

function time16(ms: number): [number, number] {
  return [(ms >> 8) & 255, ms & 255];
}
