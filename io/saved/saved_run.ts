/**
 * A replay that may be killed at any moment: what it answered and where it stands, in the folder of
 * its session.
 *
 *   NAME.json      the session (see `SessionFolder`), with the replay's progress
 *   NAME.answers   frames and samples of each unit as the session gave them, unit after unit
 *   NAME.units     a line of JSON per unit: its event, and what the summary needs
 *
 * A save flushes the last two, then puts the first in its place: that moment counts. What a killed run
 * wrote after its last save is cut off when it is resumed. Outputs are encoded anew from the answers,
 * so they are the same bytes whether or not the run was broken.
 */
import { createHash } from "node:crypto";
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { Durability, Snapshot } from "../../engine/mod.ts";
import type { Observation, Response } from "../../engine/checkpoint/unit.ts";
import type { RecoveryEvent, UnitEvent } from "../pace/events.ts";
import type { Felt } from "../pace/pace.ts";
import { remove } from "../system/output_file.ts";
import type { ReplaySession } from "../pace/replay.ts";
import type { SavedProgress } from "./saved_progress.ts";
import { durability, type Origin, type Saving } from "./saving_options.ts";
import { defaultName, type SessionFolder } from "../system/session_folder.ts";
import type { UnitTimes } from "../pace/statistics.ts";
import { frameBytes, type StreamShape } from "../media/stream_shape.ts";

/** A unit as it is kept. */
export interface KeptUnit {
  event: UnitEvent;
  times: UnitTimes;
  felt: Felt;
  /** Of its frames and samples. */
  sha256: string;
}

/** A line of NAME.units. */
type Kept = KeptUnit | { event: RecoveryEvent };

/** Something that was kept; a unit with its frames and samples. */
export type Earlier = { unit: KeptUnit; response: Response } | { recovery: RecoveryEvent };

/**
 * The session, with a snapshot taken after every so many units from `next` on, noted by the unit.
 *
 * @param atEnd One more is taken when the input ends.
 */
export function withSnapshots(
  inner: ReplaySession,
  every: number,
  next: number,
  saves: Map<number, Promise<Snapshot>>,
  atEnd = false,
): ReplaySession {
  let taken = next;
  const take = () => {
    if (!inner.snapshot) throw new Error("the session can't be saved");
    const snapshot = inner.snapshot();
    // It is nobody's fault when the session ends first.
    snapshot.catch(() => {});
    saves.set(next - 1, snapshot);
    taken = next;
  };
  return {
    push: async (observation: Observation) => {
      await inner.push(observation);
      if (++next % every === 0) take();
    },
    end: () => {
      if (atEnd && next > taken) take();
      inner.end();
    },
    close: () => inner.close(),
    [Symbol.asyncIterator]: () => inner[Symbol.asyncIterator](),
  };
}

export class SavedRun {
  /** The first unit of this run's outputs: 0, or where it was forked. */
  readonly firstUnit: number;
  /** The first unit that is still to be answered. */
  readonly nextUnit: number;
  /** What was answered before belongs to the outputs. */
  readonly #continues: boolean;
  /** The files' path without what tells them apart. */
  readonly #path: string;
  readonly #saving: Saving;
  #claim: Disposable | null = null;
  #input: SavedProgress["input"] = null;
  #answers: Deno.FsFile | null = null;
  #units: Deno.FsFile | null = null;
  #unitBytes = 0;
  #lineBytes: number;
  #saved: boolean;
  #sha256 = "";
  readonly #saves = new Map<number, Promise<Snapshot>>();
  #start = NaN;

  constructor(saving: Saving) {
    this.#saving = saving;
    const { folder, name, origin, fork } = saving;
    this.#continues = origin !== null && !fork;
    this.nextUnit = origin?.progress.units ?? 0;
    this.firstUnit = this.#continues ? origin?.progress.first ?? 0 : this.nextUnit;
    this.#lineBytes = this.#continues ? origin?.progress.lineBytes ?? 0 : 0;
    this.#saved = this.#continues;
    this.#path = `${folder.path}/${name}`;
  }

