/** What a session keeps so that it can begin again: its newest snapshot, and what the thinker was sent
 * since then. */
import type { Settings } from "../model/settings.ts";
import type { ToThinker } from "../roles/messages.ts";
import { makeSnapshot, type SavedState, type Snapshot } from "../roles/snapshot.ts";

/** A snapshot that was asked for and isn't there yet. */
interface Request {
  /** Typed text that had no slot when the snapshot was asked for. */
  waiting: number[];
  resolve(snapshot: Snapshot): void;
  reject(error: Error): void;
}

export class Journal {
  private readonly digest: string;
  private readonly settings: Settings;
  readonly keepsMessages: boolean;
  readonly #requests: Request[] = [];
  readonly #messages: ToThinker[] = [];
  #snapshot: Snapshot | null;

  /**
   * @param digest The checkpoint's.
   * @param snapshot Where the session goes on; null: it begins with prefill.
   * @param keepsMessages Without it nothing can be sent again: a failure is final.
   */
  constructor(
    digest: string,
    settings: Settings,
    snapshot: Snapshot | null,
    keepsMessages: boolean,
  ) {
    this.digest = digest;
    this.settings = settings;
    this.keepsMessages = keepsMessages;
    this.#snapshot = snapshot;
  }

  /** The newest snapshot; null: there is none, the session begins with prefill. */
  get snapshot(): Snapshot | null {
    return this.#snapshot;
  }

  /** What the thinker was sent since the newest snapshot. */
  get messages(): readonly ToThinker[] {
    return this.#messages;
  }

  /** Keeps what is sent to the thinker. */
  add(message: ToThinker): void {
    if (this.keepsMessages) this.#messages.push(message);
  }

  /** A new request: what to send to the thinker, and the snapshot that `save` will make of the answer.
   *
   * @param waiting Typed tokens that have no slot yet. */
  request(waiting: number[]): { message: ToThinker; snapshot: Promise<Snapshot> } {
    const { promise, resolve, reject } = Promise.withResolvers<Snapshot>();
    // A snapshot that the session takes for itself has no other reader: its failure isn't an
    // unhandled one.
    promise.catch(() => {});
    this.#requests.push({ waiting, resolve, reject });
    const request = { since: this.#snapshot?.meta.unit ?? null };
    return { message: { type: "save", request }, snapshot: promise };
  }

  /** The thinker's answer to the oldest request becomes the newest snapshot; what was sent before it
   * is dropped.
   *
   * @param unfinished Bytes of the agent's unfinished character. */
  save(state: SavedState, unfinished: number[]): void {
    const request = this.#requests.shift();
    if (!request) throw new Error("the thinker sent a state that was not asked for");
    const text = { waiting: request.waiting, unfinished };
    this.#snapshot = makeSnapshot(this.digest, this.settings, this.#snapshot, state, text);
    this.#messages.splice(0, 1 + this.#messages.findIndex(({ type }) => type === "save"));
    request.resolve(this.#snapshot);
  }

  /** A snapshot was asked for and isn't there yet. */
  get isAwaited(): boolean {
    return this.#requests.length > 0;
  }

  /** Rejects the requests that have no answer. */
  fail(error: Error): void {
    for (const { reject } of this.#requests.splice(0)) reject(error);
  }
}
