import { assert, assertEquals } from "@std/assert";
import { Heartbeat } from "../../../engine/session/heartbeat.ts";

/** A Worker that answers a ping when `answers` says so. */
function watched(answers: (beat: number) => boolean, settleAt = 0) {
  let beats = 0;
  let lostAt: number | null = null;
  const heartbeat: Heartbeat = new Heartbeat(
    () => answers(beats) && heartbeat.heard(),
    () => {
      assertEquals(lostAt, null, "told once");
      lostAt = beats;
    },
  );
  return (count: number) => {
    for (; beats < count; beats++) {
      if (beats === settleAt) heartbeat.settle();
      heartbeat.beat();
    }
    return lostAt;
  };
}

Deno.test("a Worker that answers is never lost, one that ends is after six beats", () => {
  assertEquals(watched(() => true)(10_000), null);
  assertEquals(watched((beat) => beat < 100)(10_000), 106);
});

Deno.test("before the first response a Worker may be silent ten times as long", () => {
  assertEquals(watched((beat) => beat > 58, 61)(1000), null);
  assertEquals(watched(() => false, Infinity)(1000), 60);
});

Deno.test("where ticks take long, the limit is four times the longest", () => {
  // Silent for 20 beats in the first tick, then for up to 70.
  const slow = (gap: number) => (beat: number) => beat === 20 || (beat > 20 + gap && beat < 500);
  assertEquals(watched(slow(70), 21)(500), null);
  const lost = watched(slow(90), 21)(500);
  assert(lost !== null && lost > 95 && lost < 110, `${lost}`);
});
