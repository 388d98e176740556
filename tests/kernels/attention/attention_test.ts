import { assert, assertThrows } from "@std/assert";
import { emptyRank, type Sight, visible } from "../../../engine/checkpoint/unit.ts";
import {
  attention,
  type AttentionArguments,
  type AttentionVariant,
  attentionVariant,
  attentionVariants,
} from "../../../kernels/attention/attention.ts";
import { fitsPairs } from "../../../kernels/attention/attention_pairs.ts";
import type { AttentionTiles } from "../../../kernels/attention/attention_tiles.ts";
import { Gpu } from "../../../kernels/gpu/device.ts";
import { tune } from "../../../kernels/measure/tune.ts";
import { attentionProblem } from "../../../kernels/measure/tune_attention.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { room as roomBytes, type Tensor } from "../../../kernels/gpu/tensor.ts";
import { attention as reference } from "../../reference/attention.ts";
import { normal, random, roundToHalf } from "../../reference/random.ts";
import { plainRanks, randomStream, type Row } from "../../reference/stream.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

interface Case {
  heads: number;
  kvHeads: number;
  headDim: number;
  rows: readonly Row[];
  ranks: Int32Array;
  used: number;
  scratch: readonly [start: number, end: number];
  dtype: "f32" | "f16";
}

interface Problem {
  args: AttentionArguments;
  expected: Float64Array;
}

function ints(
  gpu: Gpu,
  label: string,
  shape: readonly number[],
  data: ArrayLike<number>,
  room = 8,
): Tensor {
  return { ...surrounded(gpu, label, shape, Uint32Array.from(data), { room }), dtype: "i32" };
}

/** Random queries and caches; slots without a token hold NaN. */
function problem(gpu: Gpu, next: () => number, given: Case): Problem {
  const { heads, kvHeads, headDim, rows, ranks, used, scratch, dtype } = given;
  const slots = ranks.length;
  const width = kvHeads * headDim;
  // Larger than normal: so that some weights are near 1 and the maximum matters.
  const q = normal(next, rows.length * heads * headDim, 2);
  const cache = (mean: number) => {
    const data = normal(next, slots * width, 1, mean);
    return dtype === "f16" ? roundToHalf(data) : data;
  };
  const [keys, values] = [cache(0), cache(0.5)];
  const slot = (i: number) => i < used || (i >= scratch[0] && i < scratch[1]);
  ranks.forEach((rank, i) => {
    if (rank !== emptyRank && slot(i)) return;
    keys.fill(NaN, i * width, (i + 1) * width);
    values.fill(NaN, i * width, (i + 1) * width);
  });
  const held = [...ranks.keys()].filter(slot);
  const seen = rows.map((row) => held.filter((i) => visible(row.sight, ranks[i] ?? emptyRank)));
  const tokens = rows.flatMap(({ slot, sight }) => [slot, sight.limit, sight.own, 7, 7, 7, 0, 0]);
  const shape = [slots, width];
  const options = { dtype, offset: 8 };
  const whole = [rows.length, heads * headDim];
  // With room and without: a uniform is then as large as may be, or as its tensor.
  const room = dtype === "f32" ? roomBytes.uniform / 4 : 8;
  const padded = ints(
    gpu,
    "ranks",
    [Math.ceil(slots / 4) * 4],
    [...ranks, 0, 0, 0].slice(0, Math.ceil(slots / 4) * 4),
    room,
  );
  const args = {
    label: "test",
    q: surrounded(gpu, "q", whole, q, { room }),
    keys: surrounded(gpu, "keys", shape, keys, options),
    values: surrounded(gpu, "values", shape, values, options),
    ranks: { ...padded, shape: [slots] },
    tokenTable: ints(gpu, "tokens", [rows.length, 8], tokens),
    held: ints(gpu, "held", [4], [used, ...scratch, 0]),
    out: poisoned(gpu, "out", whole),
    heads,
    kvHeads,
    headDim,
  };
  return { args, expected: reference({ q, keys, values, heads, kvHeads, headDim, seen }) };
}

