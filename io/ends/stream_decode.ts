/**
 * A container that arrives through a pipe, decoded while it arrives: what was complete in a unit comes
 * out before the next unit is over.
 *
 * What makes FFmpeg wait, and is avoided here: guessing the container (it is named), looking at the
 * start for parameters (32 bytes), threads of the decoder and of the "encoder" of raw pictures (each
 * holds a frame back), the fps filter (holds a frame until the next one; `-r` does not), buffered
 * output. Without these a unit is decoded before a byte of the next one is there.
 */
import { InputError } from "../../engine/config/errors.ts";
import { type ContainerHead, readHead } from "../media/container_head.ts";
import type { ByteSource } from "./endpoints.ts";
import { Containers, joinStreams } from "./joined_stream.ts";
import type { Ffmpeg } from "../ffmpeg/ffmpeg.ts";
import { channelFilters, decode, inputLimits, pictures, samples } from "../ffmpeg/ffmpeg_source.ts";
import { NutEnd } from "../media/nut.ts";
import type { Join, MediaSource } from "../media/observation_reader.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import {
  defaultTracks,
  type TakenTracks,
  takenTracks,
  type Track,
  type TrackChoice,
} from "../media/tracks.ts";
import { concat } from "../system/bytes.ts";

/** A stream whose head was read. */
export interface HeadedStream {
  head: ContainerHead;
  choice: TrackChoice;
  taken: TakenTracks<Track>;
  /** All of its bytes, the head too. */
  chunks: AsyncIterable<Uint8Array>;
}

/**
 * Waits for the head of a stream.
 *
 * @throws InputError when it is neither NUT nor Matroska, or doesn't hold the tracks asked for.
 */
export async function awaitHead(
  { name, chunks }: ByteSource,
  choice: TrackChoice = defaultTracks,
): Promise<HeadedStream> {
  const source = chunks[Symbol.asyncIterator]();
  let bytes = new Uint8Array();
  for (;;) {
    const { done, value } = await source.next();
    if (done && bytes.length === 0) throw new InputError(`${name}: is empty: nothing came`);
    if (!done) bytes = concat([bytes, value]);
    const head = readHead(bytes);
    if (head === "other" || (done && head === "more")) throw new InputError(wrong(name, bytes));
    if (head === "more") continue;
    const taken = takenTracks(name, head.tracks, choice);
    return { head, choice, taken, chunks: resumed(bytes, source) };
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

/** A live clock that jumps by more than this, in seconds, is not filled up: what follows is joined on. */
const longestGap = 60;

/**
 * An expression for FFmpeg's setpts and asetpts: a clock that begins with the stream, at 0. Where the
 * stream's own clock steps back, or jumps by more than `longestGap`, what follows is joined on, and
 * FFmpeg prints (as a warning, level 24) the time of that, after a step back as a negative number. It
 * prints with the next frame: at the end of a stream FFmpeg asks for the time once more, of no frame.
 *
 * @param step The time from a frame to the next where that happens, in seconds.
 */
function steadyClock(start: number, step: string): string {
  const same = `between((PTS-PREV_INPTS)*TB,0,${longestGap})`;
  const next = `(PREV_OUTPTS*TB+${step})`;
  const join = `(st(0,if(isnan(PTS),0,if(lt(PTS,PREV_INPTS),-1,1)*${next}));${next}/TB)`;
  return `if(ld(0),print(ld(0),24));st(0,0);if(isnan(PREV_OUTPTS),PTS-${start}/TB,` +
    `if(${same},PREV_OUTPTS+PTS-PREV_INPTS,${join}))`;
}

/** Pictures and sound that are joined on within this time, in seconds, follow one step of their clock. */
const sameStep = 1;

/** Adds a join that is so many seconds into a container that begins at `from` seconds. */
function addJoin(joins: Join[], { seconds, step }: Join, from: number): void {
  const at = from + seconds;
  if (joins.some((join) => join.step === step && Math.abs(join.seconds - at) < sameStep)) return;
  joins.push({ seconds: at, step });
}

/** Starts FFmpeg on a stream, and on each container that follows in it. */
export function decodeStream(
  ffmpeg: Ffmpeg,
  source: ByteSource,
  headed: HeadedStream,
  shape: StreamShape,
): MediaSource {
  const containers = new Containers(headed.chunks);
  const joins: Join[] = [];
  // What the first container hasn't is not taken of the others.
  const choice: TrackChoice = {
    ...headed.choice,
    ...(headed.taken.video ? {} : { video: "none" }),
    ...(headed.taken.audio ? {} : { audio: "none" }),
  };
  const decodePart = (part: HeadedStream, seconds: number) =>
    decodeContainer(ffmpeg, source, part, shape, (join) => addJoin(joins, join, seconds));
  const open = async (seconds: number) => {
    if (!containers.hasNext) return null;
    const part = await awaitHead({ ...source, chunks: containers.next() }, choice);
    return decodePart(part, seconds);
  };
  const first = decodePart({ ...headed, chunks: containers.next() }, 0);
  return joinStreams(first, open, shape, joins);
}

/** Starts FFmpeg on one container. */
function decodeContainer(
  ffmpeg: Ffmpeg,
  { name, close }: ByteSource,
  { head, taken, chunks }: HeadedStream,
  shape: StreamShape,
  joined: (join: Join) => void,
): MediaSource {
  const end = head.format === "nut" ? new NutEnd() : null;
  let fed: Promise<void> = Promise.resolve();
  let isFed = false;
  const atOnce = ["-flush_packets", "1"];
  const { video, audio, channel } = taken;
  const clock = `asetpts='${steadyClock(head.start, "NB_SAMPLES/SR")}'`;
  const heard = [...channelFilters(channel), clock];
  const seen = [`setpts='${steadyClock(head.start, `1/${shape.fps}`)}'`];
  return decode(ffmpeg, {
    name,
    said(line) {
      const printed = Number(/\[warning\] (-?\d+\.\d+)$/.exec(line)?.[1]);
      if (Number.isNaN(printed)) return;
      joined({ seconds: Math.abs(printed), step: printed < 0 ? "back" : "forward" });
    },
    input: [
      ...["-protocol_whitelist", "pipe", "-probesize", "32", "-analyzeduration", "0"],
      // FFmpeg keeps the stream's clock as it is: it looks at too little of the stream to know where it
      // begins. Sizes may change, the clock of the pictures goes on.
      ...["-copyts", "-reinit_filter:v", "0"],
      ...[...inputLimits(longestGap, 1), "-f", head.format, "-i", "pipe:0"],
    ],
    video: video &&
      [...pictures(`0:v:${video.number - 1}`, shape, seen), "-threads", "1", ...atOnce],
    // Sound that begins late begins with silence.
    audio: audio &&
      [...samples(`0:a:${audio.number - 1}`, shape, heard, ":first_pts=0"), ...atOnce],
    feed: (writer) => fed = feed(chunks, writer, end).finally(() => isFed = true),
    // Until then nothing may be there to be written.
    watched: () => isFed,
    close,
    async cutOff(_seconds, lines, failure) {
      if (failure !== null) return failure;
      await fed;
      if (end && !end.complete) return "it lacks the index that ends a NUT stream";
      const early = lines.some((line) => line.includes("File ended prematurely"));
      return early ? "it ends within an element" : null;
    },
  });
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
