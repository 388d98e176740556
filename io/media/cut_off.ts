/**
 * Tells a recording that was cut off from one that ended: by the lengths that the container itself
 * states. FFmpeg alone doesn't: it reads what is there and exits with 0.
 */
import { matroskaId, readElement } from "./ebml.ts";
import { type FileReader, fileReader, lacks, View } from "./file_view.ts";
import { lengthUnknown, riffChunks } from "./riff.ts";
import { y4mCut } from "./y4m.ts";

/** Types of the boxes with which an ISO media file may begin. */
const firstBoxes = /^(ftyp|moov|mdat|wide|free|skip|styp)$/;

/** The brand of a file that begins like MP4 or MOV; "" when it names none, null: it begins otherwise. */
export async function isoBrand(path: string): Promise<string | null> {
  using file = await Deno.open(path);
  const head = await fileReader(file, 12)(0, 12);
  if (!firstBoxes.test(head.text(4))) return null;
  return head.text(4) === "ftyp" ? head.text(8) : "";
}

/**
 * Why the file's structure shows that its end is missing, or null. Knows RIFF (WAV, AVI), AIFF, ISO
 * media (MP4, MOV), Matroska and WebM, Ogg, Y4M, and MPEG transport streams; of others it says null.
 */
export async function cutOff(path: string): Promise<string | null> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const at = fileReader(file, size);
  const head = await at(0, 4096);
  if (/^(RIFF|FORM)$/.test(head.text(0))) return await riff(size, at);
  if (firstBoxes.test(head.text(4))) return await isoMedia(size, at);
  if (head.big(0, 4) === matroskaId.ebml) return matroska(size, head.bytes);
  if (head.text(0) === "OggS") return await ogg(size, at);
  if (head.text(0) === "YUV4") return await y4mCut(path);
  for (const packet of [188, 192]) {
    const sync = packet - 188;
    const synced = [0, 1, 2].every((i) => head.u8(sync + i * packet) === 0x47);
    if (synced && size % packet !== 0) {
      return `its last packet has ${size % packet} of ${packet} bytes`;
    }
  }
  return null;
}

/** Most pieces that are walked: each costs a read, and a file can hold millions of empty ones. */
const maxPieces = 50_000;

async function riff(size: number, at: FileReader): Promise<string | null> {
  let pieces = 0;
  for await (const { id, start, length } of riffChunks(at, size, 0)) {
    if (!/^(RIFF|FORM)$/.test(id) || lengthUnknown(length, size - start) || ++pieces > maxPieces) {
      return null;
    }
    if (start + length > size) return lacks(`its ${id} chunk`, start, length, size);
  }
  return null;
}

async function isoMedia(size: number, at: FileReader): Promise<string | null> {
  for (let offset = 0, pieces = 0; offset < size && pieces < maxPieces; pieces++) {
    const head = await at(offset, 16);
    const length = head.big(0, 4) === 1 ? head.big(8, 8) : head.big(0, 4);
    if (length === 0) return null;
    if (length < 8) return length < 0 ? "its last box is incomplete" : null;
    if (offset + length > size) return lacks(`its ${head.text(4)} box`, offset, length, size);
    offset += length;
  }
  return null;
}

function matroska(size: number, head: Uint8Array): string | null {
  try {
    const header = readElement(head, 0);
    const { id, start, length } = readElement(head, header.start + header.length);
    if (id !== matroskaId.segment || length === Infinity) return null;
    // FFmpeg's own muxer counts a few bytes too many where it rewrote an element shorter.
    return start + length > size + 16 ? lacks("its segment", start, length, size) : null;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

async function ogg(size: number, at: FileReader): Promise<string | null> {
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
