import { assert, assertThrows } from "@std/assert";
import { emptyRank, visible } from "../../../engine/checkpoint/unit.ts";
import {
  attentionShares,
  type AttentionSharesArguments,
} from "../../../kernels/attention/attention_shares.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { scratchTensor, upload } from "../../../kernels/gpu/tensor.ts";
import { attentionShares as reference } from "../../reference/attention.ts";
import { integer, normal, random, roundToHalf } from "../../reference/random.ts";
import { plainRanks, randomStream, type Row } from "../../reference/stream.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

interface Case {
  heads: number;
  kvHeads: number;
  headDim: number;
  rows: readonly Row[];
  ranks: Int32Array;
  /** Slots that hold keys. */
  held: readonly number[];
  dtype: "f32" | "f16";
  classes?: number;
}

/** Random queries and keys; slots without a token hold NaN, and every slot has a random class. */
function problem(gpu: Gpu, next: () => number, given: Case) {
  const { heads, kvHeads, headDim, rows, ranks, held, dtype, classes = 21 } = given;
  const slots = ranks.length;
  const width = kvHeads * headDim;
  // Larger than normal: so that some weights are near 1 and the maximum matters.
  const q = normal(next, rows.length * heads * headDim, 2);
  const cache = normal(next, slots * width);
  const keys = dtype === "f16" ? roundToHalf(cache) : cache;
  const isHeld = new Set(held);
  ranks.forEach((rank, i) => {
    if (rank === emptyRank || !isHeld.has(i)) keys.fill(NaN, i * width, (i + 1) * width);
  });
  const classOf = Array.from(ranks, () => integer(next, 0, classes - 1));
  const order: number[] = [];
  const parts: number[] = [];
  for (let of = 0; of < classes; of++) {
    const own = held.filter((slot) => classOf[slot] === of);
    // Parts of one key up to all, and empty ones.
    for (let from = 0; from < own.length;) {
      const some = own.slice(from, from + integer(next, 0, own.length));
      parts.push(order.length, order.length + some.length, of, 0);
      order.push(...some);
      from += some.length;
    }
  }
  parts.push(0, 0, 0, 0);
  const ints = (label: string, shape: number[], data: number[] | Int32Array) =>
    surrounded(gpu, label, shape, Uint32Array.from(data));
  const tokens = rows.flatMap(({ slot, sight }) => [slot, sight.limit, sight.own, 7, 7, 7, 0, 0]);
  const args: AttentionSharesArguments = {
    label: "test",
    q: surrounded(gpu, "q", [rows.length, heads * headDim], q),
    keys: surrounded(gpu, "keys", [slots, width], keys, { dtype, offset: 8 }),
    ranks: { ...ints("ranks", [slots], ranks), dtype: "i32" },
    tokenTable: { ...ints("tokens", [rows.length, 8], tokens), dtype: "i32" },
    // What is past the held ones is never read.
    order: ints("order", [slots], [...order, ...Array(slots - order.length).fill(emptyRank)]),
    parts: ints("parts", [parts.length / 4, 4], parts),
    shares: poisoned(gpu, "shares", [classes], { offset: 3 }),
    heads,
    kvHeads,
    headDim,
  };
  const seen = rows.map(({ sight }) => held.filter((i) => visible(sight, ranks[i] ?? emptyRank)));
  const expected = reference({ q, keys, heads, kvHeads, headDim, seen }, classOf, classes);
  return { args, expected, seesAll: seen.every(({ length }) => length > 0) };
}

async function compare(gpu: Gpu, made: ReturnType<typeof problem>): Promise<void> {
  const { args, expected, seesAll } = made;
  const queries = (args.q.shape[0] ?? 0) * args.heads;
  const [parts = 0] = args.parts.shape;
  const scratches = {
    "attention_shares partials": [parts, queries, 2],
    "attention_shares queries": [queries, expected.length],
  };
  for (const [label, shape] of Object.entries(scratches)) {
    const scratch = scratchTensor(gpu, label, shape);
    upload(gpu, scratch, new Float32Array(scratch.buffer.size / 4).fill(NaN));
  }
  run(gpu, ...attentionShares(gpu, args));
  const actual = [...await readTensor(gpu, args.shares)];
  assertClose(actual, expected, { absolute: 2e-6 });
  if (seesAll) assertClose([actual.reduce((a, b) => a + b)], [1], { absolute: 1e-5 });
  for (const tensor of Object.values(args)) if (typeof tensor === "object") gpu.free(tensor.buffer);
}

const nano = { heads: 6, kvHeads: 2, headDim: 32 };

for (const dtype of ["f32", "f16"] as const) {
  withGpu(
    `attentionShares() in ${dtype} over random windows with sinks and prefill`,
    async (gpu) => {
      const next = random(21);
      for (let round = 0; round < 6; round++) {
        const { window, prefill, pass, noisy } = randomStream(next);
        const { ranks, used, noisyStart, noisyEnd } = window;
        const held = [...ranks.keys()].filter((i) => i < used || (i >= noisyStart && i < noisyEnd));
        for (const rows of [prefill, pass, noisy, pass.slice(-1)]) {
          if (rows.length === 0) continue;
          await compare(gpu, problem(gpu, next, { ...nano, rows, ranks, held, dtype }));
        }
      }
    },
  );

  withGpu(`attentionShares() in ${dtype} fits odd heads, sizes and long histories`, async (gpu) => {
    const next = random(22);
    for (
      const [heads, kvHeads, headDim, slots, classes] of [
        [16, 8, 128, 131, 21],
        [5, 5, 32, 67, 1],
        [3, 1, 8, 1501, 21],
        [4, 2, 64, 1, 2],
      ] as const
    ) {
      const ranks = plainRanks(next, slots, slots === 1 ? 0 : 0.1);
      const held = [...ranks.keys()].filter((slot) => slot % 7 !== 3);
      const rows = [0, 2, 190].map((limit, slot) => ({ slot, sight: { limit, own: 5 } }));
      const given = { heads, kvHeads, headDim, rows, ranks, held, dtype, classes };
      await compare(gpu, problem(gpu, next, given));
    }
  });
}

withGpu("attentionShares() counts a row that sees nothing with zeros", async (gpu) => {
  const next = random(23);
  const ranks = plainRanks(next, 40, 0);
  const rows = [-100, 3].map((limit, slot) => ({ slot, sight: { limit, own: -100 } }));
  const made = problem(gpu, next, { ...nano, rows, ranks, held: [...ranks.keys()], dtype: "f32" });
  assertClose([made.expected.reduce((a, b) => a + b)], [0.5], { absolute: 1e-9 });
  await compare(gpu, made);
});

withGpu("attentionShares() refuses shapes that don't fit", (gpu) => {
  const rows = [{ slot: 0, sight: { limit: 100, own: 100 } }];
  const ranks = plainRanks(random(24), 8);
  const given: Case = { ...nano, rows, ranks, held: [0, 1], dtype: "f32" };
  const { args } = problem(gpu, random(25), given);
  const wrong: Partial<AttentionSharesArguments>[] = [
    { heads: 5 },
    { headDim: 30 },
    { ranks: args.order },
    { order: args.parts },
    { parts: args.order },
    { shares: args.order },
    { q: { ...args.q, offset: 3 } },
  ];
  for (const change of wrong) {
    const message = "attention_shares test";
    assertThrows(() => attentionShares(gpu, { ...args, ...change }), RangeError, message);
  }
  assert(attentionShares(gpu, args).length > 0);
});
