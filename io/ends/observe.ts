/** Files as the user's side of the stream: observations, a reference image, a reference voice. */
import { InputError } from "../../engine/config/errors.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { decodeMedia, decodePicture } from "../ffmpeg/ffmpeg_decode.ts";
import { probe } from "../ffmpeg/ffmpeg_probe.ts";
import { endedFromOutside } from "../ffmpeg/ffmpeg_source.ts";
import { readError, RunError } from "../system/errors.ts";
import { type MediaSource, ObservationReader } from "../media/observation_reader.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { defaultTracks, takenTracks, type TrackChoice } from "../media/tracks.ts";
import type { InputFacts } from "../pace/events.ts";
import { openWav, readWavHeader, wavTrack } from "../media/wav.ts";
import { openY4m, y4mTrack } from "../media/y4m.ts";

/**
 * Opens a recording as observations of the shape. WAV and Y4M are known by their content,
 * whatever their names are. WAV is read without FFmpeg unless its coding is unusual, and so is a Y4M
 * that has the shape's size and rate.
 *
 * @throws InputError when the file is missing, empty, a folder, or no recording.
 */
export async function openInput(
  path: string,
  shape: StreamShape,
  ffmpeg: FfmpegFinder,
  choice: TrackChoice = defaultTracks,
): Promise<{ observations: ObservationReader; facts: InputFacts }> {
  const { source, facts } = await openMedia(path, shape, ffmpeg, choice);
  return { observations: new ObservationReader(source, shape), facts };
}

/**
 * Opens a recording as bytes: pictures and sound of the shape, each as long as it is there.
 *
 * @throws InputError as `openInput`.
 */
export async function openMedia(
  path: string,
  shape: StreamShape,
  ffmpeg: FfmpegFinder,
  choice: TrackChoice,
): Promise<{ source: MediaSource; facts: InputFacts }> {
  const { bytes, kind } = await fileKind(path);
  if (kind === "wav") {
    const format = await readWavHeader(path);
    if (format) {
      const tracks = [wavTrack(format)];
      const { channel, facts } = takenTracks(path, tracks, choice);
      const seconds = format.length / format.frame / format.sampleRate;
      const source = openWav(path, format, shape.sampleRate, channel);
      return { source, facts: { path, bytes, sha256: null, reader: "wav", seconds, ...facts } };
    }
  }
  if (kind === "y4m") {
    const source = await openY4m(path, shape);
    if (source) {
      const { facts } = takenTracks(path, [y4mTrack], choice);
      return {
        source,
        facts: { path, bytes, sha256: null, reader: "y4m", seconds: null, ...facts },
      };
    }
  }
  const found = await ffmpeg();
  const streams = await probe(found, path, choice);
  const { seconds, tracks } = streams;
  checkLength(path, bytes, seconds);
  const { facts } = takenTracks(path, tracks, choice);
  return {
    source: decodeMedia(found, path, streams, shape),
    facts: { path, bytes, sha256: null, reader: "ffmpeg", seconds, ...facts },
  };
}

/**
 * Refuses a recording whose length its bytes can't fill: a timestamp that jumps by hours, or a stream
 * that begins hours late, would be filled up with silence and repeated frames.
 */
function checkLength(path: string, bytes: number, seconds: number | null): void {
  // Ten minutes of a still picture are small; no coding of sound needs less than 4 bytes a second.
  if (seconds === null || seconds <= 600 || bytes >= seconds * 4) return;
  throw new InputError(
    `${path}: claims ${
      Math.round(seconds)
    } s of recording in ${bytes} bytes: its timestamps jump: ` +
      "record it again, or give it new ones with FFmpeg's setts filter",
  );
}

/** Makes sure that a file is there, has content, and may be read. @throws InputError */
export async function checkInput(path: string): Promise<void> {
  await fileKind(path);
}

/** Refuses anything but a file with content, and tells by its first bytes what it is. */
async function fileKind(path: string): Promise<{ bytes: number; kind: "wav" | "y4m" | "other" }> {
  const info = await Deno.stat(path).catch((error) => {
    throw readError(path, error);
  });
  if (info.isDirectory) throw new InputError(`${path}: is a folder: give a recording in it`);
  if (!info.isFile) {
    throw new InputError(
      `${path}: is a device, pipe or socket, not a file: save its content to a file first`,
    );
  }
  if (info.size === 0) throw new InputError(`${path}: is empty (0 bytes): record it again`);
  const head = new Uint8Array(12);
  try {
    using file = await Deno.open(path);
    await file.read(head);
  } catch (error) {
    throw readError(path, error);
  }
  const text = String.fromCharCode(...head);
  const kind = /^(RIFF|RF64)....WAVE/s.test(text)
    ? "wav"
    : text.startsWith("YUV4MPEG2 ")
    ? "y4m"
    : "other";
  return { bytes: info.size, kind };
}

/**
 * Reads a reference image (or a video's first picture), fitted into the shape's size.
 *
 * @returns RGB24 [height, width, 3]
 * @throws InputError
 */
export async function readPicture(
  path: string,
  shape: StreamShape,
  ffmpeg: FfmpegFinder,
): Promise<Uint8Array> {
  await fileKind(path);
  const found = await ffmpeg();
  const streams = await probe(found, path, { ...defaultTracks, audio: "none" });
  return await decodePicture(found, path, streams, shape.width, shape.height);
}

/**
 * Reads the sound of a file, at most `seconds` of it.
 *
 * @returns Mono samples at the shape's rate
 * @throws InputError when there is none.
 */
export async function readSound(
  path: string,
  shape: StreamShape,
  seconds: number,
  ffmpeg: FfmpegFinder,
): Promise<Float32Array> {
  const { source } = await openMedia(path, shape, ffmpeg, { ...defaultTracks, video: "none" });
  const { audio } = source;
  const samples = new Float32Array(Math.ceil(seconds * shape.sampleRate));
  const bytes = new Uint8Array(samples.buffer);
  let held = 0;
  try {
    while (audio !== null && held < bytes.length && !audio.ended) {
      await audio.read();
      held += audio.take(bytes.subarray(held));
    }
    // A voice may break off, but not for a reason that another run doesn't have.
    const isShort = audio !== null && held < bytes.length;
    const cut = isShort ? await source.finish(held / 4 / shape.sampleRate) : null;
    if (endedFromOutside.test(cut ?? "")) throw new RunError(`${path}: ${cut}: try again`);
    if (held < 4) throw new InputError(`${path}: holds no sound`);
  } finally {
    await source.close();
  }
  return samples.slice(0, Math.floor(held / 4));
}
