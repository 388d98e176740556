/** What FFmpeg says about an input before it is decoded. Needs no ffprobe. */
import { InputError } from "../../engine/config/errors.ts";
import { isIsoMedia } from "../media/cut_off.ts";
import { type Ffmpeg, FfmpegProcess } from "./ffmpeg.ts";
import { inputLimits } from "./ffmpeg_source.ts";

/** Facts about an input. Stream indices are FFmpeg's. */
export interface Probe {
  /** Demuxer, e.g. "mov,mp4,m4a,3gp,3g2,mj2". */
  format: string;
  /** The container's own duration; null when it has none, or when it is an estimate. */
  seconds: number | null;
  video: number | null;
  audio: number | null;
  /** When sound begins, in seconds on the clock that starts with the earlier of the two streams. */
  audioStart: number;
  /** Streams that are not used (a second audio track, subtitles, data). */
  others: number;
}

/**
 * Demuxers that read one recording from one file. Not here: playlists and everything else that opens
 * other files or devices (hls, dash, concat, image2, sdp, lavfi, vapoursynth, svg...).
 */
const formats =
  ("3dostr aa aac aax ac3 aiff amr amrnb amrwb ape apng asf au av1 avi bmp_pipe bmv caf dirac dsf " +
    "dts dtshd dv dxa eac3 flac flic flv gif gif_pipe gxf h261 h263 h264 hevc iff ilbc ivf j2k_pipe " +
    "jpeg_pipe jpegxl_pipe jpegxl_anim live_flv loas m4v matroska,webm matroska webm mjpeg mlp " +
    "mov,mp4,m4a,3gp,3g2,mj2 mov mp4 m4a mp3 mpc mpc8 mpeg mpegts mpegvideo mxf nut obu ogg oma " +
    "pam_pipe pbm_pipe pgm_pipe png_pipe ppm_pipe psd_pipe qoi_pipe rm roq sox spdif swf tak " +
    "tiff_pipe truehd tta vc1 voc vvc w64 wav webp_pipe wtv wv xa xwma yuv4mpegpipe").split(" ");

/** Input arguments: this one file, nothing that it points to, and a bounded look at its start. */
export function inputArgs(path: string): string[] {
  return [
    ...["-protocol_whitelist", "file,pipe", "-format_whitelist", formats.join(",")],
    ...["-probesize", "33554432", "-analyzeduration", "15000000"],
    // A recording may stand still for an hour; a clock that jumps by more is damaged.
    ...[...inputLimits(3600), "-i", fileUrl(path)],
  ];
}

/** A path as FFmpeg takes it without reading a protocol, an option or a pattern into it. */
export function fileUrl(path: string): string {
  return `file:${path.startsWith("-") ? `./${path}` : path}`;
}

/** A stream that begins later than this, in seconds, would be filled up with stillness for hours. */
const latestStart = 3600;

/** Longest time that FFmpeg may look at an input, in ms. */
const probeTimeout = 60_000;

/**
 * Looks at an input's streams and finds when its sound begins.
 *
 * @throws InputError when FFmpeg can't read it, or finds neither sound nor picture.
 */
export async function probe(ffmpeg: Ffmpeg, path: string): Promise<Probe> {
  // Decoding one audio frame gives the time at which sound begins. The picture is asked for as well,
  // because the clock starts with the first of the streams in use. Without both FFmpeg stops at once.
  const process = new FfmpegProcess(ffmpeg, [
    ...inputArgs(path),
    ...["-map", "0:a:0?", "-frames:a", "1", "-f", "framecrc", "pipe:1"],
    ...["-map", "0:V:0?", "-frames:v", "1", "-c", "copy", "-f", "framecrc", "pipe:2"],
  ], { stdout: true, loglevel: "info" });
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    process.kill();
  }, probeTimeout);
  const reading = new Response(process.child.stdout).text();
  const [table, { signal }] = await Promise.all([reading, process.end()]);
  clearTimeout(timer);
  if (expired) throw new InputError(`${path}: FFmpeg found no streams within a minute`);
  const found = parseProbe(process.lines);
  if (found === null) throw await unreadable(path, signal ?? process.lastLine(), process.lines);
  if (found.video === null && found.audio === null) {
    throw new InputError(`${path}: holds neither sound nor picture that FFmpeg can decode`);
  }
  if (found.video === null) return { ...found, audioStart: 0 };
  const audioStart = firstTime(table);
  const videoStart = firstTime(process.lines.join("\n"));
  const late = Math.max(audioStart, videoStart);
  if (late > latestStart) {
    const [what, other] = late === audioStart ? ["sound", "picture"] : ["picture", "sound"];
    throw new InputError(
      `${path}: its ${what} begins ${Math.round(late)} s after its ${other}; it may be ` +
        `${latestStart} s: its timestamps jump; record it again`,
    );
  }
  return { ...found, audioStart };
}

