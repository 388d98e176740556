/** Pieces of a file as numbers and text, for readers of file structures. */
import { readFully } from "../system/bytes.ts";

/** Reads a piece of a file; at the end of the file it is shorter. */
export type FileReader = (offset: number, length: number) => Promise<View>;

const blockBytes = 8192;

/** Reads whole blocks: a file of tiny pieces costs one read for hundreds of them. */
export function fileReader(file: Deno.FsFile, size: number): FileReader {
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

/** Unsigned numbers and text in a piece of a file. Numbers that end beyond the piece are -1. */
export class View {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  u8(at: number): number {
    return this.bytes[at] ?? -1;
  }

  /** A number, highest byte first. */
  big(at: number, length: number): number {
    if (at + length > this.bytes.length) return -1;
    return this.bytes.subarray(at, at + length).reduce((sum, byte) => sum * 256 + byte, 0);
  }

  /** A number, lowest byte first. */
  little(at: number, length: number): number {
    if (at + length > this.bytes.length) return -1;
    return this.bytes.subarray(at, at + length).reduceRight((sum, byte) => sum * 256 + byte, 0);
  }

  /** Four letters. */
  text(at: number): string {
    return String.fromCharCode(...this.bytes.subarray(at, at + 4));
  }
}

/** "WHAT should have LENGTH bytes, N are there", for a piece that begins at `start`. */
export function lacks(what: string, start: number, length: number, size: number): string {
  return `${what} should have ${length} bytes, ${Math.max(0, size - start)} are there`;
}
