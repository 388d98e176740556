import { assertEquals, assertThrows } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { copySlice, type SliceArguments } from "../../../kernels/attention/history_copy.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { integer, normal, random, roundToHalf } from "../../reference/random.ts";
import { poisoned, run, surrounded, withGpu } from "../support.ts";

const sizes = { layers: 3, slots: 50, width: 64 };

interface Problem {
  args: SliceArguments;
  /** Slot of each token. */
  slots: number[];
  /** What each layer's caches hold: keys, values. */
  data: Float32Array[][];
}

function problem(gpu: Gpu, next: () => number, rows: number, dtype: "f32" | "f16"): Problem {
  const { layers, slots, width } = sizes;
  const options = { dtype, offset: 8 };
  const cache = (name: string) => {
    const data = normal(next, slots * width);
    return {
      data: dtype === "f16" ? roundToHalf(data) : data,
      tensor: surrounded(gpu, name, [slots, width], data, options),
    };
  };
  const made = Array.from({ length: layers }, () => [cache("keys"), cache("values")] as const);
  // Two runs, as a tick's tokens have them.
  const [start, cut] = [integer(next, 0, 9), integer(next, 0, rows)];
  const chosen = Array.from({ length: rows }, (_, i) => start + i + (i < cut ? 0 : 7));
  const tokens = chosen.flatMap((slot) => [slot, 9, 9, 9, 9, 9, 0, 0]);
  const ints = surrounded(gpu, "tokens", [rows, 8], Uint32Array.from(tokens));
  return {
    args: {
      label: "test",
      caches: made.map(([keys, values]) => ({ keys: keys.tensor, values: values.tensor })),
      tokenTable: { ...ints, dtype: "i32" },
      slice: poisoned(gpu, "slice", [layers, 2, rows, width], options),
    },
    slots: chosen,
    data: made.map((pair) => pair.map(({ data }) => data)),
  };
}

function row(data: ArrayLike<number>, slot: number): number[] {
  const { width } = sizes;
  return Array.from({ length: width }, (_, i) => data[slot * width + i] ?? NaN);
}

for (const dtype of ["f32", "f16"] as const) {
  for (const rows of [1, 27]) {
    withGpu(`copySlice() collects ${rows} ${dtype} rows of every layer`, async (gpu) => {
      const { args, slots, data } = problem(gpu, random(31), rows, dtype);
      run(gpu, ...copySlice(gpu, "gather", args));
      const expected = data.flat().flatMap((cache) => slots.flatMap((slot) => row(cache, slot)));
      assertEquals([...await readTensor(gpu, args.slice)], expected);
    });

    withGpu(
      `copySlice() puts ${rows} ${dtype} rows of every layer back elsewhere`,
      async (gpu) => {
        const source = problem(gpu, random(32), rows, dtype);
        const target = problem(gpu, random(33), rows, dtype);
        run(
          gpu,
          ...copySlice(gpu, "gather", source.args),
          ...copySlice(gpu, "scatter", { ...target.args, slice: source.args.slice }),
        );
        for (let layer = 0; layer < sizes.layers; layer++) {
          for (const [i, name] of (["keys", "values"] as const).entries()) {
            const expected = target.data[layer]?.[i] ?? new Float32Array();
            target.slots.forEach((slot, r) => {
              const from = row(source.data[layer]?.[i] ?? [], source.slots[r] ?? 0);
              expected.set(from, slot * sizes.width);
            });
            const cache = target.args.caches[layer]?.[name] ?? target.args.slice;
            assertEquals([...await readTensor(gpu, cache)], [...expected]);
          }
        }
      },
    );
  }
}

withGpu("copySlice() refuses shapes that don't fit", (gpu) => {
  const { args } = problem(gpu, random(34), 4, "f32");
  const { slice, caches } = args;
  const wrong: Partial<SliceArguments>[] = [
    { caches: caches.slice(1) },
    { tokenTable: slice },
    { slice: { ...slice, dtype: "f16" } },
    { slice: { ...slice, offset: 6 } },
    { slice: { ...slice, shape: [3, 2, 64, 4] } },
  ];
  for (const change of wrong) {
    assertThrows(() => copySlice(gpu, "gather", { ...args, ...change }), RangeError, "slice test");
  }
});
