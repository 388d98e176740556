/** A cascade of parts without networks: the session's contract, and what is said when. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Cascade } from "../../../engine/cascade/cascade.ts";
import { moduleNames, type Parts } from "../../../engine/cascade/parts.ts";
import type { Observation } from "../../../engine/checkpoint/unit.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { integer, random } from "../../reference/random.ts";
import { content, converse, fakeParts, layout, observations, plain, said } from "./support.ts";

/** A conversation of any kind. */
function randomText(seed: number, units = 60): string {
  const next = random(seed);
  let isSpeech = false, left = 0;
  return Array.from({ length: units }, () => {
    const windows = Array.from({ length: 5 }, () => {
      if (left-- <= 0) [isSpeech, left] = [!isSpeech, integer(next, 1, isSpeech ? 25 : 15)];
      return isSpeech ? "x" : ".";
    }).join("");
    const card = next() < 0.1 ? integer(next, 0, 3) : "";
    return `${windows}${card}${next() < 0.05 ? ":word" : ""}`;
  }).join(" ");
}

const cases: Record<string, [text: string, said: string]> = {
  "an utterance is answered in the first unit that ends half a second or so after it": [
    "..... xxxxx xxxxx ..... ..... ..... ..... ..... .....",
    "- - - - - re 1 2 -",
  ],
  "what is seen at its end is known, and what was seen before": [
    ".....1 ..... ..... .....2 xxxxx xx... ..... ..... ..... ..... ..... ..... .....",
    "- - - - - - - - re 4 5 card2 card1",
  ],
  "a pause that is shorter than the timer doesn't cut it": [
    "xxxxx xxxx. ..... ....x xxxxx ..... ..... ..... ..... ..... ..... ..... ..... .....",
    "- - - - - - - re 0 1 3 4 - -",
  ],
  "who goes on before the answer's first unit was played is answered once, with both pieces": [
    "xxxxx ..... ..... ..... xxxxx ..... ..... ..... ..... ..... ..... .....",
    "- - - re - - - re 0 4 - -",
  ],
  "who goes on later is answered twice": [
    "xxxxx ..... ..... ..... ..... ..... xxxxx ..... ..... ..... ..... ..... .....",
    "- - - re 0 - - - - re 6 - -",
  ],
  "speech that is too short doesn't stop the agent, and isn't read before the next turn": [
    "xxxxx xxxxx xxxxx xxxxx xxxxx ..... ..... ..... ..... xxxxx ..... ..... ..... ..... .....",
    "- - - - - - - re 0 1 2 3 4 - -",
  ],
  "speech that is long enough stops it": [
    "xxxxx xxxxx xxxxx xxxxx xxxxx ..... ..... ..... ..... xxxxx xxxxx xxxxx xxxxx ..... ..... ..... .....",
    "- - - - - - - re 0 1 2 3 - - - re 9",
  ],
  "typed text is answered when a unit without any follows": [
    ".....:how .....:many ..... ..... ..... ..... .....",
    "- - re how many - -",
  ],
  "typed text stops the agent, with an answer or without": [
    ".....:how ..... ..... .....:hush ..... ..... .....",
    "- re how - - - -",
  ],
};

for (const [name, [text, wanted]] of Object.entries(cases)) {
  Deno.test(name, async () => assertEquals(said(await converse(text)), wanted));
}

Deno.test("a short turn is read where the settings say so, and stops the agent where it has words", async () => {
  const text =
    "xxxxx xxxxx xxxxx xxxxx xxxxx ..... ..... ..... ..... xxxxx ..... ..... ..... ..... .....";
  assertEquals(said(await converse(text, { short: "read" })), "- - - - - - - re 0 1 2 3 re 9 -");
});

