/** The responses of a session on their way to its one reader, and the room for more observations. */
import type { Response } from "../checkpoint/unit.ts";
import { Queue } from "../roles/queue.ts";

/** Units that may be under way: pushed, and their response not yet taken. */
const unitsUnderWay = 4;

export class Responses<R extends Response = Response> {
  readonly #queue = new Queue<R | null>();
  /** Writers that wait for room. */
  readonly #writers: PromiseWithResolvers<void>[] = [];
  readonly #unitMs: number;
  readonly #waits: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reader: string | undefined;
  #isRead = false;
  /** The unit of the next observation, and of the next response that is taken. */
  #nextIn: number;
  #nextTaken: number;
  /** The last observation came while the reader waited: both go on at once. */
  #streams = false;

  /**
   * @param first The unit of the first observation.
   * @param waits Called when the reader waits for the unit that was pushed last, and nothing more may
   * come until it has this one: at once when it didn't wait while that unit was pushed, else when
   * nothing came for two units.
   */
  constructor(first: number, unitMs: number, waits: () => void) {
    this.#nextIn = this.#nextTaken = first;
    this.#unitMs = unitMs;
    this.#waits = waits;
  }

  /** The unit of the next observation. */
  get nextIn(): number {
    return this.#nextIn;
  }

  /** Units that were pushed and whose response was not taken. */
  get untaken(): number {
    return this.#nextIn - this.#nextTaken;
  }

  /** Counts an observation that was pushed; resolves when there is room for another. */
  accept(): Promise<void> {
    this.#nextIn++;
    this.#streams = this.#queue.isAwaited;
    this.#watch();
    if (this.untaken < unitsUnderWay) return Promise.resolve();
    const writer = Promise.withResolvers<void>();
    this.#writers.push(writer);
    return writer.promise;
  }

  put(response: R): void {
    clearTimeout(this.#timer);
    if (response.unit >= this.#nextTaken) this.#queue.put(response);
  }

  /** No more responses come. */
  end(): void {
    this.#queue.put(null);
  }

  /** The reader gets this error after the responses that are there, writers get it now. */
  fail(error: Error): void {
    clearTimeout(this.#timer);
    this.#queue.fail(error);
    for (const { reject } of this.#writers.splice(0)) reject(error);
  }

  /** Leaves out the responses to everything that was pushed so far. */
  drop(): void {
    this.#nextTaken = this.#nextIn;
    for (const { resolve } of this.#writers.splice(0)) resolve();
  }

  /**
   * Takes the place of the one reader.
   *
   * @returns What gives it back.
   * @throws Error when it is taken, or all responses were read.
   */
  seize(reader: string): () => void {
    if (this.#reader) {
      throw new Error(
        `${reader}: ${this.#reader} reads the session's responses, and a session has one reader: ` +
          "let that one end first (break, or the iterator's return())",
      );
    }
    if (this.#isRead) {
      throw new Error(
        `${reader}: the session has ended and its responses were read: open another session`,
      );
    }
    this.#reader = reader;
    return () => this.#reader = undefined;
  }

  /** The responses until the last one. The caller is the reader. */
  async *read(signal?: AbortSignal): AsyncGenerator<R> {
    for (let response; (response = await this.take(signal));) yield response;
  }

  /** The next response, as soon as it is there; null after the last one. The caller is the reader.
   *
   * @throws The signal's reason. */
  async take(signal?: AbortSignal): Promise<R | null> {
    for (;;) {
      const coming = this.#queue.take(signal);
      this.#watch();
      const response = await coming;
      if (!response) {
        this.#isRead = true;
        return null;
      }
      // It was dropped.
      if (response.unit < this.#nextTaken) continue;
      this.#nextTaken = response.unit + 1;
      this.#writers.shift()?.resolve();
      return response;
    }
  }

  #watch(): void {
    clearTimeout(this.#timer);
    if (!this.#queue.isAwaited || this.untaken !== 1) return;
    if (this.#streams) this.#timer = setTimeout(this.#waits, 2 * this.#unitMs);
    else this.#waits();
  }
}
