/** One agent's response as another's observation: pictures and sound at the other's size and rates. */
import type {
  Observation,
  Response,
  StreamLayout,
  StreamShape,
} from "../../engine/checkpoint/unit.ts";
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
 * @throws InputError when their units differ in length.
 */
export function fit(
  { agent: from }: Pick<StreamLayout, "agent">,
  { user: to }: Pick<StreamLayout, "user">,
): (response: Pick<Response, "audio" | "frames">) => Observation {
  if (from.unitMs !== to.unitMs) {
    throw new InputError(
      `fit: the speaker's units have ${from.unitMs} ms, the listener's ${to.unitMs}: ` +
        "take two checkpoints whose unit_ms is the same",
    );
  }
  const sound = soundFitter(from, to);
  const picture = pictureFitter(from, to);
  return ({ audio, frames }) => ({ audio: sound(audio), frames: picture(frames) });
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
    const rows = new Float32Array(from.height * width * 3);
    rows.forEach((_, i) => {
      const [row, x, c] = [Math.floor(i / width / 3), Math.floor(i / 3) % width, i % 3];
      rows[i] = weigh(across[x], (column) => frame[(row * from.width + column) * 3 + c]);
    });
    const picture = new Uint8ClampedArray(frameBytes(to));
    for (let y = 0; y < height; y++) {
      for (let i = 0; i < width * 3; i++) {
        const at = ((top + y) * to.width + left) * 3 + i;
        picture[at] = weigh(down[y], (row) => rows[row * width * 3 + i]);
      }
    }
    return new Uint8Array(picture.buffer);
  };
  return (frames) =>
    concat(Array.from({ length: to.frames }, (_, i) => {
      const at = Math.floor((i * from.frames) / to.frames) * size;
      return fitted(frames.subarray(at, at + size));
    }));
}

type Taps = [index: number, weight: number][];

/** What each of `to` pixels takes of `from` pixels: a triangle as wide as the coarser of both. */
function taps(from: number, to: number): Taps[] {
  const step = from / to;
  const radius = Math.max(1, step);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * step;
    const near = Array.from({ length: from }, (_, j): Taps[number] => [
      j,
      Math.max(0, 1 - Math.abs(j + 0.5 - centre) / radius),
    ]).filter(([, weight]) => weight > 0);
    const sum = near.reduce((all, [, weight]) => all + weight, 0);
    return near.map(([j, weight]) => [j, weight / sum]);
  });
}

function weigh(taps: Taps | undefined, at: (index: number) => number | undefined): number {
  return taps?.reduce((sum, [index, weight]) => sum + weight * (at(index) ?? 0), 0) ?? 0;
}
