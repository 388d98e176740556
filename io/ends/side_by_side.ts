/** Both ends of a replay in one watchable picture: user left, agent right, the agent's text below. */
import { basename, dirname, extname, resolve } from "node:path";
import { ass, type CaptionBox, type Spoken, webVtt } from "../media/captions.ts";
import { RunError } from "../system/errors.ts";
import { type Ffmpeg, ffmpegNames, FfmpegProcess } from "../ffmpeg/ffmpeg.ts";
import { chooseContainer, type Container, pictureArgs } from "../ffmpeg/ffmpeg_encode.ts";
import { fileUrl, inputArgs, type Probe, probe } from "../ffmpeg/ffmpeg_probe.ts";
import { channelFilters, fitFilter } from "../ffmpeg/ffmpeg_source.ts";
import { colourFilters } from "../ffmpeg/colours.ts";
import type { TrackChoice } from "../media/tracks.ts";
import { aborted } from "../system/interrupt.ts";
import { type OutputFile, remove } from "../system/output_file.ts";
import type { StreamShape } from "../media/stream_shape.ts";

/** What is put side by side. */
export interface SideBySide {
  /** The recording, and what was taken of it. */
  input: string;
  tracks: TrackChoice;
  /** The finished response: any file with picture and sound. */
  response: string;
  output: OutputFile;
  agent: StreamShape;
  units: number;
  spoken: readonly Spoken[];
}

/** Sizes in pixels. */
const height = 360;
const userWidth = 480;
const strip = 96;
const sampleRate = 48000;

/**
 * Makes the picture with one FFmpeg: both on one clock (unit k beside unit k), the user's voice on
 * the left channel and the agent's on the right. A recording without picture gets a plain card.
 *
 * @returns null, or why the text isn't in the picture but in a subtitle track.
 * @throws InputError when the recording can't be read, RunError when FFmpeg fails.
 */
export async function drawSideBySide(
  ffmpeg: Ffmpeg,
  task: SideBySide,
  signal: AbortSignal,
): Promise<string | null> {
  const user = await probe(ffmpeg, task.input, task.tracks);
  const container = await chooseContainer(ffmpeg, extname(task.output.path).toLowerCase());
  const filters = await ffmpegNames(ffmpeg, "filters");
  if (!filters.has("subtitles")) {
    await render(ffmpeg, task, user, container, false, signal);
    return "this FFmpeg can't draw text (it has no subtitles filter)";
  }
  const said = await render(ffmpeg, task, user, container, true, signal);
  // libass asks for glyph 0 when there is no font at all (for other glyphs: when one isn't in any).
  if (!said.some((line) => /with glyph 0x0 |can't find selected font provider/.test(line))) {
    return null;
  }
  await render(ffmpeg, task, user, container, false, signal);
  return "no font was found (install one, e.g. 'apt install fonts-dejavu-core')";
}

/** One pass; `burn` draws the text, else it becomes a subtitle track. @returns FFmpeg's messages. */
async function render(
  ffmpeg: Ffmpeg,
  task: SideBySide,
  user: Probe,
  container: Container,
  burn: boolean,
  signal: AbortSignal,
): Promise<string[]> {
  const { agent, units, spoken, output } = task;
  const box = captionBox(agent);
  const texts = output.beside(burn ? ".ass" : ".vtt");
  const content = burn ? ass(spoken, agent.unitMs, box) : webVtt(spoken, agent.unitMs, units);
  await Deno.writeTextFile(texts, content);
  // The filter finds its file by a plain relative name: no path has to be escaped in the graph.
  const folder = dirname(resolve(texts));
  const name = basename(texts);
  const track = burn || spoken.length === 0 ? { input: [], output: [] } : {
    input: ["-f", "webvtt", "-i", fileUrl(resolve(texts))],
    output: ["-map", "2:s", "-c:s", container.subtitles, "-disposition:s:0", "default"],
  };
  // Watched, not measured: AAC plays in every player that takes MP4.
  const sound = container.audio.includes("alac")
    ? ["-c:a", "aac", "-b:a", "160k"]
    : container.audio;
  const seconds = (units * agent.unitMs) / 1000;
  const process = new FfmpegProcess(ffmpeg, [
    ...inputArgs(resolve(task.input), user.video),
    ...["-i", fileUrl(resolve(task.response)), ...track.input],
    ...["-filter_complex", graph(user, agent, seconds, burn ? name : null, box)],
    // The response's tags say what made it.
    ...[
      "-map_metadata",
      "1",
      "-map",
      "[v]",
      "-map",
      "[a]",
      ...track.output,
      ...container.video,
      ...sound,
    ],
    ...[...pictureArgs(box.width, box.height, agent.fps).slice(2), "-fflags", "+bitexact"],
    // With two threads libx264 gave other bytes in one of ten runs on a busy machine.
    ...["-threads:v", "1"],
    ...["-flags:v", "+bitexact", "-flags:a", "+bitexact", ...container.more],
    ...["-y", "-f", container.format, fileUrl(resolve(output.temporary))],
  ], { cwd: folder });
  const stop = new AbortController();
  aborted(AbortSignal.any([signal, stop.signal])).then(() => process.kill());
  try {
    if (await process.wrote() || signal.aborted) return process.lines;
    throw new RunError(`FFmpeg can't put both ends side by side: ${process.lastLine()}`);
  } finally {
    stop.abort();
    await remove(texts);
  }
}

function captionBox(agent: StreamShape): CaptionBox {
  const width = 2 *
    Math.round(Math.min(640, Math.max(160, height * agent.width / agent.height)) / 2);
  return {
    width: userWidth + width,
    height: height + strip,
    strip,
    labels: ["user", "agent"],
    second: userWidth,
  };
}

/** The filter graph, from input 0 (user) and 1 (agent) to [v] and [a]. */
function graph(
  user: Probe,
  agent: StreamShape,
  seconds: number,
  captions: string | null,
  box: CaptionBox,
): string {
  const { fps } = agent;
  // Each stream held or silent to the common end, and no longer.
  const picture = `fps=${fps}:start_time=0`;
  const hold = `tpad=stop=-1:stop_mode=clone,trim=end=${seconds},setsar=1,format=yuv420p`;
  const voice = `aresample=${sampleRate}:async=1:first_pts=0:rematrix_maxval=1.0,` +
    `aformat=sample_fmts=fltp:channel_layouts=mono,apad,atrim=end=${seconds}`;
  const card = `color=c=0x2a3038:size=${userWidth}x${height}:rate=${fps}:duration=${seconds}`;
  const silence = `anullsrc=r=${sampleRate}:cl=mono,atrim=end=${seconds}`;
  return [
    user.video === null
      ? `${card},setsar=1,format=yuv420p[left]`
      : `[0:${user.video.index}]${[picture, ...colourFilters(user.video)].join(",")},` +
        `${fitFilter(userWidth, height)},${hold}[left]`,
    `[1:v]${picture},${fitFilter(box.width - userWidth, height)},${hold}[right]`,
    `[left][right]hstack,pad=${box.width}:${box.height}:0:0:color=0x101318` +
    `${captions === null ? "" : `,subtitles=${captions}`}[v]`,
    user.audio === null
      ? `${silence}[first]`
      : `[0:${user.audio.index}]${[...channelFilters(user.channel), voice].join(",")}[first]`,
    `[1:a]${voice}[second]`,
    "[first][second]join=inputs=2:channel_layout=stereo:map=0.0-FL|1.0-FR[a]",
  ].join(";");
}
