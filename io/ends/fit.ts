/** One agent's response as another's observation: pictures and sound at the other's size and rates. */
import type {
  Observation,
  Response,
  StreamLayout,
  StreamShape,
} from "../../engine/checkpoint/unit.ts";
import { givenResponse } from "../../engine/checkpoint/given.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { InputError } from "../../engine/config/errors.ts";
import { concat } from "../system/bytes.ts";
import { Resampler } from "../media/resample.ts";
import { frameBytes } from "../media/stream_shape.ts";

/**
 * Makes what turns an agent's responses, in order, into a listener's observations. Pictures are scaled
 * and padded, never distorted, and repeated or left out where frame rates differ. Where sample rates
 * differ the sound is resampled, which lets it come some ms later (2 from 24 to 16 kHz). What is the
 * same on both sides passes unchanged. The text isn't passed on: it is neither heard nor seen.
 *
 * @param from The layout of the one that speaks. @param to Of the one that listens.
 * @throws InputError when their units differ in length; then, when a response isn't one of the speaker's.
 */
export function fit(
  speaker: Pick<StreamLayout, "agent">,
  listener: Pick<StreamLayout, "user">,
): (response: Pick<Response, "audio" | "frames">) => Observation {
  const [from, to] = [sideOf(speaker, "agent"), sideOf(listener, "user")];
  if (from.unitMs !== to.unitMs) {
    throw new InputError(
      `fit: the speaker's units have ${from.unitMs} ms, the listener's ${to.unitMs}: ` +
        "take two checkpoints whose unit_ms is the same",
    );
  }
  const sound = soundFitter(from, to);
  const picture = pictureFitter(from, to);
  return (response) => {
    const { audio, frames } = givenResponse(response, from);
    return { audio: sound(audio), frames: picture(frames) };
  };
}

function sideOf(layout: Partial<StreamLayout>, side: "agent" | "user"): StreamShape {
  const shape = layout?.[side];
  if (shape && typeof shape === "object") return shape;
  throw new InputError(`fit: a layout is ${valueText(layout)}; it may be a session's`);
}

function soundFitter(from: StreamShape, to: StreamShape): (samples: Float32Array) => Float32Array {
  if (from.sampleRate === to.sampleRate) return (samples) => samples;
  const resampler = new Resampler(from.sampleRate, to.sampleRate);
  let held = new Float32Array(0);
  return (samples) => {
    const here = resampler.push(samples);
    // The first unit begins with the silence that every later sample is late by.
    const late = Math.max(0, to.samples - held.length - here.length);
    const all = new Float32Array(held.length + late + here.length);
    all.set(held);
    all.set(here, held.length + late);
    held = all.slice(to.samples);
    return all.slice(0, to.samples);
  };
}

function pictureFitter(from: StreamShape, to: StreamShape): (frames: Uint8Array) => Uint8Array {
  const isSame = from.frames === to.frames && from.width === to.width && from.height === to.height;
  if (isSame) return (frames) => frames;
  const scale = Math.min(to.width / from.width, to.height / from.height);
  const width = Math.max(1, Math.round(from.width * scale));
  const height = Math.max(1, Math.round(from.height * scale));
  const [left, top] = [(to.width - width) >> 1, (to.height - height) >> 1];
  const [across, down] = [taps(from.width, width), taps(from.height, height)];
  const size = frameBytes(from);
  const fitted = (frame: Uint8Array) => {
    const rows = stretched(frame, from.height, 3, across);
    const scaled = new Uint8ClampedArray(stretched(rows, 1, width * 3, down));
    const picture = new Uint8Array(frameBytes(to));
    for (let y = 0; y < height; y++) {
      const row = scaled.subarray(y * width * 3, (y + 1) * width * 3);
      picture.set(row, ((top + y) * to.width + left) * 3);
    }
    return picture;
  };
  return (frames) =>
    concat(Array.from({ length: to.frames }, (_, i) => {
      const at = Math.floor((i * from.frames) / to.frames) * size;
      return fitted(frames.subarray(at, at + size));
    }));
}

/** What each new position takes of the old ones: `count` weights from `first` on. */
interface Taps {
  from: number;
  count: number;
  first: Int32Array;
  weights: Float32Array;
}

/** Weights of a triangle as wide as the coarser of both. */
function taps(from: number, to: number): Taps {
  const step = from / to;
  const radius = Math.max(1, step);
  const count = Math.ceil(2 * radius) + 1;
  const first = new Int32Array(to);
  const weights = new Float32Array(to * count);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * step - 0.5;
    const start = first[i] = Math.max(0, Math.floor(centre - radius));
    const near = Array.from({ length: count }, (_, k) => {
      const distance = Math.abs(start + k - centre) / radius;
      return start + k < from ? Math.max(0, 1 - distance) : 0;
    });
    const sum = near.reduce((all, weight) => all + weight, 0);
    weights.set(near.map((weight) => weight / sum), i * count);
  }
  return { from, count, first, weights };
}

/** Lines of `from` positions, each of so many values, as lines of as many positions as there are taps. */
function stretched(
  source: Uint8Array | Float32Array,
  lines: number,
  values: number,
  { from, count, first, weights }: Taps,
): Float32Array {
  const to = first.length;
  const out = new Float32Array(lines * to * values);
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < to; i++) {
      const at = (line * from + (first[i] ?? 0)) * values;
      for (let value = 0; value < values; value++) {
        let sum = 0;
        for (let k = 0; k < count; k++) {
          sum += (weights[i * count + k] ?? 0) * (source[at + k * values + value] ?? 0);
        }
        out[(line * to + i) * values + value] = sum;
      }
    }
  }
  return out;
}
