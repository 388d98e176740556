/** Two byte streams, pictures and sound, as observations: one per unit, in order. */
import type { Observation } from "../../engine/checkpoint/unit.ts";
import type { ByteQueue } from "../system/byte_queue.ts";
import { frameBytes, type StreamShape } from "./stream_shape.ts";

/** Where and why a recording broke off. */
export interface Cut {
  /** Seconds of stream that were whole. */
  seconds: number;
  /** What shows that it broke off. */
  reason: string;
}

/** Where a live clock stepped back, jumped far ahead, or began anew with another container, and what follows
 * was joined on. */
export interface Join {
  /** Seconds of stream before it. */
  seconds: number;
  step: "back" | "forward" | "restart";
}

/** Media as it arrives: RGB24 frames and little-endian f32 mono samples of the shape, or null. */
export interface MediaSource {
  video: ByteQueue | null;
  audio: ByteQueue | null;
  /**
   * Of pictures and sound that come on two ways of their own: a side pauses when nothing of it has come
   * for so many ms. Without it a side pauses as soon as the other is too far ahead.
   */
  pauseMs?: number;
  /** Joins so far. */
  joins?: readonly Join[];
  /**
   * Called once both have ended, with the seconds that arrived. @returns Why the recording is cut
   * off, or null when it ended as it should. @throws InputError when it couldn't be read at all.
   */
  finish(seconds: number): Promise<string | null>;
  /** Lets go of processes and files; may be called at any time. */
  close(): Promise<void>;
}

/** A stream may run ahead of the other by this much before the other is taken to pause. */
const maxAheadBytes = 128 << 20;

/** Ends of picture and sound this near each other were cut by the same break. */
const interleaveSeconds = 1;

/**
 * Puts a source's pictures and sound together unit by unit, reading no more than it needs.
 *
 * The last unit is padded with silence and its last frame, so that there are ceil(longest / unit)
 * units; a rest shorter than a frame is left out, because containers round their times. When the
 * recording is cut off only whole units before the break are given.
 */
export class ObservationReader implements AsyncIterable<Observation> {
  /** Set when all units were given and the recording turned out to be cut off. */
  cut: Cut | null = null;
  readonly #source: MediaSource;
  readonly #shape: StreamShape;
  readonly #maxAhead: number;
  readonly #maxUnits: number;
  readonly #lastFrame: Uint8Array;
  readonly #reading = new Set<ByteQueue>();
  /** When something of a stream came last, by performance.now. */
  readonly #arrived = new Map<ByteQueue, number>();
  readonly #began = performance.now();
  #wake: { resolve: () => void; reject: (error: unknown) => void } | null = null;
  #failure: { error: unknown } | null = null;

  /**
   * @param maxAhead Bytes by which a stream may run ahead of the other.
   * @param maxUnits The same in units: how long a call waits for a stream that pauses.
   */
  constructor(
    source: MediaSource,
    shape: StreamShape,
    maxAhead: number = maxAheadBytes,
    maxUnits: number = Infinity,
  ) {
    this.#source = source;
    this.#shape = shape;
    this.#lastFrame = new Uint8Array(frameBytes(shape));
    this.#maxUnits = maxUnits;
    const { video, audio } = this.#needs();
    this.#maxAhead = Math.max(maxAhead, video, audio);
  }

  /** Bytes of one unit. */
  #needs() {
    const { frames, samples } = this.#shape;
    return { video: frames * frameBytes(this.#shape), audio: samples * 4 };
  }

  /** Joins so far, in order. */
  get joins(): readonly Join[] {
    return this.#source.joins ?? [];
  }

  /** Once only: the units, in order. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Observation, void, void> {
    try {
      let given = 0;
      for (; await this.#fill(); given++) yield this.#unit();
      const total = await this.#total(given);
      for (; given < total; given++) yield this.#unit();
    } finally {
      await this.#source.close();
    }
  }

  /** Once only, instead: the units that are whole in every stream, whatever comes after them. */
  async *whole(): AsyncGenerator<Observation, void, void> {
    try {
      while (
        await this.#fill() && this.#channels().every(({ queue, need }) => queue.size >= need)
      ) {
        yield this.#unit();
      }
    } finally {
      await this.#source.close();
    }
  }

  /** Lets go of the source when no (more) units are wanted; it may be called at any time. */
  async close(): Promise<void> {
    await this.#source.close();
  }

  /** The streams, and the bytes that each needs for a unit. */
  #channels(): { queue: ByteQueue; need: number }[] {
    const { video, audio } = this.#source;
    const needs = this.#needs();
    return [
      ...(video ? [{ queue: video, need: needs.video }] : []),
      ...(audio ? [{ queue: audio, need: needs.audio }] : []),
    ];
  }

