/** Split residual vector quantization in float64, by plain distances. */
import type { DequantizeConfig, QuantizeConfig } from "../../engine/layers/ops/quantize.ts";
import type { Block } from "./coder.ts";
import { matmul } from "./matmul.ts";

/** The two halves of a quantizer: entries by codebook, and the projection, if any. */
function halves(
  { codebooks, semantic, codebook_size: size, codebook_dim: width }:
    | QuantizeConfig
    | DequantizeConfig,
  weights: (key: string) => ArrayLike<number>,
) {
  return ([["semantic", 0, semantic], ["acoustic", semantic, codebooks]] as const).map(
    ([name, first, end]) => {
      const part = (key: string) => weights(`${name}_residual_vector_quantizer.${key}`);
      const books = Array.from({ length: end - first }, (_, i) => {
        const sums = part(`layers.${i}.codebook.embed_sum`);
        const usage = part(`layers.${i}.codebook.cluster_usage`);
        return Array.from(
          { length: size },
          (_, n) =>
            Array.from(
              { length: width },
              (_, k) => (sums[n * width + k] ?? NaN) / (usage[n] ?? NaN),
            ),
        );
      });
      return { first, books, part };
    },
  );
}

const linear = (row: ArrayLike<number>, weight: ArrayLike<number>, outputs: number) =>
  matmul(row, weight, { rows: 1, outputs, inputs: row.length });

export function quantizeReference(
  layer: QuantizeConfig,
  x: Block,
  weights: (key: string) => ArrayLike<number>,
): Block {
  const [frames, , , channels] = x.shape;
  const y = new Float64Array(frames * layer.codebooks);
  for (const { first, books, part } of halves(layer, weights)) {
    for (let t = 0; t < frames; t++) {
      const row = x.data.subarray(t * channels, (t + 1) * channels);
      const left = channels === layer.codebook_dim
        ? row.slice()
        : linear(row, part("input_proj.weight"), layer.codebook_dim);
      books.forEach((book, i) => {
        const far = book.map((entry) =>
          entry.reduce((d, v, k) => d + (v - (left[k] ?? NaN)) ** 2, 0)
        );
        const code = far.indexOf(Math.min(...far));
        y[t * layer.codebooks + first + i] = code;
        book[code]?.forEach((v, k) => left[k] = (left[k] ?? NaN) - v);
      });
    }
  }
  return { shape: [frames, 1, 1, layer.codebooks], data: y };
}

export function dequantizeReference(
  layer: DequantizeConfig,
  x: Block,
  weights: (key: string) => ArrayLike<number>,
): Block {
  const [frames] = x.shape;
  const { channels, codebook_dim: width } = layer;
  const y = new Float64Array(frames * channels);
  for (const { first, books, part } of halves(layer, weights)) {
    for (let t = 0; t < frames; t++) {
      const sum = Float64Array.from({ length: width }, (_, k) =>
        books.reduce((total, book, i) => {
          const code = x.data[t * layer.codebooks + first + i] ?? NaN;
          return total + (book[code]?.[k] ?? NaN);
        }, 0));
      const out = width === channels ? sum : linear(sum, part("output_proj.weight"), channels);
      out.forEach((v, c) => y[t * channels + c] = (y[t * channels + c] ?? NaN) + v);
    }
  }
  return { shape: [frames, 1, 1, channels], data: y };
}
