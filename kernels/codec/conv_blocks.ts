/**
 * The convolution by large tiles in workgroup memory, for GPUs: 128 or 64 positions x 64 channels with 8 x 8
 * sums a lane, 16 inputs (of taps x channels) at a time in two stages. x, the state before it and what is added
 * are read where they lie, without copies. Where tiles are too few for a card, as in codecs most are, `parts`
 * workgroups share a tile's inputs, and a launch adds what they found.
 *
 * It hasn't been measured on a GPU yet. Its results are checked on llvmpipe.
 */
import { activationCode } from "../gpu/activation.ts";
import { card, type KernelFacts } from "../card/facts.ts";
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { elements, scratchTensor, tensorBytes } from "../gpu/tensor.ts";
import code from "./conv_blocks.wgsl" with { type: "text" };
import {
  type ConvArguments,
  convConstants,
  convCost,
  convMeasures,
  type ConvShape,
  type ConvWeight,
  convWeightBinding,
  convWeightReader,
  rowsOf,
} from "./conv_parts.ts";

export interface ConvBlockVariant {
  form: "blocks";
  /** Positions of a workgroup's tile. */
  rows: 64 | 128;
  /** Parts of the inputs. */
  parts: number;
}

/** Inputs of a stage, and channels of a tile. */
const stageInputs = 16;
const columns = 64;

/** Parts that are worth a launch which joins them. */
const mostParts = 16;

/** Blocks worth trying on a GPU: in as many parts, of eight stages at least, as give the card two workgroups a
 * unit. */
export function convBlockVariants(shape: ConvShape): ConvBlockVariant[] {
  const { kernel, outputs, x } = shape;
  const inputs = kernel[0] * kernel[1] * kernel[2] * (x[3] ?? 0);
  const most = Math.max(1, Math.floor(inputs / stageInputs / 8));
  const count = rowsOf(shape);
  return ([64, 128] as const).filter((rows) => count > rows / 2 || rows === 64).map((rows) => {
    const tiles = Math.ceil(count / rows) * Math.ceil(outputs / columns);
    const parts = Math.min(most, mostParts, Math.ceil((2 * card.units) / tiles));
    return { form: "blocks", rows, parts };
  });
}

/** False where a buffer would be read and written: x's by y, or what is added unless it is y itself. */
export function fitsBlocks({ x, state, y, add }: ConvArguments): boolean {
  return x.buffer !== y.buffer && state?.buffer !== y.buffer &&
    (add?.buffer !== y.buffer || add.offset === y.offset);
}

