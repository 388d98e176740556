/** FFmpegs that fall silent or die, and streams that lie to them. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { FfmpegProcess } from "../../../io/ffmpeg/ffmpeg.ts";
import { decode, Watchdog } from "../../../io/ffmpeg/ffmpeg_source.ts";
import { MatroskaMuxer } from "../../../io/media/matroska_muxer.ts";
import { openInput, readPicture, readSound } from "../../../io/ends/observe.ts";
import { concat } from "../../../io/system/bytes.ts";
import { ObservationReader } from "../../../io/media/observation_reader.ts";
import { ffmpeg, ffmpegTest, folderTest, make, picture, tone, userShape } from "../media.ts";
import { noise, pipe, user } from "../stream_process.ts";

/** A program that passes for an FFmpeg. */
async function script(folder: string, lines: string): Promise<{ path: string; version: string }> {
  const path = `${folder}/ffmpeg`;
  await Deno.writeTextFile(path, `#!/bin/sh\n${lines}\n`);
  await Deno.chmod(path, 0o755);
  return { path, version: "0" };
}

const windows = Deno.build.os === "windows";

folderTest(
  "an FFmpeg that neither writes nor ends is ended, and one that is slow is not",
  async (at) => {
    if (windows) return;
    const read = async (lines: string, armed: () => boolean, ms: number) => {
      const process = new FfmpegProcess(await script(at, lines), [], { stdout: true });
      const watchdog = new Watchdog(process, armed, ms);
      let bytes = 0;
      for await (const chunk of watchdog.watch(process.child.stdout)) bytes += chunk.length;
      const { signal } = await process.end();
      return { bytes, signal, reason: watchdog.reason };
    };
    const silent = "printf abc; exec sleep 600";
    assertEquals(await read(silent, () => true, 300), {
      ...{ bytes: 3, signal: "SIGKILL", reason: "FFmpeg neither wrote nor ended for 0.3 s" },
    });
    const slow = "for i in 1 2 3 4 5 6; do printf abc; sleep 0.1; done";
    const whole = { bytes: 18, signal: null, reason: null };
    assertEquals(await read(slow, () => true, 60_000), whole);
    // Silence that is no fault.
    assertEquals(await read(slow, () => false, 20), whole);
  },
);

ffmpegTest("an FFmpeg that is ended from outside is no fault of what it reads", async (at) => {
  if (windows) return;
  const path = `${at}/talk.mkv`;
  await make(...picture(1), ...tone(1), path);
  const counting = `n=$(($(cat ${at}/calls 2>/dev/null || echo 0) + 1)); echo $n > ${at}/calls`;
  /** The same FFmpeg, which is ended at its nth start. */
  const endedAt = (n: number) =>
    script(at, `${counting}; if [ $n = ${n} ]; then kill -9 $$; fi; exec '${ffmpeg?.path}' "$@"`);
  const readers: ((found: typeof ffmpeg & object) => Promise<unknown>)[] = [
    async (found) => {
      const { observations } = await openInput(path, userShape, () => Promise.resolve(found));
      return await Array.fromAsync(observations);
    },
    (found) => readPicture(path, userShape, () => Promise.resolve(found)),
    (found) => readSound(path, userShape, 4, () => Promise.resolve(found)),
  ];
  for (const read of readers) {
    for (let n = 1;; n++) {
      await Deno.remove(`${at}/calls`).catch(() => {});
      const found = await endedAt(n);
      const error = await read(found).then(() => null, (error) => error);
      if (error === null) {
        assert(n > 2, "each reader looks first, then decodes");
        break;
      }
      assertEquals(
        [error.name, error.message.includes("ended by SIGKILL")],
        ["RunError", true],
        error,
      );
    }
  }
});

folderTest(
  "what a silent FFmpeg gave is kept up to the last whole unit, with the reason",
  async (at) => {
    if (windows) return;
    const bytes = 2.5 * 4 * 64 * 48 * 3;
    const frames = `head -c ${bytes} /dev/zero; exec sleep 600`;
    const source = decode(await script(at, frames), {
      ...{ name: "talk.mkv", input: [], video: [], audio: null },
      patience: 500,
      cutOff: (_seconds, _lines, failure) => Promise.resolve(failure),
    });
    const reader = new ObservationReader(source, userShape);
    assertEquals((await Array.fromAsync(reader)).length, 2);
    assertStringIncludes(reader.cut?.reason ?? "", "neither wrote nor ended");
    const nothing = decode(await script(at, "exec sleep 600"), {
      ...{ name: "talk.mkv", input: [], video: [], audio: null },
      patience: 500,
      cutOff: () => Promise.resolve(null),
    });
    await assertRejects(
      () => Array.fromAsync(new ObservationReader(nothing, userShape)),
      InputError,
      "talk.mkv: nothing of it could be decoded (FFmpeg neither wrote nor ended for 0.5 s)",
    );
  },
);

