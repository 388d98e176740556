/** Silero on conversations that are laid out of real speech, so that each moment is known. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { defaultTracks } from "../../../io/media/tracks.ts";
import { joined, type Speech, speechOf } from "../../../io/score/activity.ts";
import { listen } from "../../../io/score/listen.ts";
import { Silero } from "../../../io/score/silero.ts";
import { exchangeOf } from "../../../io/score/turns.ts";
import { parseTruth } from "../../../io/eval/measures/truth.ts";
import { smallSet } from "../eval/players.ts";
import { ffmpeg, finder } from "../media.ts";

const rate = 16000;
const samples = new URL("../../../samples/", import.meta.url).pathname;
const cannotOpen = await Silero.open()
  .then((silero) => silero[Symbol.asyncDispose]()).then(
    () => null,
    (error: Error) => error.message,
  );
const why = cannotOpen ?? (ffmpeg === null ? "no FFmpeg was found" : null);

function sileroTest(name: string, fn: (silero: Silero) => Promise<void>): void {
  Deno.test({
    name: why === null ? name : `${name} (skipped: ${why})`,
    ignore: why !== null,
    fn: async () => {
      await using silero = await Silero.open();
      await fn(silero);
    },
  });
}

const soundOf = async (path: string) =>
  (await listen({ path, tracks: defaultTracks }, null, finder)).sound;

/** A piece of a recording, from its first audible sample to its last. */
function piece(sound: Float32Array, from: number, to: number): Float32Array {
  let [first, end] = [from * rate, to * rate];
  while (Math.abs(sound[first] ?? 1) < 0.01) first++;
  while (Math.abs(sound[end - 1] ?? 1) < 0.01) end--;
  return sound.slice(first, end);
}

/** Sound of so many seconds that holds pieces, each from its moment on. */
function laid(seconds: number, pieces: readonly (readonly [at: number, Float32Array])[]) {
  const sound = new Float32Array(seconds * rate);
  for (const [at, one] of pieces) sound.set(one, Math.round(at * rate));
  return sound;
}

sileroTest(
  "speech that is laid out gives its turns, latencies, barge-ins and backchannels",
  async (silero) => {
    const [one, other] = ["user", "agent"].map((side) => soundOf(`${smallSet}/100003/${side}.mp4`));
    const [user, agent] = [await one ?? [], await other ?? []].map((sound) =>
      Float32Array.from(sound)
    );
    // Before that it is a breath.
    const real = piece(await soundOf(`${samples}voice.mp4`), 0.44, 7).subarray(0, 3 * rate);
    assert(user && agent);
    const [question, answer, word] = [
      piece(user, 11.4, 12.6),
      piece(agent, 12.4, 15.2),
      piece(agent, 3.2, 3.9),
    ];
    const seconds = 15;
    const asks = question.length / rate;
    const first = 0.5 + asks + 0.4;
    const stops = 1.4;
    const again = first + 0.9;
    const second = again + asks + 0.6;
    const sides = [
      laid(seconds, [[0.5, question], [again, question], [7, real]]),
      laid(seconds, [
        [first, answer.subarray(0, stops * rate)],
        [second, answer],
        [8.2, word],
        [10.7, answer],
      ]),
    ] as const;
    const length = answer.length / rate;
    const turns: [side: string, from: number, to: number, latency: number | null][] = [
      ["user", 0.5, 0.5 + asks, null],
      ["agent", first, first + stops, 0.4],
      ["user", again, again + asks, null],
      ["agent", second, second + length, 0.6],
      ["user", 7, 10, 7 - second - length],
      ["agent", 10.7, 10.7 + length, 0.7],
    ];
    const gained = (gain: number) => sides.map((sound) => sound.map((value) => value * gain));
    const longer = sides.map((sound) => laid(seconds + 3, [[0, sound]]));
    // All at once: as they are, 12 dB quieter, 6 dB louder, with silence after the end.
    const scores = await silero.scores([
      ...[...sides, ...gained(0.25), ...gained(2), ...longer],
    ]);
    const speechIn = (at: number, seconds: number): Speech[] => speechOf(scores[at] ?? [], seconds);
    for (let variant = 0; variant < 4; variant++) {
      const [here, there] = [2 * variant, 2 * variant + 1];
      const end = variant === 3 ? seconds + 3 : seconds;
      const found = exchangeOf({ user: speechIn(here, end), agent: speechIn(there, end) }, end);
      const said = `${variant}: ${JSON.stringify(found)}`;
      // Four windows; another gain moves soft beginnings by more.
      const near = variant === 1 || variant === 2 ? 0.22 : 0.13;
      assertEquals(found.turns.map(({ side }) => side), turns.map(([side]) => side), said);
      found.turns.forEach(({ from, to, latency }, i) => {
        const [, begin = NaN, over = NaN, wanted = null] = turns[i] ?? [];
        assertAlmostEquals(from, begin, near, said);
        assertAlmostEquals(to, over, near, said);
        assertEquals(latency === null, wanted === null, said);
        assertAlmostEquals(latency ?? 0, wanted ?? 0, near, said);
      });
      assertEquals(found.bargeIns.map(({ side }) => side), ["user"], said);
      assertAlmostEquals(found.bargeIns[0]?.at ?? NaN, again, near);
      assertAlmostEquals(found.bargeIns[0]?.stopLatency ?? NaN, stops - 0.9, near);
      assertEquals(found.backchannels.map(({ side }) => side), ["agent"], said);
      assertAlmostEquals(found.backchannels[0]?.from ?? NaN, 8.2, near);
    }
    // A sound's scores depend on nothing but itself and what came before, to the bit.
    const short = (at: 0 | 1) => silero.scores([sides[at].subarray(0, 90 * 512)]);
    const alone = await Promise.all([short(0), short(1)]);
    for (const [at, [same = new Float32Array()]] of [...alone, ...alone].entries()) {
      assertEquals(scores[at < 2 ? at : at + 4]?.subarray(0, 90), same);
    }
  },
);

