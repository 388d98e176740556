/**
 * `quantize`: split residual vector quantization, as Mimi has it: latents become codes, whole numbers, one
 * channel per codebook; `dequantize` makes latents of codes again.
 *
 * The first `semantic` codebooks quantize one projection of the latents, all others, the acoustic ones,
 * another; each in turn what the ones before it left over (kernels/tokens/nearest.ts). Their entries are
 * embed_sum / cluster_usage. Codebooks are kept in f32 whatever the storage of weights is: rounded ones
 * would choose other codes. Names of tensors are those of transformers' MimiSplitResidualVectorQuantizer.
 */
import { lookup, nearest } from "../../../kernels/tokens/nearest.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import type { Step } from "../../../kernels/gpu/plan.ts";
import { reshape, type Tensor, tensorFrom } from "../../../kernels/gpu/tensor.ts";
import { freeWeight, matmul, packWeight } from "../../../kernels/matmul/matmul.ts";
import type { Fields } from "../../config/config_fields.ts";
import { InputError } from "../../config/errors.ts";
import { type Parameters, under } from "../../weights/parameter.ts";
import { channelRange, type LayerOp, requireAudio, type Shape4 } from "./layer.ts";
import type { LayerScope } from "./scope.ts";

type Codebooks = {
  /** How many there are, and how many of them are semantic. */
  codebooks: number;
  semantic: number;
  /** Entries of each, and their width. */
  codebook_size: number;
  codebook_dim: number;
};

export type QuantizeConfig = { op: "quantize" } & Codebooks;
/** `channels`: of the latents. */
export type DequantizeConfig = { op: "dequantize"; channels: number } & Codebooks;

function parseCodebooks(fields: Fields): Codebooks {
  const codebooks = fields.whole("codebooks", [1, 1024]);
  return {
    codebooks,
    semantic: fields.whole("semantic", [0, codebooks]),
    codebook_size: fields.whole("codebook_size", channelRange),
    codebook_dim: fields.whole("codebook_dim", channelRange),
  };
}

/** The two quantizers: the name of each, its first codebook, and how many it has. */
function halves({ codebooks, semantic }: Codebooks) {
  return [
    { name: "semantic_residual_vector_quantizer", first: 0, count: semantic },
    { name: "acoustic_residual_vector_quantizer", first: semantic, count: codebooks - semantic },
  ].filter(({ count }) => count > 0);
}

/** @throws InputError */
function requireFours(what: string, sizes: Record<string, number>): void {
  for (const [key, size] of Object.entries(sizes)) {
    if (size % 4 !== 0) {
      throw new InputError(`${what}: ${key} is ${size}; it may be a multiple of 4`);
    }
  }
}

/** The projection is there where widths differ. */
function parameters(
  layer: Codebooks,
  channels: number,
  projection: "input_proj" | "output_proj",
  meanSquare: number,
): Parameters {
  const { codebook_size: size, codebook_dim: width } = layer;
  const [to, from] = projection === "input_proj" ? [width, channels] : [channels, width];
  const books = (count: number) =>
    Array.from({ length: count }, (_, i) => [
      [`layers.${i}.codebook.embed_sum`, {
        shape: [size, width],
        fill: { std: Math.sqrt(meanSquare / 2 ** i) },
      }],
      [`layers.${i}.codebook.cluster_usage`, { shape: [size], fill: "ones" }],
    ]).flat();
  const projected = {
    [`${projection}.weight`]: { shape: [to, from], fill: { std: Math.sqrt(1 / from) } },
  };
  return Object.assign(
    {},
    ...halves(layer).map(({ name, count }) =>
      under(name, { ...(to === from ? {} : projected), ...Object.fromEntries(books(count)) })
    ),
  );
}

/** A codebook's entries, [size][width]. A usage of nearly 0 counts as 1e-5. */
function entriesOf(
  scope: LayerScope,
  book: number,
  { codebook_size: size, codebook_dim: width }: Codebooks,
): Float32Array {
  const weights = scope.weights.under(`layers.${book}.codebook`);
  const usage = weights.get("cluster_usage", [size]);
  const sums = weights.get("embed_sum", [size, width]);
  if (scope.gpu.isPaper) return sums;
  const entries = new Float32Array(sums.length);
  for (let i = 0, at = 0; i < size; i++) {
    const count = Math.max(usage[i] ?? 0, 1e-5);
    for (let k = 0; k < width; k++, at++) entries[at] = (sums[at] ?? 0) / count;
  }
  return entries;
}

