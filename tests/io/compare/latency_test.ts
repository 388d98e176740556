/** The queue by which answers are heard, as properties over random units and networks. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { heardAt, heardTurns, waits } from "../../../io/compare/latency.ts";
import type { Network } from "../../../io/pace/network.ts";

const unitMs = 160;

/** Numbers from 0 to 1 by a seed (mulberry32). */
function randoms(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const units = (random: () => number, most = 300) =>
  Array.from({ length: 200 }, () => ({ compute: random() * most, active: random() < 0.5 }));

Deno.test("without network and compute time a unit is heard when it was captured", () => {
  const silent = units(randoms(1)).map((unit) => ({ ...unit, compute: 0 }));
  assertEquals(heardAt(silent, unitMs, null), silent.map((_, k) => (k + 1) * unitMs));
});

Deno.test("a delay without jitter comes on top, whole", () => {
  const network: Network = { delay: 350, jitter: 0, loss: 0, seed: 0 };
  const given = units(randoms(2), 100);
  const [near, far] = [heardAt(given, unitMs, null), heardAt(given, unitMs, network)];
  far.forEach((at, k) => assertAlmostEquals(at ?? 0, (near[k] ?? 0) + 350, 1e-6));
});

Deno.test("units are heard in order, sounding ones never overlap, none before it is made", () => {
  for (let seed = 0; seed < 40; seed++) {
    const random = randoms(seed);
    const given = units(random);
    const network = seed % 2 === 0 ? null : { delay: 350, jitter: 80, loss: 0.05, seed };
    const least = (network?.delay ?? 0) - (network?.jitter ?? 0);
    const heard = heardAt(given, unitMs, network);
    let [before, sounded] = [-Infinity, false];
    heard.forEach((at, k) => {
      if (at === null) return;
      const { compute, active } = given[k] ?? { compute: 0, active: false };
      assert(at >= (k + 1) * unitMs + compute + least - 1e-6, "before it can be there");
      assert(at >= before + (sounded ? unitMs : 0) - 1e-6, "before the one before is over");
      [before, sounded] = [at, active];
    });
    if (network === null) assert(!heard.includes(null));
    else assert(heard.includes(null), "the network loses some");
  }
});

Deno.test("more compute time makes no unit come earlier", () => {
  for (let seed = 0; seed < 20; seed++) {
    const random = randoms(100 + seed);
    const given = units(random);
    const slower = given.map((unit) => ({ ...unit, compute: unit.compute + random() * 50 }));
    const [fast, slow] = [heardAt(given, unitMs, null), heardAt(slower, unitMs, null)];
    fast.forEach((at, k) => assert((slow[k] ?? 0) >= (at ?? 0) - 1e-6));
  }
});

Deno.test("one slow unit delays the sound behind it, and no sound after the next silence", () => {
  const given = Array.from({ length: 30 }, (_, k) => ({
    compute: k === 5 ? 1000 : 10,
    active: k < 12 || k > 20,
  }));
  const heard = heardAt(given, unitMs, null);
  const late = heard.map((at, k) => (at ?? 0) - (k + 1) * unitMs);
  assertEquals(late[4], 10);
  assert((late[11] ?? 0) > 800, "sound that plays without a break stays late");
  assertEquals(late[25], 10);
});

Deno.test("an answer is heard at its first audible sample, and where that is lost, at the next", () => {
  const live = {
    turns: [{ turn: 3, endMs: 1000, onset: 7, early: false }],
    onsets: [[7, 40]] as [number, number][],
    computeMs: new Array(12).fill(30),
  };
  const active = "000000011110";
  const one = { live, active };
  assertEquals(waits(one, unitMs, null, false), [{
    turn: 3,
    ms: 8 * 160 + 40 - 1000,
    early: false,
  }]);
  assertEquals(waits(one, unitMs, null, true)[0]?.ms, 8 * 160 + 30 + 40 - 1000);
  // Everything lost: it was not heard.
  const gone = { delay: 100, jitter: 0, loss: 1, seed: 0 };
  assertEquals(waits(one, unitMs, gone, false)[0]?.ms, null);
});

Deno.test("a heard answer begins where its voice does, and no later answer stands for it", () => {
  // The user speaks to 1 s; the detector hears the agent from `from` on, its voice is active in `active`.
  const onset = (from: number, to: number, active: string) => {
    const turns = [
      { side: "user" as const, from: 0.2, to: 1, latency: null },
      { side: "agent" as const, from, to, latency: from - 1 },
    ];
    const exchange = { turns, bargeIns: [], backchannels: [], overlap: 0, silence: 0 };
    return heardTurns(exchange, active, unitMs)[0]?.onset;
  };
  // Unit 8 is heard from 1.44 s on.
  assertEquals(onset(1.45, 2, "0000000011100000"), 8);
  assertEquals(onset(1.65, 2, "0000000011100000"), 8);
  // Too soft to be a voice; the voice in unit 14 is another answer.
  assertEquals(onset(1.45, 2, "0000000000000011"), null);
  // What the agent said while the user still spoke isn't the answer's beginning.
  assertEquals(onset(1.45, 2, "0000111111100000"), 6);
});
