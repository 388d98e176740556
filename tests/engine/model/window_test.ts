import { assert, assertEquals, assertThrows } from "@std/assert";
import { emptyRank, type Group, type UnitLayout } from "../../../engine/checkpoint/unit.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { History } from "../../../engine/model/history.ts";
import { HistoryWindow } from "../../../engine/model/window.ts";
import { Gpu } from "../../../kernels/gpu/device.ts";
import { tinyConfig } from "../support.ts";
import { random } from "../../reference/random.ts";

const layout: UnitLayout = {
  userText: 2,
  userAudio: 2,
  userVideo: 4,
  agentText: 2,
  agentAudio: 1,
  agentVideo: 4,
  observation: 8,
  response: 5,
  tokens: 15,
  userVideoGrid: [1, 2, 2],
  agentVideoGrid: [1, 2, 2],
  frames: 4,
  userSamples: 2560,
  agentSamples: 2560,
};

function units(window: HistoryWindow): Set<number> {
  const seen = new Set<number>();
  for (let slot = window.prefillTokens; slot < window.noisyStart; slot++) {
    const rank = window.ranks[slot] ?? emptyRank;
    if (rank !== emptyRank) seen.add(Math.floor(rank / (layout.agentText + 2)));
  }
  return seen;
}

Deno.test("HistoryWindow keeps all units up to its capacity, then sinks and the newest", () => {
  for (const [historyUnits, sinkUnits] of [[4, 2], [7, 3], [5, 0]] as const) {
    const window = new HistoryWindow(layout, {
      promptTokens: 3,
      personaTokens: 5,
      historyUnits,
      sinkUnits,
      noisySets: 1,
    });
    for (let unit = 0; unit < 40; unit++) {
      window.advance(unit, 0);
      const kept = new Set<number>();
      for (let other = 0; other <= unit; other++) {
        const newest = unit - other < historyUnits - sinkUnits;
        if (other < sinkUnits || newest || unit < historyUnits) kept.add(other);
      }
      assertEquals(units(window), kept, `unit ${unit} of ${historyUnits}/${sinkUnits}`);
      const blocks = Math.min(unit + 1, historyUnits);
      assertEquals(window.used, 8 + blocks * layout.tokens);
      for (let slot = 0; slot < 8; slot++) assert((window.ranks[slot] ?? 0) < 0, "prefill stays");
    }
  }
});

Deno.test("HistoryWindow admits exactly the tokens of [y_{k-1}, u_k, text k], typed ones only", () => {
  const next = random(5);
  const window = new HistoryWindow(layout, {
    promptTokens: 0,
    personaTokens: 0,
    historyUnits: 6,
    sinkUnits: 1,
    noisySets: 2,
  });
  for (let unit = 0; unit < 20; unit++) {
    const typed = Math.floor(next() * 3);
    window.advance(unit, typed);
    const present = (group: Group, index: number) =>
      window.ranks[window.slot(unit, group, index)] !== emptyRank;
    for (let i = 0; i < layout.observation; i++) {
      assertEquals(present("observation", i), i < typed || i >= layout.userText);
    }
    for (let i = 0; i < layout.agentText; i++) assert(present("language", i));
    for (let i = 0; i < layout.response; i++) {
      assert(!present("response", i), "y_k enters only with unit k + 1");
      if (unit > 0) {
        const rank = window.ranks[window.slot(unit - 1, "response", i)];
        assertEquals(rank, window.rank(unit - 1, "response", i));
      }
    }
  }
});

Deno.test("HistoryWindow gives no two living tokens the same slot", () => {
  const window = new HistoryWindow(layout, {
    promptTokens: 2,
    personaTokens: 0,
    historyUnits: 5,
    sinkUnits: 2,
    noisySets: 2,
  });
  for (let unit = 0; unit < 30; unit++) {
    window.advance(unit, 2);
    const slots = new Set<number>();
    const living = [...units(window)];
    for (const other of living) {
      for (let i = 0; i < layout.observation; i++) slots.add(window.slot(other, "observation", i));
      for (let i = 0; i < layout.agentText; i++) slots.add(window.slot(other, "language", i));
      for (let i = 0; i < layout.response; i++) slots.add(window.slot(other, "response", i));
    }
    assertEquals(slots.size, living.length * layout.tokens);
    assert(Math.max(...slots) < window.noisyStart && Math.min(...slots) >= window.prefillTokens);
  }
});

Deno.test("HistoryWindow refuses a history without room for a moving window", () => {
  const sizes = { promptTokens: 0, personaTokens: 0, sinkUnits: 2, noisySets: 1 as const };
  assertThrows(
    () => new HistoryWindow(layout, { ...sizes, historyUnits: 3 }),
    RangeError,
    "4 or more",
  );
});

Deno.test("a history that no buffer of the adapter holds is refused before anything is allocated", () => {
  const gpu = Gpu.onPaper();
  const slots = { slots: 1e9, ranks: new Int32Array(0), used: 0, noisyStart: 0, noisyEnd: 0 };
  const { message } = assertThrows(() => new History(gpu, tinyConfig(), slots, "f32"), InputError);
  assert(
    /historyUnits: a layer's keys have 128000000000 bytes; .* allow fewer units/.test(message),
  );
  assertEquals(gpu.allocatedBytes, 0);
});
