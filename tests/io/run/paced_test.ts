/** A paced conversation as scripts hold it. */
import { assert, assertEquals } from "@std/assert";
import type { Observation, Response, WorkerSession } from "../../../engine/mod.ts";
import { unitLayout } from "../../../engine/checkpoint/unit.ts";
import { paced, type PacedOptions } from "../../../io/mod.ts";
import { assertInputError, tinyConfig } from "../../engine/tiny_checkpoint.ts";

const stages = { encode: 2, pass: 3, sendSlice: 0, solve: 4, sendLatents: 0, decode: 1 };

/** A session that answers at once, and what it was given. */
function answering(given: Observation[]) {
  const settings = { schedule: "eager" };
  return {
    layout: unitLayout(tinyConfig()),
    info: { firstUnit: 0, placement: "fused", settings },
    async *respond(observations: AsyncIterable<Observation>) {
      for await (const observation of observations) {
        given.push(observation);
        yield { unit: given.length - 1, stages: { ...stages, wait: 0, total: 10 } } as Response;
      }
    },
  } as unknown as Pick<WorkerSession, "respond" | "layout" | "info">;
}

async function* units(count: number): AsyncGenerator<Observation> {
  for (let unit = 0; unit < count; unit++) yield { audio: new Float32Array(320), frames: null };
}

async function converse(count: number, options: PacedOptions) {
  const given: Observation[] = [];
  const perceived = [];
  for await (const response of paced(answering(given), units(count), options)) {
    perceived.push(response.perceived);
  }
  return { given, perceived };
}

Deno.test("paced() computes what the user perceives, and loses what the network loses", async () => {
  const { given, perceived } = await converse(60, { network: "350ms,loss=20%,seed=7" });
  assertEquals([given.length, perceived.length], [60, 60]);
  const lost = perceived.map(({ observation }) => observation === "lost");
  assertEquals(given.map(({ audio }) => audio === null), lost);
  assert(lost.includes(true) && perceived.some(({ heard }) => !heard));
  const latencies = perceived.filter(({ heard }) => heard).map(({ interactionMs }) =>
    interactionMs
  );
  assertEquals(new Set(latencies), new Set([360]));
});

Deno.test("paced() live gives no unit before it is captured", async () => {
  const before = performance.now();
  const { perceived } = await converse(3, { pace: "live" });
  assert(performance.now() - before >= 3 * 40 - 1);
  assert(perceived.every(({ interactionMs }) => (interactionMs ?? -1) >= 0));
});

Deno.test("paced() ends with the signal's reason, and refuses what it doesn't know", async () => {
  const end = new AbortController();
  const reason = new Error("enough");
  let seen = 0;
  try {
    for await (const _ of paced(answering([]), units(1000), { signal: end.signal })) {
      if (++seen === 3) end.abort(reason);
    }
    assert(false);
  } catch (error) {
    assertEquals([seen, error], [3, reason]);
  }
  await assertInputError(() => converse(1, { network: "a while" }), "network", "a while");
  await assertInputError(() => converse(1, { pace: "slow" as never }), "pace", "slow", "live");
  await assertInputError(() => converse(1, { late: "skip" }), "late", "live");
});
