/**
 * A stream that may be killed at any moment and go on later: only its session is saved. What came in
 * and what went out has gone by; a resumed stream's first unit is the first that arrives, and the
 * response's clock goes on after the last save.
 */
import type { Durability, Snapshot } from "../../engine/mod.ts";
import type { ReplaySession } from "../pace/replay.ts";
import type { SavedProgress } from "./saved_progress.ts";
import { withSnapshots } from "./saved_run.ts";
import { durability, type Saving } from "./saving_options.ts";

export class SavedStream {
  /** The first unit that is still to be answered. */
  readonly firstUnit: number;
  readonly #saving: Saving;
  readonly #saves = new Map<number, Promise<Snapshot>>();
  #claim: Disposable | null = null;
  #newest: { unit: number; snapshot: Promise<Snapshot> } | null = null;
  #writing: Promise<void> | null = null;
  #failure: unknown = null;
  readonly #start = performance.now();

  constructor(saving: Saving) {
    this.#saving = saving;
    this.firstUnit = saving.origin?.progress.units ?? 0;
  }

  /** The folder and the name in it. */
  get where(): Pick<Saving, "folder" | "name"> {
    return this.#saving;
  }

  /** How the engine opens its session. */
  get durability(): Durability {
    return durability(this.#saving);
  }

  /** Makes the session this run's own. @throws InputError when another run goes on with it. */
  async begin(): Promise<void> {
    const { folder, name, origin, fork } = this.#saving;
    this.#claim = await folder.claim(name);
    if (!origin || fork) await folder.forget(name);
  }

  /** The session, with a snapshot taken after every so many units, and at the input's end. */
  session(inner: ReplaySession): ReplaySession {
    return withSnapshots(inner, this.#saving.every, this.firstUnit, this.#saves, true);
  }

  /** Saves when it is time, while the stream goes on: where the disk is slower than the stream, the
   * newest state counts. @throws when the save before failed. */
  written(unit: number): void {
    if (this.#failure) throw this.#failure;
    const snapshot = this.#saves.get(unit);
    if (!snapshot) return;
    this.#saves.delete(unit);
    this.#newest = { unit, snapshot };
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    const { folder, name, every, origin, kept } = this.#saving;
    try {
      while (this.#newest) {
        const { unit, snapshot } = this.#newest;
        this.#newest = null;
        const progress: SavedProgress = {
          ...kept,
          input: null,
          first: this.firstUnit,
          units: unit + 1,
          every,
          lineBytes: 0,
          wallMs: (origin?.progress.wallMs ?? 0) + performance.now() - this.#start,
        };
        await folder.save(await snapshot, progress, name);
      }
    } catch (error) {
      this.#failure = error;
    }
    this.#writing = null;
  }

  /** Waits for the save that is being written. @throws when one failed. */
  async end(): Promise<void> {
    await this.#writing;
    if (this.#failure) throw this.#failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    this.#claim?.[Symbol.dispose]();
  }
}
