/**
 * A run that may be killed at any moment and go on later. Its session is saved (see `SessionFolder`)
 * with the run's progress; a replay's answers are saved too (see `SavedAnswers`), a stream's have left.
 *
 * A save flushes the answers, then puts the session in its place: that moment counts. A resumed replay
 * reads its recording again; a resumed stream's first unit is the first that arrives, and the
 * response's clock goes on after the last save.
 */
import { InputError } from "../../engine/config/errors.ts";
import type { Durability, Snapshot } from "../../engine/mod.ts";
import type { Observation, Response } from "../../engine/checkpoint/unit.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import type { InputFacts, RecoveryEvent, UnitEvent } from "../pace/events.ts";
import type { UnitSession } from "../pace/pump.ts";
import { defaultName } from "../system/session_folder.ts";
import { type Kept, SavedAnswers } from "./saved_answers.ts";
import type { SavedProgress } from "./saved_progress.ts";
import type { Saving } from "./saving_options.ts";

export class SavedRun {
  /** The first unit of this run's outputs: 0, or where it was forked. */
  readonly firstUnit: number;
  /** The first unit that is still to be answered. */
  readonly nextUnit: number;
  readonly #saving: Saving;
  /** What was answered before belongs to this run. */
  readonly #continues: boolean;
  /** It is read from a recording, and its answers are saved too. */
  readonly #isReplay: boolean;
  readonly #start = performance.now();
  #claim: Disposable | null = null;
  #input: SavedProgress["input"] = null;
  #answers: SavedAnswers | null = null;
  #saved: boolean;
  /** Snapshots that were asked for, by the unit after which they are taken. */
  readonly #snapshots = new Map<number, Promise<Snapshot>>();
  /** The last unit that was kept. */
  #keptUnit = -1;
  /** What is to be saved next. */
  #newest: { units: number; lineBytes: number; snapshot: Promise<Snapshot> } | null = null;
  #writing: Promise<void> | null = null;
  #failure: { error: unknown } | null = null;

  constructor(saving: Saving) {
    this.#saving = saving;
    const { origin, fork, kept } = saving;
    this.#continues = origin !== null && !fork;
    this.#isReplay = kept.command === "replay";
    this.nextUnit = origin?.progress.units ?? 0;
    const first = this.#isReplay && this.#continues ? origin?.progress.first : undefined;
    this.firstUnit = first ?? this.nextUnit;
    this.#saved = this.#continues;
  }

  /** It goes on by itself, under another name than its origin's. */
  get fork(): boolean {
    return this.#saving.fork;
  }

  /** Milliseconds of work before this run. */
  get earlierMs(): number {
    return this.#continues ? this.#saving.origin?.progress.wallMs ?? 0 : 0;
  }

  /**
   * How the engine opens its session. It takes the snapshots that it needs for a recovery from those
   * that are asked for, so that none is taken twice.
   */
  get durability(): Durability {
    const { origin } = this.#saving;
    return { snapshotEvery: 1e9, ...(origin ? { resume: origin.snapshot } : {}) };
  }

  /** Refuses a number of units that was answered already. @throws InputError */
  checkUnits(units: number | undefined): void {
    const { nextUnit } = this;
    const least = this.#isReplay && !this.#saving.fork ? nextUnit : nextUnit + 1;
    if (units === undefined || nextUnit === 0 || units >= least) return;
    throw new InputError(
      `--units: ${units}, but the session was saved after ${nextUnit} units: give more`,
    );
  }

  /** Makes sure that a recording is the same, but for a fork. @throws InputError */
  checkInput({ path, sha256 }: InputFacts): void {
    if (sha256 === null) return;
    this.#input = { path, sha256 };
    const { origin, fork } = this.#saving;
    const saved = origin?.progress.input;
    if (!saved || fork || saved.sha256 === sha256) return;
    throw new InputError(
      `${path}: isn't the recording that the session was saved with (${saved.path}): give ` +
        "that one, or go on with this one by --fork NAME",
    );
  }

