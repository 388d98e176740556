/** What happens between two sides, on conversations whose truth is known to the millisecond. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { joined, levelScores, type Speech, speechOf } from "../../../io/score/activity.ts";
import { exchangeOf, type Side } from "../../../io/score/turns.ts";
import { random } from "../../reference/random.ts";

/** "0-2 3-4": stretches of speech in seconds. */
const speech = (text: string): Speech[] =>
  text.split(" ").filter((one) => one !== "").map((one) => {
    const [from = NaN, to = NaN] = one.split("-").map(Number);
    return { from, to };
  });

/** Of each case: who speaks when, in how long a conversation, and what happens. Turns as side, from, to
 * and latency; barge-ins as side, moment and stop latency; backchannels as side and moment. */
const cases: Record<string, {
  user: string;
  agent: string;
  seconds: number;
  turns: string;
  bargeIns?: string;
  backchannels?: string;
  overlap?: number;
  silence: number;
}> = {
  "nobody speaks": { user: "", agent: "", seconds: 4, turns: "", silence: 4 },
  "one side speaks, with pauses": {
    user: "1-2 2.5-3 6-7",
    agent: "",
    seconds: 8,
    turns: "u 1 7",
    silence: 5.5,
  },
  "a question and its answer": {
    user: "0-2",
    agent: "2.5-4",
    seconds: 5,
    turns: "u 0 2, a 2.5 4 0.5",
    silence: 1.5,
  },
  "a question with a pause": {
    user: "0-1 2-3",
    agent: "3.5-4",
    seconds: 4,
    turns: "u 0 3, a 3.5 4 0.5",
    silence: 1.5,
  },
  "an answer in a pause": {
    ...{ user: "0-1 1.9-3", agent: "1.4-2.5", seconds: 3, turns: "u 0 1, a 1.4 2.5 0.4, u 1.9 3" },
    ...{ overlap: 0.6, silence: 0.4 },
  },
  "an answer that comes too late": {
    user: "0-1",
    agent: "6.5-7",
    seconds: 8,
    turns: "u 0 1, a 6.5 7",
    silence: 6.5,
  },
  "a question that is asked again": {
    ...{
      user: "0-1 7-8",
      agent: "8.5-9",
      seconds: 9,
      turns: "u 0 1, u 7 8, a 8.5 9 0.5",
      silence: 6.5,
    },
  },
  "ends that overlap are no barge-in": {
    ...{
      user: "0-2",
      agent: "1.9-3",
      seconds: 3,
      turns: "u 0 2, a 1.9 3 -0.1",
      overlap: 0.1,
      silence: 0,
    },
  },
  "the user interrupts, the agent stops and answers": {
    ...{ user: "0-1 4-6", agent: "1.5-4.5 6.5-7", seconds: 7 },
    turns: "u 0 1, a 1.5 4.5 0.5, u 4 6, a 6.5 7 0.5",
    ...{ bargeIns: "u 4 0.5", overlap: 0.5, silence: 1 },
  },
  "a word that stops the agent is a barge-in": {
    ...{ user: "3-3.4", agent: "0-4", seconds: 4, turns: "a 0 4, u 3 3.4", bargeIns: "u 3 1" },
    ...{ overlap: 0.4, silence: 0 },
  },
  "a word that the agent speaks over is a backchannel": {
    ...{ user: "3-3.4", agent: "0-6", seconds: 6, turns: "a 0 6", backchannels: "u 3" },
    ...{ overlap: 0.4, silence: 0 },
  },
  "a brief interruption that the agent answers at once": {
    ...{ user: "3-3.8", agent: "0-3.5 4.3-6", seconds: 6, turns: "a 0 3.5, u 3 3.8, a 4.3 6 0.5" },
    ...{ bargeIns: "u 3 0.5", overlap: 0.5, silence: 0.5 },
  },
  "a backchannel in a pause": {
    ...{
      user: "0-2 2.9-5",
      agent: "2.2-2.6",
      seconds: 5,
      turns: "u 0 5",
      backchannels: "a 2.2",
      silence: 0.5,
    },
  },
  "long speech over the agent that goes on": {
    ...{ user: "2-4", agent: "0-8", seconds: 8, turns: "a 0 8, u 2 4", bargeIns: "u 2 6" },
    ...{ overlap: 2, silence: 0 },
  },
  "both begin at once": {
    ...{ user: "0-2", agent: "0-3", seconds: 3, turns: "u 0 2, a 0 3", overlap: 2, silence: 0 },
  },
  "the agent interrupts the user": {
    ...{ user: "0-3", agent: "2-5", seconds: 5, turns: "u 0 3, a 2 5", bargeIns: "a 2 1" },
    ...{ overlap: 1, silence: 0 },
  },
};

const rounded = (value: number) => Math.round(value * 1e6) / 1e6;