Deno.test("after a barge-in without words the agent says the rest, where the settings say so", async () => {
  const text = `${"xxxxx ".repeat(6)} ${"..... ".repeat(4)} ${"xxxxx ".repeat(4)} ${
    "..... ".repeat(9)
  }`;
  const rest = async (resume: number) => {
    const parts = fakeParts();
    const { reader } = parts;
    const { read } = reader;
    let reads = 0;
    reader.read = async () => reads++ === 1 ? (await read(), []) : await read();
    return said(await converse(text, { resume }, parts));
  };
  const wanted = "- - - - - - - - re 0 1 2 3 - - - - - - -";
  assertEquals(await rest(1), `${wanted} 4 5 -`);
  assertEquals(await rest(0), `${wanted} - - -`);
});

Deno.test("a card is looked at when the picture changes and the user is silent, and named after a silence", async () => {
  const parts = fakeParts();
  const silence = "..... ".repeat(6);
  const responses = await converse(
    `xxxxx xxxxx1 xxxxx xxxxx2 ${silence} .....3 ${silence} ${silence}`,
    { unasked: 4 },
    parts,
  );
  // In the fourth unit after the one in which the agent spoke last; once.
  assertEquals(
    said(responses),
    "- - - - - - re 0 1 2 3 card2 - - - see card3 - - - - - -",
  );
  const looks = responses.flatMap(({ trace }) => trace.filter(({ module }) => module === "look"));
  assertEquals(looks.map(({ unit, words }) => [unit, words]), [[6, ["card2"]], [12, ["card3"]]]);
  // Before it is named it is looked at again.
  assertEquals(parts.looks(), 3);
});

Deno.test("any order of pushing and reading gives the same, and so does a second run", async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const given = observations(randomText(seed));
    const wanted = content(await converse(given, { unasked: 5 }));
    assert(wanted.some(({ text }) => text !== ""));
    const next = random(100 + seed);
    await using cascade = new Cascade(fakeParts(), { ...plain, unasked: 5 }, layout);
    const reader = cascade[Symbol.asyncIterator]();
    const got = [];
    let pushed = 0;
    while (got.length < given.length) {
      const observation = given[pushed];
      if (observation && pushed - got.length < 3 && (pushed === got.length || next() < 0.5)) {
        await cascade.push(observation);
        if (++pushed === given.length) cascade.end();
      } else {
        const { value } = await reader.next();
        got.push(value);
      }
    }
    assertEquals(content(got), wanted);
  }
});

Deno.test("a later sample, picture or word changes nothing earlier", async () => {
  const given = observations(randomText(7));
  const wanted = content(await converse(given));
  const next = random(8);
  for (let trial = 0; trial < 8; trial++) {
    const cut = integer(next, 1, 58);
    const other = observations(randomText(20 + trial));
    const got = content(await converse([...given.slice(0, cut), ...other.slice(cut)]));
    assertEquals(got.slice(0, cut), wanted.slice(0, cut));
  }
});

Deno.test("every unit has the time of its modules, and a trace of what was decided", async () => {
  const responses = await converse("xxxxx xxxxx ..... ..... .....");
  for (const { modules, stages } of responses) {
    assertEquals(Object.keys(modules), [...moduleNames]);
    const sum = Object.values(modules).reduce((a, b) => a + b);
    assert(stages.total >= sum && modules.activity >= 0);
  }
  assertEquals(
    responses.flatMap(({ trace }) => trace.map(({ unit, module }) => `${unit} ${module}`)),
    ["0 activity", "4 endOfTurn", "4 read", "4 answer", "4 speak"],
  );
});

Deno.test("what is asked for at a turn's end: its silence, whether it is new, its sound", async () => {
  const asked: unknown[] = [];
  const parts = fakeParts();
  parts.endOfTurn = {
    after: 0.2,
    isOver({ unit, silence, isFirst, sound }) {
      asked.push([unit, Number(silence.toFixed(3)), isFirst, sound.length]);
      return unit === 6;
    },
  };
  await converse("..... .xxxx x.... ..... ..xx. ..... ..... .....", {}, parts);
  // Sound from 0.5 s before the first window of speech on, as far as there is any.
  assertEquals(
    asked,
    [[3, 0.288, true, 4 * 2560], [5, 0.192, true, 6 * 2560]].slice(0, 1).concat([
      [6, 0.352, true, 7 * 2560],
    ]),
  );
});

