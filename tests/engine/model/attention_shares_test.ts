import { assert, assertEquals } from "@std/assert";
import { attentionAxes } from "../../../engine/checkpoint/unit.ts";
import { slotClasses, slotParts } from "../../../engine/model/attention_shares.ts";
import { HistoryWindow } from "../../../engine/model/window.ts";
import { integer, random } from "../../reference/random.ts";
import { randomLayout } from "../../reference/stream.ts";

const { groups, ages } = attentionAxes;

Deno.test("every slot counts as the group and the age of the token that it holds", () => {
  const next = random(41);
  for (let round = 0; round < 20; round++) {
    const layout = randomLayout(next, 6);
    const sinkUnits = integer(next, 0, 2);
    const window = new HistoryWindow(layout, {
      promptTokens: integer(next, 0, 5),
      personaTokens: integer(next, 0, 5),
      historyUnits: sinkUnits + integer(next, 2, 12),
      sinkUnits,
      noisySets: integer(next, 1, 2) === 1 ? 1 : 2,
    });
    const unit = integer(next, 0, 30);
    for (let k = 0; k <= unit; k++) window.advance(k, 0);
    const found = slotClasses(window, unit);
    const expected = new Int32Array(window.slots).fill(-1);
    const put = (slot: number, group: typeof groups[number], age: typeof ages[number]) => {
      expected[slot] = groups.indexOf(group) * ages.length + ages.indexOf(age);
    };
    for (let slot = 0; slot < window.prefillTokens; slot++) put(slot, "prefill", "older");
    const { userText, userAudio, agentAudio } = layout;
    for (const of of window.unitsAfter(unit)) {
      const age = of === unit ? "this unit" : unit - of <= 5 ? "the last 5" : "older";
      for (let i = 0; i < layout.observation; i++) {
        const video = i < userText + userAudio ? "userAudio" : "userVideo";
        put(window.slot(of, "observation", i), i < userText ? "userText" : video, age);
      }
      for (let i = 0; i < layout.agentText; i++) {
        put(window.slot(of, "language", i), "agentText", age);
      }
      for (let i = 0; i < layout.response; i++) {
        put(window.slot(of, "response", i), i < agentAudio ? "agentAudio" : "agentVideo", age);
      }
    }
    for (let i = 0; i < layout.response; i++) {
      put(window.noisyStart + i, i < agentAudio ? "agentAudio" : "agentVideo", "this unit");
    }
    assertEquals(found, expected);
  }
});

Deno.test("every slot with a class is in one part of its class, and there is room for all parts", () => {
  const next = random(42);
  const classes = groups.length * ages.length;
  for (const slots of [1, 20, 63, 64, 65, 700, 3001]) {
    // All of one class, too.
    for (const most of [0, classes - 1]) {
      const bySlot = Int32Array.from({ length: slots }, () => integer(next, -1, most));
      const { order, parts } = slotParts(bySlot);
      const times = new Uint8Array(slots);
      for (let at = 0; at < parts.length; at += 4) {
        const [start = NaN, end = NaN, of] = parts.subarray(at, at + 4);
        assert(start <= end && end - start <= 64);
        for (const slot of order.subarray(start, end)) {
          assertEquals(bySlot[slot], of);
          times[slot] = (times[slot] ?? 0) + 1;
        }
      }
      assertEquals(times, Uint8Array.from(bySlot, (of) => of < 0 ? 0 : 1));
    }
  }
});
