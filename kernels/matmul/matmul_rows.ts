/**
 * The matrix product of few rows, as language has: bound by the weights' bytes. A workgroup sums a panel of 8
 * outputs; its lanes read neighbouring inputs together and add up by subgroup, of any size. Where panels
 * are too few for a card, `parts` workgroups share a panel's inputs, and a launch adds what they found.
 *
 * It hasn't been measured on a GPU yet. Its results are checked on llvmpipe and SwiftShader.
 */
import { card, type KernelFacts } from "../card/facts.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Step } from "../gpu/plan.ts";
import { storageSource } from "../gpu/uniform.ts";
import { type MatmulArguments, type ProductShape, productSteps } from "./matmul_parts.ts";
import code from "./matmul_rows.wgsl" with { type: "text" };
import { panelLayout } from "./packed_weight.ts";

export interface RowVariant {
  form: "rows";
  /** Parts of the inputs. */
  parts: number;
}

const lanes = 64;

/** Rows that a workgroup sums at most, and for which the form is a candidate. */
export const mostRows = 4;

/** Lanes of the smallest subgroup that any adapter has. */
const smallestSubgroup = 4;

/** The form for a product of few rows on a card: in so many parts that each unit has two workgroups, if
 * each lane still walks two loads. None where there are no subgroup operations. */
export function rowVariants(gpu: Gpu, shape: ProductShape): RowVariant[] {
  const { rows, outputs, inputs, dtype } = shape;
  if (gpu.traits.subgroup < smallestSubgroup || rows > mostRows) return [];
  const units = dtype === "f16" ? inputs : inputs / 4;
  const wanted = Math.ceil((2 * card.units) / Math.ceil(outputs / 8));
  const parts = outputs % 4 === 0
    ? Math.max(1, Math.min(wanted, Math.floor(units / (2 * lanes))))
    : 1;
  return parts > 1
    ? [{ form: "rows", parts }, { form: "rows", parts: 1 }]
    : [{ form: "rows", parts }];
}

/** @throws RangeError when rows that are no whole vec4 are to be split. */
export function matmulRows(gpu: Gpu, args: MatmulArguments, { parts }: RowVariant): Step[] {
  const { x, weight: { dtype, outputs }, label } = args;
  if (parts > 1 && outputs % 4 !== 0) {
    throw new RangeError(`matmul ${label}: rows that are no whole vec4 aren't split`);
  }
  const [rows = 0] = x.shape;
  const tile = Math.min(rows, mostRows);
  const { quadTexels } = panelLayout(dtype);
  const half = dtype === "f16";
  const facts: KernelFacts = {
    form: `rows ${tile} x 8${parts > 1 ? `, ${parts} parts` : ""}`,
    lanes,
    registers: 13 * tile + (half ? 12 : 40) + 12,
    workgroupBytes: (16 * 3 * tile * lanes) / smallestSubgroup,
    accesses: [
      {
        what: "weights",
        memory: "storage",
        bytes: 16,
        at: (lane) => lane * 16 * (half ? 1 : quadTexels),
      },
      { what: "x", memory: "storage", bytes: half ? 4 : 16, at: (lane) => lane * (half ? 4 : 16) },
    ],
    reasons: {
      groups: "the inputs are too few for more parts",
      ...(dtype === "int8" || dtype === "f32"
        ? { sectors: "the rest of a sector is the lane's next load" }
        : {}),
    },
  };
  return productSteps(gpu, args, {
    kernel: "matmul rows",
    code,
    texts: {
      lanes,
      most: lanes / smallestSubgroup,
      quad_units: half ? 4 : 1,
    },
    tile,
    sums: 2,
    x: storageSource(x, "x", "vec4f"),
    lanes,
    invocations: (count) => Math.ceil(count / 8) * Math.ceil(rows / tile) * parts * lanes,
    parts,
    facts,
  });
}
