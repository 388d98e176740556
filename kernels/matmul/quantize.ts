/**
 * Weights in 8 and 4 bits: blocks of 32 inputs of one output share a scale in f16, the largest
 * magnitude over 127 or 7, so that values are whole numbers from -127 to 127 or from -7 to 7
 * (symmetric; the block formats of llama.cpp's Q8_0 and Q4_0 are close to it). Rounded to nearest.
 */

/** Inputs that share a scale. */
export const blockInputs = 32;

/** Whole numbers with a scale per block. */
export type QuantizedType = "int8" | "int4";

/** The largest whole number of a type. */
export function quantizedLimit(dtype: QuantizedType): number {
  return dtype === "int8" ? 127 : 7;
}

/**
 * Quantizes a matrix [outputs, inputs].
 *
 * @returns Whole numbers of the matrix's shape, and scales [outputs, ceil(inputs / 32)], each
 * representable in f16.
 */
export function quantize(
  weight: Float32Array,
  inputs: number,
  dtype: QuantizedType,
): { values: Int8Array; scales: Float32Array } {
  const limit = quantizedLimit(dtype);
  const blocks = Math.ceil(inputs / blockInputs);
  const outputs = weight.length / inputs;
  const values = new Int8Array(weight.length);
  const scales = new Float32Array(outputs * blocks);
  for (let n = 0; n < outputs; n++) {
    for (let block = 0; block < blocks; block++) {
      const start = n * inputs + block * blockInputs;
      const end = Math.min(start + blockInputs, (n + 1) * inputs);
      let largest = 0;
      for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(weight[i] ?? 0));
      const scale = Math.f16round(largest / limit);
      scales[n * blocks + block] = scale;
      if (scale === 0) continue;
      for (let i = start; i < end; i++) {
        const value = Math.round((weight[i] ?? 0) / scale);
        values[i] = Math.max(-limit, Math.min(limit, value));
      }
    }
  }
  return { values, scales };
}

/** The matrix that a quantized one stands for. */
export function dequantize(
  { values, scales }: { values: Int8Array; scales: Float32Array },
  inputs: number,
): Float32Array {
  const blocks = Math.ceil(inputs / blockInputs);
  return Float32Array.from(values, (value, i) => {
    const block = Math.floor(i / inputs) * blocks + Math.floor((i % inputs) / blockInputs);
    return value * (scales[block] ?? 0);
  });
}
