import { assertEquals, assertThrows } from "@std/assert";
import { lookup, nearest } from "../../../kernels/tokens/nearest.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { packWeight } from "../../../kernels/matmul/packed_weight.ts";
import { integer, normal, random } from "../../reference/random.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

withGpu("nearest() takes the first of the lowest scores and its entry off", async (gpu) => {
  const next = random(1);
  for (
    const [rows, entries, width] of [[1, 1, 4], [3, 20, 8], [2, 2048, 16], [5, 7, 36]] as const
  ) {
    for (const texture of [true, false]) {
      const table = normal(next, entries * width);
      const book = packWeight(gpu, "book", table, entries, width, "f32", { texture });
      // Few different scores: many are equal.
      const scores = Float32Array.from({ length: rows * entries }, () => integer(next, -3, 3));
      const vectors = normal(next, rows * width);
      const left = surrounded(gpu, "left", [rows, width], vectors);
      const codes = surrounded(gpu, "codes", [rows, 3], new Float32Array(rows * 3).fill(-1));
      const args = { label: "test", scores: surrounded(gpu, "s", [rows, entries], scores), codes };
      run(gpu, nearest(gpu, { ...args, book, left, index: 1 }));
      const found = Array.from({ length: rows }, (_, row) => {
        const own = scores.subarray(row * entries, (row + 1) * entries);
        return own.indexOf(Math.min(...own));
      });
      assertEquals([...await readTensor(gpu, codes)], found.flatMap((code) => [-1, code, -1]));
      const expected = vectors.map((v, i) =>
        v + (table[(found[Math.floor(i / width)] ?? 0) * width + i % width] ?? NaN)
      );
      assertClose(await readTensor(gpu, left), expected, { absolute: 1e-6 });
    }
  }
});

withGpu("lookup() adds entries up; codes are rounded and clamped", async (gpu) => {
  const next = random(2);
  const [rows, count, size, width] = [5, 3, 9, 12];
  const table = normal(next, count * size * width);
  const entries = surrounded(gpu, "entries", [count, size, width], table);
  const data = Float32Array.from({ length: rows * 5 }, () => integer(next, 0, size - 1));
  data.set([-7, 1e9, 2.4], 2);
  const codes = surrounded(gpu, "codes", [rows, 5], data, { offset: 3 });
  const y = poisoned(gpu, "y", [rows, width]);
  run(gpu, lookup(gpu, { label: "test", codes, entries, y, first: 2 }));
  const expected = Array.from({ length: rows * width }, (_, i) => {
    const row = Math.floor(i / width);
    return Array.from({ length: count }, (_, book) => {
      const code = Math.min(size - 1, Math.max(0, Math.round(data[row * 5 + 2 + book] ?? NaN)));
      return table[(book * size + code) * width + i % width] ?? NaN;
    }).reduce((a, b) => a + b);
  });
  assertClose(await readTensor(gpu, y), expected, { absolute: 1e-5 });
  const args = { label: "test", codes, entries, y };
  assertThrows(() => lookup(gpu, { ...args, first: 3 }), RangeError, "3 codes of 5 from 3 on");
});
