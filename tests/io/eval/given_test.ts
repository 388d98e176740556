/** What an agent is given before the first unit: records that tell of it, and whether it is followed. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { Faces, madeSmall } from "../../../io/eval/measures/faces.ts";
import { mouthOpening } from "../../../io/eval/measures/lips.ts";
import { judgePrompt } from "../../../io/eval/measures/initiative.ts";
import { judgeQuestions } from "../../../io/eval/measures/questions.ts";
import { faceSize, parseTruth } from "../../../io/eval/measures/truth.ts";

const [width, height, fps] = [96, 54, 2];

/** A picture of stripes of its own for each number, with noise. */
function picture(which: number, noise = 0): Uint8Array {
  return Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % width;
    const stripe = (x * (which + 1)) % 7 < 3 ? 60 : 160;
    return Math.max(0, Math.min(255, stripe + 20 * (i % 3) + noise * (Math.random() * 2 - 1)));
  });
}

const base64 = (small: ArrayLike<number>) =>
  btoa(String.fromCharCode(...Uint8Array.from(small, Math.round)));

function record(changed: object = {}, character: object = {}) {
  const units = 40;
  const timeline = Array.from(
    { length: units },
    (_, unit) => ({
      user: unit < 8,
      agent: unit === 10,
      word: unit === 10 ? "red" : null,
      typed: null,
    }),
  );
  const question = {
    ...{ type: "question", kind: "colour", text: "what colour", typed: false, start: 2, end: 8 },
    ...{ pauses: [], interrupts: false, words: ["red"], answer: 10 },
  };
  const faces = Array.from({ length: 8 }, (_, i) => base64(madeSmall(picture(i), width, height)));
  return {
    ...{ world: 2, units, timeline, prompt: { kind: "brief", text: "You are brief." } },
    events: [question, { type: "waiting", instead: "naming", start: 30 }],
    agent_voice: { given: true, name: "kokoro/bf_emma", seconds: 2 },
    character: {
      ...{ given: true, size: [width, height], faces, name: null, seed: 100000 },
      boxes: { mouth: [40, 56, 30, 40], eyes: [30, 66, 12, 22] },
      mouth: { green: 150, closed: 4, open: 64 },
      ...character,
    },
    ...changed,
  };
}

const truthOf = (...args: Parameters<typeof record>) =>
  parseTruth(JSON.stringify(record(...args)), "truth.json");

Deno.test("a record tells prompt, character and voice, and says which field is wrong", () => {
  const truth = truthOf();
  assertEquals(truth.prompt, { kind: "brief", text: "You are brief." });
  assertEquals([truth.character?.given, truth.agentVoice?.given], [true, true]);
  assertEquals(truth.character?.faces.length, 8);
  const without = truthOf({ prompt: null, character: null, agent_voice: null });
  assertEquals([without.prompt, without.character, without.agentVoice], [
    undefined,
    undefined,
    undefined,
  ]);
  const wrong: [object, object, string][] = [
    [{ prompt: { kind: "loud", text: "x" } }, {}, "prompt.kind"],
    [{ agent_voice: {} }, {}, "agent_voice.given"],
    [{}, { size: [0, 54] }, "character.size"],
    [{}, { boxes: { mouth: [40, 500, 30, 40], eyes: [1, 2, 1, 2] } }, "character.boxes.mouth"],
    [{}, { mouth: { green: 300, closed: 1, open: 2 } }, "character.mouth.green"],
    [{}, { mouth: { green: 150, closed: 2, open: 2 } }, "character.mouth.open"],
    [{}, { faces: ["AAAA"] }, "character.faces"],
    [{}, { faces: ["%"] }, "character.faces"],
  ];
  for (const [changed, character, field] of wrong) {
    assertThrows(() => truthOf(changed, character), InputError, field);
  }
});

