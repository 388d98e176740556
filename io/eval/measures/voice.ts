/**
 * How a voice sounds beside the truth's: words in common, laid over each other where they fit best.
 *
 * The oracle's delay is drawn, so the agent can't speak at the same moment: sound isn't compared by the
 * clock. The true voice says a word the same way every time: each word that the agent
 * says is compared with the nearest time that the truth says it.
 */
import { bands } from "./logmel.ts";
import type { Outcome } from "./outcomes.ts";
import type { Word } from "./words.ts";

/** A voice with its words. */
export interface Voice {
  /** Log-mel frames of each unit, [frames per unit x bands]. */
  mel: readonly Float32Array[];
  active: readonly boolean[];
  words: readonly Word[];
}

/** Longest word in units. */
const longestWord = 4;

/**
 * The distance of each of a voice's words to the same word of the truth: mean absolute difference of
 * natural logarithms over the frames of the word in the truth, at the best shift of up to a unit
 * either way. Words that the truth doesn't say are left out.
 */
export function wordDistances(
  voice: Voice,
  truth: Voice,
  measure: "word distance" | "word distance floor",
): Outcome[] {
  return voice.words.flatMap(({ word, unit }): Outcome[] => {
    const model = truth.words
      .filter((other) => other.word === word)
      .sort((a, b) => Math.abs(a.unit - unit) - Math.abs(b.unit - unit))[0];
    const units = model ? wordUnits(truth, model.unit) : 0;
    if (!model || units === 0) return [];
    const wanted = frames(truth.mel, model.unit, model.unit + units);
    const value = bestDistance(voice.mel, unit, wanted, truth.mel[0]?.length ?? 0);
    return [{ measure, unit, value, kind: word, truthUnit: model.unit }];
  });
}

/** Units that a word of the truth sounds from `unit` on: up to the next word or silence. Its first
 * may be below the threshold: 'heart' begins softly. */
function wordUnits({ active, words }: Voice, unit: number): number {
  if (!active[unit] && !active[unit + 1]) return 0;
  let units = 1;
  while (
    units < longestWord && active[unit + units] &&
    !words.some((other) => other.unit === unit + units)
  ) units++;
  return units;
}

/** Frames of units [first, end); units that don't exist are silent. */
function frames(mel: readonly Float32Array[], first: number, end: number): Float32Array {
  const size = mel[0]?.length ?? 0;
  const joined = new Float32Array((end - first) * size).fill(silent);
  for (let unit = first; unit < end; unit++) {
    const part = mel[unit];
    if (part) joined.set(part, (unit - first) * size);
  }
  return joined;
}

/** The logarithm of nothing, as logmel.ts has it. */
const silent = Math.log(1e-6);

function bestDistance(
  mel: readonly Float32Array[],
  unit: number,
  wanted: Float32Array,
  unitSize: number,
): number {
  const given = frames(mel, unit - 1, unit + wanted.length / unitSize + 1);
  let best = Infinity;
  for (let at = 0; at + wanted.length <= given.length; at += bands) {
    let sum = 0;
    for (let i = 0; i < wanted.length; i++) {
      sum += Math.abs((given[at + i] ?? 0) - (wanted[i] ?? 0));
    }
    best = Math.min(best, sum / wanted.length);
  }
  return best;
}

/** Level in dB of full scale of this mean square; NaN of none. */
export const levelDb = (meanSquare: number): number => 10 * Math.log10(meanSquare);
