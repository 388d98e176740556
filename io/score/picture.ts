/**
 * How a side's picture moves: whether it stands still, and how far it is behind or before the voice.
 */
import { InputError } from "../../engine/config/errors.ts";
import { correlationOf, maxLag, sumsPerLag } from "../eval/measures/lips.ts";
import { rms } from "../pace/activity.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { soundRate, type Speech } from "./activity.ts";

/** A part of a picture, its edges as parts of width and height. */
export interface Region {
  /** Left edge, 0 to 1. */
  left: number;
  /** Upper edge, 0 to 1. */
  top: number;
  /** Right edge, 0 to 1. */
  right: number;
  /** Lower edge, 0 to 1. */
  bottom: number;
}

/** Reads "L,T,R,B", e.g. "0.4,0.5,0.6,0.7". @param option Its name, for messages. @throws InputError */
export function parseRegion(option: string, text: string): Region {
  const [left = NaN, top = NaN, right = NaN, bottom = NaN, ...more] = text.split(",").map(Number);
  const inside = left >= 0 && top >= 0 && right <= 1 && bottom <= 1;
  if (inside && left < right && top < bottom && more.length === 0) {
    return { left, top, right, bottom };
  }
  throw new InputError(
    `${option}: '${text}' should be four numbers from 0 to 1, left,top,right,bottom: 0.4,0.5,0.6,0.7`,
  );
}

/** How much each frame differs from the one before: mean absolute differences of luma, 0 to 255. The
 * first frame differs from nothing: 0. */
export interface Motion {
  fps: number;
  /** Of all of the picture. */
  whole: number[];
  /** Of the region. */
  region: number[];
}

/** Measures frame after frame. */
export class MotionMeter {
  readonly motion: Motion;
  readonly #shape: StreamShape;
  readonly #region: Region;
  #before: Float32Array | null = null;

  constructor(shape: StreamShape, region: Region) {
    this.#shape = shape;
    this.#region = region;
    this.motion = { fps: shape.fps, whole: [], region: [] };
  }

  /** @param frame RGB24 [height, width, 3]; what is shorter is left out. */
  add(frame: Uint8Array): void {
    const { width, height } = this.#shape;
    if (frame.length < width * height * 3) return;
    const { left, top, right, bottom } = this.#region;
    const [x0, x1] = [Math.round(left * width), Math.round(right * width)];
    const [y0, y1] = [Math.round(top * height), Math.round(bottom * height)];
    const luma = new Float32Array(width * height);
    let [whole, inside] = [0, 0];
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const [r, g, b] = [frame[3 * at] ?? 0, frame[3 * at + 1] ?? 0, frame[3 * at + 2] ?? 0];
        const value = 0.299 * r + 0.587 * g + 0.114 * b;
        luma[at] = value;
        if (this.#before === null) continue;
        const change = Math.abs(value - (this.#before[at] ?? 0));
        whole += change;
        if (x >= x0 && x < x1 && y >= y0 && y < y1) inside += change;
      }
    }
    this.#before = luma;
    this.motion.whole.push(whole / (width * height));
    this.motion.region.push(inside / Math.max(1, (x1 - x0) * (y1 - y0)));
  }
}

/** Where motion and loudness go best together. */
export interface Sync {
  /** Milliseconds by which the picture comes after the sound; negative: before it. */
  offsetMs: number;
  /** Pearson's correlation there, -1 to 1. */
  correlation: number;
  /** By how much it is above the median over all lags, 0 to 2. */
  confidence: number;
}

/**
 * The offset of picture and sound: the lag of up to 15 frames either way at which motion correlates best
 * with the change of loudness, between frames by a parabola through the three highest values. Motion is a
 * change from frame to frame, so that only a change of loudness has the same moment.
 *
 * Confidence as in Chung and Zisserman, Out of Time (2016): the best value beside the median.
 *
 * @returns null when picture or sound stands still, or there is less than two seconds of both.
 */
export function syncOf({ fps, region }: Motion, sound: Float32Array): Sync | null {
  const span = soundRate / fps;
  const frames = Math.min(region.length, Math.floor(sound.length / span));
  if (frames < 2 * fps) return null;
  const loud = (i: number) => rms(sound, Math.round(i * span), Math.round((i + 1) * span));
  const loudness = Array.from(
    { length: frames },
    (_, i) => i === 0 ? 0 : Math.abs(loud(i) - loud(i - 1)),
  );
  const sums = sumsPerLag([{ opening: region.slice(0, frames), loudness }]);
  const correlations = Array.from(
    { length: 2 * maxLag + 1 },
    (_, i) => correlationOf(sums.slice(6 * i, 6 * i + 6)),
  );
  if (correlations.some(Number.isNaN)) return null;
  const sorted = [...correlations].sort((a, b) => a - b);
  const correlation = sorted.at(-1) ?? 0;
  const at = correlations.indexOf(correlation);
  const [before, after] = [correlations[at - 1] ?? NaN, correlations[at + 1] ?? NaN];
  const bend = before - 2 * correlation + after;
  const part = bend < 0 ? (before - after) / (2 * bend) : 0;
  return {
    offsetMs: ((at + part - maxLag) * 1000) / fps,
    correlation,
    confidence: correlation - (sorted[maxLag] ?? 0),
  };
}

/** Whether a picture stands still. */
export interface Freeze {
  /** Seconds of picture. */
  seconds: number;
  /** Seconds in which it stands still. */
  frozen: number;
  /** The longest time without a change, in seconds. */
  longest: number;
  /** Seconds in which it stands still while the side speaks. */
  frozenSpeaking: number;
}

/** A picture stands still where no frame differs from the one before by more than this, on average... */
const stillness = 0.02;
/** ...for so many seconds at least. */
const shortestFreeze = 0.5;

/** @param speech When the side speaks. */
export function freezeOf({ fps, whole }: Motion, speech: readonly Speech[]): Freeze {
  const found = { seconds: whole.length / fps, frozen: 0, longest: 0, frozenSpeaking: 0 };
  const end = (from: number, to: number) => {
    const seconds = (to - from) / fps;
    found.longest = Math.max(found.longest, seconds);
    if (seconds < shortestFreeze) return;
    found.frozen += seconds;
    for (const one of speech) {
      found.frozenSpeaking += Math.max(
        0,
        Math.min(one.to, to / fps) - Math.max(one.from, from / fps),
      );
    }
  };
  let from = 0;
  for (let i = 1; i <= whole.length; i++) {
    if (i < whole.length && (whole[i] ?? 0) <= stillness) continue;
    end(from, i);
    from = i;
  }
  return found;
}
