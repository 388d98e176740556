/**
 * When a side speaks: scores of short windows, by a detector or by level, made into stretches of speech.
 *
 * Source: the rule is that of Silero VAD's `get_speech_timestamps` with its defaults, but for the padding
 * of 30 ms at both ends, which would shorten every latency by 60 ms.
 */
import { rms } from "../pace/activity.ts";

/** Speech from one moment to another, in seconds. */
export interface Speech {
  /** Its first moment. */
  from: number;
  /** Its end. */
  to: number;
}

/** Samples per second of the sound that is scored. */
export const soundRate = 16000;

/** Samples of a window. */
export const windowSamples = 512;

/** Seconds of a window. */
export const windowSeconds = windowSamples / soundRate;

/** Score at which speech begins, and below which it ends. */
const begins = 0.5;
const ends = 0.35;

/** Shortest silence that ends speech, and shortest speech that counts, in seconds. */
const shortestSilence = 0.1;
const shortestSpeech = 0.25;

/** -40 dB of full scale: what `isActive` takes for a voice, window by window. */
const audible = 0.01;

/** Scores by level: 1 where a window's RMS is -40 dB of full scale or more, else 0. */
export function levelScores(sound: Float32Array): Float32Array {
  return Float32Array.from(
    { length: Math.ceil(sound.length / windowSamples) },
    (_, i) => {
      const from = i * windowSamples;
      return rms(sound, from, Math.min(from + windowSamples, sound.length)) >= audible ? 1 : 0;
    },
  );
}

/**
 * Stretches of speech, in order.
 *
 * @param scores A score from 0 to 1 per window.
 * @param seconds The recording's length: no speech goes on after it.
 */
export function speechOf(scores: ArrayLike<number>, seconds: number): Speech[] {
  const found: Speech[] = [];
  let from: number | null = null;
  let quietSince: number | null = null;
  const end = (to: number) => {
    if (from !== null && to - from >= shortestSpeech - 1e-9) found.push({ from, to });
    from = quietSince = null;
  };
  for (let i = 0; i < scores.length; i++) {
    const [score, at] = [scores[i] ?? 0, i * windowSeconds];
    if (score >= begins) {
      from ??= at;
      quietSince = null;
    } else if (from !== null && score < ends) {
      quietSince ??= at;
      if (at + windowSeconds - quietSince >= shortestSilence) end(quietSince);
    }
  }
  end(Math.min(quietSince ?? seconds, seconds));
  return found;
}

/** Speech without the silences that are shorter than `gap` seconds. */
export function joined(speech: readonly Speech[], gap: number): Speech[] {
  const all: Speech[] = [];
  for (const { from, to } of speech) {
    const last = all.at(-1);
    if (last && from - last.to < gap) last.to = to;
    else all.push({ from, to });
  }
  return all;
}

/** Seconds of speech in all. */
export const secondsOf = (speech: readonly Speech[]): number =>
  speech.reduce((sum, { from, to }) => sum + to - from, 0);

/** What is in both. */
export function shared(a: readonly Speech[], b: readonly Speech[]): Speech[] {
  const both: Speech[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [one, two] = [a[i] as Speech, b[j] as Speech];
    const [from, to] = [Math.max(one.from, two.from), Math.min(one.to, two.to)];
    if (from < to) both.push({ from, to });
    if (one.to < two.to) i++;
    else j++;
  }
  return both;
}
