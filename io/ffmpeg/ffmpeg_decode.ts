/** Any recording that FFmpeg reads, as RGB24 frames and mono samples on the container's clock. */
import { InputError } from "../../engine/config/errors.ts";
import { cutOff } from "../media/cut_off.ts";
import { type Ffmpeg, FfmpegProcess } from "./ffmpeg.ts";
import { inputArgs, type Probe } from "./ffmpeg_probe.ts";
import { decode, fitFilter, pictures, samples, Watchdog } from "./ffmpeg_source.ts";
import type { MediaSource } from "../media/observation_reader.ts";
import type { StreamShape } from "../media/stream_shape.ts";

/**
 * Starts one FFmpeg that decodes both media at the shape's rates and size. Rotation flags are followed,
 * other channels mixed down. A stream that starts late begins with silence, or with its first frame
 * held.
 */
export function decodeMedia(
  ffmpeg: Ffmpeg,
  path: string,
  facts: Probe,
  shape: StreamShape,
): MediaSource {
  // With -r the encoder's side keeps the clock too: where the picture changes its size in the middle,
  // the filters start anew and fps would repeat the first picture from 0. The start of sound is not
  // the resampler's business (first_pts=0): a change of channels in the middle would start it anew.
  const clock = [`fps=${shape.fps}:start_time=0`];
  return decode(ffmpeg, {
    name: path,
    input: inputArgs(path),
    video: facts.video === null ? null : pictures(`0:${facts.video}`, shape, clock),
    audio: facts.audio === null ? null : samples(`0:${facts.audio}`, shape),
    lateSamples: Math.round(facts.audioStart * shape.sampleRate),
    cutOff: async (seconds, lines, failure) =>
      await brokenOff(path, facts, seconds, lines) ?? failure,
  });
}

/** Formats of one stream whose header tells the exact length. */
const exactFormats = /^(flac|mp3|wav|w64|aiff|caf|au)$/;

async function brokenOff(
  path: string,
  facts: Probe,
  seconds: number,
  lines: string[],
): Promise<string | null> {
  const structure = await cutOff(path);
  if (structure !== null) return structure;
  if (exactFormats.test(facts.format) && facts.seconds !== null && seconds < facts.seconds - 0.2) {
    return `its header says ${facts.seconds.toFixed(2)} s`;
  }
  const said = lines.find((line) => /: partial file$|File ended prematurely/.test(line));
  return said === undefined ? null : `FFmpeg: ${said.replace(/^(\[[^\]]*\] )+/, "")}`;
}

/**
 * Decodes the first picture of an image or video, fitted into width x height.
 *
 * @returns RGB24 [height, width, 3]
 * @throws InputError when there is none.
 */
export async function decodePicture(
  ffmpeg: Ffmpeg,
  path: string,
  facts: Probe,
  width: number,
  height: number,
): Promise<Uint8Array> {
  if (facts.video === null) throw new InputError(`${path}: holds no picture`);
  const process = new FfmpegProcess(ffmpeg, [
    ...[...inputArgs(path), "-map", `0:${facts.video}`, "-frames:v", "1"],
    ...["-vf", `${fitFilter(width, height)},format=rgb24`, "-f", "rawvideo", "pipe:1"],
  ], { stdout: true });
  const watchdog = new Watchdog(process);
  const parts = await Array.fromAsync(watchdog.watch(process.child.stdout));
  const bytes = await new Blob(parts as BlobPart[]).bytes();
  await process.end();
  const size = width * height * 3;
  if (bytes.length < size) {
    const why = watchdog.reason ?? process.lastLine();
    throw new InputError(`${path}: its picture can't be decoded (${why})`);
  }
  return bytes.subarray(0, size);
}
