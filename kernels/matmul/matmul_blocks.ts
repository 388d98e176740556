/**
 * The matrix product by large tiles in workgroup memory, for GPUs and many rows: 128 or 64 rows x 64
 * outputs with 8 x 8 sums a lane, or 64 x 32 with 8 x 4, 16 inputs at a time in two stages, of which one
 * is on its way while the other is summed. Weights are unpacked as they enter. Where tiles are too few for
 * a card, `parts` workgroups share a tile's inputs, and a launch adds what they found.
 *
 * It hasn't been measured on a GPU yet. Its results are checked on llvmpipe and SwiftShader.
 */
import { card, type KernelFacts } from "../card/facts.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Step } from "../gpu/plan.ts";
import { storageSource } from "../gpu/uniform.ts";
import code from "./matmul_blocks.wgsl" with { type: "text" };
import { type MatmulArguments, type ProductShape, productSteps } from "./matmul_parts.ts";
import { isQuantized, outputBytes, panelLayout } from "./packed_weight.ts";

export interface BlockVariant {
  form: "blocks";
  /** Of a workgroup's tile. */
  rows: 64 | 128;
  columns: 32 | 64;
  /** Parts of the inputs. */
  parts: number;
}

/** Inputs of a stage. */
const stageInputs = 16;

/** Why a form can't serve a product; null: it can. */
function reasonAgainst(
  { columns, parts }: BlockVariant,
  { gated, outputs }: Pick<ProductShape, "gated" | "outputs">,
): string | null {
  // A lane of 8 x 4 sums has a gate or what it gates, not both.
  if (gated && columns === 32) return "a gated product takes 64 columns";
  if (parts > 1 && outputs % 4 !== 0) return "rows that are no whole vec4 aren't split";
  return null;
}

/** Tiles worth trying for a product on a GPU, the likeliest first: as large as the rows allow, and in as
 * many parts as give the card two workgroups a unit. @param leastInputs Of a part. */
export function largeTiles(
  shape: Pick<ProductShape, "rows" | "outputs" | "inputs">,
  leastInputs: number,
): Omit<BlockVariant, "form">[] {
  const most = Math.max(1, Math.floor(shape.inputs / leastInputs));
  const filled = ({ rows, columns }: Pick<BlockVariant, "rows" | "columns">) => {
    const tiles = Math.ceil(shape.rows / rows) * Math.ceil(shape.outputs / columns);
    const parts = Math.min(most, 8, Math.ceil((2 * card.units) / tiles));
    return { rows, columns, parts: shape.outputs % 4 === 0 ? parts : 1 };
  };
  // Large tiles read least: the first that fills a card, in few parts rather than in many.
  const doubts = ({ rows, columns, parts }: Omit<BlockVariant, "form">) => {
    const tiles = Math.ceil(shape.rows / rows) * Math.ceil(shape.outputs / columns);
    return (tiles * parts < 2 * card.units ? 4 : 0) + (parts > 2 ? 2 : 0) + (parts > 1 ? 1 : 0);
  };
  return ([[128, 64], [64, 64], [64, 32]] as const)
    .map(([rows, columns]) => filled({ rows, columns }))
    .sort((a, b) => doubts(a) - doubts(b) || b.rows * b.columns - a.rows * a.columns);
}

/** Blocks worth trying for a product on a GPU, the likeliest first; parts are of four stages at least. */
export function blockVariants(shape: ProductShape): BlockVariant[] {
  return largeTiles(shape, 4 * stageInputs)
    .map((tile): BlockVariant => ({ form: "blocks", ...tile }))
    .flatMap((one) => one.parts > 1 ? [one, { ...one, parts: 1 }] : [one])
    .filter((one) => reasonAgainst(one, shape) === null);
}

