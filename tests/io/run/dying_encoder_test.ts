/** An FFmpeg that dies while it writes an output: what was answered is kept. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { run } from "../../../io/commands/replay.ts";
import { OutputError } from "../../../io/system/errors.ts";
import type { Event } from "../../../io/pace/events.ts";
import { integer, random } from "../../reference/random.ts";
import { echo } from "../echo_replay.ts";
import { count, ffmpeg, ffmpegTest, make, names, picture, rms, tone } from "../media.ts";

const frameBytes = 128 * 128 * 3;

const unixTest: typeof ffmpegTest = (name, fn) =>
  Deno.build.os === "windows"
    ? Deno.test({ name: `${name} (skipped: needs a shell)`, ignore: true, fn: () => {} })
    : ffmpegTest(name, fn);

/**
 * Writes a program that is FFmpeg but for the encoder of the response, which is killed when it has
 * taken so many units: the first time, or every time.
 */
async function dying(folder: string, units: number, always = false): Promise<string> {
  const path = `${folder}/dying`;
  const bytes = units * 4 * frameBytes;
  const encoder = [
    `mkfifo "$0.pipe"`,
    `'${ffmpeg?.path}' "$@" <"$0.pipe" & real=$!`,
    `exec 3>"$0.pipe"; head -c ${bytes} >&3; kill -9 $real; wait $real; rm "$0.pipe"`,
    `echo '[fatal] no memory left' >&2; exit 1`,
  ].join("\n");
  const when = always ? "true" : `mkdir "$0.once" 2>/dev/null`;
  const script = `#!/bin/sh\ncase "$*" in *pipe:0*) if ${when}; then\n${encoder}\nfi;; esac\n` +
    `exec '${ffmpeg?.path}' "$@"\n`;
  await Deno.writeTextFile(path, script, { mode: 0o755 });
  return path;
}

/** A recording of 48 units whose sound is as loud in every unit as that unit's number says. */
async function recording(folder: string): Promise<string> {
  const louder = ["-af", "volume='(t+0.1)/10':eval=frame"];
  const coding = ["-c:v", "mpeg4", "-q:v", "2", "-c:a", "pcm_s16le", ...louder];
  await make(...picture(7.68, "128x128"), ...tone(7.68, 16000), ...coding, `${folder}/in.mkv`);
  return `${folder}/in.mkv`;
}

async function events(path: string): Promise<Event[]> {
  const text = await Deno.readTextFile(path);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** Per unit; Opus comes out at 48 kHz. */
function loudness(audio: Float32Array, samples: number): number[] {
  return Array.from(
    { length: audio.length / samples },
    (_, k) => rms(audio.slice(k * samples, (k + 1) * samples)),
  );
}

/** A unit's first frame. */
const first = (video: Uint8Array, unit: number) =>
  video.subarray(unit * 4 * frameBytes, (unit * 4 + 1) * frameBytes);

/** The unit whose first frame differs least from this one. */
function nearest(frame: Uint8Array, video: Uint8Array): number {
  const differences = Array.from({ length: video.length / frameBytes / 4 }, (_, unit) => {
    const other = first(video, unit);
    return frame.reduce((sum, value, i) => sum + Math.abs(value - other[i]!), 0);
  });
  return differences.indexOf(Math.min(...differences));
}

for (const extension of [".mkv", ".mp4", ".webm"]) {
  unixTest(`replay keeps every answered unit in ${extension} when its FFmpeg dies`, async (at) => {
    const next = random(Date.now() % 2 ** 31);
    const input = await recording(at);
    const whole = ["-o", `${at}/whole${extension}`, "--quiet"];
    assertEquals(await run([input, ...whole], echo().open), 0);
    const before = await count(`${at}/whole${extension}`, 128, 128);
    const samples = before.samples / 48;

    for (const taken of [integer(next, 1, 12), integer(next, 20, 44)]) {
      const folder = `${at}/${taken}`;
      await Deno.mkdir(folder);
      const program = await dying(at, taken);
      const out = ["-o", `${folder}/out${extension}`, "--events", `${folder}/e.jsonl`, "--quiet"];
      // So slow that units are answered one by one, as FFmpeg takes them.
      const code = await run([input, ...out, "--ffmpeg", program], echo(5).open);
      await Deno.remove(`${at}/dying.once`);
      const all = await events(`${folder}/e.jsonl`);
      const units = all.filter(({ type }) => type === "unit").length;
      const what = `died after ${taken} units, ${units} were answered`;
      assertEquals(code, 3, what);
      assert(units >= taken && units < 48, what);
      assertEquals(names(folder), ["e.jsonl", `out${extension}`, "out.vtt"].sort(), what);

      const kept = await count(`${folder}/out${extension}`, 128, 128);
      assertEquals([kept.frames, kept.samples], [units * 4, units * samples], what);
      const expected = loudness(before.audio, samples);
      loudness(kept.audio, samples).forEach((value, k) => {
        assert(Math.abs(value - expected[k]!) < 0.004, `${what}: unit ${k}: ${value}`);
      });
      for (let unit = 0; unit < units; unit++) {
        assertEquals(nearest(first(kept.video, unit), before.video), unit, what);
      }
      const cues = (await Deno.readTextFile(`${folder}/out.vtt`)).match(/-->/g) ?? [];
      assertEquals(cues.length, Math.ceil(units / 3), what);
      const summary = all.at(-1);
      assert(summary?.type === "summary" && summary.ended === "output broke off", what);
      assertEquals([summary.units, summary.cut?.seconds], [units, units * 160 / 1000], what);
      assertStringIncludes(summary.cut!.reason, `out${extension}: no memory left`);
    }
  });
}

unixTest("replay whose second FFmpeg dies too leaves nothing", async (at) => {
  const input = await recording(at);
  const program = await dying(at, 3, true);
  await Deno.mkdir(`${at}/out`);
  const out = ["-o", `${at}/out/a.mkv`, "--events", `${at}/out/e.jsonl`, "--quiet"];
  const error = await assertRejects(
    () => run([input, ...out, "--ffmpeg", program], echo(5).open),
    OutputError,
  );
  assertEquals(error.message, `FFmpeg ended while it wrote ${at}/out/a.mkv: no memory left`);
  assertEquals(names(`${at}/out`), []);
});

unixTest("replay keeps the response when a last step over it fails", async (at) => {
  const input = await recording(at);
  for (const extension of [".mkv", ".mp4"]) {
    // Fails where subtitles are added and where both ends are put side by side.
    const fails = "echo '[error] no room' >&2; exit 1";
    const script = `#!/bin/sh\ncase "$*" in *webvtt*|*hstack*) ${fails};; esac\n` +
      `exec '${ffmpeg?.path}' "$@"\n`;
    await Deno.writeTextFile(`${at}/dying`, script, { mode: 0o755 });
    const folder = `${at}/out${extension}`;
    await Deno.mkdir(folder);
    const out = ["-o", `${folder}/a${extension}`, "--side-by-side", `${folder}/b.mkv`, "--quiet"];
    assertEquals(await run([input, ...out, "--ffmpeg", `${at}/dying`], echo().open), 3);
    assertEquals(names(folder), [`a${extension}`, "a.vtt"]);
    const { frames, samples } = await count(`${folder}/a${extension}`, 128, 128);
    assertEquals([frames, samples], [48 * 4, 48 * 2560]);
  }
});