  /** Waits until the next unit can be given; false when both streams have ended before that. */
  async #fill(): Promise<boolean> {
    const channels = this.#channels();
    while (channels.some(({ queue, need }) => queue.size < need)) {
      const open = channels.filter(({ queue }) => !queue.ended);
      if (open.length === 0) return false;
      // FFmpeg writes both from one thread: if one waits for its bytes, the other must be read too,
      // or neither moves. Whether a stream that ended did so in order shows only at the other's end.
      const most = (need: number) => Math.min(this.#maxAhead, need * this.#maxUnits);
      if (channels.some(({ queue, need }) => queue.size >= most(need))) {
        const late = open.filter(({ queue, need }) => queue.size < need);
        if (!await this.#comes(late.map(({ queue }) => queue))) return true;
      } else await this.#any(open.map(({ queue }) => queue));
    }
    return true;
  }

  /** Waits until something of one of them has come; false when they pause. */
  async #comes(queues: ByteQueue[]): Promise<boolean> {
    const last = Math.max(...queues.map((queue) => this.#arrived.get(queue) ?? this.#began));
    const left = last + (this.#source.pauseMs ?? 0) - performance.now();
    if (queues.length === 0 || left <= 0) return false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const pause = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), left);
    });
    try {
      return await Promise.race([this.#any(queues).then(() => true), pause]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits until something of one of them has come. Not Promise.race, which would keep a reaction for
   * every chunk of the one while the other pauses. */
  #any(queues: ByteQueue[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#wake = { resolve, reject };
      if (this.#failure) reject(this.#failure.error);
      for (const queue of queues) {
        if (this.#reading.has(queue)) continue;
        this.#reading.add(queue);
        queue.read().finally(() => this.#reading.delete(queue)).then(
          () => {
            this.#arrived.set(queue, performance.now());
            this.#wake?.resolve();
          },
          (error) => {
            this.#failure = { error };
            this.#wake?.reject(error);
          },
        );
      }
    });
  }

  /** How many units there are, once everything has arrived. */
  async #total(given: number): Promise<number> {
    const { unitMs, fps, sampleRate } = this.#shape;
    const unit = unitMs / 1000;
    const { video, audio } = this.#source;
    const frames = Math.floor((video?.received ?? 0) / frameBytes(this.#shape));
    const ends = [
      ...(video ? [frames / fps] : []),
      ...(audio ? [Math.floor(audio.received / 4) / sampleRate] : []),
    ];
    const longest = Math.max(...ends);
    const reason = await this.#source.finish(longest);
    if (reason === null) {
      const whole = Math.ceil((longest - 1 / fps) / unit + 1e-6);
      return Math.max(given, whole, longest > 0 ? 1 : 0);
    }
    const shortest = Math.min(...ends);
    const end = longest - shortest < interleaveSeconds ? shortest : longest;
    const whole = Math.max(given, Math.floor(end / unit + 1e-6));
    this.cut = { seconds: Math.max(end, given * unit), reason };
    return whole;
  }

  #unit(): Observation {
    const { video, audio } = this.#source;
    return {
      audio: audio === null ? null : this.#samples(audio),
      frames: video === null ? null : this.#frames(video),
    };
  }

  #samples(queue: ByteQueue): Float32Array {
    const samples = new Float32Array(this.#shape.samples);
    const bytes = new Uint8Array(samples.buffer);
    const taken = queue.take(bytes);
    if (taken < bytes.length) {
      bytes.fill(0, taken - taken % 4);
      if (!queue.ended) queue.drop(bytes.length - taken);
    }
    // A file of floats may hold anything; one NaN in history would never leave it.
    for (let i = 0; i < samples.length; i++) {
      const value = samples[i] ?? 0;
      samples[i] = value >= -1 ? Math.min(value, 1) : value < -1 ? -1 : 0;
    }
    return samples;
  }

  #frames(queue: ByteQueue): Uint8Array {
    const size = frameBytes(this.#shape);
    const frames = new Uint8Array(this.#shape.frames * size);
    const taken = queue.take(frames);
    const whole = Math.floor(taken / size);
    if (whole > 0) this.#lastFrame.set(frames.subarray((whole - 1) * size, whole * size));
    for (let i = whole; i < this.#shape.frames; i++) frames.set(this.#lastFrame, i * size);
    if (taken < frames.length && !queue.ended) queue.drop(frames.length - taken);
    return frames;
  }
}
