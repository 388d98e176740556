/**
 * Rows of the residual stream from a table, and from one vector; features of the solver's time.
 *
 * The table is a packed weight, so that tied embeddings are held once for the lookup and the head;
 * a row lies strided in its panel, which costs little beside the products.
 */
import type { Gpu } from "../gpu/device.ts";
import embedCode from "./embed.wgsl" with { type: "text" };
import fillRowsCode from "./fill_rows.wgsl" with { type: "text" };
import timeFeaturesCode from "./time_features.wgsl" with { type: "text" };
import {
  isQuantized,
  type PackedWeight,
  panelBinding,
  weightReader,
} from "../matmul/packed_weight.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import {
  checkTensors,
  elements,
  type Tensor,
  tensorBytes,
  tensorFrom,
  type Tensors,
} from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

/** In vec4, but ids in elements. `first` and `count`: table rows of this dispatch; `last`: the table's
 * last one. */
const embedSizes = new UniformStruct("Sizes", { u32: "rows quads ids add y first count last" });

/** In vec4. */
const fillSizes = new UniformStruct("Sizes", { u32: "rows quads vector add y" });

const timeSizes = new UniformStruct("Sizes", { u32: "count half y" });

/**
 * y[m] = table[ids[m]] + add. An id past the table's end reads its last row.
 *
 * @param args table [vocabulary, D], packed as a weight of `vocabulary` outputs; ids u32 [M], add f32 [D] (the type embedding), y f32 [M, D]; offsets of add and y are
 * multiples of 4; y in a buffer of its own.
 * @returns One step per part of the table; every row of y is written by exactly one of them.
 * @throws RangeError when shapes don't fit.
 */
export function embed(
  gpu: Gpu,
  { label, ids, table, add, y }: Tensors<"ids" | "add" | "y"> & {
    table: PackedWeight;
  },
): Dispatch[] {
  const [rows = 0] = y.shape;
  const width = table.inputs;
  const name = `embed ${label}`;
  checkTensors(name, {
    ids: [ids, "u32", [rows]],
    add: [add, "f32", [width], 4],
    y: [y, "f32", [rows, width], 4],
  });
  if (isQuantized(table.dtype) || y.buffer === add.buffer) {
    throw new RangeError(`${name}: a table in ${table.dtype}, or y shares add's buffer`);
  }
  const { declaration, code } = weightReader(table, "table");
  const half = table.dtype === "f16";
  const pipeline = gpu.pipeline("embed", embedCode, {
    sizes: embedSizes,
    table: declaration,
    reader: code,
    half,
  });
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
      name,
      pipeline,
      [constants, ids, panelBinding(panels), add, y],
      { items: elements(y.shape) / 4 },
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
  const name = `fillRows ${label}`;
  checkTensors(name, {
    row: [row, "f32", [width], 4],
    add: [add, "f32", [width], 4],
    y: [y, "f32", [rows, width], 4],
  });
  if (width % 4 !== 0 || [row, add].some((vector) => vector?.buffer === y.buffer)) {
    throw new RangeError(`${name}: rows of ${width}, no multiple of 4, or y shares a buffer`);
  }
  const constants = fillSizes.bind(gpu, {
    rows,
    quads: width / 4,
    vector: row.offset / 4,
    add: (add ?? row).offset / 4,
    y: y.offset / 4,
  });
  return dispatch(
    gpu,
    name,
    gpu.pipeline("fillRows", fillRowsCode, { sizes: fillSizes, adds: add !== undefined }),
    [constants, row, y, ...(add ? [add] : [])],
    { items: elements(y.shape) / 4 },
    { flops: elements(y.shape), bytes: tensorBytes(y) },
  );
}

/**
 * Sinusoidal features of 1000 tau: cosines, then sines, at the frequencies exp(-ln(10000) i / half)
 * with half = C / 2 (the time embedding of DiT, Peebles and Xie 2023). Used at set-up only: it makes
 * two small buffers that live as long as the device.
 *
 * @param args tau in [0, 1], n of them; y f32 [n, C], C even.
 * @throws RangeError when shapes don't fit.
 */
export function timeFeatures(
  gpu: Gpu,
  { label, tau, y }: { label: string; tau: readonly number[]; y: Tensor },
): Dispatch {
  const [count = 0, width = 0] = y.shape;
  checkTensors(`timeFeatures ${label}`, { y: [y, "f32", [tau.length, 2 * Math.ceil(width / 2)]] });
  const half = width / 2;
  const turns = Float32Array.from(
    { length: half },
    (_, i) => (1000 * Math.exp((-Math.log(10000) * i) / half)) / (2 * Math.PI),
  );
  return dispatch(
    gpu,
    `timeFeatures ${label}`,
    gpu.pipeline("timeFeatures", timeFeaturesCode, { sizes: timeSizes }),
    [
      timeSizes.bind(gpu, { count, half, y: y.offset }),
      tensorFrom(gpu, "tau", [count], Float32Array.from(tau)),
      tensorFrom(gpu, "turns per tau", [half], turns),
      y,
    ],
    { items: count * half },
  );
}
