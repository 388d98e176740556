/** NUT, FFmpeg's container for pipes, as far as reading needs it: its start codes, and its end. */
import { concat } from "../system/bytes.ts";

/** First bytes of every packet that isn't a frame (https://ffmpeg.org/nut.html, "Startcodes"). */
export const nutStartcodes = {
  main: 0x4e4d7a561f5f04adn,
  stream: 0x4e5311405bf2f9dbn,
  syncpoint: 0x4e4be4adeeca4569n,
  index: 0x4e58dd672f23e64en,
  info: 0x4e49ab68b596ba78n,
} as const;

/** First bytes of every file, the 0 included. */
export const nutId = new TextEncoder().encode("nut/multimedia container\0");

const indexStart = new Uint8Array(8);
new DataView(indexStart.buffer).setBigUint64(0, nutStartcodes.index);

/**
 * Tells a whole NUT stream from one that was cut off. The last packet of a whole one is its index; the
 * last 12 bytes of the index are its own length (8 bytes) and a checksum (4 bytes).
 */
export class NutEnd {
  #length = 0;
  #index = -1;
  #tail = new Uint8Array();

  /** Takes the next bytes of the stream. */
  add(chunk: Uint8Array): void {
    const bytes = concat([this.#tail, chunk]);
    const start = this.#length - this.#tail.length;
    for (let at = bytes.indexOf(0x4e); at >= 0; at = bytes.indexOf(0x4e, at + 1)) {
      if (indexStart.every((byte, i) => bytes[at + i] === byte)) this.#index = start + at;
    }
    this.#length += chunk.length;
    this.#tail = bytes.slice(-12);
  }

  /** True when the bytes so far end with an index. */
  get complete(): boolean {
    if (this.#index < 0 || this.#tail.length < 12) return false;
    const said = new DataView(this.#tail.buffer).getBigUint64(0);
    return said === BigInt(this.#length - this.#index);
  }
}
