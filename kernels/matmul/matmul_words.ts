/**
 * The matrix product by large tiles in words, for GPUs and many rows. With weights in f16 a word is two halves:
 * pairs of outputs are multiplied and added up in half precision for 32 inputs. With whole numbers it is four of
 * them, for `dot4I8Packed`, whose sums of 32 inputs are exact. From there on sums are f32. A launch before it
 * writes the rows of x in words, with a scale per 32 inputs, so that no half of x overflows.
 *
 * Tile: 128 or 64 rows x 64 outputs, or 64 x 32, with 4 x 8 sums a lane; 32 inputs at a time in two stages,
 * and in parts, as matmul_blocks.ts has it.
 *
 * Its error is that of rounding x to 11 bits (whole numbers: 8) of a block's largest, and of sums of 32 halves:
 * about 1e-3 of a result (whole numbers: 4e-3). So only tuning takes it, never a rule. It hasn't been measured on
 * a GPU yet. Its results are checked on llvmpipe.
 */
import type { KernelFacts } from "../card/facts.ts";
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch, type Step } from "../gpu/plan.ts";
import { scratchTensor, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { storageSource } from "../gpu/uniform.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import { type BlockVariant, largeTiles } from "./matmul_blocks.ts";
import { type MatmulArguments, type ProductShape, productSteps } from "./matmul_parts.ts";
import code from "./matmul_words.wgsl" with { type: "text" };
import { isQuantized, outputBytes, panelLayout, type WeightType } from "./packed_weight.ts";
import { blockInputs } from "./quantize.ts";
import rowsCode from "./word_rows.wgsl" with { type: "text" };

export interface WordVariant extends Omit<BlockVariant, "form"> {
  form: "words";
}

/** `quads`: groups of four inputs; x starts in vec4. */
const sizes = new UniformStruct("Sizes", { u32: "rows quads x" });

/** Texels of words of a block, for four rows, and inputs of a word. */
export function wordLayout(dtype: WeightType): { words: number; perWord: number } {
  const perWord = isQuantized(dtype) ? 4 : 2;
  return { words: blockInputs / perWord, perWord };
}

/** Why the form can't serve a product; null: it can. */
function reasonAgainst(
  gpu: Gpu,
  { parts }: Pick<WordVariant, "parts">,
  { dtype, outputs }: Pick<ProductShape, "dtype" | "outputs">,
): string | null {
  if (dtype === "f32") return "no product in words with f32";
  if (dtype === "f16" && !gpu.traits.halves) return "the adapter has no half precision";
  if (parts > 1 && outputs % 4 !== 0) return "rows that are no whole vec4 aren't split";
  return null;
}

/** Tiles worth trying for a product on a GPU, the likeliest first; parts are of two blocks at least. */
export function wordVariants(gpu: Gpu, shape: ProductShape): WordVariant[] {
  return largeTiles(shape, 2 * blockInputs)
    .map((tile): WordVariant => ({ form: "words", ...tile }))
    .filter((one) => reasonAgainst(gpu, one, shape) === null);
}

/**
 * Writes rows in words.
 *
 * @param x f32 [M, K], its offset a multiple of 4.
 * @param y u32 [ceil(M / 4), ceil(K / 32), words + 2, 4], from its buffer's start.
 */
export function wordRows(
  gpu: Gpu,
  label: string,
  x: Tensor,
  y: Tensor,
  dtype: WeightType,
): Dispatch {
  const [rows = 0, inputs = 0] = x.shape;
  const { lanes } = gpu.traits;
  const { words, perWord } = wordLayout(dtype);
  const half = perWord === 2;
  return dispatch(
    gpu,
    `words ${label}`,
    gpu.pipeline("word rows", rowsCode, {
      ...{ sizes, lanes, words, half },
      per_word: perWord,
      top: half ? "1.0" : "127.0",
    }),
    [sizes.bind(gpu, { rows, quads: inputs / 4, x: x.offset / 4 }), x, y],
    { items: Math.ceil(rows / 4) * 4 * Math.ceil(inputs / blockInputs), lanes },
    {
      bytes: tensorBytes(x) + tensorBytes(y),
      facts: {
        ...{ form: `rows in words of ${perWord}`, lanes, registers: 24 },
        accesses: [
          {
            what: "x",
            memory: "storage",
            bytes: 16,
            at: (lane) => (lane % 4) * 4 * inputs + Math.floor(lane / 4) * 128,
          },
          {
            what: "words",
            memory: "storage",
            bytes: 4,
            at: (lane) => (lane % 4) * 4 + Math.floor(lane / 4) * 16 * (words + 2),
          },
        ],
        reasons: {
          groups: "what it copies is small",
          sectors: "the rest of a line is the lane's next loads",
        },
      },
    },
  );
}

/** @throws RangeError when the form doesn't fit the product. */
export function matmulWords(gpu: Gpu, args: MatmulArguments, variant: WordVariant): Step[] {
  const { weight, label } = args;
  const { dtype, inputs } = weight;
  const { rows, columns, parts } = variant;
  const reason = reasonAgainst(gpu, variant, weight);
  if (reason) throw new RangeError(`matmul ${label}: ${reason}`);
  const [count = 0] = args.x.shape;
  const { words, perWord } = wordLayout(dtype);
  const quantized = isQuantized(dtype);
  const panels = columns / 8;
  const lanes = (rows / 4) * panels;
  // Steps of a block: inputs, or fours of them.
  const depth = quantized ? blockInputs / 4 : blockInputs;
  // Texels of a panel's weights in a block.
  const units = quantized ? depth * panelLayout(dtype).quadTexels : blockInputs;
  const [xRow, wRow] = [rows / 4 + 1, 2 * panels + 1];
  const shape = [Math.ceil(count / 4), Math.ceil(inputs / blockInputs), words + 2, 4];
  const rowWords = scratchTensor(gpu, "rows in words", shape, "u32");
  const tiles = Math.ceil(count / rows);
  const steps = productSteps(gpu, args, {
    kernel: "matmul words",
    ...(quantized ? {} : { directives: "enable f16;\n" }),
    code,
    texts: {
      ...{ lanes, rows, columns, panels, units, depth, words, x_row: xRow, w_row: wRow },
      per_word: perWord,
      four: quantized ? "vec4u" : "vec4<f16>",
      x_loads: ((rows / 4) * words) / lanes,
      w_loads: Math.ceil((panels * units) / lanes),
    },
    tile: 4,
    sums: 8,
    x: storageSource(rowWords, "x", "vec4u"),
    lanes,
    invocations: (outputs) => tiles * Math.ceil(outputs / columns) * parts * lanes,
    parts,
    facts: facts(args, variant, { lanes, panels, units, depth, words, xRow, wRow }),
  });
  return [wordRows(gpu, label, args.x, rowWords, dtype), ...steps];
}

/** The loads and stores of matmul_words.wgsl, as it writes them. */
function facts(
  { weight: { dtype, inputs } }: MatmulArguments,
  { rows, columns, parts }: WordVariant,
  { lanes, panels, units, depth, words, xRow, wRow }: Record<
    "lanes" | "panels" | "units" | "depth" | "words" | "xRow" | "wRow",
    number
  >,
): KernelFacts {
  const quantized = isQuantized(dtype);
  /** Of four rows or outputs in a step. */
  const bytes = quantized ? 16 : 8;
  const unit = (lane: number) => lane % units;
  const panel = (lane: number) => Math.floor(lane / units);
  const isInt8 = dtype === "int8";
  const fourBytes = 16 * Math.ceil(inputs / blockInputs) * (words + 2);
  const four = (lane: number) => Math.floor(lane / words);
  const panelBytes = 8 * outputBytes(dtype, inputs);
  return {
    form: `words ${rows} x ${columns} of ${quantized ? "whole numbers" : "halves"}` +
      (parts > 1 ? `, ${parts} parts` : ""),
    lanes,
    // Sums in f32, and of a block; a word's rows and outputs; the next block's words; scales, squares; places.
    registers: 32 + (quantized ? 32 + 12 : 16 + 6) + 4 * (((rows / 4) * words) / lanes) +
      4 * Math.ceil((panels * units) / lanes) + 8 + (quantized ? 4 : 0) + 14,
    workgroupBytes: bytes * 2 * depth * (xRow + wRow),
    accesses: [
      {
        what: "weights",
        memory: "storage",
        bytes: 16,
        at: (lane) => panel(lane) * panelBytes + 16 * (unit(lane) + (quantized ? 1 : 0)),
      },
      {
        what: "x",
        memory: "storage",
        bytes: 16,
        at: (lane) => four(lane) * fourBytes + (lane % words) * 16,
      },
      {
        what: "scales of rows",
        memory: "storage",
        bytes: 16,
        at: (lane) => Math.floor(lane / panels) * fourBytes,
      },
      ...(quantized
        ? [
          {
            what: "scales of weights",
            memory: "storage",
            bytes: 16,
            at: (lane: number) => (lane % panels) * panelBytes,
          } as const,
        ]
        : []),
      {
        what: "x stored",
        memory: "workgroup",
        bytes,
        at: (lane) => bytes * ((lane % words) * (depth / words) * xRow + four(lane)),
      },
      {
        what: "weights stored",
        memory: "workgroup",
        bytes,
        at: (lane) =>
          bytes *
          (isInt8
            ? Math.floor(unit(lane) / 2) * wRow + panel(lane) + (unit(lane) % 2) * panels
            : unit(lane) * wRow + panel(lane)),
      },
      {
        what: "rows",
        memory: "workgroup",
        bytes,
        at: (lane) => bytes * Math.floor(lane / panels),
      },
      { what: "outputs", memory: "workgroup", bytes, at: (lane) => bytes * (lane % panels) },
    ],
    reasons: {
      groups: "the inputs are too few for more parts",
      ...(quantized
        ? { sectors: "the texel of scales before a block shifts it by half a sector" }
        : {}),
    },
  };
}