sileroTest(
  "speech of the small set begins and ends where its truth record says",
  async (silero) => {
    const path = `${smallSet}/100003`;
    const truth = parseTruth(await Deno.readTextFile(`${path}/truth.json`), "truth.json");
    const sounds = [await soundOf(`${path}/user.mp4`), await soundOf(`${path}/agent.mp4`)];
    const scores = await silero.scores(sounds);
    (["user", "agent"] as const).forEach((side, i) => {
      // Units of 160 ms in which the side sounds; gaps that either may have are joined.
      const units = truth.timeline.flatMap((unit, k) =>
        unit[side] ? [{ from: 0.16 * k, to: 0.16 * (k + 1) }] : []
      );
      const wanted = joined(units, 0.7);
      const found = joined(speechOf(scores[i] ?? [], 20), 0.7);
      assertEquals(found.length, wanted.length, JSON.stringify({ found, wanted }));
      found.forEach(({ from, to }, at) => {
        const { from: begin = NaN, to: end = NaN } = wanted[at] ?? {};
        assert(
          from > begin - 0.05 && from < begin + 0.16 + 0.1,
          `${side}: from ${from}, truth ${begin}`,
        );
        assert(to > end - 0.16 - 0.15 && to < end + 0.1, `${side}: to ${to}, truth ${end}`);
      });
    });
  },
);

sileroTest(
  "unit by unit, several at a time, sounds have the scores of the whole, to the bit",
  async (silero) => {
    const speech = (await soundOf(`${samples}voice.mp4`)).slice(rate / 2, 2 * rate);
    const noise = Float32Array.from({ length: rate }, () => Math.random() - 0.5);
    // Units of 160 ms, of other lengths, and of lengths at random, some of them 0.
    const cuts = [() => 2560, () => 700, () => Math.floor(Math.random() * 1500)];
    const sounds = [speech, noise, speech.map((value, i) => value + (noise[i] ?? 0))];
    const got = await Promise.all(cuts.map(async (cut, i) => {
      const sound = sounds[i] ?? noise;
      const stream = silero.stream();
      const all: number[] = [];
      for (let at = 0; at < sound.length;) {
        const to = at + cut();
        all.push(...await stream.push(sound.subarray(at, to)));
        assertEquals(all.length, Math.floor(Math.min(to, sound.length) / 512));
        at = to;
      }
      await stream.close();
      return all;
    }));
    const whole = await silero.scores(sounds);
    got.forEach((scores, i) => assertEquals(scores, [...whole[i] ?? []].slice(0, scores.length)));
    assert(got[0]?.some((score) => score > 0.9) && got[1]?.every((score) => score < 0.5));
  },
);

sileroTest("Silero ends with its input, in the middle of a sound", async () => {
  const folder = new URL("../../../io/score/silero/", import.meta.url).pathname;
  const args = ["--no-config", "--lock", `${folder}deno.lock`, "--frozen", "--allow-read"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", ...args, `${folder}silero.ts`],
    ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  // Ten minutes of silence, of which it would give 18750 scores.
  const sound = new Uint8Array(12 + 4 * 600 * rate);
  new DataView(sound.buffer).setUint32(4, 1, true);
  new DataView(sound.buffer).setUint32(8, 600 * rate, true);
  const writer = child.stdin.getWriter();
  await writer.write(sound);
  await writer.close();
  const { success, stdout } = await child.output();
  assertEquals([success, stdout.length], [true, 1]);
});

sileroTest("what it has worked is told, and grows with what is asked of it", async (silero) => {
  const before = await silero.work();
  await silero.scores([new Float32Array(60 * rate)]);
  const after = await silero.work();
  assert(after.seconds > before.seconds && after.bytes > 1e7, `${after.seconds}, ${after.bytes}`);
});
