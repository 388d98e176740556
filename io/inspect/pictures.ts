/** Small pictures of units: kept raw while a run runs, encoded by FFmpeg at its end. */
import type { StreamShape } from "../media/stream_shape.ts";
import { RunError } from "../system/errors.ts";
import { type Ffmpeg, FfmpegProcess } from "../ffmpeg/ffmpeg.ts";

/** Most rows or columns of a frame in the page. */
const most = 96;

/** A frame's size in the page, and how many a unit has. */
export interface SmallSize {
  frames: number;
  width: number;
  height: number;
}

const factorOf = ({ width, height }: StreamShape) => Math.ceil(Math.max(width, height) / most);

export function smallSize(shape: StreamShape): SmallSize {
  const factor = factorOf(shape);
  const of = (size: number) => Math.max(1, Math.floor(size / factor));
  return { frames: shape.frames, width: of(shape.width), height: of(shape.height) };
}

/** RGB24 frames at the page's size: each pixel is the mean of a square. */
export function shrink(frames: Uint8Array, shape: StreamShape): Uint8Array {
  const factor = factorOf(shape);
  if (factor === 1) return frames.slice();
  const { width, height } = smallSize(shape);
  const small = new Uint8Array(shape.frames * width * height * 3);
  let at = 0;
  for (let frame = 0; frame < shape.frames; frame++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < 3; c++) {
          let sum = 0;
          for (let dy = 0; dy < factor; dy++) {
            const row = (frame * shape.height + y * factor + dy) * shape.width;
            for (let dx = 0; dx < factor; dx++) sum += frames[(row + x * factor + dx) * 3 + c] ?? 0;
          }
          small[at++] = Math.round(sum / factor ** 2);
        }
      }
    }
  }
  return small;
}

/**
 * JPEG (base64) of each unit's frames, beside each other.
 *
 * @param units RGB24 frames [frames, height, width, 3] each; null stays null.
 * @throws RunError when FFmpeg fails.
 */
export async function encodePictures(
  ffmpeg: Ffmpeg,
  units: readonly (Uint8Array | null)[],
  { frames, width, height }: SmallSize,
): Promise<(string | null)[]> {
  const shown = units.filter((unit) => unit !== null);
  if (shown.length === 0) return units.map(() => null);
  const process = new FfmpegProcess(ffmpeg, [
    ...["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", `${width}x${height}`],
    ...["-framerate", "25", "-i", "pipe:0", "-vf", `tile=${frames}x1`],
    ...["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "5", "-threads:v", "1"],
    ...["-flags:v", "+bitexact", "-f", "image2pipe", "pipe:1"],
  ], { stdin: true, stdout: true });
  const writer = process.child.stdin.getWriter();
  const writing = (async () => {
    for (const unit of shown) await writer.write(unit);
    await writer.close();
  })().catch(() => {});
  const bytes = await new Response(process.child.stdout).bytes();
  await writing;
  const isWhole = await process.wrote();
  const images = isWhole ? jpegs(bytes) : [];
  if (images.length !== shown.length) {
    throw new RunError(`FFmpeg can't encode the page's pictures: ${process.lastLine()}`);
  }
  return units.map((unit) => unit === null ? null : images.shift()?.toBase64() ?? null);
}

/** JPEG files one after the other, apart. A marker's first byte is never followed by D9 inside one. */
function jpegs(bytes: Uint8Array): Uint8Array[] {
  const files: Uint8Array[] = [];
  let start = 0;
  for (let i = 0; i + 1 < bytes.length; i++) {
    if (bytes[i] !== 0xff || bytes[i + 1] !== 0xd9) continue;
    files.push(bytes.subarray(start, i + 2));
    start = i + 2;
  }
  return files;
}
