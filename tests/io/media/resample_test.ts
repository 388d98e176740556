import { assert, assertEquals, assertLess } from "@std/assert";
import { Resampler } from "../../../io/media/resample.ts";

function sine(hertz: number, rate: number, length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * hertz * i) / rate));
}

function convert(input: Float32Array, from: number, to: number, cuts: number[] = []) {
  const resampler = new Resampler(from, to);
  const parts: Float32Array[] = [];
  let at = 0;
  for (const cut of [...cuts, input.length]) {
    parts.push(resampler.push(input.slice(at, cut)));
    at = cut;
  }
  parts.push(resampler.flush());
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

const rates: [number, number][] = [
  [44100, 16000],
  [48000, 24000],
  [8000, 16000],
  [11025, 24000],
  [22050, 16000],
  [44101, 16000],
  [16000, 16000],
];

for (const [from, to] of rates) {
  Deno.test(`Resampler keeps a tone's frequency, phase and level from ${from} to ${to} Hz`, () => {
    const output = convert(sine(1000, from, from), from, to);
    assertEquals(output.length, to);
    const expected = sine(1000, to, to);
    // Away from the ends, where the silence around the recording begins.
    for (let i = to / 10; i < to * 0.9; i++) {
      assertLess(Math.abs((output[i] ?? 9) - (expected[i] ?? 0)), 2e-4, `sample ${i}`);
    }
  });

  Deno.test(`Resampler gives the same samples for any cut of the input, ${from} to ${to} Hz`, () => {
    const input = sine(333, from, 5000);
    const whole = convert(input, from, to);
    assertEquals(whole.length, Math.round((5000 * to) / from));
    assertEquals(convert(input, from, to, [1, 2, 3, 500, 501, 4000, 4999]), whole);
    assertEquals(convert(input, from, to, Array.from({ length: 5000 }, (_, i) => i)), whole);
  });
}

Deno.test("Resampler takes away what the lower rate can't hold", () => {
  const output = convert(sine(11000, 44100, 44100), 44100, 16000);
  const middle = output.subarray(1600, 14400);
  assert(Math.max(...middle.map(Math.abs)) < 3e-4);
});
