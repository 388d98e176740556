/** The measures of sound and picture, against plain float64 definitions and signals with known answers. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { f1, onset, overlap, runAt } from "../../../io/eval/measures/activity.ts";
import { rms } from "../../../io/pace/activity.ts";
import {
  bestLag,
  correlationOf,
  type LipSeries,
  lipSums,
  maxLag,
  mouthOpening,
} from "../../../io/eval/measures/lips.ts";
import { bands, LogMel } from "../../../io/eval/measures/logmel.ts";
import { figure } from "../../../io/eval/measures/outcomes.ts";
import {
  addFeatures,
  features,
  flatMoments,
  frechetDistance,
  type Moments,
  momentsOf,
  noMoments,
  pictureFeatures,
} from "../../../io/eval/measures/picture.ts";
import { levelDb, wordDistances } from "../../../io/eval/measures/voice.ts";
import { utterance, wordsOf } from "../../../io/eval/measures/words.ts";
import { integer, normal, random } from "../../reference/random.ts";
import { drawn } from "./made_up.ts";

Deno.test("runAt and onset find where speech begins and ends", () => {
  const active = drawn(".##.#..##");
  assertEquals(runAt(active, 1), { first: 1, end: 3 });
  assertEquals(runAt(active, 4, 1), { first: 1, end: 5 });
  assertEquals(runAt(active, 3, 1), null);
  assertEquals(onset(active, 0, 9), 1);
  assertEquals(onset(active, 2, 9), 4);
  assertEquals(onset(active, 5, 7), null);
  assertEquals(overlap(drawn("##.."), drawn(".##.")), { both: 1, agentOnly: 1, truthOnly: 1 });
  assertEquals(f1({ both: 1, agentOnly: 1, truthOnly: 1 }), 0.5);
  assertAlmostEquals(rms(Float32Array.of(3, 4, 100), 0, 2), Math.sqrt(12.5));
});

Deno.test("figure withholds what rests on fewer than 10 events", () => {
  assertEquals(figure(0.5, 10), { value: 0.5, events: 10 });
  assertEquals(figure(0.5, 9), { value: null, events: 9 });
  assertEquals(figure(NaN, 99), { value: null, events: 99 });
});

Deno.test("wordsOf joins pieces of words and gives each to the unit of its first letter", () => {
  assertEquals(wordsOf([" It", "", " tri", "angle.", " a b"]), [
    { word: "it", unit: 0 },
    { word: "triangle", unit: 2 },
    { word: "a", unit: 4 },
    { word: "b", unit: 4 },
  ]);
  const words = [2, 4, 9, 16].map((unit) => ({ word: `w${unit}`, unit }));
  assertEquals(utterance(words, 3, 99), ["w4", "w9"]);
  assertEquals(utterance(words, 3, 9), ["w4"]);
});

/** Log-mel by the definition: a sum over all samples for every bin. */
function plainLogMel(samples: Float32Array, rate: number, frame: number): number[] {
  const [hop, length, size] = [rate / 100, rate / 40, 512];
  const end = (frame + 1) * hop;
  const power = Array.from({ length: size / 2 + 1 }, (_, bin) => {
    let [re, im] = [0, 0];
    for (let i = 0; i < length; i++) {
      const x = (samples[end - length + i] ?? 0) *
        (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / length));
      re += x * Math.cos((2 * Math.PI * bin * i) / size);
      im += x * Math.sin((2 * Math.PI * bin * i) / size);
    }
    return re * re + im * im;
  });
  const mel = (hertz: number) => 2595 * Math.log10(1 + hertz / 700);
  const step = mel(rate / 2) / (bands + 1);
  return Array.from({ length: bands }, (_, band) => {
    let sum = 1e-6;
    power.forEach((value, bin) => {
      const at = mel((bin * rate) / size) / step;
      sum += value * Math.max(0, 1 - Math.abs(at - band - 1));
    });
    return Math.log(sum);
  });
}

Deno.test("LogMel equals its definition, however the stream is cut", () => {
  const samples = normal(random(1), 2560, 0.1);
  const whole = new LogMel(16000).push(samples);
  const stream = new LogMel(16000);
  const parts = [0, 480, 1600].map((from, i, all) =>
    stream.push(samples.subarray(from, all[i + 1] ?? samples.length))
  );
  assertEquals(parts.flatMap((part) => [...part]), [...whole]);
  for (const frame of [0, 1, 7, 15]) {
    plainLogMel(samples, 16000, frame).forEach((value, band) =>
      assertAlmostEquals(whole[frame * bands + band] ?? NaN, value, 1e-4)
    );
  }
});

Deno.test("wordDistances lays a late word over the truth's, and hears another voice", () => {
  const next = random(2);
  const units = 8;
  const sound = new Float32Array(units * 2560);
  sound.set(normal(next, 3000, 0.1), 2 * 2560 + 1280);
  const mel = (samples: Float32Array) => {
    const stream = new LogMel(16000);
    return Array.from(
      { length: units },
      (_, unit) => stream.push(samples.subarray(unit * 2560, (unit + 1) * 2560)),
    );
  };
  const truth = { mel: mel(sound), active: drawn("..##...."), words: [{ word: "red", unit: 2 }] };
  const distance = (samples: Float32Array, unit: number, word = "red") =>
    wordDistances(
      { mel: mel(samples), active: [], words: [{ word, unit }] },
      truth,
      "word distance",
    ).map(({ value }) => value);
  assertEquals(distance(sound, 2), [0]);
  // 80 ms later and announced two units later.
  const late = new Float32Array(sound.length);
  late.set(sound.subarray(0, -2560 * 2 - 160 * 8), 2560 * 2 + 160 * 8);
  assertEquals(distance(late, 4), [0]);
  assertEquals(distance(sound, 2, "blue"), []);
  // Its first unit is too soft to be active.
  truth.active = drawn("...#....");
  assertEquals(distance(sound, 2), [0]);
  truth.active = drawn("..##....");
  const softer = distance(sound.map((x) => x / 2), 2)[0] ?? NaN;
  assert(softer > 0.5 && softer < 1.4, `${softer}`);
  const silent = distance(new Float32Array(sound.length), 2)[0] ?? NaN;
  assert(silent > 5, `${silent}`);
});

