import { assertEquals } from "@std/assert";
import { ours, plain } from "../../../scripts/peers/ours.ts";
import {
  expected,
  headsFirst,
  operands,
  transposed,
  workFlops,
  workName,
  works,
} from "../../../scripts/peers/work.ts";
import { assertClose, withGpu } from "../../kernels/support.ts";

Deno.test("expected() is x W^T, and attention of one key gives that key's values", () => {
  const x = Float32Array.of(1, 2, 3, 4);
  const w = Float32Array.of(1, 0, 0, 1, 1, 1);
  const product = { kind: "product", rows: 2, outputs: 3, inputs: 2 } as const;
  assertEquals([...expected(product, { x, w })], [1, 2, 3, 3, 4, 7]);
  assertEquals(workFlops(product), 24);
  const v = Float32Array.of(5, 6, 7, 8);
  const one = { kind: "attention", queries: 1, keys: 1, heads: 2, dim: 2 } as const;
  assertEquals([...expected(one, { q: x, k: x, v })], [5, 6, 7, 8]);
  // Equal scores: the mean of the values, head by head.
  const two = { ...one, keys: 2, heads: 1 };
  const q = new Float32Array(2);
  assertEquals([...expected(two, { q, k: x, v })], [6, 7]);
});

Deno.test("transposed() and headsFirst() only move values", () => {
  const numbers = Float32Array.of(1, 2, 3, 4, 5, 6);
  assertEquals([...transposed(numbers, 2, 3)], [1, 4, 2, 5, 3, 6]);
  assertEquals([...transposed(transposed(numbers, 2, 3), 3, 2)], [...numbers]);
  assertEquals([...headsFirst(numbers, 3, 2, 1)], [1, 3, 5, 2, 4, 6]);
});

withGpu(
  "this engine's kernels and the plainest ones give what all peers must give",
  async (gpu) => {
    for (const work of works) {
      if (workFlops(work) > 1e7) continue;
      const given = operands(work);
      const want = expected(work, given);
      for (const library of [await ours(gpu, false), plain(gpu)]) {
        const run = await library.prepare(work, given);
        const result = await run(2);
        try {
          assertClose(result, want, { absolute: 1e-4 });
        } catch (error) {
          throw new Error(`${library.name}, ${workName(work)}`, { cause: error });
        }
      }
    }
  },
);
