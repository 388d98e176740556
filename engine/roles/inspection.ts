/** What an inspected response tells, from what the roles read back. */
import type { Inspection, PathSpeed } from "../checkpoint/unit.ts";
import { solverProgram } from "../config/solver.ts";
import type { Model } from "../model/model.ts";
import type { LikelyTokens } from "./messages.ts";

/**
 * Root mean squares of the solver's velocities.
 *
 * @param velocities Of each evaluation, [evaluations, noisy sets, latents]: what the solver uses, then
 * with guidance what the network gives with the unit's observation and text.
 */
export function pathOf(
  { settings, window, latents }: Pick<Model, "settings" | "window" | "latents">,
  velocities: Float32Array,
): Inspection["path"] {
  const { noisySets } = window.sizes;
  const { length, audio: [tokens, channels] } = latents;
  const taus = solverProgram(settings.solver).flatMap((op) => op.op === "evaluate" ? [op.tau] : []);
  return taus.map((tau, step) => {
    const [used, conditional] = [0, 1].map((set) => {
      const at = (step * noisySets + set) * length;
      return velocities.subarray(at, at + length);
    }) as [Float32Array, Float32Array];
    const speed = (from: number, to: number): PathSpeed => ({
      velocity: rms(used.subarray(from, to)),
      guidance: noisySets === 1
        ? null
        : rms(used.subarray(from, to).map((v, i) => v - (conditional[from + i] ?? NaN))),
    });
    const split = tokens * channels;
    return { step, tau, audio: speed(0, split), video: speed(split, length) };
  });
}

function rms(values: Float32Array): number {
  const sum = values.reduce((total, value) => total + value * value, 0);
  return values.length === 0 ? 0 : Math.sqrt(sum / values.length);
}

/** What a slot's probabilities say: the likeliest tokens, the filler's probability, the entropy. */
export function likelyTokens(
  probabilities: Float32Array,
  filler: number,
): LikelyTokens & Pick<Inspection, "filler" | "entropy"> {
  const top: LikelyTokens["top"] = [];
  let entropy = 0;
  probabilities.forEach((probability, token) => {
    if (probability > 0) entropy -= probability * Math.log(probability);
    if (top.length === 8 && probability <= (top.at(-1)?.probability ?? 0)) return;
    const before = top.findIndex((other) => other.probability < probability);
    top.splice(before < 0 ? top.length : before, 0, { token, probability });
    top.splice(8);
  });
  return { top, filler: probabilities[filler] ?? 0, entropy };
}
