/**
 * Y4M (YUV4MPEG2) video without FFmpeg. Pictures of 8 bits a sample come in, in any chroma layout;
 * 4:4:4 goes out. Colours are BT.601's.
 */
import { InputError } from "../../engine/config/errors.ts";
import { ByteQueue } from "../system/byte_queue.ts";
import { writeAll } from "../system/bytes.ts";
import { type FileReader, fileReader, type View } from "./file_view.ts";
import type { MediaSource } from "./observation_reader.ts";
import { frameBytes, type StreamShape } from "./stream_shape.ts";
import type { Track } from "./tracks.ts";

/** Chroma samples per luma sample, across and down, of one Y4M colour space; null: no chroma. */
export interface Sampling {
  across: number;
  down: number;
}

/** Bytes of a planar 8-bit picture. */
export function planarBytes(width: number, height: number, chroma: Sampling | null): number {
  if (chroma === null) return width * height;
  return width * height + 2 * Math.ceil(width / chroma.across) * Math.ceil(height / chroma.down);
}

/**
 * A planar 8-bit YCbCr picture as RGB24 [height, width, 3].
 *
 * @param full Levels use 0..255 rather than 16..235 (luma) and 16..240 (chroma).
 */
export function planarToRgb(
  planar: Uint8Array,
  width: number,
  height: number,
  chroma: Sampling | null,
  full: boolean,
): Uint8ClampedArray {
  const rgb = new Uint8ClampedArray(width * height * 3);
  const chromaWidth = chroma === null ? 0 : Math.ceil(width / chroma.across);
  const chromaSize = chroma === null ? 0 : chromaWidth * Math.ceil(height / chroma.down);
  const blue = width * height;
  const [offset, lumaScale, chromaScale] = full ? [0, 1, 1] : [16, 255 / 219, 255 / 224];
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0; column < width; column++, to += 3) {
      const y = ((planar[row * width + column] ?? 0) - offset) * lumaScale;
      let b = 0;
      let r = 0;
      if (chroma !== null) {
        const at = blue + Math.floor(row / chroma.down) * chromaWidth +
          Math.floor(column / chroma.across);
        b = ((planar[at] ?? 128) - 128) * chromaScale;
        r = ((planar[at + chromaSize] ?? 128) - 128) * chromaScale;
      }
      rgb[to] = y + 1.402 * r;
      rgb[to + 1] = y - 0.344136 * b - 0.714136 * r;
      rgb[to + 2] = y + 1.772 * b;
    }
  }
  return rgb;
}

/** RGB24 as planar 4:4:4 YCbCr with limited levels: Y, Cb, Cr one after the other. */
export function rgbToPlanar(rgb: Uint8Array): Uint8ClampedArray {
  const size = rgb.length / 3;
  const planar = new Uint8ClampedArray(rgb.length);
  for (let i = 0; i < size; i++) {
    const r = rgb[i * 3] ?? 0;
    const g = rgb[i * 3 + 1] ?? 0;
    const b = rgb[i * 3 + 2] ?? 0;
    const y = 0.299 * r + 0.587 * g + 0.114 * b;
    planar[i] = 16 + (y * 219) / 255;
    planar[i + size] = 128 + ((b - y) / 1.772) * (224 / 255);
    planar[i + 2 * size] = 128 + ((r - y) / 1.402) * (224 / 255);
  }
  return planar;
}

/** What a Y4M header says. */
export interface Y4mFormat {
  width: number;
  height: number;
  /** Frames per second. */
  fps: number;
  /** Width of a pixel divided by its height. */
  aspect: number;
  chroma: Sampling | null;
  /** Levels use 0..255. */
  full: boolean;
}

const longestLine = 512;
/** Largest pictures, in pixels: several copies of one must fit into memory. */
const maxPixels = 8192 * 8192;
/** Fewest frames per second: a file of some bytes must not stand for days. */
const minFps = 0.01;

/**
 * Reads the first line of a Y4M file.
 *
 * @returns null when its pictures are coded in another way than 8-bit 4:2:0, 4:2:2, 4:1:1, 4:4:4 or
 * mono.
 * @throws InputError when its numbers are impossible.
 */
