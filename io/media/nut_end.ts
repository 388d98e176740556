/** Tells a NUT stream that ended from one that was cut off: the last packet of a whole one is its
 * index, which says its own length in its last 12 bytes (length, checksum). */
import { concat } from "../system/bytes.ts";
import { nutStartcodes } from "./nut_muxer.ts";

const startcode = new Uint8Array(8);
new DataView(startcode.buffer).setBigUint64(0, nutStartcodes.index);

/** Looks at a stream's bytes as they pass. */
export class NutEnd {
  #length = 0;
  #index = -1;
  #tail = new Uint8Array();

  add(chunk: Uint8Array): void {
    const bytes = concat([this.#tail, chunk]);
    const start = this.#length - this.#tail.length;
    for (let at = bytes.indexOf(0x4e); at >= 0; at = bytes.indexOf(0x4e, at + 1)) {
      if (startcode.every((byte, i) => bytes[at + i] === byte)) this.#index = start + at;
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