export const quantize = {
  parse: (fields) => ({ op: "quantize", ...parseCodebooks(fields) }),
  shape(layer, input, what): Shape4 {
    requireAudio(input, what);
    requireFours(what, {
      codebook_size: layer.codebook_size,
      codebook_dim: layer.codebook_dim,
      "channels of the layer before": input[3],
    });
    return [input[0], 1, 1, layer.codebooks];
  },
  parameters: (layer, channels, { input }) => parameters(layer, channels, "input_proj", input),
  meanSquare: ({ codebook_size }) => codebook_size ** 2 / 3,
  steps(layer, scope, x, y) {
    const { gpu, memory } = scope;
    const [frames = 0, , , channels = 0] = x.shape;
    const { codebook_size: size, codebook_dim: width } = layer;
    const left = memory.take([frames, width]);
    const scores = memory.take([frames, size]);
    const codes = reshape(y(), [frames, layer.codebooks]);
    const steps: Step[] = halves(layer).flatMap(({ name, first, count }) => {
      const half = scope.child(name);
      return [
        ...project(half, "input_proj", x, [width, channels], left),
        ...Array.from({ length: count }, (_, i) => {
          const { book, bias } = packedBook(half, i, layer);
          const label = `${half.label}.${i}`;
          return [
            ...matmul(gpu, { label, x: left, weight: book, bias, y: scores }),
            nearest(gpu, { label, scores, book, codes, left, index: first + i }),
          ];
        }).flat(),
      ];
    });
    for (const tensor of [left, scores]) memory.release(tensor);
    return steps;
  },
} satisfies LayerOp<QuantizeConfig>;

export const dequantize = {
  parse: (fields) => ({
    op: "dequantize",
    channels: fields.whole("channels", channelRange),
    ...parseCodebooks(fields),
  }),
  shape(layer, input, what): Shape4 {
    requireAudio(input, what);
    requireFours(what, { channels: layer.channels, codebook_dim: layer.codebook_dim });
    if (input[3] !== layer.codebooks) {
      throw new InputError(
        `${what}: reads the codes of ${layer.codebooks} codebooks, not ${input[3]} channels`,
      );
    }
    return [input[0], 1, 1, layer.channels];
  },
  parameters: (layer) => parameters(layer, layer.channels, "output_proj", 1 / 4),
  meanSquare: () => 1,
  steps(layer, scope, x, y) {
    const { gpu, memory } = scope;
    const [frames = 0] = x.shape;
    const { channels, codebook_size: size, codebook_dim: width } = layer;
    const sum = memory.take([frames, width]);
    const output = reshape(y(), [frames, channels]);
    const steps: Step[] = halves(layer).flatMap(({ name, first, count }, half) => {
      const one = scope.child(name);
      const entries = one.constant(
        "entries",
        (owner) => {
          const all = new Float32Array(count * size * width);
          for (let i = 0; i < count; i++) all.set(entriesOf(one, i, layer), i * size * width);
          return tensorFrom(owner, `${one.label}.entries`, [count, size, width], all);
        },
        ({ buffer }) => gpu.free(buffer),
      );
      const codes = reshape(x, [frames, layer.codebooks]);
      return [
        lookup(gpu, { label: one.label, codes, entries, y: sum, first }),
        ...project(one, "output_proj", sum, [channels, width], output, half > 0),
      ];
    });
    memory.release(sum);
    return steps;
  },
} satisfies LayerOp<DequantizeConfig>;

/** A codebook as `nearest` reads it, and the bias of its scores. */
function packedBook(scope: LayerScope, book: number, layer: Codebooks) {
  const { gpu } = scope;
  const label = `${scope.label}.${book}`;
  const { codebook_size: size, codebook_dim: width } = layer;
  return scope.constant(
    `book ${book}`,
    (owner: Gpu) => {
      const entries = entriesOf(scope, book, layer);
      const squares = new Float32Array(size);
      for (let i = 0, at = 0; i < size && !gpu.isPaper; i++) {
        let sum = 0;
        for (let k = 0; k < width; k++, at++) {
          const value = entries[at] ?? 0;
          sum += value * value;
          entries[at] = -value;
        }
        squares[i] = sum / 2;
      }
      return {
        book: packWeight(owner, label, entries, size, width, "f32"),
        bias: tensorFrom(owner, `${label}.squares`, [size], squares),
      };
    },
    ({ book, bias }) => {
      freeWeight(gpu, book);
      gpu.free(bias.buffer);
    },
  );
}

/** y = x W^T, or y += that; where widths are equal there is no projection, and x is added as it is. */
function project(
  scope: LayerScope,
  name: "input_proj" | "output_proj",
  x: Tensor,
  [outputs, inputs]: readonly [number, number],
  y: Tensor,
  accumulate = false,
): Step[] {
  const { gpu, settings: { storage } } = scope;
  const flat = reshape(x, [x.shape[0] ?? 0, inputs]);
  const label = `${scope.label}.${name}`;
  const weight = scope.constant(
    name,
    (owner: Gpu) => {
      const values = outputs === inputs
        ? Float32Array.from({ length: inputs ** 2 }, (_, i) => i % (inputs + 1) === 0 ? 1 : 0)
        : scope.weights.get(`${name}.weight`, [outputs, inputs]);
      return packWeight(owner, label, values, outputs, inputs, storage);
    },
    (weight) => freeWeight(gpu, weight),
  );
  return matmul(gpu, { label, x: flat, weight, y, accumulate });
}
