/**
 * Residual vector quantization: a vector becomes the entry of a codebook that lies nearest to it, what is
 * left of it the entry of the next codebook, and so on. `nearest` is one such step, `lookup` the way back.
 *
 * The distances are a matrix product: |e|^2 / 2 - e x is lowest where |e - x| is. So a codebook is
 * packed with its entries negative and gets half of their squares as bias.
 */
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { checkTensors, elements, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import { type PackedWeight, panelBinding, weightReader } from "../matmul/packed_weight.ts";
import lookupCode from "./lookup.wgsl" with { type: "text" };
import code from "./nearest.wgsl" with { type: "text" };

const sizes = new UniformStruct("Sizes", { u32: "entries width books book scores codes left" });
const lookupSizes = new UniformStruct("Sizes", {
  u32: "rows quads books first count entries codes table y",
});

/**
 * Finds each row's entry with the lowest score (of equal ones the first), writes its number into the
 * codes' column `index`, and takes the entry off the row.
 *
 * @param book The entries with their signs turned, f32 [entries, width], in one part.
 * @param scores f32 [M, entries]; codes f32 [M, books]; left f32 [M, width].
 * @throws RangeError when shapes don't fit.
 */
export function nearest(
  gpu: Gpu,
  { label, scores, book, codes, left, index }: Tensors<"scores" | "codes" | "left"> & {
    book: PackedWeight;
    index: number;
  },
): Dispatch {
  const name = `nearest ${label}`;
  const { outputs: entries, inputs: width, dtype, parts: [part, ...more] } = book;
  const [rows = 0, books = 0] = codes.shape;
  if (!part || more.length > 0 || dtype !== "f32" || index < 0 || index >= books) {
    throw new RangeError(
      `${name}: ${1 + more.length} parts of ${dtype}, code ${index} of ${books}`,
    );
  }
  checkTensors(name, {
    scores: [scores, "f32", [rows, entries]],
    codes: [codes, "f32", [rows, books]],
    left: [left, "f32", [rows, width]],
  });
  const { lanes } = gpu.traits;
  const reader = weightReader(book, "book");
  const constants = sizes.bind(gpu, {
    entries,
    width,
    books,
    book: index,
    scores: scores.offset,
    codes: codes.offset,
    left: left.offset,
  });
  return dispatch(
    gpu,
    name,
    gpu.pipeline(name, code, { sizes, lanes, book: reader.declaration, reader: reader.code }),
    [constants, scores, panelBinding(part.panels), codes, left],
    [rows, 1, 1],
    { flops: rows * (entries + width), bytes: tensorBytes(scores) + 3 * tensorBytes(left) },
  );
}

/**
 * y = the sum of the entries that codes from column `first` on name, one of each codebook.
 *
 * @param codes f32 [M, books], whole numbers; others are rounded, and what is outside is clamped.
 * @param entries f32 [count, entries, width]; y f32 [M, width]; width and their offsets multiples of 4.
 * @throws RangeError when shapes don't fit.
 */
export function lookup(
  gpu: Gpu,
  { label, codes, entries, y, first }: Tensors<"codes" | "entries" | "y"> & { first: number },
): Dispatch {
  const name = `lookup ${label}`;
  const [rows = 0, books = 0] = codes.shape;
  const [count = 0, size = 0, width = 0] = entries.shape;
  if (width % 4 !== 0 || first < 0 || first + count > books) {
    throw new RangeError(`${name}: ${count} codes of ${books} from ${first} on, ${width} wide`);
  }
  checkTensors(name, {
    codes: [codes, "f32", [rows, books]],
    entries: [entries, "f32", [count, size, width], 4],
    y: [y, "f32", [rows, width], 4],
  });
  const constants = lookupSizes.bind(gpu, {
    rows,
    quads: width / 4,
    books,
    first,
    count,
    entries: size,
    codes: codes.offset,
    table: entries.offset / 4,
    y: y.offset / 4,
  });
  return dispatch(
    gpu,
    name,
    gpu.pipeline(name, lookupCode, { sizes: lookupSizes }),
    [constants, codes, entries, y],
    { items: elements(y.shape) / 4 },
    { flops: count * elements(y.shape), bytes: (count + 1) * tensorBytes(y) },
  );
}
