import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import type { Response } from "../../../engine/checkpoint/unit.ts";
import { RunError } from "../../../io/system/errors.ts";
import { findFfmpeg } from "../../../io/ffmpeg/ffmpeg.ts";
import { Outputs } from "../../../io/system/output_file.ts";
import { openResponse } from "../../../io/ends/response_file.ts";
import type { StreamShape } from "../../../io/media/stream_shape.ts";
import { count, digest, ffmpegTest, finder, folderTest, make, names } from "../media.ts";

const shape: StreamShape = {
  unitMs: 160,
  fps: 25,
  frames: 4,
  width: 64,
  height: 48,
  sampleRate: 24000,
  samples: 3840,
};
const stages = {
  encode: 1,
  pass: 1,
  sendSlice: 1,
  solve: 1,
  sendLatents: 1,
  decode: 1,
  wait: 1,
  queue: 0,
  total: 7,
};

/** A response whose picture and tone change from unit to unit. */
function response(unit: number, text = "", at = shape): Response {
  const frames = new Uint8Array(at.frames * at.width * at.height * 3);
  frames.forEach((_, i) => frames[i] = (unit * 8 + (i % (at.width * 3)) / 2) & 255);
  const audio = Float32Array.from(
    { length: at.samples },
    (_, i) => 0.3 * Math.sin((unit * at.samples + i) * 0.1),
  );
  return { unit, text, tokens: [], audio, frames, digest: "", historyTokens: 0, stages };
}

const words = ["", "Hel", "lo,", " <you> & me", "", "{\\b1}", " ", "-->", "", "end"];

async function write(
  folder: string,
  name: string,
  units: number,
  { at = shape, text = words, pause = 0 }: { at?: StreamShape; text?: string[]; pause?: number } =
    {},
) {
  const outputs = new Outputs([], false);
  const file = await outputs.claim(`${folder}/${name}`);
  const captions = await outputs.claim(`${folder}/${name}.vtt`);
  const writer = await openResponse(file, captions, at, finder);
  for (let unit = 0; unit < units; unit++) {
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, (unit * pause) % 50));
    await writer.write(response(unit, text[unit] ?? "", at));
  }
  await writer.finish();
  await outputs.commit();
}

for (const extension of ["mkv", "mp4", "mov", "webm"]) {
  ffmpegTest(
    `openResponse() writes .${extension} with exactly K units of frames and samples`,
    async (folder) => {
      for (const [units, sampleRate] of [[1, 24000], [10, 24000], [37, 16000]] as const) {
        const at = { ...shape, sampleRate, samples: sampleRate * 0.16 };
        const name = `${units}.${extension}`;
        await write(folder, name, units, { at });
        const found = await count(`${folder}/${name}`, 64, 48);
        const rate = extension === "webm" ? 48000 : sampleRate;
        assertEquals([found.frames, found.samples], [units * 4, units * 0.16 * rate], name);
        assertEquals(names(folder).filter((file) => file.startsWith(".")), []);
      }
      // The picture is the one that was given, and in its place.
      const { video, audio } = await count(`${folder}/10.${extension}`, 64, 48);
      const last = response(9).frames;
      let apart = 0;
      for (let i = 0; i < 64 * 48 * 3; i++) {
        apart += Math.abs((video[39 * 64 * 48 * 3 + i] ?? 0) - (last[i] ?? 0));
      }
      assertLess(apart / (64 * 48 * 3), 8, "mean difference in levels");
      if (extension !== "webm") {
        const sound = response(9).audio;
        sound.forEach((x, i) => assertLess(Math.abs((audio[9 * 3840 + i] ?? 9) - x), 1e-4));
      }
    },
  );

  ffmpegTest(
    `openResponse() gives the same bytes twice in .${extension}, however it is paced`,
    async (folder) => {
      await write(folder, `a.${extension}`, 12);
      await write(folder, `b.${extension}`, 12, { pause: 17 });
      assertEquals(
        await digest(`${folder}/a.${extension}`),
        await digest(`${folder}/b.${extension}`),
      );
      assertEquals(
        await digest(`${folder}/a.${extension}.vtt`),
        await digest(`${folder}/b.${extension}.vtt`),
      );
    },
  );

  ffmpegTest(
    `openResponse() lets the words grow from their unit on in .${extension}`,
    async (folder) => {
      await write(folder, `a.${extension}`, 10);
      // The container's own times: Opus begins 3 ms before 0, and FFmpeg would shift all by that.
      const track = await make(
        ...["-i", `${folder}/a.${extension}`, "-copyts", "-map", "0:s", "-f", "webvtt", "pipe:1"],
      );
      const cues = new TextDecoder().decode(track).split("\n\n").slice(1).map((cue) =>
        cue.trim().split("\n")
      );
      const units = words.flatMap((word, unit) => word.trim() === "" ? [] : [unit]);
      assertEquals(cues.length, units.length);
      cues.forEach(([times = ""], i) => {
        const [start = NaN, end = NaN] = times.split(" --> ").map((time) =>
          time.split(":").reduce((sum, part) => sum * 60 + Number(part), 0) * 1000
        );
        const unit = units[i] ?? NaN;
        const next = (units[i + 1] ?? 10) * 160;
        assert(Math.abs(start - unit * 160) <= 1 && Math.abs(end - next) <= 1, times);
      });
      assertEquals(cues[0]?.[1], "Hel");
      const vtt = await Deno.readTextFile(`${folder}/a.${extension}.vtt`);
      assertStringIncludes(vtt, "00:00:00.160 --> 00:00:00.320\nHel\n");
      assertStringIncludes(vtt, "<00:00:00.480>");
      assertStringIncludes(vtt, "&lt;you&gt; &amp; me\n");
    },
  );
}