/** @throws RangeError when buffers are read and written at once. */
export function convBlocks(
  gpu: Gpu,
  args: ConvArguments,
  { rows, parts }: ConvBlockVariant,
): Dispatch[] {
  const { label, x, state, weight, y, add } = args;
  if (!fitsBlocks(args)) throw new RangeError(`conv ${label}: y shares a buffer with what is read`);
  const { outputs, dtype } = weight;
  const { vector, values, constants: common } = convMeasures(args);
  const half = dtype === "f16";
  const storesVectors = outputs % 4 === 0 && y.offset % 4 === 0 && (add?.offset ?? 0) % 4 === 0;
  const unit = storesVectors ? 4 : 1;
  const isSelf = add?.buffer === y.buffer;
  const constants = convConstants.bind(gpu, {
    ...common,
    y_offset: y.offset / unit,
    origin: 0,
    add: (add?.offset ?? 0) / unit,
    past: state ? elements(state.shape) / values : 0,
    x: x.offset / values,
    before: (state?.offset ?? 0) / values,
    parts,
  });
  const reader = convWeightReader(weight);
  const split = parts > 1;
  const pipeline = (join: boolean) => {
    const ends = join || !split;
    const adds = ends && add !== undefined;
    return gpu.pipeline(`conv ${join ? "join" : "blocks"}`, code, {
      ...{ shape: convConstants, join, ends, adds, rows, half, vector, lanes: 64 },
      weight: reader.declaration,
      weight_reader: reader.code,
      octets: weight.columns / 8,
      texels: half ? 1 : 2,
      texel: half ? "vec4u" : "vec4f",
      loads: (columns * stageInputs) / (half ? 8 : 4) / rows,
      has_state: !join && state !== undefined,
      states: Number(!join && state !== undefined),
      reads_added: adds && !isSelf,
      added: isSelf ? "y" : "added",
      stores_vectors: storesVectors,
      x_type: vector ? "vec4f" : "f32",
      y_type: !ends || storesVectors ? "vec4f" : "f32",
      adds_first: add !== undefined && args.addsFirst === true,
      adds_last: add !== undefined && args.addsFirst !== true,
      activate: activationCode("vec4f", args.activation),
    });
  };
  const tiles = Math.ceil(common.rows / rows) * Math.ceil(outputs / columns);
  const fours = Math.ceil(outputs / 4);
  const partials = split
    ? scratchTensor(gpu, "convolution partials", [parts * common.rows * fours * 4])
    : undefined;
  const panels = convWeightBinding(weight);
  const added = add && !isSelf ? [add] : [];
  const product = dispatch(
    gpu,
    `conv ${label}`,
    pipeline(false),
    [constants, x, panels, partials ?? y, ...(state ? [state] : []), ...(split ? [] : added)],
    { items: tiles * parts * rows, lanes: rows },
    { ...convCost(args), facts: facts(weight, vector, rows, parts) },
  );
  if (!partials) return [product];
  const join = dispatch(
    gpu,
    `conv join ${label}`,
    pipeline(true),
    [constants, partials, panels, y, ...added],
    { items: common.rows * fours },
    {
      bytes: tensorBytes(partials) + tensorBytes(y),
      facts: {
        ...{ form: `join of ${parts} parts`, lanes: 64, registers: 32 },
        accesses: [{ what: "sums", memory: "storage", bytes: 16, at: (lane) => 16 * lane }],
        reasons: { groups: "what it adds is small" },
      },
    },
  );
  return [product, join];
}

/** The loads and stores of conv_blocks.wgsl, as it writes them. */
function facts(
  { dtype, columns: panel, inputs }: ConvWeight,
  vector: boolean,
  rows: number,
  parts: number,
): KernelFacts {
  const half = dtype === "f16";
  const rowTexels = (panel / 8) * (half ? 1 : 2);
  const units = stageInputs * rowTexels;
  const [xRow, wRow, wHalf] = [rows / 4 + 1, 19, 10];
  const texel = (lane: number) => Math.floor(lane / units) * rowTexels + (lane % rowTexels);
  const input = (lane: number) => Math.floor((lane % units) / rowTexels);
  const four = (lane: number) => Math.floor(lane / 4);
  const loads = (columns * stageInputs) / (half ? 8 : 4) / rows;
  return {
    form: `blocks ${rows} x ${columns} from buffers${parts > 1 ? `, ${parts} parts` : ""}`,
    lanes: rows,
    // Sums; an input's positions and channels; the next stage's; where positions lie; places.
    registers: 64 + 16 + 16 + 4 * loads + 8 + 14,
    workgroupBytes: 16 * 32 * (xRow + wRow),
    accesses: [
      // Panels are far apart; a stage's part of one lies in a row.
      { what: "weights", memory: "storage", bytes: 16, at: (lane) => 16 * lane },
      {
        what: "x",
        memory: "storage",
        bytes: vector ? 16 : 4,
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
          16 * (input(lane) * wRow +
            (half ? texel(lane) : Math.floor(texel(lane) / 2) + (texel(lane) % 2) * wHalf)),
      },
      { what: "rows", memory: "workgroup", bytes: 16, at: (lane) => 32 * Math.floor(lane / 8) },
      { what: "outputs", memory: "workgroup", bytes: 16, at: (lane) => 16 * (lane % 8) },
    ],
    reasons: {
      groups: "positions and inputs are too few for more parts",
      ...(half ? {} : { registers: "f32 weights are on their way: made for f16" }),
      ...(vector ? {} : { sectors: "channels that are no whole vec4 are read one by one" }),
    },
  };
}
