/** What is compared: the same products and attention for every library, and what they must give. */

/** y[rows, outputs] = x[rows, inputs] W^T. */
export interface Product {
  kind: "product";
  rows: number;
  outputs: number;
  inputs: number;
}

/** softmax(q k^T / sqrt(dim)) v, each query over all keys, head by head. */
export interface Attention {
  kind: "attention";
  queries: number;
  keys: number;
  heads: number;
  dim: number;
}

export type Work = Product | Attention;

/** Operands as a library gets them, in whatever order of axes suits it best. */
export type Operands = Record<string, Float32Array<ArrayBuffer>>;

/** Runs the work so many times and reads the last result back: y, or [query, head, dim]. */
export type Runner = (times: number) => Promise<Float32Array>;

/** A library on the adapter. */
export interface Library {
  name: string;
  version: string;
  prepare(work: Work, operands: Operands): Promise<Runner>;
}

/** A large product, those of nano in its solver, pass and text (and one of an older nano), and the
 * attention that other notes speak of. */
export const works: readonly Work[] = [
  { kind: "product", rows: 64, outputs: 1024, inputs: 1024 },
  { kind: "product", rows: 32, outputs: 448, inputs: 160 },
  { kind: "product", rows: 6, outputs: 1024, inputs: 192 },
  { kind: "product", rows: 6, outputs: 192, inputs: 512 },
  { kind: "product", rows: 13, outputs: 1024, inputs: 192 },
  { kind: "product", rows: 13, outputs: 320, inputs: 192 },
  { kind: "product", rows: 1, outputs: 384, inputs: 192 },
  { kind: "attention", queries: 24, keys: 600, heads: 5, dim: 32 },
];

/** Its name in tables. */
export function workName(work: Work): string {
  return work.kind === "product"
    ? `product ${work.rows} x ${work.outputs} x ${work.inputs}`
    : `attention ${work.queries} over ${work.keys}, ${work.heads} heads x ${work.dim}`;
}

export function workFlops(work: Work): number {
  return work.kind === "product"
    ? 2 * work.rows * work.outputs * work.inputs
    : 4 * work.queries * work.keys * work.heads * work.dim;
}

/** Random operands: x [rows, inputs] and w [outputs, inputs], or q, k and v [token, head, dim]. */
export function operands(work: Work): Operands {
  const random = (length: number, size: number) =>
    Float32Array.from({ length }, () => (Math.random() * 2 - 1) * size);
  if (work.kind === "product") {
    const { rows, outputs, inputs } = work;
    return {
      x: random(rows * inputs, 1),
      w: random(outputs * inputs, 1 / Math.sqrt(inputs)),
    };
  }
  const row = work.heads * work.dim;
  return {
    q: random(work.queries * row, 1),
    k: random(work.keys * row, 1),
    v: random(work.keys * row, 1),
  };
}

/** The result in float64. */
export function expected(work: Work, given: Operands): Float64Array {
  if (work.kind === "product") {
    const { rows, outputs, inputs } = work;
    const { x = none, w = none } = given;
    return Float64Array.from({ length: rows * outputs }, (_, i) => {
      const [row, output] = [
        Math.floor(i / outputs) * inputs,
        (i % outputs) * inputs,
      ];
      let sum = 0;
      for (let k = 0; k < inputs; k++) {
        sum += (x[row + k] ?? 0) * (w[output + k] ?? 0);
      }
      return sum;
    });
  }
  const { queries, keys, heads, dim } = work;
  const { q = none, k = none, v = none } = given;
  const out = new Float64Array(queries * heads * dim);
  for (let at = 0; at < queries * heads; at++) {
    const head = at % heads;
    const scores = Array.from({ length: keys }, (_, key) => {
      let sum = 0;
      for (let d = 0; d < dim; d++) {
        sum += (q[at * dim + d] ?? 0) *
          (k[(key * heads + head) * dim + d] ?? 0);
      }
      return Math.exp(sum / Math.sqrt(dim));
    });
    const total = scores.reduce((a, b) => a + b, 0);
    for (let d = 0; d < dim; d++) {
      let sum = 0;
      for (let key = 0; key < keys; key++) {
        sum += (scores[key] ?? 0) * (v[(key * heads + head) * dim + d] ?? 0);
      }
      out[at * dim + d] = sum / total;
    }
  }
  return out;
}

const none = new Float32Array(0);

/** A [rows, columns] matrix as [columns, rows]. */
export function transposed(
  matrix: Float32Array,
  rows: number,
  columns: number,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      out[c * rows + r] = matrix[r * columns + c] ?? 0;
    }
  }
  return out;
}

/** [token, head, dim] as [head, token, dim]. */
export function headsFirst(
  tensor: Float32Array,
  tokens: number,
  heads: number,
  dim: number,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(tokens * heads * dim);
  for (let t = 0; t < tokens; t++) {
    for (let h = 0; h < heads; h++) {
      const from = (t * heads + h) * dim;
      out.set(tensor.subarray(from, from + dim), (h * tokens + t) * dim);
    }
  }
  return out;
}
