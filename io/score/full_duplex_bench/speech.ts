/**
 * Stretches of speech as Full-Duplex-Bench's scripts have them: Silero VAD's `get_speech_timestamps`
 * with its defaults, padding included.
 */

/** From one moment to another: in samples at 16 kHz, or in seconds. */
export type Stretch = [from: number, to: number];

const rate = 16000;
const window = 512;
const begins = 0.5;
const ends = 0.35;
const padding = 0.03 * rate;
const shortestSilence = 0.1 * rate;
const shortestSpeech = 0.25 * rate;

/** @param scores A probability per window of 512 samples. @param length Samples of the sound. */
export function stretchesOf(scores: ArrayLike<number>, length: number): Stretch[] {
  const found: Stretch[] = [];
  let from: number | null = null;
  let quiet: number | null = null;
  const end = (to: number) => {
    if (from !== null && to - from > shortestSpeech) found.push([from, to]);
    from = quiet = null;
  };
  for (let i = 0; i < scores.length; i++) {
    const [score, at] = [scores[i] ?? 0, i * window];
    if (score >= begins) {
      from ??= at;
      quiet = null;
    } else if (from !== null && score < ends) {
      quiet ??= at;
      if (at - quiet >= shortestSilence) end(quiet);
    }
  }
  end(length);
  return found.map(([from, to]) => [Math.max(0, from - padding), Math.min(length, to + padding)]);
}

/** In seconds. */
export const inSeconds = (stretches: readonly Stretch[]): Stretch[] =>
  stretches.map(([from, to]) => [from / rate, to / rate]);

/** In tenths of a second, as the scripts take them where they ask Silero VAD for seconds. */
export function inTenths(stretches: readonly Stretch[], length: number): Stretch[] {
  return inSeconds(stretches).map((
    [from, to],
  ) => [roundEven(from, 1), Math.min(roundEven(to, 1), length / rate)]);
}

/** Rounds to so many digits by a number's exact value; half goes to the even neighbour (Python's). */
export function roundEven(value: number, digits: number): number {
  const scaled = value * 10 ** digits;
  const isHalf = Number.isInteger(value * 2 ** (digits + 1)) && Math.abs(scaled % 1) === 0.5;
  return isHalf ? 2 * Math.round(scaled / 2) / 10 ** digits : Number(value.toFixed(digits));
}
