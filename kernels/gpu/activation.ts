/** Activations: what kernels apply to a result before they store it. */

const activations = {
  silu: "x / (1.0 + exp(-x))",
  elu: "select(exp(min(x, zero)) - 1.0, x, x > zero)",
  // The error function has an error of at most 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26).
  gelu: "x * select(gelu_tail(x), 1.0 - gelu_tail(x), x > zero)",
  relu: "max(x, zero)",
  soft_clamp: "3.0 * tanh(x / 3.0)",
};

/** silu: x sigmoid(x). elu: x, below zero exp(x) - 1. gelu: x times the normal distribution's share
 * below x. relu: x, below zero 0. soft_clamp: 3 tanh(x / 3), never beyond 3. */
export type Activation = keyof typeof activations;

/**
 * WGSL of `activate(x)`. It is one function, not a choice among all by a number: llvmpipe computes every
 * branch, and all of them for each result took longer than many a product.
 *
 * @param type Of x and the result: f32 or vec4f.
 */
export function activationCode(type: "f32" | "vec4f", activation: Activation | undefined): string {
  const tail = activation !== "gelu" ? "" : `fn gelu_tail(x: ${type}) -> ${type} {
  let z = abs(x) * 0.70710678;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 +
    t * 1.061405429))));
  return 0.5 * sum * exp(-z * z);
}

`;
  return `${tail}fn activate(x: ${type}) -> ${type} {
  let zero = ${type}();
  return ${activation ? activations[activation] : "x"};
}`;
}
