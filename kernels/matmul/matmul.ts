/**
 * The matrix product of every linear layer: y[M, N] = x[M, K] W^T, with the norm before it and the
 * bias, activation and sum after it. There are six forms: in registers and by tiles (here), by large
 * tiles (matmul_blocks.ts), by such tiles in words of two halves or four whole numbers
 * (matmul_words.ts), of few rows (matmul_rows.ts) and in whole numbers in registers (matmul_dot.ts);
 * matmul_variant.ts chooses the form for a shape, matmul_parts.ts has what they share.
 */
import type { Gpu } from "../gpu/device.ts";
import type { KernelFacts } from "../card/facts.ts";
import type { Step } from "../gpu/plan.ts";
import { checkTensors } from "../gpu/tensor.ts";
import { textureSource } from "../gpu/texture.ts";
import { storageSource, uniformSource } from "../gpu/uniform.ts";
import { matmulBlocks } from "./matmul_blocks.ts";
import { matmulDot } from "./matmul_dot.ts";
import { type MatmulArguments, productShape, productSteps } from "./matmul_parts.ts";
import { matmulRows } from "./matmul_rows.ts";
import { matmulWords } from "./matmul_words.ts";
import registersCode from "./matmul_registers.wgsl" with { type: "text" };
import tilesCode from "./matmul_tiles.wgsl" with { type: "text" };
import {
  type MatmulVariant,
  matmulVariant,
  type RegisterVariant,
  type TileVariant,
} from "./matmul_variant.ts";

import { isQuantized, outputBytes, panelLayout } from "./packed_weight.ts";

export type { MatmulArguments } from "./matmul_parts.ts";
export { freeWeight, type PackedWeight, type PackOptions, packWeight } from "./packed_weight.ts";

/**
 * Steps for y = activation?(norm?(x) W^T + bias), or y += that. With a gated weight the product
 * is silu(gate) * up (SwiGLU, Shazeer 2020).
 *
 * Offsets are multiples of 4; y and bias may start anywhere when N is no multiple of 4.
 *
 * @param variant Set by tests and tuning.
 * @throws RangeError when shapes don't fit, or y shares its buffer with what is read.
 */
export function matmul(gpu: Gpu, args: MatmulArguments, variant?: MatmulVariant): Step[] {
  const { label, x, weight, y, bias } = args;
  const { inputs, gated } = weight;
  const outputs = gated ? weight.outputs / 2 : weight.outputs;
  const rows = x.shape[0] ?? 0;
  const step = outputs % 4 === 0 ? 4 : 1;
  checkTensors(`matmul ${label}`, {
    x: [x, "f32", [rows, inputs], 4],
    y: [y, "f32", [rows, outputs], step],
    bias: [bias, "f32", [gated ? 0 : outputs], step],
  });
  if ([x, bias].some((tensor) => tensor?.buffer === y.buffer)) {
    throw new RangeError(`matmul ${label}: y shares a buffer with what is read (use accumulate)`);
  }
  const chosen = variant ?? matmulVariant(gpu, productShape(args));
  switch (chosen.form) {
    case "registers":
      return matmulRegisters(gpu, args, chosen);
    case "tiles":
      return matmulTiles(gpu, args, chosen);
    case "blocks":
      return matmulBlocks(gpu, args, chosen);
    case "words":
      return matmulWords(gpu, args, chosen);
    case "rows":
      return matmulRows(gpu, args, chosen);
    case "dot":
      return matmulDot(gpu, args, chosen);
  }
}

/**
 * The product in registers: no barriers, nothing shared, but for the sums of a split.
 *
 * Tile: an invocation makes up to 9 rows x 8 outputs in registers and reads x and W from memory by
 * vec4; lanes lie along the outputs. Rows are parted evenly (27 = 3 x 9, 18 = 2 x 9, 20 = 3 x 7), so
 * that a ragged end wastes at most one row per tile. Few rows leave a GPU idle: then `split`
 * neighbouring invocations share a tile, each takes every split-th group (or block) of inputs, so that
 * their loads lie side by side, and they add up at the end. Where the adapter has subgroup operations,
 * its lanes can read the rows of x together and hand them round.
 *
 * Measured on llvmpipe (AVX2, two cores, 64x1024x1024): 2 GFLOP/s from storage buffers, 33 from
 * textures, 42 with sums of four; a 16x8 or 8x16 tile gains 10% there, loses it on ragged ends and
 * takes twice as long to compile.
 */
function matmulRegisters(
  gpu: Gpu,
  args: MatmulArguments,
  { tile, lanes, split, x, hands }: RegisterVariant,
): Step[] {
  const rows = args.x.shape[0] ?? 0;
  const handed = hands > 0;
  const { steps, ...source } = readX(gpu, args, x);
  const form = {
    kernel: "matmul",
    code: registersCode,
    texts: {
      lanes,
      split,
      shared: split > 1,
      handed,
      hands: handed ? hands : 1,
      team: handed ? tile / hands : tile,
    },
    tile,
    sums: split > 1 ? 2 : 2 * tile,
    x: source,
    lanes,
    invocations: (outputs: number) => {
      const panels = Math.ceil(outputs / 8);
      const tiles = Math.ceil(rows / tile);
      return tiles * (handed ? Math.ceil(panels / lanes) * lanes : panels * split);
    },
    facts: registerFacts(args, { tile, lanes, split, hands }),
  };
  return [...steps, ...productSteps(gpu, args, form)];
}

