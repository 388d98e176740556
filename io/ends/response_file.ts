/** The agent's side of the stream as files: one medium file, and its text as WebVTT. */
import { extname } from "node:path";
import { InputError } from "../../engine/config/errors.ts";
import { type Spoken, webVtt } from "../media/captions.ts";
import { chooseContainer, mediaExtensions } from "../ffmpeg/ffmpeg_encode.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import type { Answer } from "./ends.ts";
import { MediaResponse } from "./media_response.ts";
import type { OutputFile } from "../system/output_file.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { WavWriter } from "../media/wav.ts";
import { Y4mWriter } from "../media/y4m.ts";
import { isOsError } from "../system/errors.ts";

/** Takes responses in order. */
export interface ResponseWriter {
  /** Appends a unit. */
  write(response: Answer): Promise<void>;
  /** Completes the file after at least one unit. @throws OutputError when FFmpeg died over it. */
  finish(): Promise<void>;
  /**
   * After `write` or `finish` threw an OutputError: completes the file with what of the first `units`
   * units can be kept. @returns How many; 0: there is no file.
   */
  rescue?(units: number): Promise<number>;
  /** Gives up. May be called at any time, after `finish` too. */
  abort(): Promise<void>;
}

/** @throws InputError when no writer knows the extension of `path`. */
export function checkExtension(option: string, path: string, known: string[]): void {
  if (known.includes(extname(path).toLowerCase())) return;
  throw new InputError(`${option}: '${path}' should end in ${known.join(", ")}`);
}

/** Extensions of response files: all media, or one medium without FFmpeg. */
export const responseExtensions = [...mediaExtensions, ".wav", ".y4m"];

/** True when a response file of this name is written by FFmpeg. */
export function needsFfmpeg(path: string): boolean {
  return mediaExtensions.includes(extname(path).toLowerCase());
}

/** @throws InputError when this FFmpeg can't write such a file. */
export async function checkWritable(path: string, ffmpeg: FfmpegFinder): Promise<void> {
  await chooseContainer(await ffmpeg(), extname(path).toLowerCase());
}

/** The name of the WebVTT file beside a response file. */
export function captionsPath(path: string): string {
  return `${path.slice(0, path.length - extname(path).length)}.vtt`;
}

/**
 * Opens the writer that the file's extension asks for. After K units the file holds exactly K units
 * of frames and samples; `captions` holds what the agent says as it grows, null: nothing is said.
 *
 * @param comment What the file's tags say; Y4M has no place for it.
 * @throws InputError when FFmpeg is needed and can't write it.
 */
export async function openResponse(
  file: OutputFile,
  captions: OutputFile | null,
  shape: StreamShape,
  ffmpeg: FfmpegFinder,
  comment: string | null = null,
): Promise<ResponseWriter> {
  const extension = extname(file.path).toLowerCase();
  const spoken: Spoken[] = [];
  let units = 0;
  const note = ({ unit, text }: Answer) => {
    units = unit + 1;
    if (text !== "") spoken.push({ unit, text });
  };
  const writeCaptions = async () => {
    if (captions === null) return;
    await Deno.writeTextFile(captions.temporary, webVtt(spoken, shape.unitMs, units));
  };
  /** The captions of the units that a full disk leaves, where it takes them. */
  const writeWhole = async (kept: number) => {
    units = kept;
    await writeCaptions().catch((error) => {
      if (!isOsError(error)) throw error;
    });
  };

  if (extension === ".wav") {
    const wav = await WavWriter.create(file.temporary, shape.sampleRate, comment);
    return {
      write: (response) => (note(response), wav.write(response.audio)),
      finish: () => Promise.all([wav.close(), writeCaptions()]).then(() => {}),
      rescue: async () => {
        const kept = await wav.keepWhole(shape.samples);
        await writeWhole(kept);
        return kept;
      },
      abort: () => wav.close(),
    };
  }
  if (extension === ".y4m") {
    const y4m = await Y4mWriter.create(file.temporary, shape);
    return {
      write: (response) => (note(response), y4m.write(response.frames)),
      finish: () => (y4m.close(), writeCaptions()),
      rescue: async () => {
        const kept = await y4m.keepWhole(shape.frames);
        await writeWhole(kept);
        return kept;
      },
      abort: () => Promise.resolve(y4m.close()),
    };
  }
  const found = await ffmpeg();
  const container = await chooseContainer(found, extension);
  return new MediaResponse(found, container, shape, file, captions, comment);
}