  get folder(): SessionFolder {
    return this.#saving.folder;
  }

  get name(): string {
    return this.#saving.name;
  }

  get origin(): Origin | null {
    return this.#saving.origin;
  }

  get fork(): boolean {
    return this.#saving.fork;
  }

  /** The session's schedule, where it is known. */
  get schedule(): Origin["schedule"] | undefined {
    return this.origin?.schedule;
  }

  /** Milliseconds of work before this run. */
  get earlierMs(): number {
    return this.#continues ? this.origin?.progress.wallMs ?? 0 : 0;
  }

  /** A line for people whose run didn't come to its end; null: nothing was saved. */
  get howToGoOn(): string | null {
    if (!this.#saved) return null;
    const name = this.name === defaultName ? "" : ` --session ${this.name}`;
    return `the same command with --resume ${this.folder.path}${name} --force goes on after the last ` +
      "save";
  }

  /** How the engine opens its session. */
  get durability(): Durability {
    return durability(this.#saving);
  }

  /** Makes sure that the recording is the same, but for a fork. @throws InputError */
  checkInput(input: { path: string; sha256: string }): void {
    this.#input = input;
    const saved = this.origin?.progress.input;
    if (!saved || this.fork || saved.sha256 === input.sha256) return;
    throw new InputError(
      `${input.path}: isn't the recording that the session was saved with (${saved.path}): give ` +
        "that one, or go on with this one by --fork NAME",
    );
  }

  /** Opens the files. @param shape The agent's. @throws InputError */
  async begin(shape: StreamShape): Promise<void> {
    this.#start = performance.now();
    this.#unitBytes = shape.frames * frameBytes(shape) + shape.samples * 4;
    this.#claim = await this.folder.claim(this.name);
    const options = { read: true, write: true, create: true };
    this.#answers = await Deno.open(`${this.#path}.answers`, options);
    this.#units = await Deno.open(`${this.#path}.units`, options);
    // What is replaced ends here: its answers are about to go.
    if (!this.#continues) await this.folder.forget(this.name);
    await this.#cut(this.#answers, ".answers", (this.nextUnit - this.firstUnit) * this.#unitBytes);
    await this.#cut(this.#units, ".units", this.#lineBytes);
  }

  /** Leaves what was there at the last save, and stands at its beginning. */
  async #cut(file: Deno.FsFile, extension: string, bytes: number): Promise<void> {
    const { size } = await file.stat();
    if (size < bytes) {
      throw new InputError(
        `${this.#path}${extension}: has ${size} bytes, but ${bytes} were saved: copy the folder ` +
          "again, or begin anew",
      );
    }
    await file.truncate(bytes);
  }

  /** What was answered before, in order; to be read to its end before anything is written.
   * @throws InputError when it is damaged. */
  async *earlier(shape: StreamShape): AsyncGenerator<Earlier> {
    if (!this.#answers || !this.#units) throw new Error("the saved run isn't open");
    const bytes = new Uint8Array(this.#lineBytes);
    await readFull(this.#units, bytes);
    const lines = new TextDecoder().decode(bytes).split("\n").slice(0, -1);
    let unit = this.firstUnit;
    for (const line of lines) {
      const damaged = () =>
        new InputError(
          `${this.#path}.units: unit ${unit} is damaged: copy the folder again, or begin anew`,
        );
      const kept = parseKept(line);
      if (kept === null) throw damaged();
      if (kept.event.type === "recovery") {
        yield { recovery: kept.event };
        continue;
      }
      const { event, times, sha256 } = kept as KeptUnit;
      const media = new Uint8Array(this.#unitBytes);
      if (event.unit !== unit || !await readFull(this.#answers, media)) throw damaged();
      if (digest(media) !== sha256) throw damaged();
      const cut = shape.frames * frameBytes(shape);
      yield {
        unit: kept as KeptUnit,
        response: {
          unit,
          text: event.text,
          tokens: event.tokens,
          frames: media.subarray(0, cut),
          audio: new Float32Array(media.slice(cut).buffer),
          digest: event.digest,
          historyTokens: event.history_tokens,
          stages: times,
        },
      };
      unit++;
    }
    if (unit !== this.nextUnit) {
      throw new InputError(
        `${this.#path}.units: ends before unit ${unit}, but ${this.nextUnit} units were saved: ` +
          "copy the folder again, or begin anew",
      );
    }
  }

  /** The session, with a snapshot taken after every so many units. */
  session(inner: ReplaySession): ReplaySession {
    return withSnapshots(inner, this.#saving.every, this.nextUnit, this.#saves);
  }

  /** Keeps a unit's frames and samples. */
  async write({ frames, audio }: Response): Promise<void> {
    const sound = new Uint8Array(audio.buffer, audio.byteOffset, audio.byteLength);
    const media = new Uint8Array(frames.length + sound.length);
    media.set(frames);
    media.set(sound, frames.length);
    this.#sha256 = digest(media);
    await writeFull(this.#answers, media);
  }

  /** Keeps what happened in the unit that was written last, and saves when it is time. */
  async keepUnit(unit: Omit<KeptUnit, "sha256">): Promise<void> {
    await this.#keep({ ...unit, sha256: this.#sha256 });
    const index = unit.event.unit;
    const snapshot = this.#saves.get(index);
    if (!snapshot) return;
    this.#saves.delete(index);
    await Promise.all([this.#answers?.sync(), this.#units?.sync()]);
    const progress: SavedProgress = {
      ...this.#saving.kept,
      input: this.#input,
      first: this.firstUnit,
      units: index + 1,
      every: this.#saving.every,
      lineBytes: this.#lineBytes,
      wallMs: this.earlierMs + performance.now() - this.#start,
    };
    await this.folder.save(await snapshot, progress, this.name);
    this.#saved = true;
  }

  /** Keeps that the session was mended. */
  keepRecovery(event: RecoveryEvent): Promise<void> {
    return this.#keep({ event });
  }

  async #keep(kept: Kept): Promise<void> {
    const line = new TextEncoder().encode(`${JSON.stringify(kept)}\n`);
    await writeFull(this.#units, line);
    this.#lineBytes += line.length;
  }

  /** Lets go of the files; removes them when nothing was saved. */
  async [Symbol.asyncDispose](): Promise<void> {
    const begun = this.#answers !== null;
    this.#answers?.close();
    this.#units?.close();
    this.#answers = this.#units = null;
    if (begun && !this.#saved) {
      await remove(`${this.#path}.answers`);
      await remove(`${this.#path}.units`);
    }
    this.#claim?.[Symbol.dispose]();
  }
}

/** A line of NAME.units; null when it is none. */
function parseKept(line: string): Kept | null {
  try {
    const top = new Fields(JSON.parse(line), "");
    const event = top.object("event");
    if (event.oneOf("type", ["unit", "recovery"]) === "unit") {
      const digests = [event.get("digest"), event.get("text"), top.get("sha256")];
      if (!digests.every((value) => typeof value === "string")) return null;
      event.whole("unit", [0, 2 ** 40]);
      event.list("tokens", [0, 2 ** 20]);
      top.object("felt");
      top.object("times").number("total", [0, 1e12]);
    }
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function readFull(file: Deno.FsFile, bytes: Uint8Array): Promise<boolean> {
  for (let at = 0; at < bytes.length;) {
    const read = await file.read(bytes.subarray(at));
    if (read === null) return false;
    at += read;
  }
  return true;
}

async function writeFull(file: Deno.FsFile | null, bytes: Uint8Array): Promise<void> {
  if (!file) throw new Error("the saved run isn't open");
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}