Deno.test("the end while the agent speaks ends the responses; what comes later is refused", async () => {
  const responses = await converse("xxxxx xxxxx ..... ..... .....");
  assertEquals(said(responses), "- - - - re");
  const [first] = observations(".....");
  assert(first);
  await using cascade = new Cascade(fakeParts(), plain, layout);
  cascade.end();
  await assertRejects(() => cascade.push(first), Error, "push() comes before end()");
  assertEquals(await Array.fromAsync(cascade), []);
});

Deno.test("closing early ends readers and writers, and closes every part once", async () => {
  const parts = fakeParts();
  const never = Promise.withResolvers<Float32Array>();
  const started = Promise.withResolvers<void>();
  const { activity } = parts;
  parts.activity = {
    push() {
      started.resolve();
      return never.promise;
    },
    close() {
      activity.close?.();
      never.reject(new Error("closed"));
    },
  };
  const cascade = new Cascade(parts, plain, layout);
  const pushes = observations("..... ..... ..... .....").map((observation) =>
    cascade.push(observation).then(() => "", ({ message }) => message)
  );
  const reading = assertRejects(() => Array.fromAsync(cascade), Error, "closed before unit 0");
  await started.promise;
  await cascade.close();
  await cascade.close();
  await reading;
  assertEquals((await Promise.all(pushes)).map((message) => /closed before unit 0/.test(message)), [
    false,
    false,
    false,
    true,
  ]);
  assertEquals(parts.closed.sort(), ["activity", "endOfTurn", "reader", "speaker"]);
});

Deno.test("a part that throws makes the session fail, with unit and module, after the responses before", async () => {
  const text = ".....1 xxxxx xxxxx ..... ..... ..... .....";
  const boom = () => {
    throw new Error("boom");
  };
  const table: [unit: number, module: string, (parts: Parts) => void][] = [
    [0, "activity", ({ activity }) => activity.push = boom],
    [0, "read", ({ reader }) => reader.push = boom],
    [5, "read", ({ reader }) => reader.read = boom],
    [5, "look", ({ reader }) => reader.look = boom],
    [5, "endOfTurn", ({ endOfTurn }) => endOfTurn.isOver = boom],
    [5, "answer", ({ answerer }) => answerer.heard = boom],
    [0, "speak", ({ speaker }) => speaker.next = boom],
  ];
  for (const [unit, module, breaks] of table) {
    const parts = fakeParts();
    breaks(parts);
    await using cascade = new Cascade(parts, plain, layout);
    const feeding = (async () => {
      for (const observation of observations(text)) await cascade.push(observation);
    })().catch(() => {});
    const got: number[] = [];
    await assertRejects(
      async () => {
        for await (const response of cascade) got.push(response.unit);
      },
      Error,
      `unit ${unit}: ${module}: boom`,
    );
    assertEquals(got, Array.from({ length: unit }, (_, i) => i), module);
    await feeding;
    const late: Observation = { audio: null, frames: null };
    await assertRejects(() => cascade.push(late), Error, `unit ${unit}: ${module}: boom`);
  }
});

Deno.test("observations and settings are checked", async () => {
  await using cascade = new Cascade(fakeParts(), plain, layout);
  const wrong: Observation = { audio: new Float32Array(3), frames: null };
  await assertRejects(() => cascade.push(wrong), InputError, "observation: audio");
  const settings = { ...plain, bargeIn: -1 };
  assertThrows(() => new Cascade(fakeParts(), settings, layout), InputError, "bargeIn is -1");
});