  /** Makes the session this run's own. @throws InputError when another run goes on with it. */
  async begin(agent: StreamShape): Promise<void> {
    const { folder, name, origin } = this.#saving;
    this.#claim = await folder.claim(name);
    // What is replaced ends here: its answers are about to go.
    if (!this.#continues) await folder.forget(name);
    if (!this.#isReplay) return;
    const lineBytes = this.#continues ? origin?.progress.lineBytes ?? 0 : 0;
    const units = this.nextUnit - this.firstUnit;
    this.#answers = await SavedAnswers.open(this.#path, agent, units, lineBytes);
  }

  get #path(): string {
    return `${this.#saving.folder.path}/${this.#saving.name}`;
  }

  /** What a replay answered before, in order. @throws InputError when it is damaged. */
  async *earlier(): AsyncGenerator<Kept> {
    if (this.#answers) yield* this.#answers.read(this.firstUnit, this.nextUnit);
  }

  /** Passes observations on to a session, and asks it for a snapshot after every so many units, and at
   * the end of a stream. */
  async *observations(
    source: AsyncIterable<Observation>,
    session: UnitSession,
  ): AsyncGenerator<Observation> {
    let next = this.nextUnit;
    let taken = next;
    const take = () => {
      if (!session.snapshot) throw new Error("the session can't be saved");
      const snapshot = session.snapshot();
      // A session that is closed before gives none; that is no failure of its own.
      snapshot.catch(() => {});
      this.#snapshots.set(next - 1, snapshot);
      taken = next;
      // Where units are answered in turn, this one is kept already.
      if (next - 1 === this.#keptUnit) this.#saveAfter(next - 1);
    };
    const isDue = () => next > taken && next % this.#saving.every === 0;
    try {
      for await (const observation of source) {
        next++;
        yield observation;
        if (isDue()) take();
      }
    } finally {
      if (isDue() || !this.#isReplay && next > taken) take();
    }
  }

  /** Keeps a unit's frames and samples. */
  async write(response: Pick<Response, "frames" | "audio">): Promise<void> {
    await this.#answers?.write(response);
  }

  /**
   * Keeps what happened in the unit that was written last, and saves when it is time. A replay waits
   * for that. A stream goes on meanwhile: where the disk is slower, the newest state counts.
   *
   * @throws when a save failed.
   */
  async keep(event: UnitEvent | RecoveryEvent): Promise<void> {
    if (this.#failure) throw this.#failure.error;
    await this.#answers?.keep(event);
    if (event.type !== "unit") return;
    this.#keptUnit = event.unit;
    this.#saveAfter(event.unit);
    if (this.#isReplay) await this.settle();
  }

  /** Saves the state after a unit that was kept, if a snapshot of it was asked for. */
  #saveAfter(unit: number): void {
    const snapshot = this.#snapshots.get(unit);
    if (!snapshot) return;
    this.#snapshots.delete(unit);
    this.#newest = { units: unit + 1, lineBytes: this.#answers?.lineBytes ?? 0, snapshot };
    this.#writing ??= this.#save();
  }

  async #save(): Promise<void> {
    const { folder, name, every, kept } = this.#saving;
    try {
      for (let newest; (newest = this.#newest);) {
        this.#newest = null;
        await this.#answers?.sync();
        const { snapshot, ...at } = newest;
        const progress: SavedProgress = {
          ...kept,
          ...at,
          input: this.#input,
          first: this.firstUnit,
          every,
          wallMs: this.earlierMs + performance.now() - this.#start,
        };
        await folder.save(await snapshot, progress, name);
        this.#saved = true;
      }
    } catch (error) {
      this.#failure = { error };
    }
    this.#writing = null;
  }

  /** Waits for the save that is being written. @throws when one failed. */
  async settle(): Promise<void> {
    await this.#writing;
    if (this.#failure) throw this.#failure.error;
  }

  /** Tells people how to go on with a run that didn't come to its end; null: nothing was saved. */
  async resumeHint(): Promise<string | null> {
    await this.#writing;
    if (!this.#saved) return null;
    const { folder, name } = this.#saving;
    const resume = `--resume ${folder.path}${name === defaultName ? "" : ` --session ${name}`}`;
    return this.#isReplay
      ? `the same command with ${resume} --force goes on after the last save`
      : `${resume} goes on after the last save, with what arrives then`;
  }

  /** Lets go of the files; removes them when nothing was saved. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    this.#answers?.close();
    if (this.#answers && !this.#saved) await SavedAnswers.remove(this.#path);
    this.#answers = null;
    this.#claim?.[Symbol.dispose]();
  }
}
