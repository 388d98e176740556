import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Observation, Response } from "../../../engine/checkpoint/unit.ts";
import { parseNetwork } from "../../../io/pace/network.ts";
import { type Clock, Pacer, type Pacing, StreamClock } from "../../../io/pace/pace.ts";
import { pump, type UnitSession, type UnitTimes } from "../../../io/pace/pump.ts";

const pacing: Pacing = {
  unitMs: 160,
  pace: "live",
  late: "wait",
  network: null,
  schedule: "eager",
  placement: "fused",
  arriving: false,
};

const times: UnitTimes = {
  ...{ encode: 5, pass: 10, sendSlice: 0, solve: 40, sendLatents: 0, decode: 20, write: 1 },
  ...{ queue: 0, wait: 0, total: 76 },
};

/** A clock that jumps to the moment somebody waits for. */
function fakeClock(): Clock & { at: number } {
  const clock = {
    at: 1000,
    now: () => clock.at,
    until(at: number) {
      clock.at = Math.max(clock.at, at);
      return Promise.resolve();
    },
  };
  return clock;
}

/** A clock of several who wait: it goes to the earliest moment when all of them do. */
function sharedClock(): ReturnType<typeof fakeClock> {
  const waiting: { at: number; resolve: () => void }[] = [];
  const clock = {
    at: 1000,
    now: () => clock.at,
    until(at: number) {
      setTimeout(() => {
        const next = waiting.sort((a, b) => a.at - b.at).shift();
        clock.at = Math.max(clock.at, next?.at ?? 0);
        next?.resolve();
      });
      return new Promise<void>((resolve) => waiting.push({ at, resolve }));
    },
  };
  return clock;
}

async function* units(count: number): AsyncGenerator<Observation> {
  for (let unit = 0; unit < count; unit++) {
    yield { audio: new Float32Array([unit]), frames: null };
  }
}

/** Gives units to a machine that takes `work` ms for each, one after the other, on a fake clock. */
async function run(change: Partial<Pacing>, count: number, work: number) {
  const clock = fakeClock();
  const pacer = new Pacer({ ...pacing, ...change }, clock);
  const given: { at: number; audio: number | null }[] = [];
  const perceived = [];
  for await (const { audio } of pacer.observations(units(count))) {
    given.push({ at: clock.at - 1000, audio: audio?.[0] ?? null });
    clock.at += work;
    perceived.push(pacer.perceived(given.length - 1, times, clock.at));
  }
  return { given, perceived };
}

Deno.test("live gives each unit when its last sample would have been captured", async () => {
  const { given, perceived } = await run({}, 5, 100);
  assertEquals(given.map(({ at }) => at), [160, 320, 480, 640, 800]);
  assertEquals(perceived.map(({ interactionMs }) => interactionMs), [100, 100, 100, 100, 100]);
});

Deno.test("live takes the first unit of a pipe as captured when it arrives", async () => {
  const { given } = await run({ arriving: true }, 3, 100);
  assertEquals(given.map(({ at }) => at), [0, 160, 320]);
});

Deno.test("max waits for nothing", async () => {
  const { given } = await run({ pace: "max" }, 3, 100);
  assertEquals(given, [0, 1, 2].map((unit) => ({ at: unit * 100, audio: unit })));
});

Deno.test("late units wait, and the latency grows by what the machine lacks", async () => {
  const { given, perceived } = await run({}, 5, 200);
  assertEquals(given.map(({ audio }) => audio), [0, 1, 2, 3, 4]);
  assertEquals(perceived.map(({ interactionMs }) => interactionMs), [200, 240, 280, 320, 360]);
});

Deno.test("late units are skipped, oldest first, and each is answered and reported", async () => {
  const { given, perceived } = await run({ late: "skip" }, 40, 240);
  const skipped = perceived.map(({ observation }) => observation === "skipped");
  assertEquals(given.map(({ audio }) => audio === null), skipped);
  assertEquals(given.length, 40);
  assert(skipped.includes(true) && !skipped[0]);
  for (const [unit, { at }] of given.entries()) {
    // Skipped exactly where the next one had been captured already.
    assertEquals(skipped[unit], at >= (unit + 2) * 160, `unit ${unit} at ${at}`);
  }
});

Deno.test("a machine that keeps up skips nothing", async () => {
  const { perceived } = await run({ late: "skip" }, 40, 159);
  assert(perceived.every(({ observation }) => observation === "given"));
});

Deno.test("a lost unit is absent, with live and max at the same units", async () => {
  const network = parseNetwork("350ms±80ms,loss=20%,seed=3");
  const live = await run({ network }, 100, 10);
  const max = await run({ network, pace: "max" }, 100, 10);
  const lost = live.perceived.map(({ observation }) => observation);
  assertEquals(max.perceived.map(({ observation }) => observation), lost);
  assertEquals(max.given.map(({ audio }) => audio), live.given.map(({ audio }) => audio));
  assertEquals(live.given.map(({ audio }) => audio === null), lost.map((x) => x === "lost"));
  const share = lost.filter((x) => x === "lost").length;
  assert(share > 8 && share < 35, `${share}`);
  for (const [unit, { at }] of live.given.entries()) {
    const way = at - (unit + 1) * 160;
    assert(way >= 135 && way <= 215, `${way}`);
  }
});

