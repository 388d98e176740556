/** One agent's response as another's observation. */
import { assert, assertEquals } from "@std/assert";
import type { StreamShape } from "../../../engine/checkpoint/unit.ts";
import { fit } from "../../../io/ends/fit.ts";
import { assertInputError } from "../../engine/tiny_checkpoint.ts";
import { userShape } from "../media.ts";

const shape = (changes: Partial<StreamShape> = {}): StreamShape => ({ ...userShape, ...changes });
const unit = ({ samples, frames, width, height }: StreamShape, level = 0) => ({
  audio: new Float32Array(samples),
  frames: new Uint8Array(frames * width * height * 3).fill(level),
});

Deno.test("fit() passes on what fits as it is", () => {
  const response = unit(shape(), 77);
  const { audio, frames } = fit({ agent: shape() }, { user: shape() })(response);
  assertEquals({ audio, frames }, response);
});

Deno.test("fit() scales and pads pictures, and repeats frames", () => {
  const from = shape({ width: 8, height: 8, fps: 12.5, frames: 2 });
  const to = shape({ width: 24, height: 12 });
  const response = unit(from);
  response.frames.fill(100, 0, 192);
  response.frames.fill(200, 192);
  const { frames } = fit({ agent: from }, { user: to })(response);
  assertEquals(frames?.length, 4 * 24 * 12 * 3);
  for (let at = 0; at < 4 * 24 * 12; at++) {
    const [frame, column] = [Math.floor(at / (24 * 12)), at % 24];
    const inside = column >= 6 && column < 18;
    assertEquals(frames?.[at * 3 + 1], inside ? (frame < 2 ? 100 : 200) : 0, `pixel ${at}`);
  }
});

Deno.test("fit() halves a picture to the means of its pixels", () => {
  const from = shape({ width: 16, height: 16, frames: 1, fps: 6.25 });
  const to = shape({ width: 8, height: 8, frames: 1, fps: 6.25 });
  const response = unit(from);
  for (let i = 0; i < 256; i++) response.frames.fill((i % 16) * 10, i * 3, i * 3 + 3);
  const { frames } = fit({ agent: from }, { user: to })(response);
  const row = Array.from({ length: 8 }, (_, x) => frames?.[(4 * 8 + x) * 3]);
  assertEquals(row.slice(1, 7), [25, 45, 65, 85, 105, 125]);
});

Deno.test("fit() resamples sound unit by unit, some samples late and without a gap", () => {
  for (const [rate, other] of [[24000, 16000], [16000, 24000], [8000, 48000]] as const) {
    const from = shape({ sampleRate: rate, samples: rate * 0.16 });
    const to = shape({ sampleRate: other, samples: other * 0.16 });
    const turn = fit({ agent: from }, { user: to });
    const tone = (n: number, hertz: number) => Math.sin((2 * Math.PI * 300 * n) / hertz);
    const heard: number[] = [];
    for (let k = 0; k < 5; k++) {
      const response = unit(from);
      response.audio.forEach((_, i) => response.audio[i] = tone(k * from.samples + i, rate));
      const { audio } = turn(response);
      assertEquals(audio?.length, to.samples);
      heard.push(...audio ?? []);
    }
    const late = heard.findIndex((value) => value !== 0) - 1;
    assert(late >= 0 && late < 0.006 * other, `${rate} to ${other}: ${late} samples late`);
    const errors = heard.slice(late + 400).map((value, i) =>
      Math.min(...[-1, 0, 1].map((d) => Math.abs(value - tone(i + 400 + d, other))))
    );
    assert(Math.max(...errors) < 0.02, `${rate} to ${other}: ${Math.max(...errors)}`);
  }
});

Deno.test("fit() refuses agents whose units differ in length", async () => {
  const [agent, user] = [shape(), shape({ unitMs: 40 })];
  await assertInputError(() => fit({ agent }, { user }), "160 ms", "40", "unit_ms");
});
