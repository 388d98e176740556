/**
 * Responses as a live Matroska stream, unit by unit: everything of a unit is there when `unit` returns.
 *
 * FFmpeg's muxers can't do that. They hold a stream's last packet until the other stream has a later
 * one, so that the end of each unit would leave with the next. Pictures and sound are stored as they
 * are (RGB24, 32-bit float), the text as subtitles: the next program encodes them for a narrow way.
 */
import type { Response } from "../../engine/checkpoint/unit.ts";
import { concat } from "../system/bytes.ts";
import { Captions } from "./captions.ts";
import { matroskaId as id, trackTypes } from "./ebml.ts";
import { frameBytes, type StreamShape } from "./stream_shape.ts";

/** What the stream holds of a response. */
export type MuxedUnit = Pick<Response, "unit" | "text" | "audio" | "frames">;

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

function track(number: number, kind: number, codec: string, more: Uint8Array[]): Uint8Array {
  return element(id.track, [
    element(0xd7, number),
    element(0x73c5, number),
    element(id.trackType, kind),
    // No lacing: a block holds one frame.
    element(0x9c, 0),
    element(0x86, codec),
    ...more,
  ]);
}

/** What belongs to one frame time. */
interface MediaPiece {
  /** Index of the frame and of the piece's first sample in the whole stream. */
  frame: number;
  sample: number;
  picture: Uint8Array;
  /** Little-endian f32 samples. */
  sound: Uint8Array;
}

/** The pieces of a unit, in the order of time, so that no player waits for the other medium. */
function mediaPieces(shape: StreamShape, { unit, frames, audio }: MuxedUnit): MediaPiece[] {
  const size = frameBytes(shape);
  const sound = new Uint8Array(audio.buffer, audio.byteOffset, audio.byteLength);
  const cut = (i: number) => Math.floor((i * shape.samples) / shape.frames);
  return Array.from({ length: shape.frames }, (_, i) => ({
    frame: unit * shape.frames + i,
    sample: unit * shape.samples + cut(i),
    picture: frames.subarray(i * size, (i + 1) * size),
    sound: sound.subarray(cut(i) * 4, cut(i + 1) * 4),
  }));
}

/** One cluster for each unit; times in ms. An open segment ends where its last cluster does. */
export class MatroskaMuxer {
  readonly #shape: StreamShape;
  readonly #captions: Captions;

  constructor(shape: StreamShape) {
    this.#shape = shape;
    this.#captions = new Captions(shape.unitMs);
  }

  /** What stands before the first unit. @param comment What the stream says of itself. */
  start(comment: string | null = null): Uint8Array<ArrayBuffer> {
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
        ...[element(id.tickNs, 1e6), element(0x4d80, "wanstream"), element(0x5741, "wanstream")],
      ]),
      ...(comment === null ? [] : [
        element(id.tags, [
          element(0x7373, [
            element(0x63c0, []),
            element(0x67c8, [element(0x45a3, "COMMENT"), element(0x4487, comment)]),
          ]),
        ]),
      ]),
      element(id.tracks, [
        track(1, trackTypes.video, "V_UNCOMPRESSED", [
          element(0x23e383, Math.round(1e9 / fps)),
          element(0xe0, [
            ...[element(0xb0, width), element(0xba, height), element(0x2eb524, "RGB\x18")],
          ]),
        ]),
        track(2, trackTypes.audio, "A_PCM/FLOAT/IEEE", [
          element(0xe1, [element(0xb5, double(sampleRate)), element(0x9f, 1), element(0x6264, 32)]),
        ]),
        track(3, trackTypes.subtitle, "S_TEXT/UTF8", [element(0x22b59c, "und")]),
      ]),
    ]);
  }

  /** One unit; units come in order. */
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
    // What comes later isn't known: the line that stands is shown for a unit, and again in the next.
    this.#captions.add(unit);
    const { line } = this.#captions;
    if (line !== "") {
      const words = block(3, start, 0, encoder.encode(line));
      const duration = element(id.duration, Math.round(unitMs));
      blocks.unshift(element(id.blockGroup, [element(id.block, words), duration]));
    }
    return concat([element(id.cluster, [element(id.timestamp, start), ...blocks])]);
  }
}

function time16(ms: number): [number, number] {
  return [(ms >> 8) & 255, ms & 255];
}