/** @throws RangeError when the form doesn't fit the product. */
export function matmulBlocks(gpu: Gpu, args: MatmulArguments, variant: BlockVariant): Step[] {
  const { x, weight, label } = args;
  const { rows, columns, parts } = variant;
  const reason = reasonAgainst(variant, weight);
  if (reason) throw new RangeError(`matmul ${label}: ${reason}`);
  const lanes = rows;
  const panels = columns / 8;
  const { quadTexels } = panelLayout(weight.dtype);
  const quantized = isQuantized(weight.dtype);
  // Of a panel and stage: quads of quantized weights, else texels.
  const units = quantized ? stageInputs / 4 : (stageInputs / 4) * quadTexels;
  const [xRow, wRow] = [rows / 4 + 1, columns / 4 + 1];
  const tiles = Math.ceil((x.shape[0] ?? 0) / rows);
  return productSteps(gpu, args, {
    kernel: "matmul blocks",
    code,
    texts: {
      ...{ lanes, rows, columns, panels, units, x_row: xRow, w_row: wRow },
      lane_fours: columns / 32,
      wide: columns === 64,
      loads: Math.ceil((panels * units) / lanes),
      ...(quantized ? {} : { texel: weight.dtype === "f16" ? "vec4u" : "vec4f" }),
    },
    tile: 8,
    sums: 16,
    x: storageSource(x, "x", "vec4f"),
    lanes,
    invocations: (outputs) => tiles * Math.ceil(outputs / columns) * parts * lanes,
    parts,
    facts: facts(args, variant, { units, xRow, wRow }),
  });
}

/** The loads and stores of matmul_blocks.wgsl, as it writes them. */
function facts(
  { weight: { dtype, inputs } }: MatmulArguments,
  { rows, columns, parts }: BlockVariant,
  { units, xRow, wRow }: { units: number; xRow: number; wRow: number },
): KernelFacts {
  const panels = columns / 8;
  const quantized = isQuantized(dtype);
  const unitBytes = quantized ? 16 * panelLayout(dtype).quadTexels : 16;
  const panelBytes = 8 * outputBytes(dtype, inputs);
  const unit = (lane: number) => lane % units;
  const panel = (lane: number) => Math.floor(lane / units);
  const four = (lane: number) => Math.floor(lane / 4);
  const wide = columns === 64;
  return {
    form: `blocks ${rows} x ${columns}${parts > 1 ? `, ${parts} parts` : ""}`,
    lanes: rows,
    // Sums; an input's rows and outputs; the next stage's rows and weights; squares; places.
    registers: (wide ? 64 : 32) + 16 + 16 + (quantized ? 8 : 4) * Math.ceil(units * panels / rows) +
      4 + 16,
    workgroupBytes: 16 * 32 * (xRow + wRow),
    accesses: [
      {
        what: "weights",
        memory: "storage",
        bytes: 16,
        at: (lane) => panel(lane) * panelBytes + unit(lane) * unitBytes,
      },
      {
        what: "x",
        memory: "storage",
        bytes: 16,
        at: (lane) => four(lane) * 16 * inputs + (lane % 4) * 16,
      },
      {
        what: "x stored",
        memory: "workgroup",
        bytes: 16,
        at: (lane) => 16 * ((lane % 4) * 4 * xRow + four(lane)),
      },
      {
        what: "weights stored",
        memory: "workgroup",
        bytes: 16,
        at: (lane) =>
          16 *
          (dtype === "f32"
            ? Math.floor(unit(lane) / 2) * wRow + panel(lane) + (unit(lane) % 2) * panels
            : (quantized ? 4 : 1) * unit(lane) * wRow + panel(lane)),
      },
      { what: "rows", memory: "workgroup", bytes: 16, at: (lane) => 32 * Math.floor(lane / 8) },
      { what: "outputs", memory: "workgroup", bytes: 16, at: (lane) => 16 * (lane % 8) },
    ],
    reasons: {
      groups: "the inputs are too few for more parts",
      ...(dtype === "f32"
        ? { registers: "four texels of f32 weights are on their way: made for f16" }
        : {}),
      ...(dtype === "int8"
        ? { sectors: "the other half of a sector is the lane's next load" }
        : {}),
    },
  };
}
