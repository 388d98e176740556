/** Which form of the matrix product serves a shape: by measurement (tune.ts), else by a rule. */
import type { Gpu } from "../gpu/device.ts";
import { type BlockVariant, blockVariants } from "./matmul_blocks.ts";
import { type DotVariant, quantizedBytes } from "./matmul_dot.ts";
import { type RowVariant, rowVariants } from "./matmul_rows.ts";
import { type WordVariant, wordVariants } from "./matmul_words.ts";
import type { ProductShape } from "./matmul_parts.ts";
import { isQuantized } from "./packed_weight.ts";
import { fitsUniform } from "../gpu/uniform.ts";

export interface RegisterVariant {
  form: "registers";
  /** Rows of a tile. */
  tile: number;
  /** Invocations of a workgroup, and of them those that share a tile. */
  lanes: number;
  split: number;
  /** Where x is read: copied into a texture, where it is, or (small ones) as a uniform. */
  x: "texture" | "buffer" | "uniform";
  /** A tile's rows lie in so many hands of equally many rows, at most a subgroup's lanes: each lane reads
   * one row of a hand and gives it to the others (no split then). 0: every lane reads all rows itself. */
  hands: number;
}

export interface TileVariant {
  form: "tiles";
  /** Rows of a workgroup. */
  rows: 16 | 32 | 64;
}

export type MatmulVariant =
  | RegisterVariant
  | TileVariant
  | DotVariant
  | BlockVariant
  | WordVariant
  | RowVariant;

const maxTile = 9;

/** Rows of a tile, so that all tiles of `rows` are about equally full. */
export function rowTile(rows: number, most = maxTile): number {
  return Math.ceil(rows / Math.ceil(rows / most));
}

/** The variant that a product of this shape takes: what was chosen, else the static default. */
export function matmulVariant(gpu: Gpu, shape: ProductShape): MatmulVariant {
  const chosen = gpu.choices[productKey(shape)] ?? "";
  const variants = matmulVariants(gpu, shape);
  return variants.get(chosen) ?? [...variants.values()][0] ?? staticVariant(gpu, shape);
}

/** The name of a product's shape among the choices. */
export function productKey(shape: ProductShape): string {
  const { rows, outputs, inputs, dtype, texture, gated, normed } = shape;
  return `matmul ${rows}x${outputs}x${inputs} ${dtype} ${texture ? "textures" : "buffers"}` +
    `${normed ? " norm" : ""}${gated ? " gate" : ""}`;
}

function variantName(variant: MatmulVariant): string {
  switch (variant.form) {
    case "registers": {
      const { tile, lanes, split, x, hands } = variant;
      return `registers ${tile}x8, ${lanes} lanes, split ${split}, x ${x}` +
        (hands > 0 ? ` in ${hands} hands` : "");
    }
    case "tiles":
      return `tiles ${variant.rows}x64`;
    case "blocks":
    case "words":
      return `${variant.form} ${variant.rows}x${variant.columns}, parts ${variant.parts}`;
    case "rows":
      return `rows, parts ${variant.parts}`;
    case "dot":
      return `dot ${variant.tile}x8, ${variant.lanes} lanes, x ${variant.x}`;
  }
}

/** Bytes of x up to which llvmpipe read it faster as a uniform than it copied it into a texture. */
const smallBytes = 16 << 10;

/** What is taken without measuring: what measured best on llvmpipe, and a GPU's whole warps. */
export function staticVariant(gpu: Gpu, { rows, inputs, texture }: ProductShape): RegisterVariant {
  const small = 4 * rows * inputs <= smallBytes && fitsUniform(gpu, 4 * rows * inputs);
  return {
    form: "registers",
    tile: rowTile(rows),
    lanes: gpu.traits.lanes,
    split: 1,
    x: !texture ? "buffer" : small ? "uniform" : "texture",
    hands: 0,
  };
}

/** Tiles whose rows a subgroup of so many lanes hands round: few hands, equally full. */
function handedTiles(rows: number, subgroup: number): Pick<RegisterVariant, "tile" | "hands">[] {
  return [6, 9, 18].filter((tile) => rows > tile / 2).flatMap((most) => {
    const tile = rowTile(rows, most);
    const hands = [1, 2, 3, 4, 5].find((hands) => tile % hands === 0 && tile / hands <= subgroup);
    return hands === undefined ? [] : [{ tile, hands }];
  });
}

/** Everything worth trying for a shape, by name, the static default first. */
export function matmulVariants(gpu: Gpu, shape: ProductShape): Map<string, MatmulVariant> {
  const { rows, inputs } = shape;
  const first = staticVariant(gpu, shape);
  // By rule, a card takes blocks where rows fill a third of one, and subgroups' sums where they are few.
  const forCards = gpu.traits.cpu || shape.texture
    ? []
    : rows > 20
    ? blockVariants(shape)
    : rowVariants(gpu, shape);
  const all: MatmulVariant[] = [...forCards, first];
  const uniform = fitsUniform(gpu, 4 * rows * inputs);
  if (gpu.traits.cpu) {
    const sources = shape.texture ? ["texture"] as const : ["buffer"] as const;
    for (const x of [...sources, ...(uniform ? ["uniform"] as const : [])]) {
      for (const most of rows > 6 ? [9, 6] : [9]) {
        all.push({ ...first, tile: rowTile(rows, most), x });
      }
    }
    for (const handed of handedTiles(rows, gpu.traits.subgroup)) {
      all.push({ ...first, ...handed, x: sources[0] });
    }
  } else {
    for (const x of uniform ? ["buffer", "uniform"] as const : ["buffer"] as const) {
      for (const tile of new Set([rowTile(rows), rowTile(rows, 4)])) {
        all.push({ ...first, tile, x });
        if (tile > 4) continue;
        for (const split of [4, 16, 64]) all.push({ ...first, tile, split, x });
      }
    }
    for (const tileRows of [16, 32, 64] as const) {
      if (rows > tileRows / 2) all.push({ form: "tiles", rows: tileRows });
    }
    if (rows > 20 && !shape.texture) all.push(...wordVariants(gpu, shape));
  }
  if (isQuantized(shape.dtype)) {
    const small = fitsUniform(gpu, quantizedBytes(rows, inputs));
    const { tile, lanes } = first;
    // Buffers are far too slow where textures are faster.
    if (small) all.push({ form: "dot", tile, lanes, x: "uniform" });
    else if (!shape.texture) all.push({ form: "dot", tile, lanes, x: "buffer" });
  }
  return new Map(all.map((variant) => [variantName(variant), variant]));
}
