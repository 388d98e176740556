/**
 * A container that arrives through a pipe, decoded while it arrives: what was complete in a unit comes
 * out before the next unit is over.
 *
 * What makes FFmpeg wait, and is avoided here: guessing the container (it is named), looking at the
 * start for parameters (32 bytes), threads of the decoder and of the "encoder" of raw pictures (each
 * holds a frame back), the fps filter (holds a frame until the next one; `-r` does not), buffered
 * output. Without these a unit is decoded before a byte of the next one is there.
 */
import { InputError } from "../engine/errors.ts";
import { ByteQueue } from "./byte_queue.ts";
import { type ContainerHead, readHead } from "./container_head.ts";
import type { ByteSource } from "./endpoints.ts";
import { type Ffmpeg, FfmpegProcess } from "./ffmpeg.ts";
import { connection, fitFilter } from "./ffmpeg_decode.ts";
import { Loopback } from "./loopback.ts";
import { concat } from "./media_pieces.ts";
import { NutEnd } from "./nut_end.ts";
import type { MediaSource } from "./pair.ts";
import type { StreamShape } from "./stream_shape.ts";

/** A stream whose head was read. */
export interface HeadedStream {
  head: ContainerHead;
  /** All of its bytes, the head too. */
  chunks: AsyncIterable<Uint8Array>;
}

/** Waits for the head of a stream. @throws InputError when it is neither NUT nor Matroska. */
export async function awaitHead({ name, chunks }: ByteSource): Promise<HeadedStream> {
  const source = chunks[Symbol.asyncIterator]();
  let bytes = new Uint8Array();
  for (;;) {
    const { done, value } = await source.next();
    if (done && bytes.length === 0) throw new InputError(`${name}: is empty: nothing came`);
    if (!done) bytes = concat([bytes, value]);
    const head = readHead(bytes);
    if (head === "other" || (done && head === "more")) throw new InputError(wrong(name, bytes));
    if (head === "more") continue;
    if (!head.video && !head.audio) {
      throw new InputError(`${name}: holds neither sound nor picture`);
    }
    return { head, chunks: resumed(bytes, source) };
  }
}

async function* resumed(
  bytes: Uint8Array,
  source: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield bytes;
  yield* { [Symbol.asyncIterator]: () => source };
}

function wrong(name: string, bytes: Uint8Array): string {
  const box = new TextDecoder().decode(bytes.subarray(4, 8));
  const remedy = "put 'ffmpeg -i INPUT -f nut -' before it";
  return /^(ftyp|moov|mdat|free|wide|skip)$/.test(box)
    ? `${name}: is MP4, whose index may stand at its end, which a pipe can't reach: ${remedy}`
    : `${name}: is neither NUT nor Matroska, or broke off in its head: ${remedy}`;
}

/** Starts FFmpeg on a stream: pictures on its standard output, sound on a loopback connection. */
export function decodeStream(
  ffmpeg: Ffmpeg,
  { name, close: closeSource }: ByteSource,
  { head, chunks }: HeadedStream,
  shape: StreamShape,
): MediaSource {
  const link = head.video && head.audio ? new Loopback() : null;
  const args = [
    ...["-protocol_whitelist", "pipe", "-probesize", "32", "-analyzeduration", "0"],
    ...["-threads", "1", "-f", head.format, "-i", "pipe:0"],
  ];
  if (head.video) args.push(...videoArgs(shape), "pipe:1");
  if (head.audio) args.push(...audioArgs(shape), link?.url ?? "pipe:1");
  let process: FfmpegProcess;
  try {
    process = new FfmpegProcess(ffmpeg, args, { stdin: true, stdout: true });
  } catch (error) {
    link?.close();
    throw error;
  }
  const ended = process.end().finally(() => link?.close());
  const end = head.format === "nut" ? new NutEnd() : null;
  const feeding = feed(chunks, process.child.stdin.getWriter(), end);
  const samples = link ? connection(link) : process.child.stdout;
  const video = head.video ? new ByteQueue(process.child.stdout) : null;
  const audio = head.audio ? new ByteQueue(samples) : null;
  let closed: Promise<void> | null = null;

  async function close(): Promise<void> {
    await closeSource();
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
        throw new InputError(`${name}: nothing of it could be decoded (FFmpeg: ${said})`);
      }
      if (code !== 0) return `FFmpeg: ${said}`;
      await feeding;
      if (end && !end.complete) return "it lacks the index that ends a NUT stream";
      const early = process.lines.some((line) => line.includes("File ended prematurely"));
      return early ? "it ends within an element" : null;
    },
    close: () => closed ??= close(),
  };
}

/** Passes everything on; FFmpeg's pace is the pace at which the source is read. */
async function feed(
  chunks: AsyncIterable<Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  end: NutEnd | null,
): Promise<void> {
  try {
    for await (const chunk of chunks) {
      end?.add(chunk);
      await writer.write(chunk);
    }
    await writer.close();
  } catch {
    // FFmpeg has gone, or the source has: what arrived is what there is.
    await writer.abort().catch(() => {});
  }
}

function videoArgs({ fps, width, height }: StreamShape): string[] {
  const filters = `${fitFilter(width, height)},format=rgb24`;
  return [
    ...["-map", "0:V:0", "-vf", filters, "-r", `${fps}`],
    ...["-threads", "1", "-flush_packets", "1", "-f", "rawvideo"],
  ];
}

function audioArgs({ sampleRate }: StreamShape): string[] {
  // Sound that begins late begins with silence.
  const filters = `aresample=${sampleRate}:async=1:first_pts=0:rematrix_maxval=1.0`;
  return [
    ...["-map", "0:a:0", "-af", filters, "-ac", "1", "-ar", `${sampleRate}`],
    ...["-flush_packets", "1", "-f", "f32le"],
  ];
}
