/** EBML, the binary tree in which Matroska and WebM are written (RFC 8794, ids from RFC 9559). */

/** Ids of Matroska's elements. */
export const matroskaId = {
  ebml: 0x1a45dfa3,
  segment: 0x18538067,
  info: 0x1549a966,
  tickNs: 0x2ad7b1,
  tags: 0x1254c367,
  tracks: 0x1654ae6b,
  track: 0xae,
  trackType: 0x83,
  cluster: 0x1f43b675,
  timestamp: 0xe7,
  simpleBlock: 0xa3,
  blockGroup: 0xa0,
  block: 0xa1,
  duration: 0x9b,
} as const;

/** Values of the element `trackType`. */
export const trackTypes = { video: 1, audio: 2, subtitle: 17 } as const;

/** The head of an element. */
export interface EbmlElement {
  /** -1: these bytes are not the head of an element. */
  id: number;
  /** Bytes of its content; Infinity when it says that its length is unknown. */
  length: number;
  /** Where its content starts. */
  start: number;
}

/**
 * Reads the head of the element at `at`.
 *
 * @throws RangeError when the bytes end within the head.
 */
export function readElement(bytes: Uint8Array, at: number): EbmlElement {
  const none = { id: -1, length: 0, start: at };
  const byteAt = (position: number) => {
    const byte = bytes[position];
    if (byte === undefined) throw new RangeError("more bytes are needed");
    return byte;
  };
  const number = (from: number, count: number, first = 0) => {
    let value = first;
    for (let i = 0; i < count; i++) value = value * 256 + byteAt(from + i);
    return value;
  };
  // The zeros before the first one-bit tell how many bytes follow the first.
  const idBytes = Math.clz32(byteAt(at)) - 23;
  if (idBytes > 4) return none;
  const id = number(at, idBytes);
  const first = byteAt(at + idBytes);
  const more = Math.clz32(first) - 24;
  if (more > 7) return none;
  // The marker bit is taken out first: with it, eight bytes would not fit exactly into a number.
  const values = 2 ** (7 - more);
  const length = number(at + idBytes + 1, more, first % values);
  const unknown = length >= values * 256 ** more - 1;
  return { id, length: unknown ? Infinity : length, start: at + idBytes + 1 + more };
}

/** A whole number in an element. @throws RangeError when the bytes end before. */
export function readUnsigned(bytes: Uint8Array, start: number, length: number): number {
  if (start + length > bytes.length) throw new RangeError("more bytes are needed");
  return bytes.subarray(start, start + length).reduce((sum, byte) => sum * 256 + byte, 0);
}

/**
 * The elements whose heads lie in [start, end), up to what isn't an element.
 *
 * @throws RangeError when the bytes end before.
 */
export function* readElements(
  bytes: Uint8Array,
  start: number,
  end: number,
): Generator<EbmlElement> {
  for (let at = start; at < end;) {
    const element = readElement(bytes, at);
    if (element.id < 0) return;
    yield element;
    at = element.start + element.length;
  }
}
