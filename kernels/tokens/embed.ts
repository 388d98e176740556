/**
 * Rows of the residual stream from a table, and from one vector.
 *
 * The table is a packed weight, so that tied embeddings are held once for the lookup and the head;
 * a row lies strided in its panel, which costs little beside the products.
 */
import type { Gpu } from "../gpu/device.ts";
import embedCode from "./embed.wgsl" with { type: "text" };
import fillRowsCode from "./fill_rows.wgsl" with { type: "text" };
import { dispatchGrid } from "../gpu/grid.ts";
import { isQuantized, type PackedWeight, weightReader } from "../matmul/packed_weight.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { fill } from "../gpu/shader.ts";
import { elements, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

/** In vec4, but ids in elements. `first` and `count`: table rows of this dispatch; `last`: the table's
 * last one. */
const embedSizes = new UniformStruct("Sizes", { u32: "rows quads ids add y first count last" });

/** In vec4. */
const fillSizes = new UniformStruct("Sizes", { u32: "rows quads vector add y has_add" });

/** A table [vocabulary, D] packed as a weight of `vocabulary` outputs and D inputs. */
export type EmbeddingTable = PackedWeight;

/**
 * y[m] = table[ids[m]] + add. An id past the table's end reads its last row.
 *
 * @param args ids u32 [M], add f32 [D] (the type embedding), y f32 [M, D]; offsets of add and y are
 * multiples of 4; y in a buffer of its own.
 * @returns One step per part of the table; every row of y is written by exactly one of them.
 * @throws RangeError when shapes don't fit.
 */
export function embed(
  gpu: Gpu,
  { label, ids, table, add, y }: {
    label: string;
    ids: Tensor;
    table: EmbeddingTable;
    add: Tensor;
    y: Tensor;
  },
): Dispatch[] {
  const [rows = 0, width = 0] = y.shape;
  if (
    String(ids.shape) !== String([rows]) || ids.dtype !== "u32" || width !== table.inputs ||
    String(add.shape) !== String([width]) || !aligned(add, y) || y.buffer === add.buffer ||
    isQuantized(table.dtype)
  ) {
    throw new RangeError(
      `embed ${label}: ids [${ids.shape}], table [${table.outputs}, ${table.inputs}] ` +
        `${table.dtype}, ` +
        `add [${add.shape}] to [${y.shape}]`,
    );
  }
  const { declaration, code } = weightReader(table, "table");
  const value = table.dtype === "f32"
    ? "  return table_at(texel * 2u + column / 4u)[column % 4u];"
    : "  return unpack2x16float(table_at(texel)[column / 2u])[column % 2u];";
  const shader = fill(embedCode, {
    sizes: embedSizes,
    table: declaration,
    reader: code,
    value,
  });
  const pipeline = gpu.pipeline("embed", shader);
  return table.parts.map(({ first, outputs, panels }) => {
    const constants = embedSizes.bind(gpu, {
      rows,
      quads: width / 4,
      ids: ids.offset,
      add: add.offset / 4,
      y: y.offset / 4,
      first,
      count: outputs,
      last: table.outputs - 1,
    });
    return dispatch(
      gpu,
      `embed ${label}`,
      pipeline,
      [constants, ids, panels instanceof GPUTexture ? panels.createView() : panels, add, y],
      dispatchGrid(gpu, elements(y.shape) / 4, 64),
      { flops: elements(y.shape), bytes: 2 * tensorBytes(y) },
    );
  });
}

/**
 * y[m] = row (+ add) for every m.
 *
 * @param args row and add f32 [D], y f32 [M, D] in another buffer; D and offsets multiples of 4.
 * @throws RangeError when shapes don't fit.
 */
export function fillRows(
  gpu: Gpu,
  { label, row, add, y }: { label: string; row: Tensor; add?: Tensor; y: Tensor },
): Dispatch {
  const [rows = 0, width = 0] = y.shape;
  const vectors = add ? [row, add] : [row];
  if (
    vectors.some((v) => String(v.shape) !== String([width]) || v.buffer === y.buffer) ||
    y.shape.length !== 2 || width % 4 !== 0 || !aligned(...vectors, y)
  ) {
    throw new RangeError(`fillRows ${label}: [${row.shape}] + [${add?.shape}] to [${y.shape}]`);
  }
  const constants = fillSizes.bind(gpu, {
    rows,
    quads: width / 4,
    vector: row.offset / 4,
    add: (add ?? row).offset / 4,
    y: y.offset / 4,
    has_add: add !== undefined,
  });
  return dispatch(
    gpu,
    `fillRows ${label}`,
    gpu.pipeline("fillRows", fill(fillRowsCode, { sizes: fillSizes })),
    [constants, row, add ?? row, y],
    dispatchGrid(gpu, elements(y.shape) / 4, 64),
    { flops: elements(y.shape), bytes: tensorBytes(y) },
  );
}

function aligned(...tensors: Tensor[]): boolean {
  return tensors.every((tensor) => tensor.dtype === "f32" && tensor.offset % 4 === 0);
}
