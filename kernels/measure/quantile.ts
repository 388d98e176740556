/** Quantiles of numbers, the same for every figure of the program. */

/** The value below which the fraction p (0 to 1) of the numbers lies: nearest rank; NaN of none. */
export function quantile(numbers: readonly number[], p: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? NaN;
}

/** Median of numbers; NaN of none. */
export const median = (numbers: readonly number[]): number => quantile(numbers, 0.5);
