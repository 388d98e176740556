/**
 * Latents as a safetensors file: `audio` [units, time, channels] and `video` [units, time, height, width,
 * channels], f32, `video.first` [time, height, width, channels] of a first frame that comes alone, and
 * what made them as the header's metadata (docs/codec.md).
 */
import { Fields } from "../../engine/config/config_fields.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { InputError } from "../../engine/config/errors.ts";
import { media, type Medium } from "../../engine/checkpoint/coders.ts";
import type { CodecStream, OpenCodec } from "../../engine/families/codec.ts";
import { safetensorsHeader } from "../../engine/weights/safetensors_writer.ts";
import { WeightFiles } from "../../engine/weights/weight_files.ts";
import { elements } from "../../kernels/gpu/tensor.ts";
import { writeAll } from "../system/bytes.ts";
import { type OutputFile, remove } from "../system/output_file.ts";

export const latentsFormat = "wanstream latents/1";

/** Codecs by medium; a medium without one is left out. */
export type Codecs = Partial<Record<Medium, OpenCodec>>;

/** A unit's latents as the codec has them, [time, height, width, channels]. */
export type UnitLatents = Partial<Record<Medium, Float32Array>>;

/** Latents of a first frame that comes alone, [time, height, width, channels]. */
export interface FirstLatents {
  shape: readonly number[];
  values: Float32Array;
}

const firstName = "video.first";

/** The shape of one unit's latents in the file: sound has no height and width. */
export function storedShape(medium: Medium, shape: readonly number[]): number[] {
  const [time = 0, height = 0, width = 0, channels = 0] = shape;
  return medium === "audio" ? [time, channels] : [time, height, width, channels];
}

/** What a file's metadata says of its making: text by name, as safetensors has it. */
function describe(codecs: Codecs, stream: CodecStream, provenance: object): Record<string, string> {
  const { audio, video } = codecs;
  return {
    wanstream: latentsFormat,
    unit_ms: `${stream.unitMs}`,
    ...(audio
      ? {
        "audio.codec": audio.family,
        "audio.digest": audio.digest,
        "audio.sample_rate": `${audio.sampleRate}`,
      }
      : {}),
    ...(video
      ? {
        "video.codec": video.family,
        "video.digest": video.digest,
        "video.fps": `${stream.fps}`,
        "video.width": `${stream.width}`,
        "video.height": `${stream.height}`,
      }
      : {}),
    provenance: JSON.stringify(provenance),
  };
}

interface Waiting {
  medium: Medium;
  /** Of one unit. */
  shape: number[];
  path: string;
  file: Deno.FsFile;
}

/** Writes latents unit by unit. How many there are is known at the end, so each medium's wait in a file
 * beside the output. */
export class LatentsWriter {
  private readonly file: OutputFile;
  readonly #waiting: Waiting[];
  #units = 0;

  private constructor(file: OutputFile, waiting: Waiting[]) {
    this.file = file;
    this.#waiting = waiting;
  }

  /** @param shapes Of one unit's latents of each medium that will come, [time, height, width, channels]. */
  static async create(
    file: OutputFile,
    shapes: Partial<Record<Medium, readonly number[]>>,
  ): Promise<LatentsWriter> {
    const waiting: Waiting[] = [];
    for (const medium of media) {
      const shape = shapes[medium];
      if (!shape) continue;
      const path = file.beside(".latents");
      const options = { read: true, write: true, create: true, truncate: true };
      const opened = await Deno.open(path, options);
      waiting.push({ medium, shape: storedShape(medium, shape), path, file: opened });
    }
    return new LatentsWriter(file, waiting);
  }

  async write(latents: UnitLatents): Promise<void> {
    for (const { medium, file, shape } of this.#waiting) {
      const values = latents[medium];
      if (values?.length !== elements(shape)) throw new RangeError(`no whole unit of ${medium}`);
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      await writeAll(file, bytes);
    }
    this.#units++;
  }

  /** Puts the file together. @param first Latents of the pictures' first frame, where that comes alone. */
  async finish(
    codecs: Codecs,
    stream: CodecStream,
    provenance: object,
    first: FirstLatents | null = null,
  ): Promise<void> {
    const specs = this.#waiting.map(({ medium, shape }) => ({
      name: medium as string,
      dtype: "F32" as const,
      shape: [this.#units, ...shape],
    }));
    if (first) specs.push({ name: firstName, dtype: "F32", shape: [...first.shape] });
    using file = await Deno.open(this.file.temporary, { write: true, truncate: true });
    await writeAll(file, safetensorsHeader(specs, describe(codecs, stream, provenance)));
    const chunk = new Uint8Array(1 << 20);
    for (const part of this.#waiting) {
      await part.file.seek(0, Deno.SeekMode.Start);
      for (let n; (n = await part.file.read(chunk)) !== null;) {
        await writeAll(file, chunk.subarray(0, n));
      }
    }
    if (first) await writeAll(file, new Uint8Array(Float32Array.from(first.values).buffer));
  }

  /** Removes what waits; called last, however the run goes. */
  async close(): Promise<void> {
    for (const { file, path } of this.#waiting.splice(0)) {
      file.close();
      await remove(path);
    }
  }
}

