import { assert, assertEquals } from "@std/assert";
import {
  causalRank,
  cleanSight,
  emptyRank,
  gridPositions,
  type Group,
  linePositions,
  noisyRank,
  noisySight,
  type Place,
  visible,
} from "../../../engine/checkpoint/unit.ts";

/** DESIGN's sentence, word for word, without ranks. */
function maySee(query: Place, key: Place): boolean {
  const order: Group[] = ["observation", "language", "response"];
  if (key.unit !== query.unit) return key.unit < query.unit;
  if (key.group !== query.group) return order.indexOf(key.group) < order.indexOf(query.group);
  return query.group === "language" ? key.index <= query.index : true;
}

/** All places of a prefill and some units; every group gets several tokens. */
function places(slots: number, promptTokens: number, units: number): Place[] {
  const list: Place[] = [];
  const add = (unit: number, group: Group, count: number) => {
    for (let index = 0; index < count; index++) list.push({ unit, group, index });
  };
  add(-1, "language", promptTokens);
  add(-1, "response", 3);
  for (let unit = 0; unit < units; unit++) {
    add(unit, "observation", 3);
    add(unit, "language", slots);
    add(unit, "response", 4);
  }
  return list;
}

Deno.test("causalRank() states the visibility rule for every pair of tokens", () => {
  for (const [slots, promptTokens] of [[1, 0], [1, 7], [2, 1], [3, 40]] as const) {
    const all = places(slots, promptTokens, 4);
    const rank = (p: Place) => causalRank(p, p.unit < 0 ? promptTokens : slots, slots);
    for (const query of all) {
      for (const key of all) {
        const seen = visible(cleanSight(rank(query)), rank(key));
        assertEquals(seen, maySee(query, key), JSON.stringify({ query, key, slots }));
      }
    }
  }
});

Deno.test("noisySight() sees history, its unit's observation and text, and its own set", () => {
  const slots = 2;
  for (const unit of [0, 1, 5]) {
    for (const conditional of [true, false]) {
      const sight = noisySight(unit, slots, conditional);
      for (const key of places(slots, 3, 7)) {
        const rank = causalRank(key, key.unit < 0 ? 3 : slots, slots);
        const context = key.unit === unit && key.group !== "response" && conditional;
        assertEquals(
          visible(sight, rank),
          key.unit < unit || context,
          JSON.stringify({ unit, key }),
        );
      }
      assertEquals(visible(sight, noisyRank.conditional), conditional);
      assertEquals(visible(sight, noisyRank.unconditional), !conditional);
      assert(!visible(sight, emptyRank));
    }
  }
});

Deno.test("an empty slot is seen by no token", () => {
  assert(
    !visible(cleanSight(causalRank({ unit: 1e6, group: "response", index: 0 }, 1, 1)), emptyRank),
  );
});

Deno.test("linePositions() and gridPositions() stay within the unit in time", () => {
  assertEquals(linePositions(8, 4, 2), [[8, 8, 8], [10, 10, 10]]);
  assertEquals(gridPositions(8, 4, [2, 1, 2]), [[8, 8, 8], [8, 8, 9], [10, 10, 10], [10, 10, 11]]);
});
