/** Detectors and ends of turns, as a cascade asks them. */
import { assert, assertEquals } from "@std/assert";
import type { AskedEnd } from "../../../engine/cascade/parts.ts";
import { levelActivity, oracleEnd, silenceTimer, smartTurn } from "../../../io/agents/ears.ts";
import { parseTruth } from "../../../io/eval/measures/truth.ts";
import { smallSet } from "../eval/players.ts";

const asked = (unit: number, silence = 0, isFirst = false): AskedEnd => ({
  ...{ unit, silence, isFirst },
  sound: Float32Array.from({ length: 16000 }, () => Math.random() - 0.5),
});

Deno.test("the level tells loud windows from quiet ones", async () => {
  const unit = new Float32Array(2560);
  unit.fill(0.02, 512, 1024).fill(0.005, 1024, 1536).fill(-0.5, 2048);
  assertEquals(await levelActivity.push(unit), Float32Array.of(0, 1, 0, 0, 1));
});

Deno.test("a timer's turn is over when it is asked", async () => {
  const timer = silenceTimer(0.3);
  assertEquals([timer.after, await timer.isOver(asked(3, 0.32))], [0.3, true]);
});

Deno.test("Smart Turn is asked once a silence, and not after three seconds of it", async () => {
  let [probability, calls] = [0.5, 0];
  const end = smartTurn({
    judge(features) {
      calls++;
      assertEquals(features.length, 80 * 800);
      assert(features.every(Number.isFinite));
      return Promise.resolve(probability);
    },
  });
  const answers: (boolean | number)[] = [await end.isOver(asked(1, 0.2, true)), calls];
  probability = 0.51;
  answers.push(await end.isOver(asked(2, 0.36)), calls);
  answers.push(await end.isOver(asked(9, 0.2, true)), calls);
  answers.push(await end.isOver(asked(40, 3)), calls);
  assertEquals(answers, [false, 1, false, 1, true, 2, true, 2]);
});

Deno.test("the oracle ends each spoken question's turn where its sound ends, once", async () => {
  const path = `${smallSet}/100003/truth.json`;
  const truth = parseTruth(await Deno.readTextFile(path), path);
  const spoken = truth.events.flatMap((event) =>
    event.type === "question" && !event.typed ? [event.end] : []
  );
  assert(spoken.length > 2);
  const every = oracleEnd(truth);
  const over: number[] = [];
  for (let unit = 0; unit < truth.units; unit++) {
    if (await every.isOver(asked(unit))) over.push(unit);
  }
  assertEquals(over, spoken);
  // A turn that is noticed late, and one that a noise opens much later.
  const [first = 0] = spoken;
  assertEquals(await oracleEnd(truth).isOver(asked(first + 2)), true);
  assertEquals(await oracleEnd({ ...truth, events: [] }).isOver(asked(first)), false);
  const alone = {
    ...truth,
    events: truth.events.filter((one) => one.type === "question").slice(0, 1),
  };
  assertEquals(await oracleEnd(alone).isOver(asked(first + 7)), false);
});