export function parseY4mHeader(line: string, path: string): Y4mFormat | null {
  const fields = new Map(
    line.split(" ").slice(1).map((word): [string, string] =>
      word.startsWith("X") ? [word, ""] : [word.slice(0, 1), word.slice(1)]
    ),
  );
  const ratio = (text = "") => {
    const [over = 0, under = 0] = text.split(":").map(Number);
    return over / under;
  };
  const width = Number(fields.get("W"));
  const height = Number(fields.get("H"));
  const fps = ratio(fields.get("F"));
  const sized = [width, height].every((side) =>
    Number.isInteger(side) && side > 0 && side <= 16384
  );
  if (!sized || width * height > maxPixels || !(fps >= minFps && fps <= 1000)) {
    throw new InputError(
      `${path}: ${width}x${height} at ${fps} frames/s: a Y4M file may have sides of 1 to 16384, ` +
        `${maxPixels} pixels, and ${minFps} to 1000 frames/s`,
    );
  }
  const samplings: [RegExp, Sampling | null][] = [
    [/^420(jpeg|mpeg2|paldv)?$/, { across: 2, down: 2 }],
    [/^422$/, { across: 2, down: 1 }],
    [/^411$/, { across: 4, down: 1 }],
    [/^444$/, { across: 1, down: 1 }],
    [/^mono$/, null],
  ];
  const found = samplings.find(([name]) => name.test(fields.get("C") ?? "420"));
  if (found === undefined) return null;
  const aspect = ratio(fields.get("A"));
  if (aspect < 0) {
    throw new InputError(`${path}: its pixels have a negative shape: record it again`);
  }
  return {
    width,
    height,
    fps,
    aspect: aspect > 0 && aspect < Infinity ? aspect : 1,
    chroma: found[1],
    full: fields.has("XCOLORRANGE=FULL"),
  };
}

/** A Y4M file's one track. */
export const y4mTrack: Track = {
  ...{ kind: "video", number: 1, isDefault: true, codec: "rawvideo" },
  ...{ language: null, title: null, channels: null },
};

/** A Y4M file whose header was read. */
interface Y4mFile {
  path: string;
  at: FileReader;
  size: number;
  /** Null: its pictures are coded in another way. */
  format: Y4mFormat | null;
  /** First byte after the header, and bytes of a picture. */
  start: number;
  frameBytes: number;
  /** Set when all frames were given: why the file is cut off, or null. */
  cut: string | null;
}

/** @throws InputError when the header is impossible or no whole picture follows it. */
async function readY4m(path: string, file: Deno.FsFile): Promise<Y4mFile> {
  const { size } = await file.stat();
  const at = fileReader(file, size);
  const line = lineAt(await at(0, longestLine));
  const format = line === null ? null : parseY4mHeader(line, path);
  const start = (line?.length ?? 0) + 1;
  const bytes = format ? planarBytes(format.width, format.height, format.chroma) : 0;
  if (size < start + "FRAME\n".length + bytes) {
    throw new InputError(`${path}: is a Y4M file without a whole frame: record it again`);
  }
  return { path, at, size, format, start, frameBytes: bytes, cut: null };
}

/** A line without its end; null when no line ends here. */
function lineAt({ bytes }: View): string | null {
  const end = bytes.indexOf(10);
  return end < 0 ? null : String.fromCharCode(...bytes.subarray(0, end));
}

/** Where the pictures of the whole frames begin. @throws InputError when a frame's head is wrong. */
async function* frameStarts(file: Y4mFile): AsyncGenerator<number> {
  const { path, at, size, frameBytes } = file;
  let next = file.start;
  for (let frame = 0; next < size; frame++) {
    const line = lineAt(await at(next, longestLine));
    if (line === null && size - next < longestLine) {
      file.cut = "its last frame has no picture";
      return;
    }
    if (line === null || !/^FRAME( |$)/.test(line)) {
      throw new InputError(`${path}: frame ${frame} doesn't begin with FRAME: the file is damaged`);
    }
    const start = next + line.length + 1;
    next = start + frameBytes;
    if (next > size) file.cut = `its last frame has ${size - start} of ${frameBytes} bytes`;
    else yield start;
  }
}

