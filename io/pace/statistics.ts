/** Percentiles of values, exact or in little memory. */

/** Values below this count as 0. */
const smallest = 1e-3;
/** Width of a bin: values in it lie within 0.2 % of each other. */
const binWidth = Math.log(1.002);

/** p50, p95 and p99, rounded to microseconds; null of too few values. */
export interface Percentiles {
  /** Half of the values lie below. */
  p50: number | null;
  /** 95 of 100 lie below. */
  p95: number | null;
  /** 99 of 100 lie below. */
  p99: number | null;
}

/** Values that it takes for one of them to lie above the percentile: 2 for p50, 20 for p95, 100 for
 * p99. */
export const fewestFor = (p: number) => Math.round(1 / (1 - p));

/** Percentiles of a number of values, each null where they are too few. @param at Gives one. */
export function percentilesOf(count: number, at: (p: number) => number): Percentiles {
  const of = (p: number) => count < fewestFor(p) ? null : round(at(p), 3);
  return { p50: of(0.5), p95: of(0.95), p99: of(0.99) };
}

/**
 * Percentiles of any number of values in little memory: values are counted in bins, and a percentile is
 * the mean of its bin. Off by 0.2 % at the most; exact where a bin holds one value.
 */
export class Quantiles {
  readonly #bins = new Map<number, { count: number; sum: number }>();
  #count = 0;

  /** Bins in use: what it costs. */
  get bins(): number {
    return this.#bins.size;
  }

  add(value: number): void {
    const size = Math.abs(value);
    const bin = size < smallest
      ? 0
      : Math.sign(value) * (1 + Math.floor(Math.log(size / smallest) / binWidth));
    const there = this.#bins.get(bin);
    if (there) {
      there.count++;
      there.sum += value;
    } else this.#bins.set(bin, { count: 1, sum: value });
    this.#count++;
  }

  /** The value below which a part p (0 to 1) of the values lies: nearest rank. NaN of none. */
  at(p: number): number {
    let left = Math.max(1, Math.ceil(p * this.#count));
    for (const [, { count, sum }] of [...this.#bins].sort(([a], [b]) => a - b)) {
      left -= count;
      if (left <= 0) return sum / count;
    }
    return NaN;
  }

  percentiles(): Percentiles {
    return percentilesOf(this.#count, (p) => this.at(p));
  }
}

/** Rounded to so many decimals. */
export function round(value: number, decimals: number): number {
  return Math.round(value * 10 ** decimals) / 10 ** decimals;
}
