/** The small row kernels in float64. */
import { silu } from "./matmul.ts";

/** RMSNorm of rows [rows, width] by a weight [width]. */
export function rmsnorm(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  eps: number,
): Float64Array {
  const width = weight.length;
  const y = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += width) {
    let squares = 0;
    for (let i = 0; i < width; i++) squares += (x[at + i] ?? NaN) ** 2;
    const scale = 1 / Math.sqrt(squares / width + eps);
    for (let i = 0; i < width; i++) y[at + i] = (x[at + i] ?? NaN) * scale * (weight[i] ?? NaN);
  }
  return y;
}

/** silu(gate) * up of rows [gate (width) | up (width)]. */
export function swiglu(x: ArrayLike<number>, width: number): Float64Array {
  return Float64Array.from({ length: x.length / 2 }, (_, i) => {
    const at = i + Math.floor(i / width) * width;
    return silu(x[at] ?? NaN) * (x[at + width] ?? NaN);
  });
}

/** cos, then sin, of 1000 tau exp(-ln(10000) i / half). */
export function timeFeatures(tau: readonly number[], width: number): Float64Array {
  const half = width / 2;
  const y = new Float64Array(tau.length * width);
  tau.forEach((t, row) => {
    for (let i = 0; i < half; i++) {
      const angle = 1000 * t * Math.exp((-Math.log(10000) * i) / half);
      y[row * width + i] = Math.cos(angle);
      y[row * width + half + i] = Math.sin(angle);
    }
  });
  return y;
}
