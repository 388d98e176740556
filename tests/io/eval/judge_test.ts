/** The judges of turns, each on drawings: '#' is a unit in which a voice is active. */
import { assertEquals } from "@std/assert";
import { judgeInitiative } from "../../../io/eval/measures/initiative.ts";
import { judgeInterruptions, judgeSelectivity } from "../../../io/eval/measures/interruptions.ts";
import type { Measure, Outcome } from "../../../io/eval/measures/outcomes.ts";
import { judgeQuestions } from "../../../io/eval/measures/questions.ts";
import { judgeRestraint } from "../../../io/eval/measures/restraint.ts";
import type { Conduct } from "../../../io/eval/measures/conduct.ts";
import type { TruthEvent } from "../../../io/eval/measures/truth.ts";
import { conduct, question } from "./made_up.ts";

const of = (outcomes: readonly Outcome[], measure: Measure) =>
  outcomes.filter((one) => one.measure === measure).map(({ value }) => value);

/** A question in units 2 to 5, answered by the oracle in 7 to 9. */
const asked = { oracle: "....... ###. ..........", events: [question(2, 5, 7)] };
const answer = { 7: "it", 8: "is", 9: "red" };

Deno.test("judgeQuestions takes the delay from the question's last unit to the first onset", () => {
  for (
    const [agent, delay] of [
      ["....... ###. ..........", 2],
      ["......# ###. ..........", 1],
      [".....## ###. ..........", 0],
      ["....... ...# ##........", 5],
      // Speech that began inside the question.
      ["....### ###. ..........", 0],
    ] as const
  ) {
    const found = judgeQuestions(conduct({ ...asked, agent, words: answer }));
    assertEquals([of(found, "delay"), of(found, "missed")], [[delay], [0]], agent);
  }
});

Deno.test("judgeQuestions doesn't take speech from before the question for a response", () => {
  const found = judgeQuestions(conduct({ ...asked, agent: "####### #... ###......." }));
  assertEquals(of(found, "delay"), [6]);
  const never = judgeQuestions(conduct({ ...asked, agent: "####### ###. .........." }));
  assertEquals([of(never, "delay"), of(never, "missed")], [[], [1]]);
});

Deno.test("judgeQuestions misses what begins after 8 units, or in the user's next turn", () => {
  const late = judgeQuestions(conduct({ ...asked, agent: "....... .... ...###...." }));
  assertEquals(of(late, "missed"), [1]);
  const events = [question(2, 5, 7), question(13, 15, 17)];
  const next = judgeQuestions(
    conduct({ oracle: "....... ###. .....###..", agent: "....... .... ..##.###..", events }),
  );
  assertEquals(of(next, "missed"), [1, 0]);
});

Deno.test("judgeQuestions leaves out questions without room for an answer", () => {
  const events = [question(2, 5, 7), question(8, 12, 14)];
  const found = judgeQuestions(
    conduct({ oracle: "....... .... ..###......", agent: ".......................", events }),
  );
  assertEquals(of(found, "missed"), [1]);
  // The oracle's answer was broken off: whether it is right can't be told.
  const cut = judgeQuestions(
    conduct({
      oracle: "....... #### .###......",
      agent: "....... #### .###......",
      words: { ...answer, 13: "it", 14: "is", 15: "red" },
      events: [question(2, 5, 7), question(9, 11, 13)],
    }),
  );
  assertEquals([of(cut, "missed"), of(cut, "right")], [[0, 0], [1]]);
});

Deno.test("judgeQuestions wants the answer's words exactly", () => {
  const agent = asked.oracle;
  const right = (words: Record<number, string>) =>
    of(judgeQuestions(conduct({ ...asked, agent, words })), "right");
  assertEquals(right(answer), [1]);
  // A word may be there a little before its sound.
  assertEquals(right({ 6: "it", 8: "is", 9: "red" }), [1]);
  assertEquals(right({ 7: "it", 8: "is", 9: "blue" }), [0]);
  assertEquals(right({ 7: "it", 8: "is" }), [0]);
  assertEquals(right({ 7: "it", 8: "is", 9: "red", 10: "red" }), [0]);
  // Something new after a long break is no part of it.
  assertEquals(right({ ...answer, 18: "hello" }), [1]);
  assertEquals(right({}), [0]);
});

