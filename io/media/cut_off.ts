/**
 * Tells a recording that was cut off from one that ended: by the lengths that the container itself
 * states. FFmpeg alone doesn't: it reads what is there and exits with 0.
 */
import { readFully } from "../system/bytes.ts";

/** Types of the boxes with which an ISO media file may begin. */
const firstBoxes = /^(ftyp|moov|mdat|wide|free|skip|styp)$/;

/** True when a file begins like MP4 or MOV. */
export async function isIsoMedia(path: string): Promise<boolean> {
  using file = await Deno.open(path);
  return firstBoxes.test((await reader(file, 8)(0, 8)).text(4));
}

/**
 * Why the file's structure shows that its end is missing, or null. Knows RIFF (WAV, AVI), AIFF, ISO
 * media (MP4, MOV), Matroska and WebM, Ogg, and MPEG transport streams; of others it says null.
 */
export async function cutOff(path: string): Promise<string | null> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const at = reader(file, size);
  const head = await at(0, 4096);
  if (/^(RIFF|FORM)$/.test(head.text(0))) return await riff(size, at);
  if (firstBoxes.test(head.text(4))) return await isoMedia(size, at);
  if (head.u32(0) === 0x1a45dfa3) return matroska(size, head);
  if (head.text(0) === "OggS") return await ogg(size, at);
  for (const packet of [188, 192]) {
    const sync = packet - 188;
    const synced = [0, 1, 2].every((i) => head.u8(sync + i * packet) === 0x47);
    if (synced && size % packet !== 0) {
      return `its last packet has ${size % packet} of ${packet} bytes`;
    }
  }
  return null;
}

type Reader = (offset: number, length: number) => Promise<View>;

/** Reads whole blocks: a file of tiny pieces costs one read for hundreds of them. */
function reader(file: Deno.FsFile, size: number): Reader {
  let start = 0, block = new Uint8Array();
  return async (offset, length) => {
    const end = Math.min(offset + length, size);
    if (offset < start || end > start + block.length) {
      block = new Uint8Array(Math.max(0, Math.min(Math.max(length, blockBytes), size - offset)));
      start = await file.seek(offset, Deno.SeekMode.Start);
      block = block.subarray(0, await readFully(file, block));
    }
    return new View(block.subarray(offset - start, Math.max(offset, end) - start));
  };
}

const blockBytes = 8192;

/** Big-endian numbers of a piece of file; beyond its end they are -1. */
class View {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  u8(at: number): number {
    return this.bytes[at] ?? -1;
  }
  number(at: number, length: number): number {
    if (at + length > this.bytes.length) return -1;
    return this.bytes.subarray(at, at + length).reduce((sum, byte) => sum * 256 + byte, 0);
  }
  u32(at: number): number {
    return this.number(at, 4);
  }
  text(at: number): string {
    return String.fromCharCode(...this.bytes.subarray(at, at + 4));
  }
}

/** "WHAT should have LENGTH bytes, N are there", for a piece that begins at `start`. */
export function lacks(what: string, start: number, length: number, size: number): string {
  return `${what} should have ${length} bytes, ${Math.max(0, size - start)} are there`;
}

/** Most pieces that are walked: each costs a read, and a file can hold millions of empty ones. */
const maxPieces = 50_000;

async function riff(size: number, at: Reader): Promise<string | null> {
  for (let offset = 0, pieces = 0; offset < size && pieces < maxPieces; pieces++) {
    const head = await at(offset, 8);
    const id = head.text(0);
    // Chunk lengths count from the low byte in RIFF, from the high one in AIFF's FORM.
    const length = id === "FORM" ? head.u32(4) : new View(head.bytes.slice(4).reverse()).u32(0);
    if (!/^(RIFF|FORM)$/.test(id)) return null;
    // A writer that couldn't seek back leaves these.
    if (length <= 0 || length >= 0xffffff00) return null;
    if (offset + 8 + length > size) return lacks(`its ${id} chunk`, offset + 8, length, size);
    offset += 8 + length + length % 2;
  }
  return null;
}

async function isoMedia(size: number, at: Reader): Promise<string | null> {
  for (let offset = 0, pieces = 0; offset < size && pieces < maxPieces; pieces++) {
    const head = await at(offset, 16);
    const length = head.u32(0) === 1 ? head.number(8, 8) : head.u32(0);
    if (length === 0) return null;
    if (length < 8) return length < 0 ? "its last box is incomplete" : null;
    if (offset + length > size) return lacks(`its ${head.text(4)} box`, offset, length, size);
    offset += length;
  }
  return null;
}

function matroska(size: number, head: View): string | null {
  const header = varint(head, 4);
  const segment = header.end + header.value;
  if (head.u32(segment) !== 0x18538067) return null;
  const { value, end, unknown } = varint(head, segment + 4);
  // FFmpeg's own muxer counts a few bytes too many where it rewrote an element shorter.
  return !unknown && end + value > size + 16 ? lacks("its segment", end, value, size) : null;
}

/** An EBML length; all ones means unknown. */
function varint(view: View, at: number): { value: number; end: number; unknown: boolean } {
  const first = Math.max(0, view.u8(at));
  const length = Math.max(1, Math.clz32(first) - 23);
  // The marker bit goes first: with it eight bytes would not fit in a number exactly.
  const high = first % 2 ** (8 - length);
  const low = length === 1 ? 0 : view.number(at + 1, length - 1);
  const ones = high === 2 ** (8 - length) - 1 && low === 256 ** (length - 1) - 1;
  return { value: high * 256 ** (length - 1) + low, end: at + length, unknown: ones };
}

/** The last page must be whole and carry the end-of-stream flag. */
async function ogg(size: number, at: Reader): Promise<string | null> {
  const longestPage = 27 + 255 + 255 * 255;
  const start = Math.max(0, size - longestPage);
  const { bytes } = await at(start, longestPage);
  let page = -1;
  for (let i = 0; i + 4 <= bytes.length; i++) {
    if (bytes[i] === 0x4f && new View(bytes.subarray(i, i + 4)).text(0) === "OggS") page = i;
  }
  if (page < 0) return null;
  const segments = bytes[page + 26];
  const table = bytes.subarray(page + 27, page + 27 + (segments ?? 0));
  const end = page + 27 + (segments ?? 0) + table.reduce((sum, length) => sum + length, 0);
  if (segments === undefined || table.length < segments || end > bytes.length) {
    return "its last page is incomplete";
  }
  return ((bytes[page + 5] ?? 0) & 4) === 0
    ? "its last page doesn't say that the stream ends"
    : null;
}
