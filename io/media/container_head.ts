/**
 * The first bytes of a piped NUT or Matroska stream: which of them it is, and which media it holds.
 *
 * FFmpeg can't be asked: what it reads from a pipe can't be read again. And it must be told before it
 * starts which streams it should decode, and where to.
 */
import { matroskaId, readElement, readElements, trackTypes } from "./ebml.ts";
import { nutId, nutStartcodes } from "./nut.ts";

export interface ContainerHead {
  format: "nut" | "matroska";
  video: boolean;
  audio: boolean;
}

/** Longest head that is looked at. */
export const maxHead = 1 << 20;

/** `more`: the bytes so far are the beginning of a head. `other`: they are no such stream. */
export type HeadResult = ContainerHead | "more" | "other";

/** Reads a head from a stream's first bytes; never throws. */
export function readHead(bytes: Uint8Array): HeadResult {
  try {
    if (begins(bytes, nutId)) return readNut(bytes);
    if (begins(bytes, Uint8Array.of(0x1a, 0x45, 0xdf, 0xa3))) return readMatroska(bytes);
    return "other";
  } catch (error) {
    if (error instanceof RangeError) return bytes.length < maxHead ? "more" : "other";
    throw error;
  }
}

/** True when the bytes begin like `start`, as far as they go. */
function begins(bytes: Uint8Array, start: Uint8Array): boolean {
  return bytes.length > 0 && start.every((byte, i) => i >= bytes.length || bytes[i] === byte);
}

/** Bytes in order; beyond their end it throws RangeError. */
class Cursor {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new RangeError("more bytes are needed");
    return byte;
  }

  /** A big-endian number. */
  number(bytes: number): bigint {
    let value = 0n;
    for (let i = 0; i < bytes; i++) value = value * 256n + BigInt(this.byte());
    return value;
  }

  /** NUT's number: 7 bits a byte while the highest is set. */
  varint(): number {
    let value = 0;
    for (let i = 0; i < 9; i++) {
      const byte = this.byte();
      value = value * 128 + byte % 128;
      if (byte < 128) return value;
    }
    return Infinity;
  }
}

function readNut(bytes: Uint8Array): HeadResult {
  const cursor = new Cursor(bytes, nutId.length);
  const found: ContainerHead = { format: "nut", video: false, audio: false };
  for (;;) {
    const startcode = cursor.number(8);
    // The last packet of the head is known by what follows: a time to begin at.
    if (startcode === nutStartcodes.syncpoint) return found;
    if (startcode >> 56n !== 0x4en) return "other";
    const length = cursor.varint();
    if (length > 4096) cursor.number(4);
    const end = cursor.at + length;
    if (startcode === nutStartcodes.stream) {
      cursor.varint();
      const kind = cursor.varint();
      if (kind === 0) found.video = true;
      if (kind === 1) found.audio = true;
    }
    cursor.at = end;
  }
}

function readMatroska(bytes: Uint8Array): HeadResult {
  const found: ContainerHead = { format: "matroska", video: false, audio: false };
  for (let at = 0;;) {
    const { id, length, start } = readElement(bytes, at);
    at = start;
    // The segment holds all that follows.
    if (id === matroskaId.segment) continue;
    if (id === matroskaId.cluster || id < 0) return "other";
    at += length;
    if (id !== matroskaId.tracks) continue;
    // Only when the whole element is here are all tracks known.
    if (at > bytes.length) return bytes.length < maxHead ? "more" : "other";
    for (const track of readElements(bytes, start, at)) {
      if (track.id !== matroskaId.track) continue;
      for (const { id, start } of readElements(bytes, track.start, track.start + track.length)) {
        if (id !== matroskaId.trackType) continue;
        if (bytes[start] === trackTypes.video) found.video = true;
        if (bytes[start] === trackTypes.audio) found.audio = true;
      }
    }
    return found;
  }
}
