/** Bytes that arrive in chunks of any size and are taken in pieces of any other. */

/** A first-in first-out buffer over a source of chunks, which it reads only when asked to. */
export class ByteQueue {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunks: Uint8Array[] = [];
  #size = 0;
  #received = 0;
  #owed = 0;
  #ended = false;
  #reading: Promise<void> | null = null;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Bytes that can be taken now. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that ever arrived. */
  get received(): number {
    return this.#received;
  }

  /** True when the source has no more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Waits for the next chunk. Calls that overlap share one read. Passes on the source's errors. */
  read(): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return this.#reading ??= this.#read().finally(() => this.#reading = null);
  }

  async #read(): Promise<void> {
    const { done, value } = await this.#source.next();
    if (done) {
      this.#ended = true;
      return;
    }
    this.#received += value.length;
    const late = Math.min(this.#owed, value.length);
    this.#owed -= late;
    if (late === value.length) return;
    this.#chunks.push(value.subarray(late));
    this.#size += value.length - late;
  }

  /** Moves bytes to `target`, as many as are here and fit. @returns How many. */
  take(target: Uint8Array): number {
    let taken = 0;
    for (let chunk = this.#chunks[0]; chunk !== undefined; chunk = this.#chunks[0]) {
      const part = chunk.subarray(0, target.length - taken);
      target.set(part, taken);
      taken += part.length;
      if (part.length < chunk.length) {
        this.#chunks[0] = chunk.subarray(part.length);
        break;
      }
      this.#chunks.shift();
    }
    this.#size -= taken;
    return taken;
  }

  /** Throws away the next `bytes` bytes, those that are here and those still to come. */
  drop(bytes: number): void {
    const here = Math.min(bytes, this.#size);
    this.take(new Uint8Array(here));
    this.#owed += bytes - here;
  }

  /** Tells the source that no more is wanted. */
  async close(): Promise<void> {
    this.#ended = true;
    this.#chunks = [];
    this.#size = 0;
    await this.#source.return?.();
  }
}
