/** What every muxer does, and a unit cut into what a container stores: one piece of each medium for
 * each frame time. */
import type { Response } from "../../engine/checkpoint/unit.ts";
import { frameBytes, type StreamShape } from "./stream_shape.ts";

/** What a container holds of a response. */
export type MuxedUnit = Pick<Response, "unit" | "text" | "audio" | "frames">;

/** Makes one stream. */
export interface Muxer {
  /** What stands before the first unit. */
  start(): Uint8Array<ArrayBuffer>;
  /** One unit; in order, from unit 0. */
  unit(unit: MuxedUnit): Uint8Array<ArrayBuffer>;
  /** What stands after the last unit. */
  end(): Uint8Array<ArrayBuffer>;
}

/** What belongs to one frame time. */
export interface MediaPiece {
  /** Index of the frame and of the piece's first sample in the whole stream. */
  frame: number;
  sample: number;
  picture: Uint8Array;
  /** Little-endian f32 samples. */
  sound: Uint8Array;
}

/** The pieces of a unit, in the order of time, so that no player waits for the other medium. */
export function mediaPieces(
  shape: StreamShape,
  { unit, frames, audio }: { unit: number; frames: Uint8Array; audio: Float32Array },
): MediaPiece[] {
  const size = frameBytes(shape);
  const sound = new Uint8Array(audio.buffer, audio.byteOffset, audio.byteLength);
  const cut = (i: number) => Math.floor((i * shape.samples) / shape.frames);
  return Array.from({ length: shape.frames }, (_, i) => ({
    frame: unit * shape.frames + i,
    sample: unit * shape.samples + cut(i),
    picture: frames.subarray(i * size, (i + 1) * size),
    sound: sound.subarray(cut(i) * 4, cut(i + 1) * 4),
  }));
}
