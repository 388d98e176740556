/** Seeded random data for tests: the same numbers on every machine. */

/** A generator of uniform numbers in [0, 1) (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** `count` normally distributed floats with this mean and deviation (Box-Muller). */
export function normal(next: () => number, count: number, deviation = 1, mean = 0): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    values[i] = mean + deviation * radius * Math.cos(2 * Math.PI * next());
  }
  return values;
}

/** `count` uniform floats in [low, high). */
export function uniform(next: () => number, count: number, low = 0, high = 1): Float32Array {
  return Float32Array.from({ length: count }, () => low + (high - low) * next());
}

/** A whole number in [low, high]. */
export function integer(next: () => number, low: number, high: number): number {
  return low + Math.floor(next() * (high - low + 1));
}

/** What f16 storage makes of data. */
export function roundToHalf(data: ArrayLike<number>): Float32Array {
  return Float32Array.from(Float16Array.from(data));
}