ffmpegTest("an FFmpeg that dies leaves whole units, and its own last line", async (at) => {
  if (windows) return;
  await make(...picture(2, "64x48"), "-c:v", "mpeg4", `${at}/a.mkv`);
  const real = `'${ffmpeg?.path}' "$@"`;
  const dying = await script(
    at,
    `case "$*" in *rawvideo*) ${real} 2>/dev/null | head -c 100000
      echo "[graph] [error] there is no memory left" >&2; exit 1;; *) exec ${real};; esac`,
  );
  const { observations } = await openInput(`${at}/a.mkv`, userShape, () => Promise.resolve(dying));
  // 100,000 bytes are 10 frames.
  assertEquals((await Array.fromAsync(observations)).length, 2);
  assertEquals(observations.cut?.reason, "FFmpeg: there is no memory left");
});

ffmpegTest("a stream whose clock jumps by hours, or back, is joined on", async (at) => {
  const shifted = async (stream: string, by: string) => {
    const clock = `setts=pts='if(gt(N,5),PTS+(${by})/TB,PTS)':dts='if(gt(N,5),DTS+(${by})/TB,DTS)'`;
    await make(
      ...[...picture(0.6, "64x48"), ...tone(0.6, 16000), "-c:v", "mpeg4", "-c:a", "pcm_s16le"],
      ...["-f", "matroska", `${at}/a.mkv`],
    );
    return await make(
      ...["-copyts", "-i", `${at}/a.mkv`, "-map", "0", "-c", "copy", `-bsf:${stream}`, clock],
      ...["-avoid_negative_ts", "disabled", "-f", "matroska", "pipe:1"],
    );
  };
  for (
    const [stream, by] of [["v", "7200"], ["a", "7200"], ["v", "-0.2"], ["a", "-0.2"]] as const
  ) {
    const { code, stderr } = await pipe(await shifted(stream, by));
    const units = Number(/^units +(\d+)/m.exec(stderr)?.[1]);
    assert([0, 3].includes(code), stderr);
    assert(units >= 2 && units <= 6, `${stream} ${by}: ${stderr}`);
    await Deno.remove(`${at}/a.mkv`);
  }
});

ffmpegTest("a stream that claims huge pictures is refused in one line", async () => {
  for (
    const [width, height] of [[100_000, 100_000], [1_000_000_000, 1], [20_000, 20_000]] as const
  ) {
    const head = new MatroskaMuxer({ ...user, width, height }).start();
    assertEquals((await pipe(head, "--quiet")).code, 2);
    const unit = new MatroskaMuxer(user).unit(noise(user, 0));
    const { code, stderr } = await pipe(concat([head, unit]), "--quiet");
    // FFmpeg may give the unit's sound before it refuses the picture, or not.
    assertEquals(code, /nothing of it could be decoded/.test(stderr) ? 2 : 3, stderr);
    assertEquals(stderr.trim().split("\n").length, 1, stderr);
  }
});

ffmpegTest("a stream of 10^9 frames/s is answered by its sound's clock", async () => {
  const muxer = new MatroskaMuxer({ ...user, fps: 1e9 });
  const parts = [
    muxer.start(),
    muxer.unit(noise(user, 0)),
    muxer.unit(noise(user, 1)),
  ];
  const { code, stderr } = await pipe(concat(parts));
  assertEquals([code, /^units +(\d+)/m.exec(stderr)?.[1]], [0, "2"], stderr);
});

ffmpegTest("a stream whose picture or sound ends early is answered to its end", async () => {
  for (const [seen, heard] of [[0.32, 1.12], [1.12, 0.32]] as const) {
    const input = await make(
      ...[...picture(seen, "64x48"), ...tone(heard, 16000), "-c:v", "mpeg4", "-c:a", "pcm_s16le"],
      ...["-f", "nut", "pipe:1"],
    );
    const { code, stderr } = await pipe(input);
    assertEquals([code, /^units +(\d+)/m.exec(stderr)?.[1]], [0, "7"], stderr);
  }
});
