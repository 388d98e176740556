/** A response as one media file that FFmpeg writes, with its text as a subtitle track. */
import { extname } from "node:path";
import { InputError } from "../../engine/config/errors.ts";
import { anyText, type Spoken, webVtt } from "../media/captions.ts";
import { isOsError, OutputError } from "../system/errors.ts";
import type { Ffmpeg } from "../ffmpeg/ffmpeg.ts";
import { type Container, finishMedia, MediaEncoder } from "../ffmpeg/ffmpeg_encode.ts";
import type { Answer } from "./ends.ts";
import { openInput } from "./observe.ts";
import { type OutputFile, remove } from "../system/output_file.ts";
import type { StreamShape } from "../media/stream_shape.ts";

/**
 * Units that are kept in memory: more than an encoder holds back before they reach the file (libx264
 * looks some 20 frames ahead), so that none is lost when it dies.
 */
const recentUnits = 16;

/**
 * Writes a response unit by unit, in pieces that can be read should FFmpeg die, and gives the file its
 * last form at the end. After K units it holds exactly K units of frames and samples.
 */
export class MediaResponse {
  private readonly ffmpeg: Ffmpeg;
  private readonly container: Container;
  private readonly shape: StreamShape;
  private readonly file: OutputFile;
  private readonly captions: OutputFile | null;
  private readonly comment: string | null;
  #encoder: MediaEncoder;
  #spoken: Spoken[] = [];
  #units = 0;
  readonly #recent: Pick<Answer, "unit" | "frames" | "audio">[] = [];
  /** All units are in the file; what is missing is its last form. */
  #encoded = false;

  constructor(
    ffmpeg: Ffmpeg,
    container: Container,
    shape: StreamShape,
    file: OutputFile,
    captions: OutputFile | null,
    comment: string | null = null,
  ) {
    this.ffmpeg = ffmpeg;
    this.container = container;
    this.shape = shape;
    this.file = file;
    this.captions = captions;
    this.comment = comment;
    this.#encoder = this.#open();
  }

  #open(): MediaEncoder {
    const { temporary, path } = this.file;
    const { ffmpeg, container, shape, comment } = this;
    return new MediaEncoder(ffmpeg, container, shape, temporary, path, comment);
  }

  /** Appends a unit. @throws OutputError when FFmpeg has died. */
  async write({ unit, text, frames, audio }: Answer): Promise<void> {
    this.#units = unit + 1;
    if (text !== "") this.#spoken.push({ unit, text });
    this.#recent.push({ unit, frames, audio });
    if (this.#recent.length > recentUnits) this.#recent.shift();
    await this.#encoder.write(frames, audio);
  }

  /** Completes the file. @throws OutputError when FFmpeg has died. */
  async finish(): Promise<void> {
    await this.#encoder.finish();
    this.#encoded = true;
    const captions = this.captions?.temporary ?? null;
    if (captions !== null) {
      const text = webVtt(this.#spoken, this.shape.unitMs, this.#units);
      await Deno.writeTextFile(captions, text);
    }
    const said = captions !== null && anyText(this.#spoken);
    if (!said && !this.container.rewritten) return;
    // The text is known only now, and a container's tracks are fixed at its start: copy and add.
    const pieces = this.file.beside(extname(this.file.path));
    await Deno.rename(this.file.temporary, pieces);
    try {
      const { temporary: output } = this.file;
      await finishMedia(this.ffmpeg, this.container, pieces, said ? captions : null, output);
    } catch (error) {
      await Deno.rename(pieces, this.file.temporary);
      throw error;
    }
    await remove(pieces);
  }

  /**
   * After an OutputError: reads again what FFmpeg had written, adds the units that it had not, and
   * completes the file by another FFmpeg. Where that fails too (the disk is full, say), the file stays as
   * the first one left it; where only the last form failed, it stays as it is: both play, without a
   * subtitle track.
   *
   * @param units Units that were answered. @returns How many of them are kept.
   */
  async rescue(units: number): Promise<number> {
    if (this.#encoded) return units;
    await this.#encoder.abort();
    const pieces = this.file.beside(extname(this.file.path));
    await Deno.rename(this.file.temporary, pieces);
    let kept = 0;
    try {
      this.#encoder = this.#open();
      kept = await this.#repeat(pieces, units);
      if (kept === 0) return 0;
      this.#spoken = this.#spoken.filter(({ unit }) => unit < kept);
      this.#units = kept;
      await this.finish();
      return kept;
    } catch (error) {
      if (!(error instanceof OutputError) && !isOsError(error)) throw error;
      if (this.#encoded) return kept;
      await this.#encoder.abort();
      await Deno.rename(pieces, this.file.temporary);
      return await this.#wholeUnits(units);
    } finally {
      await remove(pieces);
    }
  }

  /** How many whole units the file holds as it is, at most `units`. */
  async #wholeUnits(units: number): Promise<number> {
    let whole = 0;
    for await (const _ of this.#written(this.file.temporary)) if (++whole === units) break;
    return whole;
  }

  /** Writes again the first `units` units: from the file as far as it has to, then from memory. */
  async #repeat(pieces: string, units: number): Promise<number> {
    const begin = Math.min(this.#recent[0]?.unit ?? 0, units);
    let kept = 0;
    if (begin > 0) {
      for await (const { frames, audio } of this.#written(pieces)) {
        await this.#encoder.write(frames, audio);
        if (++kept === begin) break;
      }
    }
    if (kept < begin) return kept;
    for (const { unit, frames, audio } of this.#recent) {
      if (unit >= units) break;
      await this.#encoder.write(frames, audio);
      kept++;
    }
    return kept;
  }

  /** The whole units of a file that stops somewhere. */
  async *#written(pieces: string): AsyncGenerator<Pick<Answer, "frames" | "audio">> {
    let observations;
    try {
      ({ observations } = await openInput(
        pieces,
        this.shape,
        () => Promise.resolve(this.ffmpeg),
      ));
    } catch (error) {
      if (error instanceof InputError) return;
      throw error;
    }
    for await (const { frames, audio } of observations.whole()) {
      if (frames && audio) yield { frames, audio };
    }
  }

  /** Gives up. */
  async abort(): Promise<void> {
    await this.#encoder.abort();
  }
}
