/** What judges hear: utterances cut from a voice, errors of words, and the figures made of them. */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import {
  Heard,
  heardWords,
  type Judge,
  judgedVoice,
  utterancesOf,
  wordErrors,
} from "../../../io/eval/judged.ts";
import { rowsOf } from "../../../io/eval/figures/bars.ts";
import { figuresTable } from "../../../io/eval/figures/table.ts";
import type { Outcome } from "../../../io/eval/measures/outcomes.ts";
import { conduct, drawn, result } from "./made_up.ts";

const words = (text: Record<number, string>) =>
  Object.entries(text).map(([unit, word]) => ({ unit: Number(unit), word }));

Deno.test("an utterance begins with its first word and ends with the voice, and nods are none", () => {
  const active = drawn(".##.## ...... .##### .... ##....");
  const said = words({ 1: "it", 4: "is", 14: "red", 20: "mm", 23: "two" });
  assertEquals(utterancesOf(said, active), [
    { words: ["it", "is"], from: 1, to: 6 },
    // The voice goes on longer than any word takes.
    { words: ["red"], from: 14, to: 18 },
    { words: ["two"], from: 23, to: 24 },
  ]);
  // The next begins before the voice is silent.
  const close = utterancesOf(words({ 0: "a", 7: "b" }), drawn("##########"));
  assertEquals(close.map(({ from, to }) => [from, to]), [[0, 4], [7, 10]]);
  assertEquals(utterancesOf([], active), []);
});

Deno.test("a recognizer's spelling is no error", () => {
  const cases: [string, string][] = [
    [" It’s a red heart.", "it is a red heart"],
    ["There are 3.", "there are three"],
    ["The color, on your card: is Red!", "the colour on your card is red"],
    ["Mm-hmm. Hm, mhm.", ""],
    ["constructor", "constructor"],
  ];
  for (const [heard, right] of cases) assertEquals(heardWords(heard).join(" "), right);
});

Deno.test("wordErrors is the least number of words to change", () => {
  const plain = (a: string[], b: string[]): number => {
    const [x, ...xs] = a;
    const [y, ...ys] = b;
    if (x === undefined || y === undefined) return a.length + b.length;
    if (x === y) return plain(xs, ys);
    return 1 + Math.min(plain(xs, b), plain(a, ys), plain(xs, ys));
  };
  const some = () =>
    Array.from(
      { length: Math.floor(6 * Math.random()) },
      () => "abc"[Math.floor(3 * Math.random())] ?? "",
    );
  for (let i = 0; i < 200; i++) {
    const [a, b] = [some(), some()];
    assertEquals(wordErrors(a, b), plain(a, b), `${a} | ${b}`);
  }
});

/** 16 kHz, units of 160 ms. */
const shape = {
  unitMs: 160,
  fps: 25,
  frames: 4,
  width: 2,
  height: 2,
  sampleRate: 16000,
  samples: 2560,
};

/** What a judge that hears `heard` makes of a conversation in which the agent says 'it is red'. */
async function judged(heard: string, more: object = {}) {
  const { truth } = conduct({ agent: "..####....", oracle: ".####....." });
  truth.timeline.forEach((unit, at) => unit.word = { 1: "it", 2: "is", 3: "red" }[at] ?? null);
  const sounds = new Heard(shape);
  const media = (level: number) => ({
    audio: new Float32Array(2560).map(() => level * (Math.random() - 0.5)),
    frames: new Uint8Array(0),
  });
  for (let unit = 0; unit < 10; unit++) {
    const [agent, oracle] = [media(unit > 1 && unit < 6 ? 1 : 0), media(1)];
    sounds.add({ text: "", solveMs: 0, agent, truth: oracle, floor: oracle });
  }
  const asked: Parameters<Judge>[] = [];
  const judge: Judge = (...args) => {
    asked.push(args);
    const { utterances = [] } = args[2];
    return Promise.resolve({
      ...{
        words: null,
        quality: args[1].length > 0 ? 3 + asked.length / 10 : null,
        constancy: null,
      },
      heard: utterances.map(() => heard),
      ...more,
    });
  };
  const measured = {
    ...{ words: [[2, "it"], [3, "is"], [4, "red"]] as [number, string][] },
    ...{ active: "0011110000", truthActive: "0111100000" },
  };
  const candidates = { sound: new Float32Array(8), among: 8 };
  return { asked, outcomes: await judgedVoice(judge, sounds, truth, measured, 160, candidates) };
}

