/** RIFF (WAV, AVI) and its ancestor IFF (AIFF): files made of chunks, each with a name and a length. */
import type { FileReader } from "./file_view.ts";

/** A chunk of a file. */
export interface Chunk {
  id: string;
  /** First byte of its content, and the content's length as its head states it. */
  start: number;
  length: number;
}

/**
 * The chunks that follow one another from `offset` on, as far as their heads lie in the file. Lengths
 * count from the low byte, but AIFF's outermost chunk (FORM) counts from the high one.
 */
export async function* riffChunks(
  at: FileReader,
  size: number,
  offset: number,
): AsyncGenerator<Chunk> {
  while (offset + 8 <= size) {
    const head = await at(offset, 8);
    const id = head.text(0);
    const length = id === "FORM" ? head.big(4, 4) : head.little(4, 4);
    yield { id, start: offset + 8, length };
    offset += 8 + length + length % 2;
  }
}

/** True for the lengths that a writer leaves when it can't go back and fill in the right one. */
export function lengthUnknown(length: number): boolean {
  return length === 0 || length >= 0xffffff00;
}
