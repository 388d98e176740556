/** Any recording that FFmpeg reads, as RGB24 frames and mono samples on the container's clock. */
import { InputError } from "../../engine/config/errors.ts";
import { cutOff } from "../media/cut_off.ts";
import { colourFilters } from "./colours.ts";
import { checkSignal, type Ffmpeg, FfmpegProcess } from "./ffmpeg.ts";
import { inputArgs, type Probe } from "./ffmpeg_probe.ts";
import { channelFilters, decode, fitFilter, pictures, samples, Watchdog } from "./ffmpeg_source.ts";
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
  // With -r the encoder's side keeps the clock too: where filters start anew in the middle, fps would
  // repeat the first picture from 0. The resampler doesn't fill the time before the first sound
  // (first_pts=0): where the number of channels changes in the middle it would do so again.
  const { video, audio } = facts;
  const seen = video && [`fps=${shape.fps}:start_time=0`, ...colourFilters(video)];
  // In Ogg the samples are the clock. In files that were chained together FFmpeg takes the headers of a
  // later part for a second of sound.
  const clock = facts.format === "ogg" && video === null ? ["asetpts=N/SR/TB"] : [];
  return decode(ffmpeg, {
    name: path,
    input: inputArgs(path, video),
    video: video && seen && pictures(`0:${video.index}`, shape, seen),
    audio: audio &&
      samples(`0:${audio.index}`, shape, [...clock, ...channelFilters(facts.channel)]),
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
  // A chained Ogg of pictures and sound; parts of sound alone are joined.
  if (lines.some((line) => line.includes("failed to create or replace stream"))) {
    return "another part begins there that FFmpeg can't join on: give each part as a file";
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
  const { video } = facts;
  if (video === null) throw new InputError(`${path}: holds no picture`);
  const filters = [...colourFilters(video), fitFilter(width, height), "format=rgb24"];
  const process = new FfmpegProcess(ffmpeg, [
    ...[...inputArgs(path, video), "-map", `0:${video.index}`, "-frames:v", "1"],
    ...["-vf", filters.join(","), "-f", "rawvideo", "pipe:1"],
  ], { stdout: true });
  const watchdog = new Watchdog(process);
  const parts = await Array.fromAsync(watchdog.watch(process.child.stdout));
  const bytes = await new Blob(parts as BlobPart[]).bytes();
  const { signal } = await process.end();
  const size = width * height * 3;
  if (bytes.length < size) {
    if (watchdog.reason === null) checkSignal(path, signal);
    const why = watchdog.reason ?? process.lastLine();
    throw new InputError(`${path}: its picture can't be decoded (${why})`);
  }
  return bytes.subarray(0, size);
}
