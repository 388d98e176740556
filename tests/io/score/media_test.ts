/** What `score` measures of pictures and levels, on recordings that are made to have it. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { defaultTracks } from "../../../io/media/tracks.ts";
import { levelOf } from "../../../io/score/level.ts";
import { listen, wholePicture } from "../../../io/score/listen.ts";
import { freezeOf, type Motion, parseRegion, syncOf } from "../../../io/score/picture.ts";
import { random } from "../../reference/random.ts";
import { smallSet } from "../eval/players.ts";
import { ffmpegTest, finder, make } from "../media.ts";

/** A voice that is loud and quiet by turns, and a mouth that opens as loud as it is. */
function talking(next: () => number, frames: number): { sound: Float32Array; opening: number[] } {
  const opening = Array.from({ length: frames }, (_, i) => i % 50 < 30 ? next() : 0);
  const sound = Float32Array.from(
    { length: frames * 640 },
    (_, i) => (opening[Math.floor(i / 640)] ?? 0) * 0.3 * (2 * next() - 1),
  );
  return { sound, opening };
}

/** The motion of such a mouth, `late` frames after the voice, under noise. */
const motionOf = (opening: number[], late: number, noise: () => number): Motion => {
  const region = opening.map((_, i) =>
    Math.abs((opening[i - late] ?? 0) - (opening[i - late - 1] ?? 0)) + 0.2 * noise()
  );
  return { fps: 25, whole: region, region };
};

Deno.test("syncOf() finds how late the picture is, of any gain, and no confidence where nothing hangs together", () => {
  const next = random(11);
  const { sound, opening } = talking(next, 500);
  for (const late of [-9, -3, -1, 0, 1, 2, 7, 12]) {
    for (const gain of [0.01, 1]) {
      const sync = syncOf(motionOf(opening, late, next), sound.map((value) => gain * value));
      assertAlmostEquals(sync?.offsetMs ?? NaN, 40 * late, 8);
      assert((sync?.confidence ?? 0) > 0.5, `${late}: ${sync?.confidence}`);
    }
  }
  for (let round = 0; round < 20; round++) {
    const none = syncOf(motionOf(Array.from({ length: 500 }, next), 0, next), sound);
    assert((none?.confidence ?? 1) < 0.25, `${none?.confidence}`);
  }
  const still = { fps: 25, whole: Array(500).fill(0), region: Array(500).fill(0) };
  assertEquals(syncOf(still, sound), null);
  assertEquals(syncOf(motionOf(opening, 0, next), new Float32Array(500 * 640)), null);
  assertEquals(syncOf(motionOf(opening.slice(0, 49), 0, next), sound), null);
});

Deno.test("freezeOf() counts what stands still for half a second, and what of it is speech", () => {
  const whole = Array.from({ length: 250 }, () => 1);
  whole.fill(0, 50, 62); // 12 frames like the one before: 0.52 s with that one.
  whole.fill(0, 100, 110);
  whole.fill(0.01, 200, 250);
  const freeze = freezeOf({ fps: 25, whole, region: whole }, [{ from: 2, to: 9 }]);
  for (
    const [key, value] of Object.entries({
      ...{ seconds: 10, frozen: 0.52 + 2.04, longest: 2.04 },
      frozenSpeaking: 0.48 + (9 - 199 / 25),
    })
  ) assertAlmostEquals(freeze[key as keyof typeof freeze], value, 1e-9, key);
});

Deno.test("levelOf() gives the level of speech alone and its drift, which no gain changes", () => {
  const next = random(5);
  const sound = Float32Array.from({ length: 12 * 16000 }, (_, i) => {
    const seconds = i / 16000;
    const db = seconds < 4 ? -20 : seconds < 8 ? -23 : -26;
    return 10 ** (db / 20) * Math.sqrt(3) * (2 * next() - 1);
  });
  const speech = [{ from: 0, to: 12 }];
  const all = levelOf(sound, speech);
  assertAlmostEquals(all.driftDb ?? NaN, -6, 0.1);
  assertAlmostEquals(levelOf(sound, [{ from: 4, to: 8 }]).speechDb ?? NaN, -23, 0.1);
  const quiet = levelOf(sound.map((value) => value / 10), speech);
  assertAlmostEquals((all.speechDb ?? 0) - (quiet.speechDb ?? 0), 20, 1e-4);
  assertAlmostEquals(quiet.driftDb ?? NaN, all.driftDb ?? NaN, 1e-4);
  assertEquals(levelOf(sound, [{ from: 0, to: 2 }]).driftDb, null);
  assertEquals(levelOf(sound, []), { speechDb: null, driftDb: null });
});

Deno.test("parseRegion() reads edges as parts, and refuses others in one line", () => {
  assertEquals(parseRegion("--mouth", "0.4,.5,0.6,1"), {
    left: 0.4,
    top: 0.5,
    right: 0.6,
    bottom: 1,
  });
  for (
    const text of ["", "1", "0,0,0,1", "0,0,1,1,1", "0.5,0,0.4,1", "0,0,2,1", "a,b,c,d", "-1,0,1,1"]
  ) {
    assertThrows(() => parseRegion("--mouth", text), InputError, "--mouth: ");
  }
});

ffmpegTest(
  "an agent's recording has the offset that it was given, and a picture that ends isn't frozen",
  async (folder) => {
    const from = `${smallSet}/100003/agent.mp4`;
    const path = `${folder}/late.mkv`;
    const lossless = ["-c:v", "ffv1", "-c:a", "pcm_s16le"];
    const region = parseRegion("--mouth", "0.39,0.53,0.61,0.72");
    for (const [frames, video, audio] of [[3, "0.12", "0"], [-4, "0", "0.16"]] as const) {
      await make(
        ...["-itsoffset", video, "-i", from, "-itsoffset", audio, "-i", from, "-map", "0:v"],
        ...["-map", "1:a", ...lossless, "-t", "12", path],
      );
      const { sound, motion } = await listen({ path, tracks: defaultTracks }, region, finder);
      const mouth = motion && syncOf(motion, sound);
      assertAlmostEquals(mouth?.offsetMs ?? NaN, 40 * frames, 8);
      assert((mouth?.confidence ?? 0) > 0.4);
      const whole = motion && syncOf({ ...motion, region: motion.whole }, sound);
      assertAlmostEquals(whole?.offsetMs ?? NaN, 40 * frames, 20);
    }
    // Half of the picture, all of the sound.
    await make(
      ...["-t", "6", "-i", from, "-i", from, "-map", "0:v", "-map", "1:a", ...lossless],
      path,
    );
    const { sound, motion } = await listen({ path, tracks: defaultTracks }, wholePicture, finder);
    assertEquals([motion?.whole.length, Math.round(sound.length / 1600)], [150, 200]);
  },
);