async function compare(
  gpu: Gpu,
  { args, expected }: Problem,
  variant?: Partial<AttentionVariant>,
): Promise<void> {
  run(gpu, ...attention(gpu, args, variant));
  const actual = await readTensor(gpu, args.out);
  // Values are about 1: an error of 1e-5 is one of f32's sums, and of f16 storage too, since the
  // reference has the rounded caches.
  assertClose(actual, expected, { absolute: 1e-5, relative: 1e-5, shape: args.out.shape });
  for (
    const { buffer } of [args.q, args.keys, args.values, args.ranks, args.tokenTable, args.out]
  ) {
    gpu.free(buffer);
  }
}

const nano = { heads: 6, kvHeads: 2, headDim: 32 };
const shapes = [
  nano,
  { heads: 16, kvHeads: 8, headDim: 128 },
  { heads: 5, kvHeads: 5, headDim: 32 },
  { heads: 4, kvHeads: 2, headDim: 64 },
  { heads: 3, kvHeads: 1, headDim: 8 },
];

for (const dtype of ["f32", "f16"] as const) {
  withGpu(`attention() in ${dtype} sees what visible() says, over random streams`, async (gpu) => {
    const next = random(11);
    for (let round = 0; round < 8; round++) {
      const { window, prefill, pass, noisy } = randomStream(next);
      const { ranks, used, noisyStart, noisyEnd } = window;
      const scratch = [noisyStart, noisyEnd] as const;
      for (const rows of [prefill, pass, noisy, pass.slice(-1)]) {
        if (rows.length === 0) continue;
        await compare(gpu, problem(gpu, next, { ...nano, rows, ranks, used, scratch, dtype }));
      }
    }
  });

  withGpu(`attention() in ${dtype} fits the heads of every preset`, async (gpu) => {
    const next = random(12);
    for (const shape of shapes) {
      const { window, pass, noisy } = randomStream(next);
      const { ranks, used, noisyStart, noisyEnd } = window;
      const scratch = [noisyStart, noisyEnd] as const;
      for (const rows of [[...pass, ...noisy], noisy.slice(0, 1)]) {
        await compare(gpu, problem(gpu, next, { ...shape, rows, ranks, used, scratch, dtype }));
      }
    }
  });

  withGpu(`attention() in ${dtype} gives the same in every variant`, async (gpu) => {
    const next = random(13);
    const ranks = plainRanks(next, 301);
    const rows = Array.from({ length: 5 }, (_, i): Row => {
      const rank = [37, 12, 3, 0, 20][i] ?? 0;
      return { slot: i, sight: { limit: rank, own: 36 } };
    });
    const given = { ...nano, rows, ranks, used: 290, scratch: [293, 300] as const, dtype };
    const textures = gpu.traits.texturesFaster ? [true, false] : [false];
    for (const texture of textures) {
      for (const queries of [1, 3]) {
        for (const splits of [1, 2, 7, 400]) {
          for (const keys of gpu.traits.subgroup >= 4 ? [1, 4] as const : [1] as const) {
            await compare(gpu, problem(gpu, next, given), {
              ...{ texture, queries, splits, keys },
              tiles: undefined,
            });
          }
        }
      }
    }
  });
}

const packed: AttentionTiles = { pairs: 64, keys: 32, sums: 8, unpacked: false };
const unpacked: AttentionTiles = { pairs: 128, keys: 16, sums: 8, unpacked: true };
const small: AttentionTiles = { ...packed, keys: 16 };
const tileForms = [
  ["f16", { heads: 3, kvHeads: 1, headDim: 8 }, packed],
  ["f16", nano, unpacked],
  ["f16", { heads: 16, kvHeads: 8, headDim: 128 }, { ...small, pairs: 128 }],
  ["f16", { heads: 4, kvHeads: 2, headDim: 64 }, { ...small, sums: 4 }],
  ["f32", nano, { ...small, pairs: 128 }],
  ["f32", { heads: 5, kvHeads: 5, headDim: 32 }, { ...small, sums: 4 }],
] as const;