Deno.test("the agent, the oracle and the codec are judged on what each of them says", async () => {
  const { asked, outcomes } = await judged("It is bread.", { nearest: 0 });
  assertEquals(asked.map(([sound]) => sound.length), [25600, 25600, 25600]);
  const [speech, none, theirs] = asked.map(([, speech]) => speech);
  assertEquals([speech, none], [[{ from: 0.32, to: 0.96 }], []]);
  assertEquals(theirs, [{ from: 0.16, to: 0.8 }]);
  assertEquals(
    asked.map(([, , { utterances, candidates }]) => [utterances?.[0]?.from, candidates?.among]),
    [
      [0.32, 8],
      [0.16, undefined],
      [undefined, undefined],
    ],
  );
  const of = (measure: string) => outcomes.filter((one) => one.measure === measure);
  assertEquals(of("voice error"), [{
    ...{ measure: "voice error", unit: 2, value: 1, said: "it is bread", wanted: "it is red" },
  }]);
  assertEquals(of("voice error truth").map(({ value }) => value), [1]);
  assertEquals(of("voice").map(({ value }) => value), [1]);
  assertEquals([of("speech quality")[0]?.value, of("speech quality codec")[0]?.value], [3.1, 3.3]);
  const another = await judged("It is red.", { nearest: 5 });
  assertEquals(another.outcomes.filter(({ measure }) => measure === "voice")[0]?.value, 0);
  // Too little to go by.
  const { outcomes: less } = await judged("It is red.");
  assertEquals(less.filter(({ measure }) => measure === "voice"), []);
});

Deno.test("errors count per word; rows of judges are shown where judges were asked", () => {
  const heard = (measure: Outcome["measure"], value: number, wanted: string): Outcome => ({
    ...{ measure, unit: 0, value, said: "", wanted },
  });
  const recordings = Array.from({ length: 12 }, (_, i) =>
    result(`${i}`, [
      heard("voice error", 1, "it is red"),
      heard("voice error", 0, "two"),
      heard("voice error truth", i % 2, "it is red"),
      heard("speech quality", 3, ""),
      heard("speech quality codec", 3.05, ""),
      heard("voice", i === 0 ? 0 : 1, ""),
    ]));
  const rows = rowsOf(recordings, 160, 0);
  const value = (key: string) => rows.find((row) => row.key === key)?.value ?? NaN;
  const bar = (key: string) => rows.find((row) => row.key === key)?.bar?.met;
  assertAlmostEquals(value("voiceError"), 0.25);
  assertAlmostEquals(value("voiceErrorOverTruth"), 0.25 - 1 / 6);
  assertEquals(rows.find(({ key }) => key === "voiceError")?.events, 48);
  assertAlmostEquals(value("speechQualityOverCodec"), -0.05);
  assertAlmostEquals(value("voiceFollowed"), 11 / 12);
  assertEquals(
    ["voiceErrorOverTruth", "speechQuality", "speechQualityOverCodec", "voiceFollowed"].map(bar),
    [false, true, true, true],
  );
  const shown = (some: typeof rows) => figuresTable(some).rows.map(([label]) => label).join("|");
  const without = rowsOf([result("0", [])], 160, 0);
  assertEquals(/DNSMOS/.test(shown(rows)), true);
  assertEquals(/DNSMOS|word error|voice followed/.test(shown(without)), false);
});
