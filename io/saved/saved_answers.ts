/**
 * What a saved replay has answered, so that a resumed one encodes its outputs anew from the answers:
 * they are the same bytes whether or not the run was broken.
 *
 *   NAME.answers   frames and samples of each unit as the session gave them, unit after unit
 *   NAME.units     a line of JSON per event: {event}, of a unit with the SHA-256 of its media
 */
import { createHash } from "node:crypto";
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { Media } from "../../engine/model/unit_coders.ts";
import { frameBytes, type StreamShape } from "../media/stream_shape.ts";
import type { RecoveryEvent, UnitEvent } from "../pace/events.ts";
import { concat, readFully, writeAll } from "../system/bytes.ts";
import { remove } from "../system/output_file.ts";

/** Something that was kept; a unit with its frames and samples. */
export type Kept = { event: UnitEvent; media: Media } | { event: RecoveryEvent; media: null };

export class SavedAnswers {
  /** Bytes of NAME.units so far. */
  lineBytes: number;
  readonly #path: string;
  readonly #frameBytes: number;
  readonly #unitBytes: number;
  readonly #answers: Deno.FsFile;
  readonly #units: Deno.FsFile;
  #sha256 = "";

  private constructor(
    path: string,
    shape: StreamShape,
    lineBytes: number,
    [answers, units]: [Deno.FsFile, Deno.FsFile],
  ) {
    this.#path = path;
    this.#frameBytes = shape.frames * frameBytes(shape);
    this.#unitBytes = this.#frameBytes + shape.samples * 4;
    this.lineBytes = lineBytes;
    this.#answers = answers;
    this.#units = units;
  }

  /**
   * Opens the files and cuts off what a killed run wrote after its last save.
   *
   * @param path Of both files, without what tells them apart.
   * @param shape The agent's.
   * @param units Units that were answered before.
   * @param lineBytes Bytes of NAME.units that belong to them.
   * @throws InputError when the files are shorter than that.
   */
  static async open(
    path: string,
    shape: StreamShape,
    units: number,
    lineBytes: number,
  ): Promise<SavedAnswers> {
    const open = (extension: string) =>
      Deno.open(`${path}${extension}`, { read: true, write: true, create: true });
    const files: [Deno.FsFile, Deno.FsFile] = [await open(".answers"), await open(".units")];
    const saved = new SavedAnswers(path, shape, lineBytes, files);
    try {
      await saved.#cut(files[0], ".answers", units * saved.#unitBytes);
      await saved.#cut(files[1], ".units", lineBytes);
      return saved;
    } catch (error) {
      saved.close();
      throw error;
    }
  }

  /** Removes the files, if they are there. */
  static async remove(path: string): Promise<void> {
    await remove(`${path}.answers`);
    await remove(`${path}.units`);
  }

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

  /**
   * What was kept of units `first` to `next` - 1, in order; to be read to its end before anything is
   * written.
   *
   * @throws InputError when it is damaged.
   */
  async *read(first: number, next: number): AsyncGenerator<Kept> {
    const bytes = new Uint8Array(this.lineBytes);
    await readFully(this.#units, bytes);
    let unit = first;
    for (const line of new TextDecoder().decode(bytes).split("\n").slice(0, -1)) {
      const kept = parseLine(line);
      const event = kept?.event;
      if (event?.type === "recovery") {
        yield { event, media: null };
        continue;
      }
      const media = new Uint8Array(this.#unitBytes);
      await readFully(this.#answers, media);
      if (event?.unit !== unit || kept?.sha256 !== digest(media)) {
        throw new InputError(
          `${this.#path}.units: unit ${unit} is damaged: copy the folder again, or begin anew`,
        );
      }
      const frames = media.subarray(0, this.#frameBytes);
      const audio = new Float32Array(media.slice(this.#frameBytes).buffer);
      yield { event, media: { frames, audio } };
      unit++;
    }
    if (unit !== next) {
      throw new InputError(
        `${this.#path}.units: ends before unit ${unit}, but ${next} units were saved: ` +
          "copy the folder again, or begin anew",
      );
    }
  }

  /** Keeps a unit's frames and samples. */
  async write({ frames, audio }: Media): Promise<void> {
    const media = concat([
      frames,
      new Uint8Array(audio.buffer, audio.byteOffset, audio.byteLength),
    ]);
    this.#sha256 = digest(media);
    await writeAll(this.#answers, media);
  }

  /** Keeps what happened in the unit that was written last. */
  async keep(event: UnitEvent | RecoveryEvent): Promise<void> {
    const kept = event.type === "unit" ? { event, sha256: this.#sha256 } : { event };
    const line = new TextEncoder().encode(`${JSON.stringify(kept)}\n`);
    await writeAll(this.#units, line);
    this.lineBytes += line.length;
  }

  /** Flushes both files to the disk. */
  async sync(): Promise<void> {
    await Promise.all([this.#answers.sync(), this.#units.sync()]);
  }

  close(): void {
    this.#answers.close();
    this.#units.close();
  }
}

/** A line of NAME.units; null when it is none. */
function parseLine(
  line: string,
): { event: UnitEvent | RecoveryEvent; sha256?: string } | null {
  try {
    const kept = JSON.parse(line);
    const top = new Fields(kept, "");
    const event = top.object("event");
    if (event.oneOf("type", ["unit", "recovery"]) === "unit") {
      const texts = [event.get("digest"), event.get("text"), top.get("sha256")];
      if (!texts.every((value) => typeof value === "string")) return null;
      event.whole("unit", [0, 2 ** 40]);
      event.list("tokens", [0, 2 ** 20]);
      event.oneOf("observation", ["given", "skipped", "lost"]);
      event.boolean("heard");
      event.object("ms").number("total", [0, 1e12]);
    }
    return kept;
  } catch {
    return null;
  }
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
