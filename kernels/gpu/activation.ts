/** Activations: what kernels apply to a result before they store it. */

/** In the order of their numbers, from 1 on; 0 is none. */
const activations = ["silu", "elu", "gelu", "relu", "soft_clamp"] as const;

/** silu: x sigmoid(x). elu: x, below zero exp(x) - 1. gelu: x times the normal distribution's share
 * below x. relu: x, below zero 0. soft_clamp: 3 tanh(x / 3), never beyond 3. */
export type Activation = (typeof activations)[number];

/** The number by which a kernel knows an activation. */
export function activationNumber(activation: Activation | undefined): number {
  return activation ? activations.indexOf(activation) + 1 : 0;
}

/**
 * WGSL of `activate(x, number)`.
 *
 * The error function has an error of at most 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26).
 *
 * @param type Of x and the result: f32 or vec4f.
 */
export function activationCode(type: "f32" | "vec4f"): string {
  return `fn activate(x: ${type}, number: u32) -> ${type} {
  if (number == 1u) {
    return x / (1.0 + exp(-x));
  }
  if (number == 2u) {
    return select(exp(min(x, ${type}())) - 1.0, x, x > ${type}());
  }
  if (number == 3u) {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 +
      t * 1.061405429))));
    let tail = 0.5 * sum * exp(-z * z);
    return x * select(tail, 1.0 - tail, x > ${type}());
  }
  if (number == 4u) {
    return max(x, ${type}());
  }
  if (number == 5u) {
    return 3.0 * tanh(x / 3.0);
  }
  return x;
}`;
}
