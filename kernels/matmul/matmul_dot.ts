/**
 * The matrix product in whole numbers: rows of x are quantized to 8 bits on the fly, a scale per 32
 * inputs, and multiplied with int8 or int4 weights by `dot4I8Packed`, four products in one operation
 * where the hardware has it. Sums of a block are exact; each is scaled and added in f32.
 *
 * Its error is that of rounding x: up to 1/254 of the largest magnitude of a block per input.
 *
 * Tile: as of matmulRegisters, up to 9 rows x 8 outputs. A dispatch before it quantizes, one
 * invocation per row and block; an RMSNorm's sum of squares comes along.
 */
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch, type Step } from "../gpu/plan.ts";
import { scratchTensor, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { storageSource, uniformSource } from "../gpu/uniform.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import code from "./matmul_dot.wgsl" with { type: "text" };
import { type MatmulArguments, productSteps } from "./matmul_parts.ts";
import { isQuantized, outputBytes } from "./packed_weight.ts";
import { blockInputs } from "./quantize.ts";
import quantizeCode from "./quantize_rows.wgsl" with { type: "text" };

export interface DotVariant {
  form: "dot";
  /** Rows of a tile, and invocations of a workgroup. */
  tile: number;
  lanes: number;
  /** How quantized rows are read; as a uniform only small ones. */
  x: "buffer" | "uniform";
}

/** Bytes of the quantized rows: three texels per block. */
export function quantizedBytes(rows: number, inputs: number): number {
  return rows * Math.ceil(inputs / blockInputs) * 3 * 16;
}

/** `quads`: groups of four inputs; x starts in vec4. */
const sizes = new UniformStruct("Sizes", { u32: "rows quads x" });

/**
 * Quantizes rows.
 *
 * @param x f32 [M, K], its offset a multiple of 4.
 * @param y u32 [M, ceil(K / 32), 12], from its buffer's start.
 */
export function quantizeRows(gpu: Gpu, label: string, x: Tensor, y: Tensor): Dispatch {
  const [rows = 0, inputs = 0] = x.shape;
  const { lanes } = gpu.traits;
  return dispatch(
    gpu,
    `quantize ${label}`,
    gpu.pipeline("quantize rows", quantizeCode, { sizes, lanes }),
    [sizes.bind(gpu, { rows, quads: inputs / 4, x: x.offset / 4 }), x, y],
    { items: rows * Math.ceil(inputs / blockInputs), lanes },
    { bytes: tensorBytes(x) + tensorBytes(y) },
  );
}

/**
 * Steps of the product (see matmul.ts), checked there.
 *
 * @throws RangeError when the weight isn't a quantized one.
 */
export function matmulDot(
  gpu: Gpu,
  args: MatmulArguments,
  { tile, lanes, x }: DotVariant,
): Step[] {
  const { label, weight: { dtype, inputs } } = args;
  if (!isQuantized(dtype)) {
    throw new RangeError(`matmul ${label}: no integer product with ${dtype}`);
  }
  const [rows = 0] = args.x.shape;
  const words = quantizedBytes(rows, inputs) / 4;
  const quantized = scratchTensor(gpu, "quantized rows", [words], "u32");
  const steps = productSteps(gpu, args, {
    kernel: "matmul dot",
    code,
    texts: { lanes },
    tile,
    sums: 2 * tile,
    x: x === "uniform"
      ? uniformSource(gpu, quantized, "x", "vec4u")
      : storageSource(quantized, "x", "vec4u"),
    lanes,
    invocations: (outputs) => Math.ceil(outputs / 8) * Math.ceil(rows / tile),
    facts: {
      form: `dot ${tile} x 8`,
      lanes,
      registers: 17 * tile + 4 + 8 + 12,
      // Neighbours lie along the outputs, each with a panel of its own.
      accesses: [
        {
          what: "weights",
          memory: "storage",
          bytes: 16,
          at: (lane) => lane * 8 * outputBytes(dtype, inputs),
        },
        { what: "x", memory: "storage", bytes: 16, at: () => 0 },
      ],
      reasons: {
        sectors: "lanes walk panels of their own, as is best on CPUs",
        groups: "few rows, with no split of the inputs",
        registers: "nine rows a lane, which measured best on llvmpipe",
      },
    },
  });
  return [quantizeRows(gpu, label, args.x, quantized), ...steps];
}