ffmpegTest("openResponse() writes odd sizes and no subtitle track without text", async (folder) => {
  const at = { ...shape, width: 33, height: 21 };
  await write(folder, "odd.mkv", 3, { at, text: ["", "  ", ""] });
  assertEquals((await count(`${folder}/odd.mkv`, 33, 21)).frames, 12);
  await assertRejects(() => make("-i", `${folder}/odd.mkv`, "-map", "0:s", "-f", "null", "-"));
  assertEquals(await Deno.readTextFile(`${folder}/odd.mkv.vtt`), "WEBVTT\n");
});

folderTest("openResponse() writes .wav and .y4m without FFmpeg", async (folder) => {
  for (const name of ["a.wav", "a.y4m"]) {
    const outputs = new Outputs([], false);
    const file = await outputs.claim(`${folder}/${name}`);
    const captions = await outputs.claim(`${folder}/${name}.vtt`);
    const none = () => Promise.reject(new Error("FFmpeg was asked for"));
    const writer = await openResponse(file, captions, shape, none);
    for (let unit = 0; unit < 5; unit++) await writer.write(response(unit, "x"));
    await writer.finish();
    await outputs.commit();
  }
  assertEquals((await Deno.stat(`${folder}/a.wav`)).size, 44 + 5 * 3840 * 2);
  const header = "YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C444 XCOLORRANGE=LIMITED\n";
  assertEquals((await Deno.stat(`${folder}/a.y4m`)).size, header.length + 20 * (6 + 64 * 48 * 3));
  assertEquals(names(folder), ["a.wav", "a.wav.vtt", "a.y4m", "a.y4m.vtt"]);
});

ffmpegTest("openResponse() leaves nothing behind when it is given up", async (folder) => {
  for (const name of ["a.mkv", "a.wav", "a.y4m"]) {
    for (const units of [0, 1, 30]) {
      const outputs = new Outputs([], false);
      const file = await outputs.claim(`${folder}/deep/er/${name}`);
      const captions = await outputs.claim(`${folder}/deep/er/${name}.vtt`);
      const writer = await openResponse(file, captions, shape, finder);
      for (let unit = 0; unit < units; unit++) await writer.write(response(unit, "x"));
      await writer.abort();
      await outputs.discard();
      assertEquals(names(folder), [], `${name}, ${units} units`);
    }
  }
});

ffmpegTest("openResponse() says what FFmpeg said when it dies", async (folder) => {
  // A program that behaves like FFmpeg until it should write.
  const real = (await findFfmpeg()).path;
  await Deno.writeTextFile(
    `${folder}/dying`,
    `#!/bin/sh\ncase "$*" in *encoders*|*-version*) exec ${real} "$@";; esac\n` +
      `echo '[fatal] the disk is full' >&2; exit 1\n`,
    { mode: 0o755 },
  );
  const outputs = new Outputs([], false);
  const file = await outputs.claim(`${folder}/a.mkv`);
  const captions = await outputs.claim(`${folder}/a.vtt`);
  const writer = await openResponse(file, captions, shape, () => findFfmpeg(`${folder}/dying`));
  const error = await assertRejects(async () => {
    for (let unit = 0; unit < 100; unit++) await writer.write(response(unit));
    await writer.finish();
  }, RunError);
  assertEquals(error.message, `FFmpeg ended while it wrote ${folder}/a.mkv: the disk is full`);
  await writer.abort();
  await outputs.discard();
  assertEquals(names(folder), ["dying"]);
});

folderTest(
  "Outputs refuses what exists, what is an input, what is asked for twice, and folders",
  async (folder) => {
    await Deno.writeTextFile(`${folder}/in.mp4`, "input");
    await Deno.writeTextFile(`${folder}/old.mkv`, "old");
    await Deno.symlink(`${folder}/in.mp4`, `${folder}/link.mkv`);
    const claim = (force: boolean, ...paths: string[]) => async () => {
      const outputs = new Outputs([`${folder}/in.mp4`], force);
      try {
        for (const path of paths) await outputs.claim(path);
      } finally {
        await outputs.discard();
      }
    };
    const cases: [boolean, string[], string][] = [
      [false, [`${folder}/old.mkv`], `${folder}/old.mkv: exists: add --force to replace it`],
      [true, [`${folder}/in.mp4`], "is an input as well"],
      [true, [`${folder}/./in.mp4`], "is an input as well"],
      [true, [`${folder}/link.mkv`], "is an input as well"],
      [
        false,
        [`${folder}/new.mkv`, `${folder}/../${folder.split("/").at(-1)}/new.mkv`],
        "is asked for twice",
      ],
      [true, [folder], "is a folder"],
      [false, [`${folder}/old.mkv/x.mkv`], "its folder can't be written"],
    ];
    for (const [force, paths, message] of cases) {
      const error = await assertRejects(
        claim(force, ...paths),
        InputError,
        undefined,
        paths.join(),
      );
      assertStringIncludes(error.message, message);
      assert(!error.message.includes("\n"));
    }
    await claim(true, `${folder}/old.mkv`, `${folder}/a/b/c.mkv`, `${folder}/a/d.vtt`)();
    assertEquals(names(folder), ["in.mp4", "link.mkv", "old.mkv"]);
    assertEquals(await Deno.readTextFile(`${folder}/old.mkv`), "old");
  },
);
