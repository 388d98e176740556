/** How loud a side speaks, and whether that changes over the length of a recording. */
import { soundRate, type Speech, windowSamples, windowSeconds } from "./activity.ts";

/** Levels in dB of full scale; null: too little speech to tell. */
export interface Level {
  /** Of all speech. */
  speechDb: number | null;
  /** How much louder the last third of the speech is than the first. */
  driftDb: number | null;
}

/** Shortest speech of which a drift is told, in seconds. */
const enoughSpeech = 3;

/** @param speech When the side speaks. */
export function levelOf(sound: Float32Array, speech: readonly Speech[]): Level {
  const squares: number[] = [];
  for (const { from, to } of speech) {
    const last = Math.floor(to / windowSeconds + 1e-9);
    for (let i = Math.ceil(from / windowSeconds - 1e-9); i < last; i++) {
      let sum = 0;
      for (const value of sound.subarray(i * windowSamples, (i + 1) * windowSamples)) {
        sum += value * value;
      }
      squares.push(sum / windowSamples);
    }
  }
  const third = Math.floor(squares.length / 3);
  const enough = squares.length * windowSamples >= enoughSpeech * soundRate;
  const db = (list: readonly number[]) =>
    10 * Math.log10(list.reduce((sum, value) => sum + value, 0) / list.length);
  const known = (value: number) => Number.isFinite(value) ? value : null;
  return {
    speechDb: known(db(squares)),
    driftDb: enough ? known(db(squares.slice(-third)) - db(squares.slice(0, third))) : null,
  };
}
