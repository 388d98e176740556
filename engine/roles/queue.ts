/** A queue between an event handler that puts and a loop that takes. */
export class Queue<T> {
  #items: T[] = [];
  #takers: { resolve: (item: T) => void; reject: (error: Error) => void }[] = [];
  #error: Error | undefined;

  put(item: T): void {
    const taker = this.#takers.shift();
    if (taker) taker.resolve(item);
    else this.#items.push(item);
  }

  /** The oldest item, as soon as there is one. Rejects once the queue has failed and is empty. */
  take(): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    if (this.#error) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  /** The oldest item, left where it is. */
  peek(): T | undefined {
    return this.#items[0];
  }

  /** Lets every taker, now and later, fail with this error. */
  fail(error: Error): void {
    this.#error ??= error;
    for (const taker of this.#takers.splice(0)) taker.reject(error);
  }

  get length(): number {
    return this.#items.length;
  }
}
