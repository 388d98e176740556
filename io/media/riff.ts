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

/**
 * True for a length that a writer states when it can't know the right one: it writes into a pipe and
 * can't go back. That is 0, or a round number of 256 MiB or more with the headers counted or not:
 * 0x7ffff000 (sox), 0x7fffff00 (arecord), 0x80000000, 0xffffffff (FFmpeg).
 *
 * @param there Bytes that follow in the file: a length that they fill is a right one.
 */
export function lengthUnknown(length: number, there: number): boolean {
  const round = 2 ** 28, near = 2 ** 16;
  if (length === 0) return true;
  const offset = (length + near) % round;
  return length > there && length >= round - near && offset <= 2 * near;
}