/** An exchange as the table has it. */
function text({ turns, bargeIns, backchannels, overlap, silence }: ReturnType<typeof exchangeOf>) {
  const list = (parts: (string | number | null)[]) =>
    parts.filter((part) => part !== null).map((part) =>
      typeof part === "number" ? rounded(part) : part
    ).join(" ");
  return {
    turns: turns.map(({ side, from, to, latency }) => list([side[0] ?? "", from, to, latency]))
      .join(", "),
    bargeIns: bargeIns.map(({ side, at, stopLatency }) => list([side[0] ?? "", at, stopLatency]))
      .join(", "),
    backchannels: backchannels.map(({ side, from }) => list([side[0] ?? "", from])).join(", "),
    ...{ overlap: rounded(overlap), silence: rounded(silence) },
  };
}

for (const [name, { user, agent, seconds, ...wanted }] of Object.entries(cases)) {
  Deno.test(`exchangeOf(): ${name}`, () => {
    const found = exchangeOf({ user: speech(user), agent: speech(agent) }, seconds);
    assertEquals(text(found), { bargeIns: "", backchannels: "", overlap: 0, ...wanted });
  });
}

/** Speech at random, of a side that speaks about half of the time. */
function anySpeech(next: () => number): Speech[] {
  const found: Speech[] = [];
  for (let at = 3 * next(); at < 60;) {
    const to = at + 0.25 + 3 * next() ** 2;
    found.push({ from: at, to });
    at = to + 0.1 + 4 * next() ** 3;
  }
  return found;
}

Deno.test("exchangeOf() of swapped sides is the swapped exchange, and silence at the end is silence", () => {
  const next = random(7);
  let [bargeIns, backchannels] = [0, 0];
  for (let round = 0; round < 200; round++) {
    const [user, agent] = [anySpeech(next), anySpeech(next)];
    const one = exchangeOf({ user, agent }, 70);
    const swapped = exchangeOf({ user: agent, agent: user }, 70);
    const back = <T extends { side: Side }>(list: T[]) =>
      list.map((item) => ({ ...item, side: item.side === "user" ? "agent" : "user" }));
    for (const key of ["turns", "bargeIns", "backchannels"] as const) {
      assertEquals(back<{ side: Side }>(swapped[key]), one[key]);
    }
    assertAlmostEquals(swapped.overlap, one.overlap, 1e-9);
    const { silence, ...rest } = one;
    const { silence: longer, ...more } = exchangeOf({ user, agent }, 82.5);
    assertEquals(more, rest);
    assertAlmostEquals(longer, silence + 12.5, 1e-9);
    bargeIns += one.bargeIns.length;
    backchannels += one.backchannels.length;
    // What the figures are made of adds up.
    for (const { latency } of one.turns) {
      assert(latency === null || (latency >= -0.2 && latency < 5));
    }
    const talk = [user, agent].flat().reduce((sum, { from, to }) => sum + to - from, 0);
    assertAlmostEquals(talk - one.overlap + silence, 70, 1e-9);
  }
  assert(bargeIns > 100 && backchannels > 10, `${bargeIns} ${backchannels}`);
});

Deno.test("speechOf() begins at 0.5, goes on down to 0.35, and leaves out what is short", () => {
  const scores = (...parts: [score: number, windows: number][]) =>
    parts.flatMap(([score, windows]) => Array<number>(windows).fill(score));
  const found = (...parts: [number, number][]) => {
    const list = scores(...parts);
    return speechOf(list, list.length * 0.032).map(({ from, to }) =>
      [from, to].map((at) => Math.round(at / 0.032))
    );
  };
  assertEquals(found([0, 5], [0.5, 10], [0, 10]), [[5, 15]]);
  assertEquals(found([0, 5], [0.49, 10], [0, 10]), []);
  // Between the two values it goes on; a silence of three windows is none, one of four ends it.
  assertEquals(found([0.9, 10], [0.4, 20], [0.9, 10]), [[0, 40]]);
  assertEquals(found([0.9, 10], [0, 3], [0.9, 10]), [[0, 23]]);
  assertEquals(found([0.9, 10], [0, 4], [0.9, 10]), [[0, 10], [14, 24]]);
  assertEquals(found([0.9, 7], [0, 9], [0.9, 8], [0, 9]), [[16, 24]]);
  assertEquals(found([0, 3], [0.9, 10]), [[3, 13]]);
  assertEquals(speechOf([1, 1, 1, 1, 1, 1, 1, 1, 1], 0.27), [{ from: 0, to: 0.27 }]);
  assertEquals(joined(speech("0-1 1.1-2 2.5-3"), 0.2), speech("0-2 2.5-3"));
});

Deno.test("by level, speech is found to the window at -40 dB of full scale and not below", () => {
  const next = random(3);
  const sound = new Float32Array(100 * 512);
  const noise = (from: number, to: number, rms: number) => {
    for (let i = from * 512; i < to * 512; i++) sound[i] = rms * Math.sqrt(3) * (2 * next() - 1);
  };
  noise(0, 100, 0.0005);
  noise(10, 30, 0.0125);
  noise(50, 70, 0.008);
  noise(80, 100, 0.1);
  const found = speechOf(levelScores(sound), 3.2).map(({ from, to }) => [from, to].map(rounded));
  assertEquals(found, [[0.32, 0.96], [2.56, 3.2]]);
});
