/** Reader and speaker on a session: on one that answers from a list, and on the shipped checkpoint. */
import { assert, assertEquals } from "@std/assert";
import { ModelReader, openReader, type Stepper } from "../../../engine/cascade/reader.ts";
import { ModelSpeaker, openSpeaker } from "../../../engine/cascade/speaker.ts";
import { Cascade } from "../../../engine/cascade/cascade.ts";
import { presets } from "../../../engine/cascade/presets.ts";
import { silenceTimer } from "../../../engine/cascade/turns.ts";
import { openCheckpoint } from "../../../engine/checkpoint/checkpoint.ts";
import type { Observation } from "../../../engine/checkpoint/unit.ts";
import { unitLayout } from "../../../engine/checkpoint/unit.ts";
import { openModel } from "../../../engine/session/model.ts";
import { normal, random } from "../../reference/random.ts";
import { withAdapter } from "../session/adapter.ts";
import { answers, content, filler, layout, response } from "./support.ts";

/** A session whose texts are given: `-` nothing, `~` the voice goes on, else a word. */
function listed(texts: string): Stepper & { given: Observation[] } {
  const list = texts.split(" ");
  const given: Observation[] = [];
  return {
    layout,
    given,
    step(observation) {
      const text = list[given.push(observation) - 1] ?? "-";
      const word = text === "-" || text === "~" ? "" : ` ${text}`;
      const answer = response(given.length - 1, word);
      if (text === "~") answer.tokens = [2];
      if (text !== "-") answer.audio.fill(0.5);
      return Promise.resolve(answer);
    },
    close: () => Promise.resolve(),
  };
}

Deno.test("a reader types the command once, shows the last picture, and stops at the first unit without a word", async () => {
  const session = listed("- how many - red star two - a b c d e f g h i j k l m");
  const reader = new ModelReader(session);
  const frames = new Uint8Array(layout.user.frames * layout.user.width * layout.user.height * 3);
  frames.fill(9);
  await reader.push({ audio: new Float32Array(layout.user.samples).fill(0.5), frames });
  assertEquals(await reader.read(), ["how", "many"]);
  assertEquals(await reader.look(), ["red", "star", "two"]);
  assertEquals((await reader.read()).join(""), "abcdefghijkl");
  const texts = session.given.map(({ text }) => text ?? "-").join(" ");
  assertEquals(texts, `- read - - card - - - read${" -".repeat(11)}`);
  for (const observation of session.given.slice(1)) {
    assertEquals(observation.frames, frames);
    assert(observation.audio?.every((sample) => sample === 0));
  }
});

Deno.test("a speaker types a word a unit, and speaks until the last one is over", async () => {
  const session = listed("- it ~ is red ~ - - -");
  const speaker = new ModelSpeaker(session, filler);
  const speaks: boolean[] = [];
  for (let unit = 0; unit < 9; unit++) {
    if (unit === 1) speaker.say(["it", "is", "red"]);
    await speaker.next();
    speaks.push(speaker.isSpeaking);
  }
  assertEquals(session.given.map(({ text }) => text ?? "-").join(" "), "- it is red - - - - -");
  assertEquals(speaks, [false, true, true, true, true, true, false, false, false]);
  for (const { audio, frames } of session.given) {
    assert(audio?.every((sample) => sample === 0) && frames?.every((value) => value === 0));
  }
});

Deno.test("words that the model doesn't say are not waited for forever", async () => {
  const speaker = new ModelSpeaker(listed("- - - - - - - -"), filler);
  speaker.say(["it", "is"]);
  let units = 0;
  for (; speaker.isSpeaking; units++) await speaker.next();
  assertEquals(units, 4);
  assertEquals(speaker.stop(), []);
});

Deno.test("a speaker that is stopped fades within 40 samples, is silent until a new word, and gives back what it had not begun", async () => {
  const session = listed("it is ~ was ~ - see a -");
  const speaker = new ModelSpeaker(session, filler);
  speaker.say(["it", "is", "a", "red", "star"]);
  const units = [await speaker.next(), await speaker.next()];
  assertEquals(speaker.stop(), ["a", "red", "star"]);
  assertEquals(speaker.isSpeaking, false);
  while (units.length < 5) units.push(await speaker.next());
  speaker.say(["see", "a"]);
  while (units.length < 9) units.push(await speaker.next());
  assertEquals(session.given.map(({ text }) => text ?? "-").join(" "), "it is stop - - see a - -");
  assertEquals(units.map(({ text }) => text.trim() || "-").join(" "), "it is - - - - see a -");
  const [, , fading, silent, more, waiting, word] = units.map(({ audio }) => audio);
  assert(fading && silent && more && waiting && word);
  assertEquals(fading[0], 0.5);
  for (let i = 1; i < 40; i++) assert((fading[i] ?? 1) < (fading[i - 1] ?? 0));
  assert([...fading.subarray(39), ...silent, ...more, ...waiting].every((sample) => sample === 0));
  assert(word.every((sample) => sample === 0.5));
});

withAdapter(
  "a cascade on the shipped checkpoint says its answer word by word, the same each time",
  async () => {
    const checkpoint = await openCheckpoint("engine/models/nano-modules");
    const shape = unitLayout(checkpoint.config);
    await using model = await openModel(checkpoint);
    const next = random(4);
    const given: Observation[] = Array.from({ length: 8 }, (_, unit) => ({
      audio: normal(next, shape.user.samples, 0.05),
      frames: Uint8Array.from(
        { length: shape.user.frames * shape.user.width * shape.user.height * 3 },
        () => 255 * next(),
      ),
      ...(unit === 0 ? { text: "colour" } : {}),
    }));
    const run = async (units: number) => {
      await using cascade = new Cascade(
        {
          activity: { push: () => new Float32Array(5) },
          endOfTurn: silenceTimer(0.5),
          reader: await openReader(model, 3),
          answerer: { heard: () => ["it", "is", "red"], unasked: () => null },
          speaker: await openSpeaker(model, checkpoint, { seed: 3 }),
        },
        presets.livekit,
        shape,
      );
      return await answers(cascade, given.slice(0, units));
    };
    const responses = await run(8);
    assertEquals(responses.map(({ unit }) => unit), [0, 1, 2, 3, 4, 5, 6, 7]);
    for (const { audio, frames, modules } of responses) {
      assertEquals(audio.length, shape.agentSamples);
      assertEquals(frames.length, shape.frames * shape.agent.width * shape.agent.height * 3);
      assert(modules.read > 0 && modules.speak > 0);
    }
    const notes = responses.flatMap(({ trace }) =>
      trace.map(({ unit, what }) => `${unit} ${what}`)
    );
    assert(notes.includes("1 typed") && notes.includes("1 says"), notes.join("; "));
    assertEquals(responses.map(({ text }) => text).join("").trim(), "it is red");
    assertEquals(content(await run(3)), content(responses).slice(0, 3));
  },
);