Deno.test("judgeRestraint finds onsets in pauses and in silences, and nowhere else", () => {
  const pauses: [number, number][] = [[3 * 2560 + 100, 6 * 2560 + 100]];
  const starts = (agent: string) => {
    const found = judgeRestraint(
      conduct({
        user: "..##. .##... ........ .......... ..........",
        oracle: "..... ...... .###.... .......... .....###..",
        agent,
        events: [
          question(2, 7, 12, { pauses }),
          { type: "greeting", start: 34, words: ["hello"] },
        ],
      }),
      160,
    );
    return [of(found, "pause start"), of(found, "silence start")];
  };
  // Silences: units 0 to 1, and 23 (15 + 8) to 29 (34 - 4); between question and answer it's a delay.
  assertEquals(starts("..... ...... .###.... .......... .....###.."), [[0], [0, 0]]);
  assertEquals(starts("..... #..... .###.... .......... .....###.."), [[1], [0, 0]]);
  assertEquals(starts("#.... ...... .###.... .......... .....###.."), [[0], [1, 0]]);
  assertEquals(starts("..... ...... .###.... .....#.... .....###.."), [[0], [0, 1]]);
  // Late, or a little early: not a false start.
  assertEquals(starts("..... ...... .#######  .......... ..####..."), [[0], [0, 0]]);
});

Deno.test("judgeRestraint minds the first second unless the oracle speaks there too", () => {
  const spoke = (agent: string, oracle: string, words = {}) =>
    of(judgeRestraint(conduct({ agent, oracle, words }), 160), "first second");
  assertEquals(spoke("............", "............"), [0]);
  assertEquals(spoke("....##......", "............"), [1]);
  assertEquals(spoke("............", "............", { 2: "hello" }), [1]);
  assertEquals(spoke("....##......", "......##...."), [0]);
  assertEquals(spoke("......##....", "............"), [0]);
});

Deno.test("judgeInterruptions counts units until the agent is silent", () => {
  const events = [
    { type: "interruption", onset: 6 } as const,
    question(6, 9, 11, { interrupts: true }),
  ];
  const judge = (agent: string, words = {}): Outcome[] => {
    const given: Conduct = conduct({
      oracle: "..######... ###.......",
      agent,
      words,
      events,
    });
    return judgeInterruptions(given, judgeQuestions(given));
  };
  const answered = { 11: "it", 12: "is", 13: "red" };
  const found = judge("..######... ###.......", answered);
  assertEquals([of(found, "stop delay"), of(found, "new question")], [[2], [1]]);
  assertEquals(of(judge("..#####.... ###......."), "stop delay"), [1]);
  // A gap between words is no stop, and never stopping is 12.
  assertEquals(of(judge("..######.#. ###......."), "stop delay"), [2 + 2]);
  assertEquals(of(judge("..######### ##########"), "stop delay"), [12]);
  // Who was silent wasn't interrupted.
  assertEquals(judge("..###...... ###......."), []);
});

Deno.test("judgeSelectivity wants the agent to go on where it has more to say", () => {
  const events = [
    { type: "distraction", kind: "cough", start: 5, end: 6, during_answer: true } as const,
  ];
  const went = (agent: string) =>
    of(judgeSelectivity(conduct({ oracle: "..########....", agent, events })), "selective");
  assertEquals(went("..########...."), [1]);
  assertEquals(went("...########..."), [1]);
  assertEquals(went("..####........"), [0]);
  // It began two units before the oracle, so that it may be through.
  assertEquals(went("########......"), []);
  assertEquals(went(".............."), []);
});

Deno.test("judgeInitiative takes the right words about the right time", () => {
  const events: TruthEvent[] = [{ type: "greeting", start: 8, words: ["hello"] }];
  const greets = (words: Record<number, string>) =>
    of(
      judgeInitiative(
        conduct({ oracle: "........ #...........", agent: "........ #...........", words, events }),
      ),
      "greeting",
    );
  assertEquals(greets({ 8: "hello" }), [1]);
  assertEquals(greets({ 12: "hello" }), [1]);
  assertEquals(greets({ 1: "hello" }), [0]);
  assertEquals(greets({ 8: "it" }), [0]);
});
