/** Any input that FFmpeg reads, as RGB24 frames and mono samples on the container's clock. */
import { InputError } from "../engine/errors.ts";
import { ByteQueue } from "./byte_queue.ts";
import { cutOff } from "./cut_off.ts";
import { type Ffmpeg, FfmpegProcess } from "./ffmpeg.ts";
import { inputArgs, type Probe } from "./ffmpeg_probe.ts";
import { Loopback } from "./loopback.ts";
import type { MediaSource } from "./pair.ts";
import type { StreamShape } from "./stream_shape.ts";

/** Scales a picture of any size and pixel shape into width x height and pads the rest with black. */
export function fitFilter(width: number, height: number): string {
  const [w, h] = [width, height];
  return [
    `scale=w='max(1,round(min(${w},${h}*dar)))':h='max(1,round(min(${h},${w}/dar)))'` +
    ":flags=bicubic+accurate_rnd+full_chroma_int+bitexact",
    `pad=${w}:${h}:(ow-iw)/2:(oh-ih)/2`,
    "setsar=1",
  ].join(",");
}

/**
 * Starts one FFmpeg that decodes both media at the shape's rates and size: pictures on its standard
 * output, sound on a loopback connection. Rotation flags are followed, other channels mixed down.
 *
 * A stream that starts late begins with silence, or with its first frame held.
 */
export function decodeMedia(
  ffmpeg: Ffmpeg,
  path: string,
  facts: Probe,
  shape: StreamShape,
): MediaSource {
  const link = facts.video !== null && facts.audio !== null ? new Loopback() : null;
  const args = [...inputArgs(path)];
  if (facts.video !== null) args.push(...videoArgs(facts.video, shape), "pipe:1");
  if (facts.audio !== null) args.push(...audioArgs(facts.audio, shape), link?.url ?? "pipe:1");
  let process: FfmpegProcess;
  try {
    process = new FfmpegProcess(ffmpeg, args, { stdout: true });
  } catch (error) {
    link?.close();
    throw error;
  }
  // If it ends before it connects, nobody will.
  const ended = process.end().finally(() => link?.close());
  const samples = link ? connection(link) : process.child.stdout;
  const video = facts.video === null ? null : new ByteQueue(process.child.stdout);
  const lateBytes = Math.round(facts.audioStart * shape.sampleRate) * 4;
  const audio = facts.audio === null ? null : new ByteQueue(shifted(samples, lateBytes));
  let closed: Promise<void> | null = null;

  async function close(): Promise<void> {
    await process.kill();
    await video?.close();
    await audio?.close();
    if (!process.child.stdout.locked) await process.child.stdout.cancel();
  }
  return {
    video,
    audio,
    async finish(seconds) {
      const { code, signal } = await ended;
      const said = signal === null ? process.lastLine() : `ended by ${signal}`;
      if (seconds === 0) {
        throw new InputError(`${path}: nothing of it could be decoded (FFmpeg: ${said})`);
      }
      const reason = await brokenOff(path, facts, seconds, process.lines);
      return reason ?? (code === 0 ? null : `FFmpeg: ${said}`);
    },
    close: () => closed ??= close(),
  };
}

function videoArgs(stream: number, shape: StreamShape): string[] {
  const { fps, width, height } = shape;
  const filters = [`fps=${fps}:start_time=0`, fitFilter(width, height), "format=rgb24"];
  // With -r the encoder's side keeps the clock too: where the picture changes its size in the middle,
  // the filters start anew and fps would repeat the first picture from 0.
  return ["-map", `0:${stream}`, "-vf", filters.join(","), "-r", `${fps}`, "-f", "rawvideo"];
}

function audioArgs(stream: number, { sampleRate }: StreamShape): string[] {
  // async=1 fills gaps and trims overlaps, but doesn't stretch. The start is not its business
  // (first_pts=0): a change of channels in the middle would start it anew.
  // Without rematrix_maxval two equal channels add up to 1.4 times their level, and clip.
  const filters = `aresample=${sampleRate}:async=1:rematrix_maxval=1.0`;
  return ["-map", `0:${stream}`, "-af", filters, "-ac", "1", "-ar", `${sampleRate}`, "-f", "f32le"];
}

/** The bytes of a link, once it is connected. */
export async function* connection(link: Loopback): AsyncGenerator<Uint8Array> {
  const socket = await link.accept();
  if (socket === null) return;
  try {
    for (;;) {
      const chunk = new Uint8Array(65536);
      const read = await socket.read(chunk);
      if (read === null) return;
      yield chunk.subarray(0, read);
    }
  } finally {
    socket.close();
  }
}

/** Puts `bytes` zeros before a stream, or takes its first -`bytes` away. */
async function* shifted(
  stream: AsyncIterable<Uint8Array>,
  bytes: number,
): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(65536);
  for (let left = bytes; left > 0; left -= piece.length) {
    yield piece.subarray(0, Math.min(left, piece.length));
  }
  let skip = Math.max(0, -bytes);
  for await (const chunk of stream) {
    yield chunk.subarray(Math.min(skip, chunk.length));
    skip = Math.max(0, skip - chunk.length);
  }
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
  const bytes = new Uint8Array(await new Response(process.child.stdout).arrayBuffer());
  await process.end();
  const size = width * height * 3;
  if (bytes.length < size) {
    throw new InputError(`${path}: its picture can't be decoded (${process.lastLine()})`);
  }
  return bytes.subarray(0, size);
}
