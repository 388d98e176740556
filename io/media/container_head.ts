/**
 * The first bytes of a piped NUT or Matroska stream: which of them it is, and which media it holds.
 *
 * FFmpeg can't be asked, because what it reads from a pipe nobody else can read again; and it must be
 * told before it starts which streams to decode to where.
 */
import { nutId, nutStartcodes } from "./nut_muxer.ts";

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

const segment = 0x18538067;
const tracks = 0x1654ae6b;
const track = 0xae;
const trackType = 0x83;
const cluster = 0x1f43b675;

function readMatroska(bytes: Uint8Array): HeadResult {
  const found: ContainerHead = { format: "matroska", video: false, audio: false };
  const cursor = new Cursor(bytes, 0);
  for (;;) {
    const { id, length, start } = element(cursor);
    if (id === segment) continue;
    if (id === cluster || id < 0) return "other";
    cursor.at = start + length;
    if (id !== tracks) continue;
    // Only when the whole element is here are all tracks known.
    if (cursor.at > bytes.length) return bytes.length < maxHead ? "more" : "other";
    for (const entry of children(bytes, start, cursor.at)) {
      if (entry.id !== track) continue;
      for (const { id, start } of children(bytes, entry.start, entry.start + entry.length)) {
        if (id !== trackType) continue;
        if (bytes[start] === 1) found.video = true;
        if (bytes[start] === 2) found.audio = true;
      }
    }
    return found;
  }
}

function* children(bytes: Uint8Array, start: number, end: number) {
  const cursor = new Cursor(bytes, start);
  while (cursor.at < end) {
    const child = element(cursor);
    yield child;
    cursor.at = child.start + child.length;
  }
}

/** An EBML element's id (-1: none), the length of its content, and where that starts. */
function element(cursor: Cursor): { id: number; length: number; start: number } {
  const first = cursor.byte();
  const idBytes = Math.clz32(first) - 23;
  if (idBytes > 4) return { id: -1, length: 0, start: cursor.at };
  cursor.at--;
  const id = Number(cursor.number(idBytes));
  const size = cursor.byte();
  const more = Math.clz32(size) - 24;
  if (more > 7) return { id: -1, length: 0, start: cursor.at };
  const length = (size % 2 ** (7 - more)) * 256 ** more + Number(cursor.number(more));
  return { id, length, start: cursor.at };
}
