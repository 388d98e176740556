/**
 * The first bytes of a piped NUT or Matroska stream: which of them it is, and which media it holds.
 *
 * FFmpeg can't be asked: what it reads from a pipe can't be read again. And it must be told before it
 * starts which streams it should decode, and where to.
 */
import {
  type EbmlElement,
  matroskaId,
  readElement,
  readElements,
  readUnsigned,
  trackTypes,
} from "./ebml.ts";
import { nutId, nutStartcodes } from "./nut.ts";
import type { Track } from "./tracks.ts";

/** What a stream is, and its tracks of sound and pictures. */
export interface ContainerHead {
  format: "nut" | "matroska";
  tracks: Track[];
  /** The first time on the stream's clock, in seconds. */
  start: number;
}

/** Longest head that is looked at. */
export const maxHead = 1 << 20;

/** `more`: the bytes so far are the beginning of a head. `other`: they begin another kind of stream. */
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

/** The next track of a kind, with what isn't known yet. */
function newTrack(kind: Track["kind"], before: readonly Track[]): Track {
  const number = before.filter((track) => track.kind === kind).length + 1;
  const unknown = { codec: "unknown", language: null, title: null, channels: null };
  return { kind, number, isDefault: false, ...unknown };
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

  /** NUT's text: its length, its bytes. */
  text(): string {
    const length = this.varint();
    if (this.at + length > this.#bytes.length) throw new RangeError("more bytes are needed");
    this.at += length;
    const content = this.#bytes.subarray(this.at - length, this.at);
    return new TextDecoder().decode(content.subarray(0, 80)).replace(/\p{Cc}/gu, "");
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
  const head: ContainerHead = { format: "nut", tracks: [], start: 0 };
  const byId = new Map<number, Track>();
  let bases: number[] = [];
  for (;;) {
    const startcode = cursor.number(8);
    if (startcode >> 56n !== 0x4en) return "other";
    const length = cursor.varint();
    if (length > 4096) cursor.number(4);
    const end = cursor.at + length;
    // The last packet of the head is known by what follows: a time to begin at.
    if (startcode === nutStartcodes.syncpoint) {
      const time = cursor.varint();
      // The remainder says in which of the time bases it is counted.
      head.start = Math.floor(time / bases.length) * (bases[time % bases.length] ?? 0) || 0;
      return head;
    }
    if (startcode === nutStartcodes.main) bases = readNutBases(cursor);
    if (startcode === nutStartcodes.stream) {
      const id = cursor.varint();
      const kind = (["video", "audio"] as const)[cursor.varint()];
      if (kind !== undefined) {
        const track = newTrack(kind, head.tracks);
        readNutStream(cursor, track);
        head.tracks.push(track);
        byId.set(id, track);
      }
    }
    if (startcode === nutStartcodes.info) readNutInfo(cursor, byId, end);
    cursor.at = end;
  }
}

/** The time bases of a stream, in seconds. */
function readNutBases(cursor: Cursor): number[] {
  const version = cursor.varint();
  // Minor version; then the number of streams and the distance between syncpoints.
  for (let i = version > 3 ? 0 : 1; i < 3; i++) cursor.varint();
  const count = Math.min(cursor.varint(), 64);
  return Array.from({ length: count }, () => {
    const number = cursor.varint();
    return number / cursor.varint();
  });
}

/** The rest of a stream's packet: its codec, and of sound the channels. */
function readNutStream(cursor: Cursor, track: Track): void {
  track.codec = cursor.text();
  // Time base, abbreviation, longest gap, frames kept back, flags; then the codec's own data.
  for (let i = 0; i < 5; i++) cursor.varint();
  cursor.text();
  if (track.kind === "video") return;
  // The sample rate as a fraction.
  for (let i = 0; i < 2; i++) cursor.varint();
  track.channels = cursor.varint();
}

/** What a packet says of one stream, in words. */
function readNutInfo(cursor: Cursor, byId: Map<number, Track>, end: number): void {
  const track = byId.get(cursor.varint() - 1);
  // Chapter, its start, its length; then the number of fields.
  for (let i = 0; i < 3; i++) cursor.varint();
  const count = cursor.varint();
  for (let i = 0; track && i < count && cursor.at < end; i++) {
    const name = cursor.text();
    // -1, written as 2, stands before text; other kinds of values aren't needed here.
    if (cursor.varint() !== 2) return;
    const value = cursor.text();
    if (name === "Disposition" && value === "default") track.isDefault = true;
    if (name === "Language") track.language = value;
  }
}

/** Elements of a track. */
const trackId = {
  ...{
    codec: 0x86,
    language: 0x22b59c,
    name: 0x536e,
    isDefault: 0x88,
    audio: 0xe1,
    channels: 0x9f,
  },
} as const;

function readMatroska(bytes: Uint8Array): HeadResult {
  const head: ContainerHead = { format: "matroska", tracks: [], start: 0 };
  let [tick, hasTracks] = [1e-3, false];
  for (let at = 0;;) {
    const { id, length, start } = readElement(bytes, at);
    at = start;
    // The segment holds all that follows, and a cluster begins with its time.
    if (id === matroskaId.segment) continue;
    if (id < 0 || (id === matroskaId.cluster && !hasTracks)) return "other";
    if (id === matroskaId.cluster) continue;
    if (id === matroskaId.timestamp) {
      head.start = readUnsigned(bytes, start, length) * tick;
      return head;
    }
    at += length;
    if (id !== matroskaId.tracks && id !== matroskaId.info) continue;
    // Only when the whole element is here is all known that it says.
    if (at > bytes.length) return bytes.length < maxHead ? "more" : "other";
    for (const entry of readElements(bytes, start, at)) {
      if (entry.id === matroskaId.tickNs) {
        tick = readUnsigned(bytes, entry.start, entry.length) / 1e9;
      }
      if (entry.id !== matroskaId.track) continue;
      const track = readTrack(bytes, entry, head.tracks);
      if (track) head.tracks.push(track);
    }
    hasTracks ||= id === matroskaId.tracks;
  }
}

function readTrack(bytes: Uint8Array, entry: EbmlElement, before: readonly Track[]): Track | null {
  const end = entry.start + entry.length;
  const elements = [...readElements(bytes, entry.start, end)];
  const find = (id: number) => elements.find((element) => element.id === id);
  const number = (element: EbmlElement | undefined) => element && bytes[element.start];
  const text = (id: number) => {
    const { start = 0, length = 0 } = find(id) ?? {};
    const content = new TextDecoder().decode(bytes.subarray(start, start + Math.min(length, 80)));
    return content.replace(/\p{Cc}/gu, "") || null;
  };
  const type = number(find(matroskaId.trackType));
  if (type !== trackTypes.video && type !== trackTypes.audio) return null;
  const kind = type === trackTypes.video ? "video" : "audio";
  const audio = find(trackId.audio);
  const channels = audio &&
    [...readElements(bytes, audio.start, audio.start + audio.length)]
      .find(({ id }) => id === trackId.channels);
  const language = text(trackId.language);
  return {
    ...newTrack(kind, before),
    isDefault: number(find(trackId.isDefault)) !== 0,
    codec: text(trackId.codec) ?? "unknown",
    language: language === "und" ? null : language,
    title: text(trackId.name),
    channels: kind === "audio" ? number(channels) ?? 1 : null,
  };
}
