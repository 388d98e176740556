/** Sampling in float64, by sorting. */
import { philox } from "./philox.ts";

/** Index of the largest value; of equals the lowest. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

/** Which tokens stay: the k largest logits, of those the likeliest whose probabilities sum to p, and
 * whatever equals the last one kept. */
export function kept(
  logits: ArrayLike<number>,
  { temperature, topK, topP }: { temperature: number; topK: number; topP: number },
): boolean[] {
  const sorted = Array.from(logits).sort((a, b) => b - a);
  const floor = topK > 0 ? sorted[Math.min(topK, sorted.length) - 1] ?? -Infinity : -Infinity;
  const some = sorted.filter((value) => value >= floor);
  const mass = some.map((value) => Math.exp((value - (some[0] ?? 0)) / temperature));
  const total = mass.reduce((sum, value) => sum + value, 0);
  let sum = 0;
  let last = some.length - 1;
  for (let i = 0; i < some.length; i++) {
    sum += mass[i] ?? 0;
    if (sum >= topP * total * (1 - 1e-7)) {
      last = i;
      break;
    }
  }
  const threshold = some[last] ?? -Infinity;
  return Array.from(logits, (value) => value >= threshold);
}

/** logit / temperature + Gumbel noise per token; -Infinity for those that are out. */
export function scores(
  logits: ArrayLike<number>,
  settings: { temperature: number; topK: number; topP: number },
  counter: { unit: number; slot: number; stream: number; key: readonly [number, number] },
): number[] {
  const stays = kept(logits, settings);
  return Array.from(logits, (logit, i) => {
    if (!stays[i]) return -Infinity;
    const words = philox([counter.unit, counter.slot, i >> 2, counter.stream], counter.key);
    const v = ((words[i & 3] ?? 0) + 0.5) / 2 ** 32;
    return logit / settings.temperature - Math.log(-Math.log1p(-v));
  });
}