/** Why a Y4M file is cut off; null when it isn't, or when its coding isn't known. */
export async function y4mCut(path: string): Promise<string | null> {
  using file = await Deno.open(path);
  const y4m = await readY4m(path, file);
  if (y4m.format === null) return null;
  for await (const _ of frameStarts(y4m));
  return y4m.cut;
}

/**
 * The pictures of a Y4M file that has the shape's size and rate, and square pixels.
 *
 * @returns null for any other, and for codings that aren't known: FFmpeg can read those.
 * @throws InputError when the file is damaged.
 */
export async function openY4m(path: string, shape: StreamShape): Promise<MediaSource | null> {
  const file = await Deno.open(path);
  const y4m = await readY4m(path, file).catch((error) => {
    file.close();
    throw error;
  });
  const { format } = y4m;
  const fits = format !== null && format.aspect === 1 && format.fps === shape.fps &&
    format.width === shape.width && format.height === shape.height;
  if (!fits) {
    file.close();
    return null;
  }
  const video = new ByteQueue(readFrames(y4m, format));
  let open = true;
  return {
    video,
    audio: null,
    finish: () => Promise.resolve(y4m.cut),
    async close() {
      await video.close();
      if (open) file.close();
      open = false;
    },
  };
}

async function* readFrames(file: Y4mFile, format: Y4mFormat): AsyncGenerator<Uint8Array> {
  const { width, height, chroma, full } = format;
  for await (const start of frameStarts(file)) {
    const { bytes } = await file.at(start, file.frameBytes);
    yield new Uint8Array(planarToRgb(bytes, width, height, chroma, full).buffer);
  }
}

/** Writes RGB24 frames as 4:4:4 Y4M. */
export class Y4mWriter {
  readonly #file: Deno.FsFile;
  readonly #frameBytes: number;
  #headBytes = 0;
  #open = true;

  private constructor(file: Deno.FsFile, frameBytes: number) {
    this.#file = file;
    this.#frameBytes = frameBytes;
  }

  static async create(path: string, shape: StreamShape): Promise<Y4mWriter> {
    const file = await Deno.open(path, { write: true, create: true });
    const writer = new Y4mWriter(file, frameBytes(shape));
    const { width, height, fps } = shape;
    const rate = Number.isInteger(fps) ? `${fps}:1` : `${Math.round(fps * 1000)}:1000`;
    const head = `YUV4MPEG2 W${width} H${height} F${rate} Ip A1:1 C444 XCOLORRANGE=LIMITED\n`;
    writer.#headBytes = head.length;
    await writer.#text(head);
    return writer;
  }

  /** Appends frames [n, height, width, 3]. */
  async write(frames: Uint8Array): Promise<void> {
    for (let at = 0; at < frames.length; at += this.#frameBytes) {
      await this.#text("FRAME\n");
      const planar = rgbToPlanar(frames.subarray(at, at + this.#frameBytes));
      await writeAll(this.#file, new Uint8Array(planar.buffer));
    }
  }

  /**
   * Cuts off what isn't a whole unit, after a write that failed, and closes the file.
   *
   * @param frames Of a unit. @returns How many units are whole.
   */
  async keepWhole(frames: number): Promise<number> {
    const unitBytes = frames * (this.#frameBytes + "FRAME\n".length);
    const { size } = await this.#file.stat();
    const units = Math.max(0, Math.floor((size - this.#headBytes) / unitBytes));
    await this.#file.truncate(this.#headBytes + units * unitBytes);
    this.close();
    return units;
  }

  /** Closes the file; once is enough. */
  close(): void {
    if (this.#open) this.#file.close();
    this.#open = false;
  }

  async #text(text: string): Promise<void> {
    await writeAll(this.#file, new TextEncoder().encode(text));
  }
}
