/** Y4M (YUV4MPEG2) video without FFmpeg: 8-bit planar pictures in, 4:4:4 out. */
import { InputError } from "../../engine/config/errors.ts";
import { ByteQueue } from "../system/byte_queue.ts";
import { writeAll } from "../system/bytes.ts";
import type { MediaSource } from "./pair.ts";
import { Fitter, planarBytes, planarToRgb, rgbToPlanar, type Sampling } from "./picture.ts";
import { frameBytes, type StreamShape } from "./stream_shape.ts";

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
/** Largest pictures, in pixels: some copies of one must fit into memory. */
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
  return {
    width,
    height,
    fps,
    aspect: aspect > 0 && aspect < Infinity ? aspect : 1,
    chroma: found[1],
    full: fields.has("XCOLORRANGE=FULL"),
  };
}

/** A Y4M file's pictures at the shape's size and rate; null when its coding needs FFmpeg. */
export async function openY4m(path: string, shape: StreamShape): Promise<MediaSource | null> {
  const file = await Deno.open(path);
  const bytes = new ByteQueue(file.readable);
  const line = await readLine(bytes);
  const format = line === null ? null : parseY4mHeader(line, path);
  if (format === null) {
    await bytes.close();
    return null;
  }
  const state: { cut: string | null } = { cut: null };
  const video = new ByteQueue(readFrames(path, bytes, format, shape, state));
  return {
    video,
    audio: null,
    finish: (seconds) => {
      if (seconds > 0) return Promise.resolve(state.cut);
      throw new InputError(`${path}: is a Y4M file without a whole frame: record it again`);
    },
    close: async () => {
      await video.close();
      await bytes.close();
    },
  };
}

/**
 * Frames at the shape's rate: output frame n is the input frame nearest to n / fps seconds. N input
 * frames give round(N x shape.fps / format.fps).
 */
async function* readFrames(
  path: string,
  bytes: ByteQueue,
  format: Y4mFormat,
  shape: StreamShape,
  state: { cut: string | null },
): AsyncGenerator<Uint8Array> {
  const { width, height, chroma, full, fps, aspect } = format;
  const fitter = new Fitter(width, height, aspect, shape.width, shape.height);
  const planar = new Uint8Array(planarBytes(width, height, chroma));
  let fitted: Uint8Array | null = null;
  let input = 0;
  let output = 0;
  for (;; input++) {
    const head = await readLine(bytes);
    if (head === null) break;
    if (!/^FRAME( |$)/.test(head)) {
      throw new InputError(`${path}: frame ${input} doesn't begin with FRAME: the file is damaged`);
    }
    while (bytes.size < planar.length && !bytes.ended) await bytes.read();
    const read = bytes.take(planar);
    if (read < planar.length) {
      state.cut = `its last frame has ${read} of ${planar.length} bytes`;
      break;
    }
    const nearest = () => Math.round((output * fps) / shape.fps);
    if (nearest() > input) continue;
    fitted = fitter.fit(planarToRgb(planar, width, height, chroma, full));
    for (; nearest() <= input; output++) yield fitted;
  }
  // Fewer frames per second than the shape's: the last one is held.
  const total = Math.max(1, Math.round((input * shape.fps) / fps));
  for (; fitted !== null && output < total; output++) yield fitted;
}

/** A line without its end; null when the stream ends first or the line is too long. */
async function readLine(bytes: ByteQueue): Promise<string | null> {
  const line: number[] = [];
  const byte = new Uint8Array(1);
  while (line.length < longestLine) {
    if (bytes.size === 0 && bytes.ended) return null;
    if (bytes.size === 0) await bytes.read();
    else if (bytes.take(byte) === 1 && byte[0] === 10) return String.fromCharCode(...line);
    else line.push(byte[0] ?? 0);
  }
  return null;
}

/** Writes RGB24 frames as 4:4:4 Y4M. */
export class Y4mWriter {
  readonly #file: Deno.FsFile;
  readonly #frameBytes: number;
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
    await writer.#text(
      `YUV4MPEG2 W${width} H${height} F${rate} Ip A1:1 C444 XCOLORRANGE=LIMITED\n`,
    );
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

  /** Closes the file; once is enough. */
  close(): void {
    if (this.#open) this.#file.close();
    this.#open = false;
  }

  async #text(text: string): Promise<void> {
    await writeAll(this.#file, new TextEncoder().encode(text));
  }
}
