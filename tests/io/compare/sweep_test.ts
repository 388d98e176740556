/** What settings of turn-taking decide, and which module is named as the one that went wrong. */
import { assert, assertEquals } from "@std/assert";
import { flags } from "../../../io/eval/figures/recording_result.ts";
import { judgeAll } from "../../../io/eval/measurement.ts";
import type { Question, Truth } from "../../../io/eval/measures/truth.ts";
import { accounts } from "../../../io/compare/faults.ts";
import type { Answered, Traced } from "../../../io/compare/result.ts";
import { agreement, decide, pointOf, triedSettings } from "../../../io/compare/sweep.ts";
import { drawn, question, result } from "../eval/made_up.ts";
import { userShape } from "../media.ts";

const units = 60;

/** A question in units 10 to 20 with a pause of 0.48 s in units 14 to 16, answered from unit 22 on. */
const asked: Question = {
  ...question(10, 20, 22, { pauses: [[14 * 2560, 17 * 2560]] }),
  ...{ endSample: 21 * 2560, card: ["red", "heart", "2"] },
};
const oracle = drawn(".".repeat(22) + "######" + ".".repeat(units - 28));
const speaks = (unit: number) => unit >= 10 && unit <= 20 && !(unit >= 14 && unit <= 16);
const truth: Truth = {
  ...{ units, seed: null, events: [asked], swap: null, otherTypes: [], seconds: null },
  timeline: oracle.map((agent, unit) => ({
    user: speaks(unit),
    agent,
    word: ["it", "is", "red"][unit - 22] ?? null,
    typed: null,
  })),
};

function answered(name: string, changes: Partial<Answered> = {}, trace: Traced[] = []): Answered {
  const windows = Array.from({ length: units * 5 }, (_, i) => speaks(Math.floor(i / 5)) ? 1 : 0);
  const live = {
    ...{ computeMs: [], cpuSeconds: 0, peakBytes: 0, lost: 0, onsets: [], turns: [], modules: {} },
    ...{ truth, userScores: windows, trace },
  };
  return {
    ...result(name, [], { units, truthActive: flags(oracle), ...changes }),
    live: live as unknown as Answered["live"],
  };
}

Deno.test("a longer timer answers later, one that is longer than a pause breaks none", async () => {
  const tried = triedSettings(null);
  assertEquals(tried.filter(({ silence }) => silence !== null).length, 15);
  let before = 0;
  for (const one of tried) {
    const decided = await decide(answered("a"), one, userShape, null);
    const point = pointOf({ ...one, kind: "decisions" }, [decided], 160, 0);
    assertEquals(point.brokenPauses.events, 1);
    const breaks = point.brokenPauses.value === 1;
    // The pause lasts 0.48 s, and units are decided at their ends.
    const timer = one.silence ?? (one.name === "oracle" ? Infinity : 0.55);
    assertEquals(breaks, timer < 0.49, one.name);
    assertEquals(point.missed.value, 0, one.name);
    // What began before the turn was over has no delay.
    assertEquals(point.delay.events, breaks ? 0 : 1, one.name);
    const delay = point.delay.value ?? NaN;
    if (one.silence !== null && !breaks) {
      assert(delay >= before, `${one.name}: ${delay} ms`);
      assert(delay >= 1000 * one.silence && delay <= 1000 * one.silence + 160, `${delay} ms`);
      before = delay;
    }
    // The unit in which the question ends, heard when it is over.
    if (one.name === "oracle") assertEquals(delay, 0);
  }
});

Deno.test("a full run that decides alike agrees, one that is later does not", async () => {
  const [quick, slow] = [0.6, 1.2].map((seconds) =>
    triedSettings(null).find(({ silence }) => silence === seconds)
  );
  assert(quick && slow);
  const [a, b] = [
    await decide(answered("a"), quick, userShape, null),
    await decide(answered("a"), slow, userShape, null),
  ];
  assertEquals(agreement([a], [a]), { turns: 1, same: 1 });
  assertEquals(agreement([a], [b]), { turns: 1, same: 0 });
});