/** A session that answers each unit when it is pushed. */
function answering(clock: Clock & { at: number }, work: number): UnitSession & { most: number } {
  const queue: Response[] = [];
  let wake = Promise.withResolvers<void>();
  let ended = false;
  let unit = 0;
  const session = {
    most: 0,
    push() {
      clock.at += work;
      queue.push({ unit: unit++ } as Response);
      session.most = Math.max(session.most, queue.length);
      wake.resolve();
      return Promise.resolve();
    },
    end() {
      ended = true;
      wake.resolve();
    },
    close: () => Promise.resolve(session.end()),
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const response = queue.shift();
        if (response) yield response;
        else if (ended) return;
        else {
          await wake.promise;
          wake = Promise.withResolvers();
        }
      }
    },
  };
  return session;
}

/** Runs units through a session on a fake clock; what was perceived. */
async function converse(
  change: Partial<Pacing>,
  count: number,
  work: number,
  clock = fakeClock(),
) {
  const pacer = new Pacer({ ...pacing, ...change }, clock);
  const inner = answering(clock, work);
  const perceived = [];
  const { signal } = new AbortController();
  const answers = pump(inner, pacer.observations(units(count)), signal);
  for await (const { unit } of pacer.responses(answers)) {
    perceived.push(pacer.perceived(unit, times, clock.now()));
  }
  return { perceived, inner };
}

Deno.test("a session behind a network answers every unit, and those lost down are not heard", async () => {
  const network = parseNetwork("400ms±100ms,loss=10%,seed=5");
  for (const pace of ["live", "max"] as const) {
    const { perceived } = await converse({ pace, network }, 100, 1);
    assertEquals(perceived.length, 100);
    const unheard = perceived.filter(({ heard }) => !heard);
    assert(unheard.length > 2 && unheard.length < 25, `${unheard.length}`);
    assert(perceived.every(({ heard, interactionMs }) => heard === (interactionMs !== null)));
  }
});

Deno.test("with skipping no more units are under way than can be worked on", async () => {
  const { perceived, inner } = await converse({ late: "skip" }, 20, 1);
  assertEquals(perceived.length, 20);
  assertEquals(inner.most, 1);
});

Deno.test("a long way to the user makes no unit late", async () => {
  const network = parseNetwork("800ms");
  const { perceived } = await converse({ late: "skip", network }, 20, 100, sharedClock());
  assertEquals(new Set(perceived.map(({ observation }) => observation)), new Set(["given"]));
  // 100 ms of work, at the most while another response comes in.
  assert(
    perceived.every(({ interactionMs }) =>
      (interactionMs ?? 0) >= 900 && (interactionMs ?? 0) < 1000
    ),
  );
});

Deno.test("StreamClock adds the network to the model's latency", () => {
  const network = parseNetwork("350ms");
  const quiet = { unitMs: 160, network: null, schedule: "eager", placement: "fused" } as const;
  const near = new StreamClock(quiet);
  const far = new StreamClock({ ...quiet, network });
  for (let unit = 0; unit < 10; unit++) {
    assertEquals(near.answer(unit, times), 76);
    assertEquals(far.answer(unit, times), 76 + 350);
  }
});

Deno.test("StreamClock lets latency grow when a tick takes longer than a unit", () => {
  const clock = new StreamClock({ ...pacing, placement: "fused" });
  const slow = { ...times, solve: 164 };
  assertEquals([0, 1, 2].map((unit) => clock.answer(unit, slow)), [200, 240, 280]);
});

Deno.test("StreamClock lets y_k leave in the next tick with schedule paper", () => {
  const paper = { ...pacing, schedule: "paper" } as const;
  const fused = new StreamClock(paper);
  // One unit, then encode, solve, pass, decode, write.
  for (let unit = 0; unit < 5; unit++) assertEquals(fused.answer(unit, times), 160 + 76);
  const split = new StreamClock({ ...paper, placement: "split" });
  for (let unit = 0; unit < 5; unit++) assertEquals(split.answer(unit, times), 160 + 36);
});

Deno.test("a paced reader that breaks out ends session and source, and late units don't hold it", async () => {
  for (const change of [{ network: parseNetwork("400ms") }, { late: "skip" }] as const) {
    const clock = fakeClock();
    const pacer = new Pacer({ ...pacing, ...change }, clock);
    const inner = answering(clock, 1);
    const over = Promise.withResolvers<void>();
    const source = async function* () {
      try {
        yield* units(1000);
      } finally {
        over.resolve();
      }
    };
    const answers = pump(inner, pacer.observations(source()), new AbortController().signal);
    for await (const { unit } of pacer.responses(answers)) {
      pacer.perceived(unit, times, clock.now());
      if (unit === 3) break;
    }
    await over.promise;
  }
});

Deno.test("a source that fails is heard of after the answers to what it gave", async () => {
  async function* source() {
    yield* units(3);
    throw new Error("the cable fell out");
  }
  const seen: number[] = [];
  const error = await assertRejects(async () => {
    const answers = pump(answering(fakeClock(), 1), source(), new AbortController().signal);
    for await (const { unit } of answers) seen.push(unit);
  });
  assertEquals([seen, `${error}`], [[0, 1, 2], "Error: the cable fell out"]);
});