/** An open file of latents. `close()` or `using` closes it. */
export class LatentsFile {
  readonly path: string;
  readonly units: number;
  /** What its header says. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly #weights: WeightFiles;
  /** Entries of a codebook, where the sound's latents are codes. */
  #entries: number | null = null;

  private constructor(
    path: string,
    units: number,
    metadata: Record<string, string>,
    weights: WeightFiles,
  ) {
    this.path = path;
    this.units = units;
    this.metadata = metadata;
    this.#weights = weights;
  }

  /** @throws InputError when the file isn't one of latents. */
  static async open(path: string): Promise<LatentsFile> {
    const weights = await WeightFiles.open(path);
    try {
      const [header = "{}"] = weights.headers.values();
      const metadata = JSON.parse(header)["__metadata__"] ?? {};
      if (new Fields(metadata, path).get("wanstream") !== latentsFormat) {
        throw new InputError(
          `${path}: its metadata 'wanstream' is ${valueText(metadata.wanstream)}; it must be ` +
            `"${latentsFormat}": write latents with 'codec --latents FILE'`,
        );
      }
      const counts = new Set<number>();
      for (const [name, { stored, shape }] of weights.entries) {
        if (name === firstName && stored === "F32") continue;
        const axes = name === "audio" ? 3 : 5;
        if (!media.some((medium) => medium === name) || stored !== "F32" || shape.length !== axes) {
          throw new InputError(
            `${path}: tensor ${valueText(name)} is ${stored} ${valueText(shape)}; latents are ` +
              "audio F32 [units, time, channels] and video F32 [units, time, height, width, channels]",
          );
        }
        counts.add(shape[0] ?? 0);
      }
      const [units = 0, ...others] = counts;
      if (counts.size === 0 || others.length > 0) {
        throw new InputError(
          `${path}: has ${[...counts].join(" and ") || "no"} units; it needs one number`,
        );
      }
      return new LatentsFile(path, units, metadata, weights);
    } catch (error) {
      weights.close();
      throw error;
    }
  }

  has(medium: Medium): boolean {
    return this.#weights.entries.has(medium);
  }

  /**
   * Makes sure that a codec decodes what is here.
   *
   * @param shape Of one unit's latents, [time, height, width, channels].
   * @param first Of the first frame's, where that comes alone.
   * @throws InputError
   */
  check(codec: OpenCodec, shape: readonly number[], first: readonly number[] | null): void {
    const { medium, digest, where } = codec;
    const made = this.metadata[`${medium}.digest`];
    if (made !== digest) {
      throw new InputError(
        `${this.path}: its ${medium} latents are of the codec with digest ${valueText(made)}; ` +
          `${where} has ${digest}: give that codec, codes with --codes`,
      );
    }
    if (codec.bits !== null) this.#entries = Math.round(2 ** (codec.bits / (shape[3] ?? 1)));
    const [, ...stored] = this.#weights.entry(medium).shape;
    const needed = storedShape(medium, shape);
    const alone = this.#weights.entries.get(firstName)?.shape ?? [];
    if (medium === "video" && alone.join() !== (first ?? []).join()) {
      throw new InputError(
        `${this.path}: ${firstName} has shape ${valueText(alone)}; ${where} needs ` +
          `${valueText(first ?? [])}: write the latents with this codec`,
      );
    }
    if (stored.join() !== needed.join()) {
      throw new InputError(
        `${this.path}: a unit of ${medium} has shape ${valueText(stored)}; ${where} needs ` +
          `${valueText(needed)}: give the size and the unit that it was made with`,
      );
    }
  }

  /** One unit of a medium. @throws InputError when a value isn't finite, or no code of the codec. */
  read(medium: Medium, unit: number): Promise<Float32Array> {
    return this.#read(medium, unit, this.units);
  }

  /** Latents of the pictures' first frame; null where it doesn't come alone. @throws InputError as `read`. */
  async readFirst(): Promise<Float32Array | null> {
    return this.#weights.entries.has(firstName) ? await this.#read(firstName, 0, 1) : null;
  }

  /** One part of `parts` of a tensor. */
  async #read(name: string, part: number, parts: number): Promise<Float32Array> {
    const bytes = new Uint8Array(this.#weights.entry(name).length / parts);
    await this.#weights.read(name, part * bytes.length, bytes);
    const values = new Float32Array(bytes.buffer);
    const entries = name === "audio" ? this.#entries : null;
    const bad = values.findIndex((value) =>
      entries === null
        ? !Number.isFinite(value)
        : !Number.isInteger(value) || value < 0 || value >= entries
    );
    if (bad < 0) return values;
    const may = entries === null
      ? "it must be finite"
      : `a code is a whole number below ${entries}`;
    throw new InputError(
      `${this.path}: ${name} holds ${values[bad]} in unit ${part}, index ${bad}; ${may}`,
    );
  }

  [Symbol.dispose](): void {
    this.#weights.close();
  }
}
