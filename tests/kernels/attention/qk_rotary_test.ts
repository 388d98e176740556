import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import {
  qkRotary,
  type QkRotaryArguments,
  rotaryTurns,
} from "../../../kernels/attention/qk_rotary.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import type { Tensor } from "../../../kernels/gpu/tensor.ts";
import { integer, normal, random, roundToHalf, uniform } from "../../reference/random.ts";
import { angle, headNorm, rotate } from "../../reference/rotary.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

interface Shape {
  heads: number;
  kvHeads: number;
  headDim: number;
  rows: number;
  sections?: [number, number, number];
  /** Without a norm. */
  bare?: true;
}

const shapes: Shape[] = [
  { heads: 6, kvHeads: 2, headDim: 32, rows: 27, sections: [8, 4, 4] },
  { heads: 6, kvHeads: 2, headDim: 32, rows: 1 },
  { heads: 16, kvHeads: 8, headDim: 128, rows: 9, sections: [24, 20, 20] },
  { heads: 3, kvHeads: 1, headDim: 8, rows: 70 },
  { heads: 2, kvHeads: 2, headDim: 64, rows: 8, sections: [12, 10, 10] },
  { heads: 4, kvHeads: 2, headDim: 16, rows: 11, bare: true },
];

interface Problem {
  args: QkRotaryArguments;
  expected: { q: number[]; keys: Float32Array; values: Float32Array };
}

function problem(
  gpu: Gpu,
  next: () => number,
  { heads, kvHeads, headDim, rows, sections, bare }: Shape,
  dtype: "f32" | "f16",
  position: () => number,
): Problem {
  const width = kvHeads * headDim;
  const slots = 2 * rows + 3;
  const eps = bare ? null : 1e-6;
  const qkv = normal(next, rows * (heads + 2 * kvHeads) * headDim, 3);
  const qNorm = uniform(next, headDim, 0.5, 2);
  const kNorm = uniform(next, headDim, -2, 2);
  const norm = (x: Float32Array, weight: Float32Array) =>
    eps === null ? [...x].map((v, i) => v * (weight[i] ?? NaN)) : headNorm(x, weight, eps);
  const { turns, axes } = rotaryTurns(headDim, 1e6, sections);
  const free = Array.from({ length: slots }, (_, i) => i);
  const expected = {
    q: [] as number[],
    keys: new Float32Array(slots * width).fill(NaN),
    values: new Float32Array(slots * width).fill(NaN),
  };
  const tokens: number[] = [];
  for (let row = 0; row < rows; row++) {
    const [slot = 0] = free.splice(integer(next, 0, free.length - 1), 1);
    const place = [position(), position(), position()];
    tokens.push(slot, 5, 5, ...place, 0, 0);
    const angles = Array.from(
      { length: headDim / 2 },
      (_, i) => angle(place[axes[i] ?? 0] ?? 0, turns[i] ?? 0),
    );
    for (let head = 0; head < heads + 2 * kvHeads; head++) {
      const at = (row * (heads + 2 * kvHeads) + head) * headDim;
      const x = qkv.subarray(at, at + headDim);
      if (head < heads) {
        expected.q.push(...rotate(norm(x, qNorm), angles));
        continue;
      }
      const to = slot * width + ((head - heads) % kvHeads) * headDim;
      if (head < heads + kvHeads) expected.keys.set(rotate(norm(x, kNorm), angles), to);
      else expected.values.set(x, to);
    }
  }
  const ints = (label: string, shape: number[], data: ArrayLike<number>): Tensor => ({
    ...surrounded(gpu, label, shape, Uint32Array.from(data)),
    dtype: "i32",
  });
  const options = { dtype, offset: 8 };
  const args = {
    label: "test",
    qkv: surrounded(gpu, "qkv", [rows, (heads + 2 * kvHeads) * headDim], qkv),
    qNorm: surrounded(gpu, "q norm", [headDim], qNorm, { offset: 64 }),
    kNorm: surrounded(gpu, "k norm", [headDim], kNorm, { offset: 64 }),
    eps,
    turns: surrounded(gpu, "turns", [headDim / 2], turns, { offset: 64 }),
    axes: surrounded(gpu, "axes", [headDim / 2], axes, { offset: 64 }),
    tokenTable: ints("tokens", [rows, 8], tokens),
    q: poisoned(gpu, "q", [rows, heads * headDim]),
    keys: poisoned(gpu, "keys", [slots, width], options),
    values: poisoned(gpu, "values", [slots, width], options),
    heads,
    kvHeads,
    headDim,
  };
  return { args, expected };
}