/** Reads `Input #0`, `Duration:` and `Stream #0:n` lines; null when there is no input. */
export function parseProbe(lines: string[]): Omit<Probe, "audioStart"> | null {
  let format: string | null = null;
  let seconds: number | null = null;
  const streams: { index: number; kind: string; fallback: boolean }[] = [];
  const text = lines.map((line) => line.replace(/^(\[[^\]]*\] )*/, ""));
  for (const line of text) {
    const input = /^Input #0, (.+), from '/.exec(line);
    if (input) format = input[1] ?? "";
    const time = /^ {2}Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)/.exec(line);
    if (time) seconds = Number(time[1]) * 3600 + Number(time[2]) * 60 + Number(time[3]);
    const stream = /^ {2,4}Stream #0:(\d+)\S*: (\w+): (\S+)(.*)/.exec(line);
    if (stream) {
      const [, index, kind = "", codec, rest = ""] = stream;
      const usable = !/^(none|unknown),?$/.test(codec ?? "") && !rest.includes("(attached pic)");
      streams.push({
        index: Number(index),
        kind: usable ? kind : "unusable",
        fallback: !rest.includes("(default)"),
      });
    }
    if (/^(Output #0|Stream mapping:)/.test(line)) break;
  }
  if (format === null) return null;
  if (text.some((line) => line.includes("Estimating duration from bitrate"))) seconds = null;
  const best = (kind: string) =>
    (streams.find((s) => s.kind === kind && !s.fallback) ?? streams.find((s) => s.kind === kind))
      ?.index ?? null;
  const video = best("Video");
  const audio = best("Audio");
  const used = Number(video !== null) + Number(audio !== null);
  return { format, seconds, video, audio, others: streams.length - used };
}

/** The first packet's time in a `framecrc` table, in seconds; 0 when there is none. */
function firstTime(table: string): number {
  const base = /^#tb 0: (\d+)\/(\d+)/m.exec(table);
  const packet = /^0, *-?\d+, *(-?\d+),/m.exec(table);
  if (!base || !packet) return 0;
  return (Number(packet[1]) * Number(base[1])) / Number(base[2]);
}

/** @param why FFmpeg's last words. */
async function unreadable(path: string, why: string, lines: string[]): Promise<InputError> {
  if (lines.some((line) => /not on whitelist/i.test(line)) || await isPlaylist(path)) {
    return new InputError(
      `${path}: is a playlist or no recording: give the recording itself (mp4, mkv, wav, ...)`,
    );
  }
  // FFmpeg says so of anything whose name ends in .mp4.
  if (lines.some((line) => line.includes("moov atom not found")) && await isIsoMedia(path)) {
    return new InputError(
      `${path}: its index (moov) is missing, so that nothing of it can be played: the recording was ` +
        "never finished, or its end is cut off; get the whole file",
    );
  }
  const short = why.replace(`${fileUrl(path)}: `, "");
  return new InputError(`${path}: is no recording that FFmpeg can read (${short})`);
}

/** True for HLS and FFmpeg's concat lists, which newer FFmpegs don't even look for under other names. */
async function isPlaylist(path: string): Promise<boolean> {
  const head = new Uint8Array(8);
  using file = await Deno.open(path);
  await file.read(head);
  return /^(#EXTM3U|ffconcat)/.test(String.fromCharCode(...head));
}
