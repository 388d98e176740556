/** What FFmpeg says about an input before it is decoded. Needs no ffprobe. */
import { InputError } from "../../engine/config/errors.ts";
import { isoBrand } from "../media/cut_off.ts";
import { checkColours, type ColouredTrack, decoderArgs } from "./colours.ts";
import { checkSignal, type Ffmpeg, FfmpegProcess } from "./ffmpeg.ts";
import { inputLimits } from "./ffmpeg_source.ts";
import { formatWhitelist, whyRefused } from "./formats.ts";
import { defaultTracks, takenTracks, type Track, type TrackChoice } from "../media/tracks.ts";

/** A track as FFmpeg describes it. */
export interface ProbedTrack extends Track, ColouredTrack {
  /** FFmpeg's index of the stream. */
  index: number;
}

/** Facts about an input. */
export interface Probe {
  /** Demuxer, e.g. "mov,mp4,m4a,3gp,3g2,mj2". */
  format: string;
  /** The container's own duration; null when it has none, or when it is an estimate. */
  seconds: number | null;
  /** All tracks of sound and pictures. */
  tracks: ProbedTrack[];
  /** Those that are taken. */
  video: ProbedTrack | null;
  audio: ProbedTrack | null;
  /** Index of the channel that is taken; null: all are mixed. */
  channel: number | null;
  /** When sound begins, in seconds on the clock that starts with the earlier of the two tracks. */
  audioStart: number;
}

/**
 * Input arguments: this one file, nothing that it points to, and a bounded look at its start.
 *
 * @param video The track whose pictures are decoded.
 */
export function inputArgs(path: string, video: ProbedTrack | null = null): string[] {
  return [
    ...["-protocol_whitelist", "file,pipe", "-format_whitelist", formatWhitelist],
    ...["-probesize", "33554432", "-analyzeduration", "15000000", ...decoderArgs(video)],
    // A recording may stand still for an hour; a clock that jumps by more is damaged.
    ...[...inputLimits(3600), ...(isJpeg(path) ? ["-f", "jpeg_pipe"] : []), "-i", fileUrl(path)],
  ];
}

/** By its name FFmpeg takes a JPEG for one of a numbered row of files (image2), which isn't read. */
function isJpeg(path: string): boolean {
  if (!/\.(jpe?g|jps|mpo)$/i.test(path)) return false;
  try {
    if (!Deno.statSync(path).isFile) return false;
    using file = Deno.openSync(path);
    const head = new Uint8Array(3);
    return file.readSync(head) === 3 && head.every((byte, i) => byte === [0xff, 0xd8, 0xff][i]);
  } catch {
    // FFmpeg says what is wrong with it.
    return false;
  }
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
 * Looks at an input's tracks, chooses among them, and finds when the sound begins. How long that takes
 * doesn't depend on how long the recording is.
 *
 * @throws InputError when FFmpeg can't read it, or the tracks asked for aren't there.
 */
export async function probe(
  ffmpeg: Ffmpeg,
  path: string,
  choice: TrackChoice = defaultTracks,
): Promise<Probe> {
  // Without an output FFmpeg lists the streams and ends.
  const listing = await look(ffmpeg, path, []);
  const found = parseProbe(listing.lines);
  if (found === null) throw await unreadable(path, listing.said, listing.lines);
  const { video, audio, channel } = takenTracks(path, found.tracks, choice);
  if (video) await checkColours(ffmpeg, path, video);
  const audioStart = video && audio ? await soundStart(ffmpeg, path, video, audio) : 0;
  return { ...found, video, audio, channel, audioStart };
}

/** Runs FFmpeg on an input for at most `probeTimeout`. */
async function look(ffmpeg: Ffmpeg, path: string, args: string[]) {
  const options = { stdout: true, loglevel: "info" } as const;
  const process = new FfmpegProcess(ffmpeg, [...inputArgs(path), ...args], options);
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    process.kill();
  }, probeTimeout);
  const reading = new Response(process.child.stdout).text();
  const [stdout, { signal }] = await Promise.all([reading, process.end()]);
  clearTimeout(timer);
  if (expired) throw new InputError(`${path}: FFmpeg found no streams within a minute`);
  checkSignal(path, signal);
  return { stdout, lines: process.lines, said: signal ?? process.lastLine() };
}

/** When sound begins on the clock that starts with the earlier of the two tracks, in seconds. */
async function soundStart(
  ffmpeg: Ffmpeg,
  path: string,
  video: ProbedTrack,
  audio: ProbedTrack,
): Promise<number> {
  // Decoding one frame gives the time at which sound begins, a packet that at which the picture does.
  const { stdout, lines } = await look(ffmpeg, path, [
    ...["-map", `0:${audio.index}`, "-frames:a", "1", "-f", "framecrc", "pipe:1"],
    ...["-map", `0:${video.index}`, "-frames:v", "1", "-c", "copy", "-f", "framecrc", "pipe:2"],
  ]);
  const audioStart = firstTime(stdout);
  const videoStart = firstTime(lines.join("\n"));
  const late = Math.max(audioStart, videoStart);
  if (late > latestStart) {
    const [what, other] = late === audioStart ? ["sound", "picture"] : ["picture", "sound"];
    throw new InputError(
      `${path}: its ${what} begins ${Math.round(late)} s after its ${other}; it may be ` +
        `${latestStart} s: its timestamps jump; record it again`,
    );
  }
  return audioStart;
}