/** The account of the question by an agent that says these words from a unit on. */
function account(said: string, trace: Traced[], from = 23) {
  const words = said.split(" ").filter((word) => word)
    .map((word, i): [number, string] => [from + i, word]);
  const active = oracle.map((_, unit) => unit >= from && unit < from + 2 * words.length);
  const outcomes = judgeAll({
    ...{ truth, active, truthActive: oracle },
    words: words.map(([unit, word]) => ({ unit, word })),
  }, 160);
  const [one] = accounts(answered("a", { outcomes, words, active: flags(active) }, trace), 160);
  return one;
}

Deno.test("the module, the unit and the word that went wrong are named", () => {
  const heard: Traced = { unit: 11, module: "activity", what: "the user begins" };
  const over: Traced = { unit: 23, module: "endOfTurn", what: "the turn is over after 0.5 s" };
  const read = (text: string): Traced => (
    { unit: 23, module: "read", what: "words", words: text.split(" ") }
  );
  const look = (text: string): Traced => (
    { unit: 5, module: "look", what: "a card", words: text.split(" ") }
  );
  const found = (text: string): Traced => (
    { unit: 23, module: "answer", what: "an answer", words: text.split(" ") }
  );
  const right = [look("red heart two"), heard, over, read("what colour is it")];
  const rows: [said: string, trace: Traced[], fault: [string, number, string] | null][] = [
    ["it is red", [], null],
    ["it is blue", [], ["model", 25, "word 3: 'red' is wanted, 'blue' came"]],
    ["", [], ["model", 20, "no answer was heard in its time"]],
    ["it is red", [...right, found("it is red")], null],
    ["", [look("red heart two")], ["activity", 20, "the user's voice was not noticed"]],
    ["", [heard], ["endOfTurn", 20, "the turn was not over in its time"]],
    [
      "it is a heart",
      [heard, over, read("what shape is it"), found("it is a heart")],
      ["read", 23, "word 2: 'colour' is wanted, 'shape' came"],
    ],
    [
      "it is blue",
      [look("blue heart two"), heard, over, read("what colour is it"), found("it is blue")],
      ["look", 5, "word 1: 'red' is wanted, 'blue' came"],
    ],
    [
      "it is a heart",
      [...right, found("it is a heart")],
      ["answer", 23, "word 3: 'red' is wanted, 'a' came"],
    ],
    [
      "it is rad",
      [...right, found("it is red")],
      ["speak", 25, "word 3: 'red' is wanted, 'rad' came"],
    ],
    // Over before the question's end: what was read is not the reader's fault.
    [
      "it is a heart",
      [heard, { ...over, unit: 15 }, read("what"), found("it is a heart")],
      ["endOfTurn", 15, "the turn is over after 0.5 s, before the question's end"],
    ],
    ["", [heard, { ...over, unit: 32 }], ["endOfTurn", 32, "the turn is over only after 12 units"]],
    // What it said of the answer is right.
    [
      "it",
      [...right, found("it is red"), {
        ...{ unit: 24, module: "bargeIn", what: "the answer is dropped", words: ["is", "red"] },
      }],
      ["bargeIn", 24, "the answer is dropped: 'it' was said"],
    ],
  ];
  for (const [said, trace, fault] of rows) {
    const { fault: got = null } = account(said, trace) ?? {};
    assertEquals(got && [got.module, got.unit, got.what], fault, said);
  }
  const early = account("it is red", [{ ...over, unit: 15 }], 15);
  assertEquals(early?.fault?.module, "endOfTurn");
  assertEquals(account("it is red", [], 15)?.fault?.what, "it speaks in a pause");
});

Deno.test("what goes wrong where the user leaves no room for an answer is no module's fault", () => {
  const mhm = { type: "distraction", kind: "mhm", start: 26, end: 28 } as const;
  const trace: Traced[] = [{ unit: 11, module: "activity", what: "the user begins" }];
  const of = (events: typeof truth.events) => {
    const result = answered("a", { outcomes: missed }, trace);
    const live = { ...result.live, truth: { ...truth, events } };
    return accounts({ ...result, live }, 160).map((
      { counts, fault },
    ) => [counts, fault?.module ?? null]);
  };
  const missed = [{ measure: "missed" as const, unit: 10, value: 1 }];
  assertEquals(of(truth.events), [[true, "endOfTurn"]]);
  assertEquals(of([...truth.events, { ...mhm, during_answer: false }]), [[false, null]]);
});
