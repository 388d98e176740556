/** A queue between an event handler that puts and a loop that takes. */
export class Queue<T> {
  #items: T[] = [];
  #takers: { resolve: (item: T) => void; reject: (error: unknown) => void }[] = [];
  #error: Error | undefined;

  put(item: T): void {
    const taker = this.#takers.shift();
    if (taker) taker.resolve(item);
    else this.#items.push(item);
  }

  /** The oldest item, as soon as there is one. Rejects once the queue has failed and is empty, or with
   * the signal's reason. */
  async take(signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const item = this.#items.shift();
    if (item !== undefined) return item;
    if (this.#error) throw this.#error;
    const taker = Promise.withResolvers<T>();
    const abort = () => {
      this.#takers = this.#takers.filter((other) => other !== taker);
      taker.reject(signal?.reason);
    };
    this.#takers.push(taker);
    signal?.addEventListener("abort", abort);
    try {
      return await taker.promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** The oldest item, left where it is. */
  peek(): T | undefined {
    return this.#items[0];
  }

  /** As `fail`, and what was put and not taken is left out. */
  stop(error: Error): void {
    this.#items = [];
    this.fail(error);
  }

  /** Lets every taker, now and later, fail with this error. */
  fail(error: Error): void {
    this.#error ??= error;
    for (const taker of this.#takers.splice(0)) taker.reject(error);
  }

  get length(): number {
    return this.#items.length;
  }

  /** Somebody waits for an item. */
  get isAwaited(): boolean {
    return this.#takers.length > 0;
  }
}