/** The loads of matmul_registers.wgsl: neighbours along the inputs (`split`), then along the outputs, of
 * which each lane walks a panel of its own; all read the same rows. */
function registerFacts(
  { weight: { dtype, inputs } }: MatmulArguments,
  { tile, lanes, split, hands }: Pick<RegisterVariant, "tile" | "lanes" | "split" | "hands">,
): KernelFacts {
  const { quadTexels } = panelLayout(dtype);
  const panelBytes = 8 * outputBytes(dtype, inputs);
  const shared = split > 1 ? 16 * lanes * tile * 2 + 4 * lanes * tile : 0;
  return {
    form: `registers ${tile} x 8${split > 1 ? `, split ${split}` : ""}`,
    lanes,
    // Sums, the rows' four inputs (handed round: one at a time), their weights, places.
    registers: 8 * tile + (hands > 0 ? 4 * hands + 4 : 4 * tile) + Math.min(32, 4 * quadTexels) +
      12,
    workgroupBytes: shared,
    accesses: [
      {
        what: "weights",
        memory: "storage",
        bytes: 16,
        at: (lane) =>
          Math.floor(lane / split) * panelBytes +
          (lane % split) * 16 * (isQuantized(dtype) ? panelLayout(dtype).blockTexels : quadTexels),
      },
      { what: "x", memory: "storage", bytes: 16, at: (lane) => 16 * (lane % split) },
    ],
    reasons: {
      sectors: "lanes walk panels of their own, as is best on CPUs",
      groups: "few rows, with no split of the inputs",
      registers: "nine rows a lane, which measured best on llvmpipe",
    },
  };
}

function readX(gpu: Gpu, { label, x }: MatmulArguments, from: RegisterVariant["x"]) {
  if (from === "texture") {
    const source = textureSource(gpu, `matmul ${label} x`, "x", "rgba32float", [x]);
    return { ...source, start: source.starts[0] ?? 0 };
  }
  if (from === "uniform") return { steps: [], ...uniformSource(gpu, x, "x", "vec4f") };
  return { steps: [], ...storageSource(x, "x", "vec4f") };
}

/**
 * The product by tiles in workgroup memory, for GPUs and many rows: what a workgroup loads serves all
 * of its 64 invocations.
 *
 * Tile: 16, 32 or 64 rows x 64 outputs; 32 inputs at a time (a block of quantized weights) are laid
 * into 8 KiB of weights and 2 to 8 KiB of x, weights unpacked once. Of it an invocation sums 2, 4 or 8
 * rows x 8 outputs in registers. On llvmpipe, where barriers and workgroup memory are slow, it is a
 * fifth as fast as registers alone. It hasn't been measured on a GPU yet.
 */
function matmulTiles(gpu: Gpu, args: MatmulArguments, { rows }: TileVariant): Step[] {
  const tiles = Math.ceil((args.x.shape[0] ?? 0) / rows);
  return productSteps(gpu, args, {
    kernel: "matmul tiles",
    code: tilesCode,
    texts: {},
    tile: rows / 8,
    sums: rows / 4,
    x: storageSource(args.x, "x", "vec4f"),
    lanes: 64,
    invocations: (outputs) => tiles * Math.ceil(outputs / 64) * 64,
    facts: tileFacts(args, rows),
  });
}

/** The loads of matmul_tiles.wgsl. */
function tileFacts({ weight: { dtype, inputs } }: MatmulArguments, rows: number): KernelFacts {
  const { quadTexels, blockTexels } = panelLayout(dtype);
  const tile = rows / 8;
  const quantized = isQuantized(dtype);
  return {
    form: `tiles ${rows} x 64`,
    lanes: 64,
    registers: 9 * tile + 32 + 4 + 12,
    workgroupBytes: 16 * 64 * tile + 128 * 64,
    accesses: [
      {
        what: "weights",
        memory: "storage",
        bytes: 16,
        at: (lane) =>
          Math.floor(lane / 8) * 8 * outputBytes(dtype, inputs) +
          (lane % 8) * 16 * quadTexels + (quantized ? 16 * (blockTexels % quadTexels) : 0),
      },
      {
        what: "x",
        memory: "storage",
        bytes: 16,
        at: (lane) => Math.floor(lane / 8) * 4 * inputs + 16 * (lane % 8),
      },
      {
        what: "weights of a panel",
        memory: "workgroup",
        bytes: 16,
        at: (lane) => 128 * (lane % 8),
      },
      {
        what: "rows",
        memory: "workgroup",
        bytes: 16,
        at: (lane) => Math.floor(lane / 8) * tile * 128,
      },
    ],
    reasons: {
      groups: "no split of the inputs: large tiles have it",
      sectors: "a lane takes all four inputs of its panel",
      conflicts: "eight panels of 128 bytes lie in the same banks",
    },
  };
}