for (const [dtype, shape, tiles] of tileForms) {
  const { heads, kvHeads, headDim } = shape;
  const form = `${tiles.pairs} x ${tiles.keys}, ${tiles.sums} sums`;
  withGpu(
    `attention() by tiles of ${form}, ${heads}/${kvHeads}/${headDim} ${dtype}`,
    async (gpu) => {
      const next = random(21);
      const { window, prefill, pass, noisy } = randomStream(next);
      const { ranks, used, noisyStart, noisyEnd } = window;
      const stream = { ...shape, ranks, used, scratch: [noisyStart, noisyEnd] as const, dtype };
      // Parts of the keys, of which some have none, and rows that end in the middle of a tile.
      const odd = { ...shape, ranks: plainRanks(next, 131), used: 120, dtype };
      const oddRows = Array.from({ length: 75 }, (_, slot): Row => ({
        slot,
        sight: { limit: slot % 9, own: 20 },
      }));
      const nothing = oddRows.map((row, i) =>
        i % 3 > 0 ? row : { ...row, sight: { limit: -100, own: -100 } }
      );
      const cases: [Case, splits: number][] = [
        [{ ...stream, rows: [...prefill, ...pass, ...noisy] }, 1],
        [{ ...stream, rows: pass.slice(-1) }, 3],
        [{ ...odd, rows: nothing, scratch: [123, 130] }, 11],
        [{ ...odd, rows: oddRows.slice(3, 4), used: 0, scratch: [0, 0] }, 1],
      ];
      for (const [given, splits] of cases) {
        await compare(gpu, problem(gpu, next, given), { tiles, splits });
      }
    },
  );
}

for (
  const [dtype, shape] of [
    ["f32", nano],
    ["f16", nano],
    ["f32", { heads: 4, kvHeads: 1, headDim: 24 }],
  ] as const
) {
  const name = `${shape.heads}/${shape.kvHeads}/${shape.headDim} ${dtype}`;
  withGpu(`attention() by pairs of a row and a head, ${name}`, async (gpu) => {
    if (!fitsPairs(gpu)) return;
    const next = random(23);
    const { window, prefill, pass, noisy } = randomStream(next);
    const { ranks, used, noisyStart, noisyEnd } = window;
    const stream = { ...shape, ranks, used, scratch: [noisyStart, noisyEnd] as const, dtype };
    // Rows that fill several workgroups, of which the last isn't full; some see nothing.
    const odd = { ...shape, ranks: plainRanks(next, 131), used: 120, dtype };
    const oddRows = Array.from({ length: 37 }, (_, slot): Row => {
      const sight = slot % 3 > 0 ? { limit: slot % 9, own: 20 } : { limit: -100, own: -100 };
      return { slot, sight };
    });
    const few = Math.floor(8 / (shape.heads / shape.kvHeads));
    const cases: [Case, splits: number][] = [
      [{ ...stream, rows: [...prefill, ...pass, ...noisy].slice(-few) }, 1],
      [{ ...stream, rows: pass.slice(-1) }, 3],
      [{ ...odd, rows: oddRows, scratch: [123, 130] }, 11],
      [{ ...odd, rows: oddRows.slice(3, 4), used: 0, scratch: [0, 0] }, 1],
    ];
    // Kernels of many pairs take long to compile.
    for (const [given, splits] of cases.slice(0, dtype === "f16" ? 2 : 4)) {
      await compare(gpu, problem(gpu, next, given), { pairs: 1, splits });
    }
  });
}

withGpu("the tuner checks tiles and finds them right", async (gpu) => {
  const shape = { rows: 71, slots: 300, ...nano, dtype: "f16" } as const;
  const variants = new Map([unpacked].map((tiles, i) => [
    JSON.stringify(tiles),
    { ...attentionVariant(gpu, shape), tiles, splits: 1 + i },
  ]));
  const found = await tune(
    gpu,
    [() => [{ ...attentionProblem(gpu, shape), variants }]],
    {},
    60_000,
  );
  const [entries = {}] = Object.values(found.record);
  const times = Object.values(entries).flatMap((entry) => Object.values(entry.times));
  assert(
    times.length === 1 && times.every((time) => typeof time === "number"),
    JSON.stringify(entries),
  );
});

