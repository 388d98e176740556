/** Bytes joined, written whole and read whole. */
import { createHash } from "node:crypto";

/** Byte strings one after the other. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Writes all bytes: one call of `write` may take only a part of them. */
export async function writeAll(
  file: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/** Fills `into`, or as much of it as there is before the end. @returns How many bytes were read. */
export async function readFully(
  file: { read(into: Uint8Array): Promise<number | null> },
  into: Uint8Array,
): Promise<number> {
  let at = 0;
  while (at < into.length) {
    const read = await file.read(into.subarray(at));
    if (read === null) break;
    at += read;
  }
  return at;
}

/** SHA-256 (hex) of a file, read piece by piece. */
export async function fileDigest(path: string): Promise<string> {
  using file = await Deno.open(path);
  const hash = createHash("sha256");
  const piece = new Uint8Array(1 << 20);
  for (let read; (read = await file.read(piece));) hash.update(piece.subarray(0, read));
  return hash.digest("hex");
}

/** The samples of all parts, one after the other. */
export function concatSamples(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const bytes = parts.map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  return new Float32Array(concat(bytes).buffer);
}