Deno.test("levelDb is the level of active units in dB of full scale", () => {
  assertAlmostEquals(levelDb(0.1 ** 2), -20, 1e-9);
  assertAlmostEquals(levelDb((0.1 ** 2 + 0.3 ** 2) / 2), 10 * Math.log10(0.05), 1e-9);
  assert(Number.isNaN(levelDb(0 / 0)));
});

Deno.test("mouthOpening grows with the mouth and doesn't see what is outside of it", () => {
  const frame = new Uint8Array(128 * 128 * 3).fill(205);
  const paint = (half: number, green: number, column = 64) => {
    const painted = frame.slice();
    for (let row = 81 - half; row < 81 + half; row++) {
      for (let x = column - 8; x < column + 8; x++) painted[(row * 128 + x) * 3 + 1] = green;
    }
    return mouthOpening(painted, 128, 128);
  };
  assertEquals(mouthOpening(frame, 128, 128), 0);
  assertAlmostEquals(paint(4, 0), (8 * 16) / (24 * 28));
  assertAlmostEquals(paint(8, 0), 2 * paint(4, 0));
  assertEquals(paint(8, 0, 20), 0);
});

/** The correlation at each lag. */
function correlations(series: LipSeries[]): number[] {
  return Array.from(
    { length: 2 * maxLag + 1 },
    (_, i) => correlationOf(lipSums(series, i - maxLag)),
  );
}

Deno.test("lips are found late by as many frames as they are", () => {
  const loudness = [...normal(random(3), 400)];
  for (const lag of [0, 3, -7]) {
    const opening = loudness.map((_, t) => 2 * (loudness[t - lag] ?? 0) + 1);
    const found = correlations([{ opening, loudness }]);
    assertEquals(bestLag(found), lag);
    assertAlmostEquals(Math.max(...found), 1, 1e-2);
  }
  const still = { opening: loudness.map(() => 0.3), loudness };
  assert(Number.isNaN(correlationOf(lipSums([still], 0))));
  assert(Number.isNaN(bestLag(correlations([still]))));
  // Series aren't joined end to end.
  const [a, b] = [loudness.slice(0, 200), loudness.slice(200)];
  const apart = correlationOf(
    lipSums([{ opening: a, loudness: a }, { opening: b, loudness: b }], 5),
  );
  assert(Math.abs(apart) < 0.3);
});

Deno.test("pictureFeatures equals its definition", () => {
  const next = random(4);
  const [width, height] = [10, 9];
  const frame = Uint8Array.from({ length: width * height * 3 }, () => integer(next, 0, 255));
  const at = (x: number, y: number) => [0, 1, 2].map((c) => frame[(y * width + x) * 3 + c] ?? NaN);
  const luma = (x: number, y: number) => {
    const [r = NaN, g = NaN, b = NaN] = at(x, y);
    return 0.299 * r + 0.587 * g + 0.114 * b;
  };
  const mean = (list: number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const places = Array.from(
    { length: width * height },
    (_, i) => [i % width, Math.floor(i / width)],
  );
  const expected: number[] = [];
  for (let k = 0; k < 3; k++) {
    for (let r = 0; r < 16; r++) {
      expected.push(mean(places.flatMap(([x = 0, y = 0]) => {
        if (4 * Math.floor((4 * y) / height) + Math.floor((4 * x) / width) !== r) return [];
        if (k === 0) return [luma(x, y)];
        if (k === 1) return x > 0 ? [Math.abs(luma(x, y) - luma(x - 1, y))] : [];
        return y > 0 ? [Math.abs(luma(x, y) - luma(x, y - 1))] : [];
      })));
    }
  }
  for (const [channel, scale] of [[2, 0.564], [0, 0.713]] as const) {
    for (let r = 0; r < 4; r++) {
      expected.push(mean(places.flatMap(([x = 0, y = 0]) => {
        const quarter = 2 * Math.floor(2 * Math.floor((4 * y) / height) / 4) +
          Math.floor(2 * Math.floor((4 * x) / width) / 4);
        return quarter === r ? [scale * ((at(x, y)[channel] ?? NaN) - luma(x, y))] : [];
      })));
    }
  }
  const found = pictureFeatures(frame, width, height);
  assertEquals(found.length, features);
  expected.forEach((value, i) => assertAlmostEquals(found[i] ?? NaN, value, 1e-9));
});

Deno.test("frechetDistance of normal distributions is the formula's, and 0 of the same", () => {
  const next = random(5);
  /** Independent features of these means and deviations. */
  const crowd = (shift: number, spread: number, count: number): Moments => {
    const moments = noMoments();
    for (let i = 0; i < count; i++) {
      const x = normal(next, features, spread);
      addFeatures(moments, Float64Array.from(x, (value) => 100 + shift + value));
    }
    return moments;
  };
  const a = crowd(0, 1, 4000);
  assert(frechetDistance(a, a) < 1e-6);
  // Per feature: shift squared + (deviation difference) squared.
  const far = frechetDistance(a, crowd(3, 2, 4000)) / features;
  assert(Math.abs(far - (9 + 1)) < 0.3, `${far}`);
  const some = crowd(0, 1, 50);
  assertEquals(momentsOf(flatMoments(some)), some);
  assert(Number.isNaN(frechetDistance(a, noMoments())));
});