Deno.test("a character is followed where its own small picture is nearest, whatever mouth and eyes do", () => {
  const { character } = truthOf();
  assert(character);
  for (const shown of [0, 3]) {
    const faces = new Faces(character, width, height, fps);
    for (let i = 0; i < 2 * 5 * fps + 7; i++) {
      const frame = picture(shown, 20);
      for (let y = 12; y < 40; y++) {
        frame.fill(Math.random() * 255, (y * width + 40) * 3, (y * width + 56) * 3);
      }
      // The rows between the eyes' box and the mouth's are seen.
      for (let y = 22; y < 30; y++) {
        frame.set(
          picture(shown).subarray((y * width + 40) * 3, (y * width + 56) * 3),
          (y * width + 40) * 3,
        );
      }
      faces.add(frame);
    }
    const said = faces.followed(160);
    assertEquals(said.map(({ value, said, unit }) => [value, said, unit]), [
      [shown === 0 ? 1 : 0, `${shown}`, 0],
      [shown === 0 ? 1 : 0, `${shown}`, 31],
    ]);
    assertEquals(faces.drift, null);
  }
});

Deno.test("face drift is what the last 30 s differ by from the first, in levels", () => {
  const { character } = truthOf({}, {
    size: [4, 4],
    boxes: { mouth: [1, 2, 2, 3], eyes: [1, 2, 1, 2] },
  });
  assert(character);
  for (const change of [0, 6]) {
    const faces = new Faces(character, 48, 27, 1);
    for (let i = 0; i < 90; i++) {
      faces.add(new Uint8Array(48 * 27 * 3).fill(i < 45 ? 100 : 100 + change));
    }
    assertEquals(faces.drift, change);
  }
});

Deno.test("a picture is made small by what each cell covers", () => {
  const small = madeSmall(new Uint8Array(70 * 41 * 3).fill(77), 70, 41);
  assertEquals(small.length, faceSize.width * faceSize.height * 3);
  assert(small.every((value) => Math.abs(value - 77) < 1e-9));
  const random = Uint8Array.from({ length: 96 * 54 * 3 }, () => Math.random() * 256);
  const cell = (x: number, y: number) => random[(y * 96 + x) * 3 + 1] as number;
  const mean = (cell(10, 20) + cell(11, 20) + cell(10, 21) + cell(11, 21)) / 4;
  assert(Math.abs((madeSmall(random, 96, 54)[(10 * 48 + 5) * 3 + 1] as number) - mean) < 1e-9);
});

Deno.test("a character's mouth is as open as its box's green below a level says", () => {
  const { character } = truthOf();
  assert(character);
  const { green, closed, open } = character.mouth;
  for (const opening of [0, 0.25, 1]) {
    // Half of the box is the open mouth; the rest is brighter than the level, by any amount.
    const below = 2 * (closed + opening * (open - closed));
    // The same at twice the size that the record is about.
    const frame = Uint8Array.from({ length: width * height * 12 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % (2 * width), Math.floor(i / 6 / width)];
      const isMouth = x >= 80 && x < 112 && y >= 60 && y < 80;
      if (!isMouth || i % 3 !== 1) return Math.random() * 255;
      return x < 96 ? Math.round(green - below) : green + Math.random() * (255 - green);
    });
    assert(Math.abs(mouthOpening(frame, 2 * width, 2 * height, character) - opening) < 0.01);
  }
});

Deno.test("a prompt is followed by the number of words, or by silence where a name would come", () => {
  const judged = (kind: string, said: string, speaksAt: number | null = null) => {
    const truth = truthOf({ prompt: { kind, text: "x" } });
    const words = said.split(" ").filter((word) => word !== "").map((word, i) => ({
      word,
      unit: 10 + i,
    }));
    const active = truth.timeline.map((_, unit) =>
      unit === speaksAt || words.some((one) => one.unit === unit)
    );
    const conduct = { truth, active, truthActive: active, words };
    return judgePrompt(conduct, judgeQuestions(conduct)).map(({ unit, value }) => [unit, value]);
  };
  assertEquals(judged("brief", "blue"), [[2, 1]]);
  assertEquals(judged("brief", "it is red"), [[2, 0]]);
  assertEquals(judged("brief", ""), [[2, 0]]);
  assertEquals(judged("sentences", "what you hold is a red heart"), [[2, 1]]);
  assertEquals(judged("sentences", "it is a red heart"), [[2, 0]]);
  assertEquals(judged("wait", "it is red"), [[30, 1]]);
  assertEquals(judged("wait", "it is red", 26), [[30, 0]]);
  assertEquals(judged("wait", "it is red", 37), [[30, 1]]);
});
