/** When a voice counts as active: the one definition, for events and for the figures of `eval`. */

/** RMS of a unit from which on its voice is active: -40 dB of full scale. */
const activeRms = 0.01;

/** Whether a voice of this RMS is active. */
export const isActive = (level: number) => level >= activeRms;

/** Root mean square of samples [from, to). */
export function rms(samples: Float32Array, from = 0, to = samples.length): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += (samples[i] ?? 0) ** 2;
  return Math.sqrt(sum / Math.max(1, to - from));
}
