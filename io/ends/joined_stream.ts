/**
 * Containers one after the other in one stream, as from a program that is started again. Each has a clock
 * of its own and may have other sizes: each is decoded by itself, and its pictures and sound begin
 * together where the longer of both ended before.
 */
import { InputError } from "../../engine/config/errors.ts";
import { nutId } from "../media/nut.ts";
import type { Join, MediaSource } from "../media/observation_reader.ts";
import { frameBytes, type StreamShape } from "../media/stream_shape.ts";
import { ByteQueue } from "../system/byte_queue.ts";
import { concat } from "../system/bytes.ts";

/** Bytes in which the head of a container is known. */
const headBytes = 25;

/** Where a head begins in bytes, from `from` on; -1: nowhere. */
function findHead(bytes: Uint8Array, from: number): number {
  const found = [nutId, Uint8Array.of(0x1a, 0x45, 0xdf, 0xa3)].map((start, kind) => {
    for (let at = bytes.indexOf(start[0] ?? 0, from); at >= 0;) {
      const isHead = start.every((byte, i) => bytes[at + i] === byte);
      // EBML's own version stands first in Matroska's head, after its length.
      if (isHead && (kind === 0 || hasVersion(bytes.subarray(at + 4, at + 16)))) return at;
      at = bytes.indexOf(start[0] ?? 0, at + 1);
    }
    return Infinity;
  });
  const first = Math.min(...found);
  return first < Infinity ? first : -1;
}

function hasVersion(bytes: Uint8Array): boolean {
  return [1, 8].some((at) => [0x42, 0x86, 0x81, 0x01].every((byte, i) => bytes[at + i] === byte));
}

/** Cuts a stream where a container begins; no byte waits for the next one. */
export class Containers {
  readonly #source: AsyncIterator<Uint8Array>;
  /** The first bytes of the next container. */
  #next: Uint8Array | null = null;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#source = chunks[Symbol.asyncIterator]();
  }

  /** True when another container has begun. */
  get hasNext(): boolean {
    return this.#next !== null;
  }

  /** The bytes of the next container; once the one before has ended. */
  async *next(): AsyncGenerator<Uint8Array> {
    let chunk = this.#next;
    this.#next = null;
    let tail = new Uint8Array();
    for (let given = 0;;) {
      if (chunk === null) {
        const { done, value } = await this.#source.next();
        if (done) return;
        chunk = value;
      }
      const bytes = concat([tail, chunk]);
      const at = findHead(bytes, given === tail.length ? 1 : 0);
      if (at >= 0) {
        this.#next = bytes.subarray(at);
        if (at > tail.length) yield bytes.subarray(tail.length, at);
        return;
      }
      given += chunk.length;
      yield chunk;
      tail = bytes.slice(-headBytes);
      chunk = null;
    }
  }
}

/** A container that is decoded. */
interface Part {
  source: MediaSource;
  /** Frames of the joined stream before it. */
  first: number;
  /** Frames of the joined stream up to its end, once pictures and sound have ended. */
  end: Promise<number>;
  ended(frames: number): void;
}

/**
 * Joins what is decoded of containers.
 *
 * @param open Opens the next container, whose first time is so many seconds after the stream's; null:
 * there is none.
 */
export function joinStreams(
  first: MediaSource,
  open: (seconds: number) => Promise<MediaSource | null>,
  shape: StreamShape,
  joins: Join[],
): MediaSource {
  const media = (["video", "audio"] as const).filter((medium) => first[medium] !== null);
  const bytesPerFrame = {
    video: frameBytes(shape),
    audio: 4 * Math.round(shape.sampleRate / shape.fps),
  };
  const opened: Part[] = [];
  let failure: string | null = null;

  function begin(source: MediaSource, first: number): Part {
    const { promise, resolve } = Promise.withResolvers<number>();
    const ends: number[] = [];
    const ended = (frames: number) => {
      if (ends.push(frames) === media.length) resolve(Math.max(...ends));
    };
    const part = { source, first, end: promise, ended };
    opened.push(part);
    return part;
  }

  const parts: Promise<Part | null>[] = [Promise.resolve(begin(first, 0))];
  /** The part after another that has ended. */
  async function after(part: Part): Promise<Part | null> {
    const end = await part.end;
    try {
      const source = await open(end / shape.fps);
      if (source === null) return null;
      joins.push({ seconds: end / shape.fps, step: "restart" });
      return begin(source, end);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      failure = error.message;
      return null;
    }
  }

  async function* bytesOf(medium: typeof media[number]): AsyncGenerator<Uint8Array> {
    const size = bytesPerFrame[medium];
    const last = new Uint8Array(size);
    let given = 0;
    for (let k = 0;; k++) {
      const part = await parts[k];
      if (!part) return;
      const queue = part.source[medium];
      while (queue && !queue.ended) {
        await queue.read();
        const chunk = new Uint8Array(queue.size);
        queue.take(chunk);
        given += chunk.length;
        if (medium === "video" && given % size === 0 && chunk.length >= size) {
          last.set(chunk.subarray(-size));
        }
        yield chunk;
      }
      part.ended(Math.ceil(given / size));
      const end = await part.end;
      parts[k + 1] ??= after(part);
      if (await parts[k + 1] === null) return;
      // Silence, or the last picture held, until the other has ended too.
      for (; given < end * size; given += size - given % size) {
        yield last.slice(given % size);
      }
    }
  }

  return {
    video: first.video && new ByteQueue(bytesOf("video")),
    audio: first.audio && new ByteQueue(bytesOf("audio")),
    joins,
    async finish(seconds) {
      if (failure !== null) return failure;
      const part = opened.at(-1);
      const before = (part?.first ?? 0) / shape.fps;
      try {
        return await part?.source.finish(Math.max(0, seconds - before)) ?? null;
      } catch (error) {
        if (error instanceof InputError && before > 0) return error.message;
        throw error;
      }
    },
    async close() {
      for (const { source } of opened) await source.close();
    },
  };
}