/** Containers whose duration counts from the clock's 0, wherever the recording begins. */
const countedFromZero = /^(matroska|mov|nut|asf)/;

/** Reads `Input #0`, `Duration:` and `Stream #0:n` lines; null when there is no input. */
export function parseProbe(
  lines: string[],
): Pick<Probe, "format" | "seconds" | "tracks"> | null {
  let format: string | null = null;
  let seconds: number | null = null;
  let last: ProbedTrack | null = null;
  const tracks: ProbedTrack[] = [];
  const text = lines.map((line) => line.replace(/^(\[[^\]]*\] )*/, ""));
  for (const line of text) {
    if (/^(Output #0|Stream mapping:)/.test(line)) break;
    const input = /^Input #0, (.+), from '/.exec(line);
    if (input) format = input[1] ?? "";
    const time = /^ {2}Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)/.exec(line);
    if (time) {
      seconds = Number(time[1]) * 3600 + Number(time[2]) * 60 + Number(time[3]);
      const start = Number(/, start: (\d+\.\d+)/.exec(line)?.[1] ?? 0);
      if (countedFromZero.test(format ?? "") && seconds > start) seconds -= start;
    }
    if (/^ {2,4}Stream #0:/.test(line)) {
      last = parseTrack(line, tracks);
      if (last) tracks.push(last);
    }
    const title = /^ {6}title +: (.*)/.exec(line);
    if (/^ {6}alpha_mode +: 1/.test(line) && last) last.hasAlpha = true;
    if (title && last) last.title = (title[1] ?? "").slice(0, 80);
  }
  if (format === null) return null;
  if (text.some((line) => line.includes("Estimating duration from bitrate"))) seconds = null;
  return { format, seconds, tracks };
}

/** A `Stream #0:n` line as a track; null for what is neither sound nor moving picture. */
function parseTrack(line: string, before: readonly ProbedTrack[]): ProbedTrack | null {
  const pattern = /Stream #0:(\d+)(?:\[\w+\])?(?:\((\w+)\))?(?:\[\w+\])?: (Audio|Video): (\w+)(.*)/;
  const [, index, language, name, codec = "", details = ""] = pattern.exec(line) ?? [];
  if (index === undefined || details.includes("(attached pic)")) return null;
  const kind = name === "Audio" ? "audio" : "video";
  const layout = /\d Hz, ([^,]+)/.exec(details)?.[1];
  return {
    ...{ kind, index: Number(index), details, title: null, hasAlpha: false },
    number: before.filter((track) => track.kind === kind).length + 1,
    isDefault: details.includes("(default)"),
    codec: codec === "none" || codec === "unknown" ? null : codec,
    language: language === undefined || language === "und" ? null : language,
    channels: kind === "audio" && layout !== undefined ? channelCount(layout) : null,
  };
}

/** The channels of a layout by FFmpeg's name, e.g. "stereo", "5.1(side)", "12 channels". */
function channelCount(layout: string): number | null {
  const named: Record<string, number> = {
    ...{ mono: 1, stereo: 2, downmix: 2, quad: 4, hexagonal: 6, octagonal: 8, hexadecagonal: 16 },
  };
  const count = /^(\d+) channels/.exec(layout)?.[1];
  if (count !== undefined) return Number(count);
  const parts = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(layout);
  if (parts) return parts.slice(1).reduce((sum, part) => sum + Number(part ?? 0), 0);
  return named[/^\w+/.exec(layout)?.[0] ?? ""] ?? null;
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
  const refused = lines.map((line) => /^\[([\w,]+) @ .*not on whitelist/i.exec(line)?.[1])
    .find((format) => format !== undefined) ?? await playlist(path);
  if (refused !== null) return new InputError(`${path}: ${whyRefused(refused)}`);
  // FFmpeg says so of anything whose name ends in .mp4.
  const brand = lines.some((line) => line.includes("moov atom not found"))
    ? await isoBrand(path)
    : null;
  if (/^(hei|hev|mif|msf|avi)/.test(brand ?? "")) {
    return new InputError(
      `${path}: is a picture in HEIF (${brand}), which this FFmpeg can't read: convert it, ` +
        "'heif-convert INPUT face.png' (Debian: libheif-examples)",
    );
  }
  if (brand !== null) {
    return new InputError(
      `${path}: its index (moov) is missing, so that nothing of it can be played: the recording was ` +
        "never finished, or its end is cut off; get the whole file",
    );
  }
  const short = why.replace(`${fileUrl(path)}: `, "");
  return new InputError(`${path}: is no recording that FFmpeg can read (${short})`);
}

/** HLS and FFmpeg's lists of files by their first bytes: newer FFmpegs look for them by name only. */
async function playlist(path: string): Promise<string | null> {
  const head = new Uint8Array(8);
  using file = await Deno.open(path);
  await file.read(head);
  const text = String.fromCharCode(...head);
  return text.startsWith("#EXTM3U") ? "hls" : text === "ffconcat" ? "concat" : null;
}
