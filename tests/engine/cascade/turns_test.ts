/** Turn logic by itself: silence timers, barge-ins, turns that go on. */
import { assert, assertEquals } from "@std/assert";
import { presets } from "../../../engine/cascade/presets.ts";
import { type Signs, type Turn, Turns, type TurnSettings } from "../../../engine/cascade/turns.ts";
import { integer, random } from "../../reference/random.ts";

/** Windows of a unit. */
const unit = 5;
const plain: TurnSettings = { ...presets.livekit, smoothing: 0, release: 0.5 };

/** Scores of runs of windows: with speech, without, with, ... */
const scoresOf = (runs: number[]) => runs.flatMap((n, i) => Array<number>(n).fill(i % 2 ? 0 : 1));

interface Step extends Signs {
  over: Turn | null;
}

/** Unit by unit; the turn is over as soon as it is asked for. */
function follow(scores: number[], turns: Turns, isAgentSpeaking: (unit: number) => boolean) {
  const steps: Step[] = [];
  for (let k = 0; k * unit < scores.length; k++) {
    const windows = Array.from({ length: unit }, (_, i) => scores[k * unit + i] ?? 0);
    const signs = turns.push(windows, isAgentSpeaking(k));
    steps.push({ ...signs, over: signs.asks ? turns.over() : null });
  }
  return steps;
}

Deno.test("a turn is over in the first unit whose silence reaches the timer, and no shorter pause cuts it", () => {
  const next = random(3);
  for (let trial = 0; trial < 300; trial++) {
    const timer = (1 + integer(next, 0, 45)) * 0.032 - 0.01 * integer(next, 0, 2);
    // Speech that begins a turn by itself, and pauses of any length, the last one long.
    const runs = Array.from(
      { length: 2 + integer(next, 0, 9) },
      (_, i) => i % 2 ? 1 + integer(next, 0, 30) : 2 + integer(next, 0, 20),
    );
    if (runs.length % 2) runs.push(0);
    const scores = [...scoresOf(runs), ...Array<number>(60).fill(0)];
    const wanted: number[] = [];
    let end = -1, isOpen = false;
    for (let k = 0; k * unit < scores.length; k++) {
      for (let w = k * unit; w < (k + 1) * unit; w++) {
        if (!scores[w]) continue;
        // A run of one window at the end of a unit may become speech.
        end = w + 1;
        isOpen ||= scores[w - 1] === 1;
      }
      if (!isOpen || ((k + 1) * unit - end) * 0.032 < timer - 1e-6) continue;
      wanted.push(k);
      isOpen = false;
    }
    const steps = follow(scores, new Turns(plain, timer), () => false);
    assertEquals(steps.flatMap(({ over }, k) => over ? [k] : []), wanted, `${timer}: ${runs}`);
  }
});

Deno.test("speech shorter than the start begins no turn, and what the agent's unit can still stop resumes one", () => {
  const begins = (windows: number) =>
    follow(scoresOf([windows, 20]), new Turns(presets.pipecat), () => false)
      .some(({ began }) => began);
  assertEquals([4, 5, 6, 7].map(begins), [false, false, true, true]);

  // Over at the end of unit 3; windows 20 to 24 are the unit in which the agent's first one is played.
  for (let gap = 11; gap < 20; gap++) {
    const steps = follow(scoresOf([9, gap, 8, 20]), new Turns(plain, 0.35), () => false);
    assertEquals(steps.findIndex(({ over }) => over), 3);
    assertEquals(steps.some(({ resumed }) => resumed), 9 + gap < 25, `pause of ${gap}`);
  }
});

Deno.test("an end that is asked for while the user speaks leaves no turn behind it", () => {
  const turns = new Turns(plain, 0);
  assert(turns.push([1, 1, 1, 1, 1], false).asks);
  assertEquals(turns.over().end, 0.16);
  assertEquals(turns.push([1, 1, 0, 0, 0], false).began, false);
  const { began, resumed } = turns.push([1, 1, 1, 1, 1], false);
  assertEquals([began, resumed], [true, false]);
});

Deno.test("speech stops the agent when it has lasted as long as the setting says, and no earlier", () => {
  const next = random(4);
  for (let trial = 0; trial < 300; trial++) {
    const bargeIn = 0.05 + next();
    const length = 2 + integer(next, 0, 40);
    const before = integer(next, 0, 12);
    const settings = { ...plain, bargeIn };
    const scores = scoresOf([0, before, length, 40]);
    const steps = follow(scores, new Turns(settings, 1), () => true);
    const needed = Math.max(2, Math.ceil(bargeIn / 0.032 - 1e-6));
    const wanted = length < needed ? -1 : Math.floor((before + needed - 1) / unit);
    assertEquals(steps.findIndex((step) => step.bargeIn), wanted, `${bargeIn}: ${length}`);
    assert(steps.filter((step) => step.bargeIn).length <= 1);
    // What didn't stop it was short, as long as the agent spoke all through it.
    assertEquals(steps.find(({ over }) => over)?.over?.isShort, wanted < 0);
    const silent = follow(scores, new Turns(settings, 1), () => false);
    assertEquals(silent.some((step) => step.bargeIn), false);
    assertEquals(silent.find(({ over }) => over)?.over?.isShort, false);
  }
});

Deno.test("as LiveKit counts it, the silence up to the activity's end stops the agent too", () => {
  const scores = scoresOf([3, 40]);
  const stops = (settings: TurnSettings) =>
    follow(scores, new Turns(settings), () => true).findIndex(({ bargeIn }) => bargeIn);
  assertEquals(stops(presets.livekit), -1);
  assertEquals(stops(presets["livekit-literal"]), 3);
});

Deno.test("smoothing and release keep speech going over a dip", () => {
  const dip = [1, 1, 1, 1, 1, 0.4, 0.4, 0.4, 0.4, 0.4];
  const silence = (settings: TurnSettings) => {
    const turns = new Turns(settings);
    turns.push(dip.slice(0, 5), false);
    return turns.push(dip.slice(5), false).silence;
  };
  assertEquals(silence(presets.livekit), 0);
  assert(silence(plain) > 0.1);
  // Smoothed with weight 0.35, four windows of nothing lie above 0.01 and below 0.35 from the second on.
  const turns = new Turns({ ...plain, smoothing: 0.35 });
  turns.push([1, 1, 1, 1, 1], false);
  assertEquals(turns.push([0, 0, 0, 0, 0], false).silence, 0.16);
});
