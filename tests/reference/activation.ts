/** Activations in float64. */
import type { Activation } from "../../kernels/gpu/activation.ts";

/** The error function by its series of positive terms:
 * 2 / sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (2n+1)!!. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export function activate(x: number, activation: Activation | undefined): number {
  switch (activation) {
    case undefined:
      return x;
    case "silu":
      return x / (1 + Math.exp(-x));
    case "elu":
      return x > 0 ? x : Math.expm1(x);
    case "gelu":
      return 0.5 * x * (1 + erf(x / Math.SQRT2));
    case "relu":
      return Math.max(0, x);
    case "soft_clamp":
      return 3 * Math.tanh(x / 3);
  }
}
