import { assertEquals, assertThrows } from "@std/assert";
import { matmul, packWeight } from "../../../kernels/matmul/matmul.ts";
import { rowTile } from "../../../kernels/matmul/matmul_variant.ts";
import type { PackOptions } from "../../../kernels/matmul/packed_weight.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { makeTensor, reshape, rows } from "../../../kernels/gpu/tensor.ts";
import { matmul as reference } from "../../reference/matmul.ts";
import { normal, random } from "../../reference/random.ts";
import { checkProduct } from "./matmul_check.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

for (const texture of [true, false]) {
  const where = texture ? "textures" : "storage buffers";

  withGpu(`matmul() equals float64 at the models' shapes, from ${where}`, async (gpu) => {
    for (const dtype of ["f32", "f16"] as const) {
      for (const [M, N, K] of [[27, 320, 192], [18, 192, 512], [36, 48, 192], [1, 272, 192]]) {
        await checkProduct(gpu, { rows: M ?? 0, outputs: N ?? 0, inputs: K ?? 0, dtype, texture });
      }
    }
  });

  withGpu(`matmul() equals float64 at odd shapes, from ${where}`, async (gpu) => {
    for (
      const [M, N, K] of [[1, 1, 4], [2, 3, 8], [3, 4, 12], [9, 8, 32], [10, 13, 20], [20, 160, 48]]
    ) {
      await checkProduct(gpu, {
        rows: M ?? 0,
        outputs: N ?? 0,
        inputs: K ?? 0,
        dtype: "f32",
        texture,
      }, M);
    }
  });

  withGpu(`matmul() adds bias, activation, and to y, from ${where}`, async (gpu) => {
    const shape = { rows: 5, inputs: 16, dtype: "f32", texture } as const;
    for (const outputs of [20, 7]) {
      await checkProduct(gpu, { ...shape, outputs, bias: true });
      for (const activation of ["silu", "elu", "gelu"] as const) {
        await checkProduct(gpu, { ...shape, outputs, bias: true, activation });
      }
      await checkProduct(gpu, { ...shape, outputs, accumulate: true });
      await checkProduct(gpu, { ...shape, outputs, bias: true, accumulate: true });
    }
  });

  withGpu(`matmul() norms its rows and gates its outputs, from ${where}`, async (gpu) => {
    const shape = { rows: 11, texture } as const;
    for (const dtype of ["f32", "f16"] as const) {
      await checkProduct(gpu, { ...shape, dtype, outputs: 64, inputs: 192, norm: true });
      await checkProduct(gpu, { ...shape, dtype, outputs: 72, inputs: 36, gated: true });
      await checkProduct(gpu, {
        ...shape,
        dtype,
        outputs: 1024,
        inputs: 192,
        gated: true,
        norm: true,
      });
    }
    const small = { ...shape, dtype: "f32", gated: true, partBytes: 3 * 8 * 20 * 4 } as const;
    await checkProduct(gpu, { ...small, outputs: 56, inputs: 20, accumulate: true });
    await checkProduct(gpu, {
      ...shape,
      dtype: "f32",
      outputs: 7,
      inputs: 8,
      norm: true,
      bias: true,
    });
  });

  withGpu(`matmul() splits a weight that is larger than a binding, from ${where}`, async (gpu) => {
    // 2 panels of 8 outputs per part: 3 parts, the last ragged.
    const shape = { rows: 3, outputs: 44, inputs: 64, texture, bias: true } as const;
    await checkProduct(gpu, { ...shape, dtype: "f32", partBytes: 2 * 8 * 64 * 4 + 100 });
    await checkProduct(gpu, { ...shape, dtype: "f16", partBytes: 2 * 8 * 64 * 2 + 100 });
  });
}

withGpu("matmul() at a deep product stays within float32's error", async (gpu) => {
  for (const dtype of ["f32", "f16"] as const) {
    await checkProduct(gpu, { rows: 4, outputs: 40, inputs: 3072, dtype, texture: true });
  }
});

withGpu("matmul() takes rows of a larger tensor", async (gpu) => {
  const next = random(9);
  const xs = normal(next, 12 * 16);
  const weights = normal(next, 8 * 16);
  const all = surrounded(gpu, "x", [12, 16], xs);
  const y = poisoned(gpu, "y", [12, 8]);
  const weight = packWeight(gpu, "w", weights, 8, 16, "f32");
  run(gpu, ...matmul(gpu, { label: "rows", x: rows(all, 4, 3), weight, y: rows(y, 7, 3) }));
  const expected = new Float64Array(12 * 8).fill(NaN);
  expected.set(
    reference(xs.subarray(4 * 16, 7 * 16), weights, { rows: 3, outputs: 8, inputs: 16 }),
    7 * 8,
  );
  const actual = await readTensor(gpu, y);
  assertClose(actual.subarray(56, 80), expected.subarray(56, 80), { absolute: 1e-5 });
  assertEquals(actual.filter(Number.isNaN).length, 9 * 8);
});

withGpu("matmul() refuses shapes that don't fit and a y that is read", (gpu) => {
  const weight = packWeight(gpu, "w", new Float32Array(8 * 16), 8, 16, "f32");
  const x = makeTensor(gpu, "x", [2, 16]);
  const y = makeTensor(gpu, "y", [2, 8]);
  const bad = (args: Partial<Parameters<typeof matmul>[1]>, message: string) =>
    assertThrows(() => matmul(gpu, { label: "bad", x, weight, y, ...args }), RangeError, message);
  bad({ x: makeTensor(gpu, "x", [2, 12]) }, "matmul bad");
  bad({ y: makeTensor(gpu, "y", [3, 8]) }, "matmul bad");
  bad({ bias: makeTensor(gpu, "b", [4]) }, "matmul bad");
  const square = packWeight(gpu, "w", new Float32Array(64), 8, 8, "f32");
  bad({ x: reshape(rows(y, 0, 1), [1, 8]), y: rows(y, 1, 1), weight: square }, "shares a buffer");
  const gated = packWeight(gpu, "w", new Float32Array(8 * 16), 8, 16, "f32", { gated: true });
  bad({ weight: gated }, "matmul bad");
  bad({ weight: gated, y: makeTensor(gpu, "y", [2, 4]), bias: makeTensor(gpu, "b", [4]) }, "bad");
  const pack = (outputs: number, inputs: number, options: PackOptions = {}) =>
    assertThrows(
      () =>
        packWeight(gpu, "w", new Float32Array(outputs * inputs), outputs, inputs, "f32", options),
      RangeError,
    );
  pack(8, 6);
  pack(12, 8, { gated: true });
  pack(8, 8, { scale: new Float32Array(4) });
  pack(8, 8, { partBytes: 8 * 8 * 4 - 1 });
});

Deno.test("rowTile() parts rows evenly", () => {
  assertEquals([1, 2, 9, 10, 18, 20, 27, 36, 64].map((rows) => rowTile(rows)), [
    1,
    2,
    9,
    5,
    9,
    7,
    9,
    9,
    8,
  ]);
});
