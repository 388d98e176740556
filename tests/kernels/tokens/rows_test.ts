import { assertEquals, assertThrows } from "@std/assert";
import { timeFeatures } from "../../../kernels/tokens/embed.ts";
import { embed, fillRows } from "../../../kernels/tokens/embed.ts";
import { freeWeight, packWeight } from "../../../kernels/matmul/packed_weight.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { layernorm } from "../../../kernels/tokens/layernorm.ts";
import { rmsnorm } from "../../../kernels/tokens/rmsnorm.ts";
import { makeTensor, rows } from "../../../kernels/gpu/tensor.ts";
import { integer, normal, random, roundToHalf } from "../../reference/random.ts";
import * as reference from "../../reference/rows.ts";
import { layernorm as layernormReference } from "../../reference/window_attention.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

withGpu("rmsnorm() equals float64 at the models' and odd shapes", async (gpu) => {
  for (const [M, D] of [[27, 192], [1, 1024], [3, 4], [2, 36], [5, 260], [1, 128]] as const) {
    const next = random(D);
    const xs = normal(next, M * D, 3);
    const weights = normal(next, D, 0.2, 1);
    const y = poisoned(gpu, "y", [M, D]);
    const x = surrounded(gpu, "x", [M, D], xs);
    const weight = surrounded(gpu, "weight", [D], weights, { offset: 12 });
    run(gpu, rmsnorm(gpu, { label: "test", x, weight, eps: 1e-6, y }));
    const expected = reference.rmsnorm(xs, weights, 1e-6);
    assertClose(await readTensor(gpu, y), expected, {
      absolute: 1e-6,
      relative: 1e-5,
      shape: [M, D],
    });
  }
});

withGpu("layernorm() equals float64 at odd shapes, far from zero too", async (gpu) => {
  for (const [M, D, mean] of [[4, 512, 0], [1, 4, 3], [7, 36, -2], [5, 260, 1000]] as const) {
    const next = random(D);
    const xs = normal(next, M * D, 3, mean);
    const weights = normal(next, D, 0.2, 1);
    const biases = normal(next, D);
    const y = poisoned(gpu, "y", [M, D]);
    const x = surrounded(gpu, "x", [M, D], xs);
    const weight = surrounded(gpu, "weight", [D], weights, { offset: 12 });
    const bias = surrounded(gpu, "bias", [D], biases);
    run(gpu, layernorm(gpu, { label: "test", x, weight, bias, eps: 1e-5, y }));
    const expected = Array.from({ length: M }, (_, m) => xs.subarray(m * D, (m + 1) * D))
      .flatMap((row) => layernormReference(row, weights, biases, 1e-5));
    assertClose(await readTensor(gpu, y), expected, {
      absolute: mean > 100 ? 1e-4 : 1e-5,
      relative: 1e-5,
      shape: [M, D],
    });
  }
});

withGpu("rmsnorm() of zeros is zero, and eps counts", async (gpu) => {
  const x = surrounded(gpu, "x", [2, 4], Float32Array.of(0, 0, 0, 0, 1e-3, 0, 0, 0));
  const weight = surrounded(gpu, "weight", [4], new Float32Array(4).fill(1));
  const y = poisoned(gpu, "y", [2, 4]);
  run(gpu, rmsnorm(gpu, { label: "test", x, weight, eps: 1e-6, y }));
  const big = 1e-3 / Math.sqrt(1e-6 / 4 + 1e-6);
  assertClose(await readTensor(gpu, y), [0, 0, 0, 0, big, 0, 0, 0], { relative: 1e-5 });
});

withGpu("embed() looks rows up in packed tables of every storage and in parts", async (gpu) => {
  const [V, D, M] = [51, 36, 20];
  const next = random(7);
  const table = normal(next, V * D);
  const type = normal(next, D);
  const ids = Uint32Array.from({ length: M }, () => integer(next, 0, V - 1));
  // The ends, and one past the end (it reads the last row).
  ids.set([0, V - 1, V, 15, 16]);
  for (const dtype of ["f32", "f16"] as const) {
    for (const texture of [true, false]) {
      for (const partBytes of [1 << 20, 2 * 8 * D * 4]) {
        const packed = packWeight(gpu, "table", table, V, D, dtype, { texture, partBytes });
        const y = poisoned(gpu, "y", [M, D]);
        const args = {
          ids: surrounded(gpu, "ids", [M], ids, { offset: 3 }),
          add: surrounded(gpu, "add", [D], type),
        };
        run(gpu, ...embed(gpu, { label: "test", table: packed, y, ...args }));
        const stored = dtype === "f16" ? roundToHalf(table) : table;
        const expected = Float64Array.from({ length: M * D }, (_, i) => {
          const row = Math.min(ids[Math.floor(i / D)] ?? 0, V - 1);
          return (stored[row * D + i % D] ?? NaN) + (type[i % D] ?? NaN);
        });
        assertClose(await readTensor(gpu, y), expected, { absolute: 1e-6, shape: [M, D] });
        freeWeight(gpu, packed);
      }
    }
  }
});

withGpu(
  "fillRows() repeats a vector, with another added, in the wanted rows alone",
  async (gpu) => {
    const next = random(3);
    const [row, add] = [normal(next, 12), normal(next, 12)];
    const y = poisoned(gpu, "y", [6, 12]);
    const tensors = [surrounded(gpu, "row", [12], row), surrounded(gpu, "add", [12], add)] as const;
    run(
      gpu,
      fillRows(gpu, { label: "one", row: tensors[0], y: rows(y, 1, 2) }),
      fillRows(gpu, { label: "two", row: tensors[0], add: tensors[1], y: rows(y, 4, 1) }),
    );
    const actual = await readTensor(gpu, y);
    assertEquals([...actual.subarray(12, 36)], [...row, ...row]);
    assertClose(actual.subarray(48, 60), row.map((v, i) => v + (add[i] ?? NaN)), {
      absolute: 1e-6,
    });
    assertEquals(actual.filter(Number.isNaN).length, 3 * 12);
  },
);

withGpu("timeFeatures() equals float64 at every frequency", async (gpu) => {
  const tau = [0, 0.001, 0.25, 0.7351, 1];
  for (const width of [256, 6]) {
    const y = poisoned(gpu, "y", [tau.length, width]);
    run(gpu, timeFeatures(gpu, { label: "test", tau, y }));
    const expected = reference.timeFeatures(tau, width);
    assertClose(await readTensor(gpu, y), expected, { absolute: 2e-4, shape: y.shape });
  }
});

withGpu("the row kernels refuse shapes that don't fit", (gpu) => {
  const make = (...shape: number[]) => makeTensor(gpu, "t", shape);
  const label = "bad";
  const [x, weight, y] = [make(2, 8), make(8), make(2, 8)];
  const table = packWeight(gpu, "table", new Float32Array(64), 8, 8, "f32");
  const ids = makeTensor(gpu, "ids", [2], "u32");
  const bad = [
    () => rmsnorm(gpu, { label, x, weight: make(4), eps: 0, y }),
    () => rmsnorm(gpu, { label, x, weight, eps: 0, y: x }),
    () => embed(gpu, { label, ids, table, add: make(4), y }),
    () => embed(gpu, { label, ids: make(2), table, add: weight, y }),
    () => fillRows(gpu, { label, row: make(4), y }),
    () => timeFeatures(gpu, { label, tau: [0], y }),
  ];
  for (const make of bad) assertThrows(make, RangeError, label);
});
