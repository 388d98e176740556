/** Per-head RMSNorm and rotary positions in float64, as Hugging Face's Qwen3 writes them. */

/** weight * x / sqrt(mean(x^2) + eps). */
export function headNorm(x: ArrayLike<number>, weight: ArrayLike<number>, eps: number): number[] {
  const values = Array.from(x);
  const mean = values.reduce((sum, value) => sum + value * value, 0) / values.length;
  return values.map((value, i) => (value / Math.sqrt(mean + eps)) * (weight[i] ?? NaN));
}

/** x * cos + rotate_half(x) * sin, where pair (i, i + n / 2) turns by angles[i] radians. */
export function rotate(x: readonly number[], angles: readonly number[]): number[] {
  const half = x.length / 2;
  const rotated = x.map((_, i) => i < half ? -(x[i + half] ?? NaN) : x[i - half] ?? NaN);
  return x.map((value, i) => {
    const angle = angles[i % half] ?? NaN;
    return value * Math.cos(angle) + (rotated[i] ?? NaN) * Math.sin(angle);
  });
}

/** The angle of `position` at `turns` / 2^32 turns per position, reduced exactly to one turn. */
export function angle(position: number, turns: number): number {
  const phase = Number((BigInt(position) * BigInt(turns)) & 0xffffffffn);
  return (phase / 2 ** 32) * 2 * Math.PI;
}
