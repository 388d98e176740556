import { assertEquals } from "@std/assert";
import { MatroskaMuxer } from "../../../io/media/matroska_muxer.ts";
import { concat } from "../../../io/system/bytes.ts";
import type { StreamShape } from "../../../io/media/stream_shape.ts";
import { ffmpeg, ffmpegTest, make } from "../media.ts";
import { random } from "../../reference/random.ts";

const shapes: StreamShape[] = [
  { unitMs: 160, fps: 25, frames: 4, width: 64, height: 48, sampleRate: 16000, samples: 2560 },
  { unitMs: 160, fps: 25, frames: 4, width: 200, height: 150, sampleRate: 48000, samples: 7680 },
  // Odd sizes, a rate whose unit has no whole samples per frame.
  { unitMs: 200, fps: 15, frames: 3, width: 33, height: 7, sampleRate: 22050, samples: 4410 },
];

/** Random units of a shape. */
function units(shape: StreamShape, count: number, first = 0) {
  const next = random(3);
  return Array.from({ length: count }, (_, unit) => ({
    unit: first + unit,
    text: unit % 2 === 0 ? ` word${unit}` : "",
    audio: Float32Array.from({ length: shape.samples }, () => 2 * next() - 1),
    frames: Uint8Array.from(
      { length: shape.frames * shape.width * shape.height * 3 },
      () => Math.floor(256 * next()),
    ),
  }));
}

async function mux(shape: StreamShape, count: number, path: string, first = 0) {
  const given = units(shape, count, first);
  const muxer = new MatroskaMuxer(shape);
  await Deno.writeFile(path, concat([muxer.start(), ...given.map((unit) => muxer.unit(unit))]));
  return given;
}

ffmpegTest("FFmpeg reads back every byte and time, silently", async (folder) => {
  for (const shape of shapes) {
    const path = `${folder}/${shape.fps}.mkv`;
    const given = await mux(shape, 12, path);
    const decode = async (...args: string[]) => {
      const { stdout, stderr } = await new Deno.Command(ffmpeg?.path ?? "", {
        args: ["-v", "error", "-i", path, ...args, "pipe:1"],
      }).output();
      assertEquals(new TextDecoder().decode(stderr), "");
      return stdout;
    };
    const video = await decode("-map", "0:v", "-fps_mode", "passthrough", "-f", "rawvideo");
    const audio = await decode("-map", "0:a", "-c", "copy", "-f", "f32le");
    const all = <T>(parts: T[]) => new Blob(parts as BlobPart[]).bytes();
    assertEquals(video, await all(given.map((unit) => unit.frames)));
    assertEquals(audio, await all(given.map((unit) => unit.audio)));
    const table = new TextDecoder().decode(
      await decode("-map", "0:v", "-c", "copy", "-f", "framecrc"),
    );
    const times = [...table.matchAll(/^0, *-?\d+, *(\d+),/gm)].map((row) => Number(row[1]));
    assertEquals(
      times,
      Array.from({ length: 12 * shape.frames }, (_, i) => Math.round((i * 1000) / shape.fps)),
    );
  }
});

ffmpegTest(
  "the stream shows the words so far as a subtitle, from their unit on",
  async (folder) => {
    const [shape] = shapes;
    if (!shape) return;
    await mux(shape, 4, `${folder}/a.mkv`);
    const text = await make("-i", `${folder}/a.mkv`, "-map", "0:s", "-f", "webvtt", "pipe:1");
    assertEquals(
      new TextDecoder().decode(text),
      "WEBVTT\n\n00:00.000 --> 00:00.160\nword0\n\n00:00.160 --> 00:00.320\nword0\n\n" +
        "00:00.320 --> 00:00.480\nword0 word2\n\n00:00.480 --> 00:00.640\nword0 word2\n",
    );
  },
);

const small: StreamShape = {
  ...{ unitMs: 160, fps: 25, frames: 4, width: 2, height: 2, sampleRate: 800, samples: 128 },
};

ffmpegTest("a stream that goes on after a unit has its times from there on", async (folder) => {
  await mux(small, 3, `${folder}/a`, 21);
  const copy = ["-copyts", "-i", `${folder}/a`, "-map", "0:v", "-c", "copy"];
  const table = new TextDecoder().decode(await make(...copy, "-f", "framecrc", "pipe:1"));
  const base = /^#tb 0: (\d+)\/(\d+)/m.exec(table);
  const time = /^0, *-?\d+, *(\d+),/m.exec(table);
  assertEquals((Number(time?.[1]) * Number(base?.[1])) / Number(base?.[2]), 21 * 0.16);
});

Deno.test("a unit is complete without the next one", () => {
  for (const shape of shapes) {
    const whole = units(shape, 3);
    const one = new MatroskaMuxer(shape);
    const other = new MatroskaMuxer(shape);
    one.start();
    other.start();
    // Nothing of a unit depends on what follows, and nothing is held back.
    const bytes = whole.slice(0, 2).map((unit) => one.unit(unit));
    assertEquals(bytes, whole.map((unit) => other.unit(unit)).slice(0, 2));
    for (const [i, unit] of whole.slice(0, 2).entries()) {
      const held = unit.frames.length + unit.audio.byteLength;
      assertEquals((bytes[i]?.length ?? 0) >= held, true);
    }
  }
});