/** Compares where a value is expected; all else must still be the poison. */
function assertWritten(actual: ArrayLike<number>, expected: Float32Array, relative: number): void {
  const at = [...expected.keys()].filter((i) => !Number.isNaN(expected[i]));
  assertClose(at.map((i) => actual[i] ?? NaN), at.map((i) => expected[i] ?? NaN), {
    relative,
    absolute: 1e-5,
  });
  const rest = [...expected.keys()].filter((i) => Number.isNaN(expected[i]));
  assert(rest.every((i) => Number.isNaN(actual[i])), "a slot of no row was written");
}

for (const dtype of ["f32", "f16"] as const) {
  withGpu(
    `qkRotary() in ${dtype} equals the reference for the heads of every preset`,
    async (gpu) => {
      const next = random(21);
      for (const shape of shapes) {
        for (const most of [50, 4_000_000]) {
          const position = () => integer(next, most === 50 ? 0 : 1_000_000, most);
          const { args, expected } = problem(gpu, next, shape, dtype, position);
          run(gpu, qkRotary(gpu, args));
          const options = { absolute: 1e-5, relative: 1e-5, shape: args.q.shape };
          assertClose(await readTensor(gpu, args.q), expected.q, options);
          // Half a unit in the last place of f16 is 2^-11.
          const relative = dtype === "f16" ? 2 ** -11 * 1.01 : 1e-5;
          assertWritten(await readTensor(gpu, args.keys), expected.keys, relative);
          const values = await readTensor(gpu, args.values);
          assertWritten(
            values,
            dtype === "f16" ? roundToHalf(expected.values) : expected.values,
            0,
          );
        }
      }
    },
  );
}

withGpu("qkRotary() turns the same angle between two tokens wherever they stand", async (gpu) => {
  const shape = { heads: 1, kvHeads: 1, headDim: 32, rows: 2 };
  const products: number[] = [];
  // Positions near the end of 32 bits: 124 days at 25 positions per second and more.
  for (const start of [0, 1_000_000, 268_435_399, 2_147_483_000]) {
    const { args } = problem(gpu, random(22), shape, "f32", () => 0);
    const later = start + 17;
    const tokens = [0, 5, 5, start, start, start, 0, 0, 1, 5, 5, later, later, later, 0, 0];
    gpu.device.queue.writeBuffer(args.tokenTable.buffer, 16, new Int32Array(tokens));
    run(gpu, qkRotary(gpu, args));
    const q = await readTensor(gpu, args.q);
    const keys = await readTensor(gpu, args.keys);
    let dot = 0;
    for (let d = 0; d < 32; d++) dot += (q[d] ?? NaN) * (keys[32 + d] ?? NaN);
    products.push(dot);
  }
  const [first = NaN] = products;
  assertClose(products, products.map(() => first), { absolute: 2e-5 });
});

Deno.test("rotaryTurns() gives theta^(-2i/d) to 2^-33 turns", () => {
  for (const [headDim, theta] of [[32, 1e4], [64, 1e6], [128, 1e6]] as const) {
    const { turns, axes } = rotaryTurns(headDim, theta);
    assertEquals(turns.length, headDim / 2);
    turns.forEach((turn, i) => {
      const frequency = 1 / theta ** ((2 * i) / headDim);
      assert(Math.abs(turn / 2 ** 32 - frequency / (2 * Math.PI)) <= 2 ** -33);
    });
    assert(axes.every((axis) => axis === 0));
  }
});

Deno.test("rotaryTurns() interleaves the axes as Qwen3-VL does", () => {
  assertEquals([...rotaryTurns(16, 1e4, [4, 2, 2]).axes], [0, 1, 2, 0, 1, 2, 0, 0]);
  assertEquals([...rotaryTurns(16, 1e4, [5, 2, 1]).axes], [0, 1, 2, 0, 1, 0, 0, 0]);
  const { axes } = rotaryTurns(128, 1e6, [24, 20, 20]);
  const counts = [0, 1, 2].map((axis) => axes.filter((a) => a === axis).length);
  assertEquals(counts, [24, 20, 20]);
});

withGpu("qkRotary() refuses shapes that don't fit", (gpu) => {
  const next = random(23);
  const { args } = problem(
    gpu,
    next,
    { heads: 2, kvHeads: 1, headDim: 16, rows: 2 },
    "f32",
    () => 1,
  );
  const wrong: Partial<QkRotaryArguments>[] = [
    { heads: 3 },
    { headDim: 12 },
    { qNorm: args.turns },
    { tokenTable: args.turns },
    { values: { ...args.values, dtype: "f16" } },
    { qkv: { ...args.qkv, offset: 2 } },
  ];
  for (const change of wrong) {
    assertThrows(() => qkRotary(gpu, { ...args, ...change }), RangeError, "qk rotary test");
  }
});