Deno.test("a card's candidates are tiles where rows fill them, lanes by themselves where they don't", () => {
  const gpu = Gpu.onPaper();
  const shape = { slots: 20_673, heads: 16, kvHeads: 8, headDim: 128, dtype: "f16" } as const;
  const solve = attentionVariants(gpu, { ...shape, rows: 256 });
  const [first] = solve.values();
  assert(first?.tiles?.pairs === 128 && first.splits > 1);
  assert([...solve.values()].some(({ tiles }) => tiles === undefined));
  const [text] = attentionVariants(gpu, { ...shape, rows: 1 }).values();
  assert(text && text.tiles === undefined);
});

withGpu("attention() gives zeros for a row that sees nothing", async (gpu) => {
  const next = random(14);
  const ranks = plainRanks(next, 70, 0);
  const nothing: Sight = { limit: -100, own: -100 };
  const rows = [nothing, { limit: 3, own: 3 }, nothing].map((sight, slot) => ({ slot, sight }));
  for (const used of [60, 0]) {
    for (const splits of [1, 4]) {
      const given = {
        ...nano,
        rows,
        ranks,
        used,
        scratch: [60, 70] as const,
        dtype: "f32" as const,
      };
      const made = problem(gpu, next, given);
      assert(made.expected.slice(0, 192).every((value) => value === 0));
      await compare(gpu, made, { splits });
    }
  }
});

withGpu("attention() reads the held slots and the ranks when it runs", async (gpu) => {
  const next = random(15);
  const ranks = plainRanks(next, 64, 0);
  const rows = [{ slot: 0, sight: { limit: 100, own: 100 } }];
  const before = problem(gpu, random(16), {
    ...nano,
    rows,
    ranks,
    used: 64,
    scratch: [64, 64],
    dtype: "f32",
  });
  const after = problem(gpu, random(16), {
    ...nano,
    rows,
    ranks,
    used: 20,
    scratch: [40, 50],
    dtype: "f32",
  });
  const steps = attention(gpu, before.args);
  run(gpu, ...steps);
  gpu.device.queue.writeBuffer(before.args.held.buffer, 16, new Int32Array([20, 40, 50, 0]));
  run(gpu, ...steps);
  assertClose(await readTensor(gpu, before.args.out), after.expected, { absolute: 1e-5 });
});

withGpu("attention() handles long histories and many rows", async (gpu) => {
  const next = random(17);
  const ranks = plainRanks(next, 1500, 0.02);
  for (const [count, dtype] of [[27, "f16"], [130, "f32"], [1, "f32"]] as const) {
    const rows = Array.from({ length: count }, (_, i): Row => ({
      slot: i,
      sight: { limit: 60 + i, own: 180 },
    }));
    const given = { ...nano, rows, ranks, used: 1450, scratch: [1460, 1500] as const, dtype };
    await compare(gpu, problem(gpu, next, given));
  }
});

withGpu("attention() refuses shapes that don't fit", (gpu) => {
  const next = random(18);
  const rows = [{ slot: 0, sight: { limit: 100, own: 100 } }];
  const given: Case = {
    ...nano,
    rows,
    ranks: plainRanks(next, 8),
    used: 8,
    scratch: [8, 8],
    dtype: "f32",
  };
  const { args } = problem(gpu, next, given);
  const wrong: Partial<AttentionArguments>[] = [
    { heads: 5 },
    { kvHeads: 4 },
    { headDim: 30 },
    { ranks: args.held },
    { tokenTable: args.held },
    { out: args.held },
    { out: args.q },
    { values: { ...args.values, dtype: "f16" } },
    { q: { ...args.q, offset: 3 } },
  ];
  for (const change of wrong) {
    assertThrows(() => attention(gpu, { ...args, ...change }), RangeError, "attention test");
  }
});

withGpu("attentionVariant() splits the keys only when rows are few", (gpu) => {
  const shape = { slots: 1300, ...nano };
  assert(attentionVariant(gpu, { ...shape, rows: 1, dtype: "f32" }).splits > 1);
  assert(attentionVariant(gpu, { ...shape, rows: 10_000, dtype: "f32" }).splits === 1);
});
