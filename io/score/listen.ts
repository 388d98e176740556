/** A side of a conversation as numbers: its sound, and how much its picture moves. */
import { InputError } from "../../engine/config/errors.ts";
import { openMedia } from "../ends/observe.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import type { Recorded } from "../layouts/conversations.ts";
import { frameBytes, type StreamShape } from "../media/stream_shape.ts";
import type { ByteQueue } from "../system/byte_queue.ts";
import { soundRate } from "./activity.ts";
import { type Motion, MotionMeter, type Region } from "./picture.ts";

/** Longest recording, in seconds: its samples are held in memory (0.23 GB an hour and side). */
const longest = 4 * 3600;

/** What was recorded of a side. */
export interface Listened {
  /** Mono samples at 16 kHz. */
  sound: Float32Array;
  /** Null: there is no picture, or it isn't measured. */
  motion: Motion | null;
}

/** Pictures are measured at this rate and size. */
const shape: StreamShape = {
  ...{ unitMs: 40, fps: 25, frames: 1, width: 64, height: 64 },
  ...{ sampleRate: soundRate, samples: soundRate / 25 },
};

/**
 * Reads a side. A recording that breaks off gives what is there.
 *
 * @param region The part of the picture whose motion is measured; null: there is no need of pictures.
 * @throws InputError when it can't be read, holds no sound, or is too long.
 */
export async function listen(
  { path, tracks }: Recorded,
  region: Region | null,
  ffmpeg: FfmpegFinder,
): Promise<Listened> {
  const choice = region ? tracks : { ...tracks, video: "none" as const };
  const { source } = await openMedia(path, shape, ffmpeg, choice);
  try {
    const { audio, video } = source;
    if (!audio) throw new InputError(`${path}: holds no sound: a side is scored by its sound`);
    const meter = new MotionMeter(shape, region ?? wholePicture);
    const sound = soundOf(audio, path);
    await Promise.all([sound, video && drain(video, frameBytes(shape), (one) => meter.add(one))]);
    const samples = await sound;
    await source.finish(samples.length / soundRate);
    return { sound: samples, motion: video ? meter.motion : null };
  } finally {
    await source.close();
  }
}

/** All of a picture. */
export const wholePicture: Region = { left: 0, top: 0, right: 1, bottom: 1 };

async function soundOf(audio: ByteQueue, path: string): Promise<Float32Array> {
  let held = new Float32Array(60 * soundRate);
  let length = 0;
  await drain(audio, 4 * soundRate, (piece) => {
    const samples = new Float32Array(piece.slice().buffer, 0, piece.length >> 2);
    if (length + samples.length > longest * soundRate) {
      throw new InputError(`${path}: is longer than ${longest / 3600} hours: cut it`);
    }
    if (length + samples.length > held.length) {
      const more = new Float32Array(2 * held.length);
      more.set(held);
      held = more;
    }
    held.set(samples, length);
    length += samples.length;
  });
  // Float samples of a file may be anything.
  return held.subarray(0, length).map((value) => Math.max(-1, Math.min(1, value || 0)));
}

/** Takes a queue's bytes in pieces of this size; the last one may be shorter. */
async function drain(queue: ByteQueue, size: number, take: (piece: Uint8Array) => void) {
  const piece = new Uint8Array(size);
  let held = 0;
  for (;;) {
    held += queue.take(piece.subarray(held));
    if (held === size) {
      take(piece);
      held = 0;
    } else if (queue.ended) break;
    else await queue.read();
  }
  if (held > 0) take(piece.subarray(0, held));
}
