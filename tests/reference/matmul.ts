/** Linear layers in float64. */

export function silu(value: number): number {
  return value / (1 + Math.exp(-value));
}

/** x [rows, inputs] times W^T, W [outputs, inputs]: [rows, outputs]. */
export function matmul(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  { rows, outputs, inputs }: { rows: number; outputs: number; inputs: number },
): Float64Array {
  const y = new Float64Array(rows * outputs);
  for (let m = 0; m < rows; m++) {
    for (let n = 0; n < outputs; n++) {
      let sum = 0;
      for (let k = 0; k < inputs; k++) {
        sum += (x[m * inputs + k] ?? NaN) * (weight[n * inputs + k] ?? NaN);
      }
      y[m * outputs + n] = sum;
    }
  }
  return y;
}
