/** Parts of the public cascade: with stand-ins, and where they are installed. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { StreamShape } from "../../../engine/checkpoint/unit.ts";
import type { Observation } from "../../../engine/checkpoint/unit.ts";
import { publicReader, PublicSpeaker, Utterance } from "../../../io/agents/public.ts";
import { PublicParts } from "../../../io/agents/public_child.ts";
import { Resampler } from "../../../io/media/resample.ts";
import { existing } from "../../../scripts/programs.ts";

const shape: StreamShape = {
  ...{ unitMs: 160, fps: 25, frames: 4, width: 2, height: 2, sampleRate: 16000, samples: 2560 },
};
const face = new Uint8Array(4 * 12).fill(7);
const unitOf = (value: number) => new Float32Array(2560).fill(value);

/** A voice that says each letter in 0.05 s. */
const voice = {
  said: [] as string[],
  say(words: readonly string[]) {
    const text = words.join("");
    this.said.push(words.join(" "));
    return Promise.resolve(new Float32Array(text.length * 1200).fill(0.25));
  },
};

Deno.test("a voice is handed out unit by unit, each word with the unit in which it begins", async () => {
  const speaker = new PublicSpeaker(voice, shape, face);
  assertEquals([(await speaker.next()).audio.every((value) => value === 0), speaker.isSpeaking], [
    true,
    false,
  ]);
  speaker.say(["it", "is", "a", "star"]);
  assertEquals(speaker.isSpeaking, true);
  const units = [];
  while (speaker.isSpeaking) units.push(await speaker.next());
  // 9 letters: 0.45 s.
  assertEquals(units.map(({ text }) => text), [" it is", " a star", ""]);
  assertEquals(units.map(({ unit }) => unit), [1, 2, 3]);
  const heard = units.flatMap(({ audio }) => [...audio]);
  assertEquals(heard.length, 3 * 2560);
  assert(heard.slice(100, 7100).every((value) => Math.abs(value - 0.25) < 1e-3));
  assert(heard.slice(7200).every((value) => value === 0));
  assert(units.every(({ frames }) => frames.every((value) => value === 7)));
  assertEquals(new Set(units.map(({ digest }) => digest)).size, 3);
});

Deno.test("a voice that is stopped fades at once and tells what it had not begun", async () => {
  const speaker = new PublicSpeaker(voice, shape, face);
  speaker.say(["it", "is", "a", "star"]);
  await speaker.next();
  assertEquals(speaker.stop(), ["a", "star"]);
  assertEquals(speaker.isSpeaking, false);
  const { audio, text } = await speaker.next();
  assertEquals(text, "");
  assertAlmostEquals(audio[0] ?? NaN, 0.25, 1e-3);
  assert((audio[39] ?? 1) < 0.01 && audio.slice(40).every((one) => one === 0));
  assert(audio.slice(0, 39).every((value, i) => value > (audio[i + 1] ?? 0)));
  assert((await speaker.next()).audio.every((value) => value === 0));
  // Before its sound was made nothing was begun.
  speaker.say(["red"]);
  assertEquals([speaker.stop(), voice.said.at(-1)], [["red"], "it is a star"]);
});

Deno.test("what is heard begins half a second before the first window of speech", async () => {
  const scores = [0, 0, 0, 0, 0, 1, 0, 0.2];
  const heard: number[][] = [];
  let at = 0;
  const utterance = new Utterance({ push: () => Float32Array.of(0, scores[at] ?? 0) }, 0.5);
  const seen: unknown[] = [];
  const cards = {
    push: ({ audio, frames }: Observation) => {
      seen.push([audio?.some((sample) => sample !== 0), frames]);
      return Promise.resolve();
    },
    ...{ read: () => Promise.resolve(["no"]), look },
  };
  function look() {
    return Promise.resolve(["red", "star", "one"]);
  }
  const reader = publicReader(
    {
      hear(sound) {
        heard.push([...new Set(sound)]);
        return Promise.resolve(["what"]);
      },
    },
    utterance,
    cards,
  );
  assertEquals(await reader.read(), []);
  for (; at < scores.length; at++) await utterance.push(unitOf(at));
  assertEquals([await reader.read(), await reader.look()], [["what"], ["red", "star", "one"]]);
  // Unit 5 has the speech; whole units are kept, half a second of them or more.
  assertEquals(heard, [[1, 2, 3, 4, 5, 6, 7]]);
  const frames = new Uint8Array(3);
  await reader.push({ audio: unitOf(9), frames });
  assertEquals(seen, [[false, frames]]);
  await utterance.push(unitOf(9));
  assertEquals([await reader.read(), heard.length], [[], 1]);
});

const judges = new URL("../../../scripts/judges", import.meta.url).pathname;
const why = existing([`${judges}/.venv/kokoro-js-1.2.1.tgz`]).length > 0
  ? null
  : "'deno task setup --judges' wasn't run";

Deno.test({
  name: `Whisper hears what Kokoro says${why === null ? "" : ` (skipped: ${why})`}`,
  ignore: why !== null,
  fn: async () => {
    await using parts = await PublicParts.open(judges);
    assert(/faster-whisper \d.*kokoro/.test(parts.names), parts.names);
    const [made, none] = await Promise.all([
      parts.say(["it", "is", "a", "blue", "heart"]),
      parts.hear(new Float32Array(16000)),
    ]);
    assert(made.length > 0.6 * 24000 && made.length < 3 * 24000, `${made.length}`);
    const resampler = new Resampler(24000, 16000);
    const words = await parts.hear(resampler.push(made));
    assert(/blue heart/i.test(words.join(" ")), words.join(" "));
    assertEquals(none, []);
    const { seconds, bytes } = await parts.work();
    assert(seconds > 0.5 && bytes > 1e8, `${seconds} s, ${bytes} bytes`);
  },
});
