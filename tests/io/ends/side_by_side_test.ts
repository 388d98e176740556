import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { ass, webVtt } from "../../../io/media/captions.ts";
import { Outputs } from "../../../io/system/output_file.ts";
import { drawSideBySide } from "../../../io/ends/side_by_side.ts";
import { defaultTracks } from "../../../io/media/tracks.ts";
import type { StreamShape } from "../../../io/media/stream_shape.ts";
import { count, ffmpegTest, finder, make, names, picture, rms, tone } from "../media.ts";

const agent: StreamShape = {
  unitMs: 160,
  fps: 25,
  frames: 4,
  width: 64,
  height: 64,
  sampleRate: 24000,
  samples: 3840,
};
const width = 480 + 360;
const spoken = [{ unit: 1, text: "Hello" }, { unit: 2, text: " {\\b1}there\\N" }];
const never = new AbortController().signal;

/** A response of 10 units: a green picture, a tone of 880 Hz. */
async function response(folder: string): Promise<string> {
  const path = `${folder}/response.mkv`;
  await make(
    "-f",
    "lavfi",
    "-i",
    "color=0x00ff00:size=64x64:rate=25:duration=1.6",
    ...tone(1.6, 24000, 880),
    "-c:v",
    "ffv1",
    "-c:a",
    "flac",
    path,
  );
  return path;
}

async function render(folder: string, input: string, name: string): Promise<string | null> {
  const outputs = new Outputs([input], true);
  const output = await outputs.claim(`${folder}/${name}`);
  const why = await drawSideBySide(
    await finder(),
    {
      input,
      response: `${folder}/response.mkv`,
      output,
      agent,
      units: 10,
      spoken,
      tracks: defaultTracks,
    },
    never,
  );
  await outputs.commit();
  return why;
}

/** Mean colour of a rectangle of one frame. */
function colour(video: Uint8Array, frame: number, [x, y, w, h]: [number, number, number, number]) {
  const sums = [0, 0, 0];
  for (let row = y; row < y + h; row++) {
    for (let i = 0; i < w * 3; i++) {
      sums[i % 3] = (sums[i % 3] ?? 0) + (video[((frame * 456 + row) * width + x) * 3 + i] ?? 0);
    }
  }
  return sums.map((sum) => Math.round(sum / (w * h)));
}

/** Samples of one channel. */
async function channel(path: string, index: number): Promise<Float32Array> {
  const raw = await make("-i", path, "-af", `pan=mono|c0=c${index}`, "-f", "f32le", "pipe:1");
  return new Float32Array(raw.buffer, 0, Math.floor(raw.length / 4));
}

/** How much of a sound is a tone of some Hz (1: all). */
function share(samples: Float32Array, hertz: number): number {
  let [sine, cosine] = [0, 0];
  samples.forEach((x, i) => {
    sine += x * Math.sin((2 * Math.PI * hertz * i) / 48000);
    cosine += x * Math.cos((2 * Math.PI * hertz * i) / 48000);
  });
  return (2 * (sine ** 2 + cosine ** 2)) / samples.length ** 2 / rms(samples) ** 2;
}

ffmpegTest(
  "drawSideBySide() shows the user left and the agent right, with voices and text",
  async (folder) => {
    await response(folder);
    // A name that would mean something in a filter graph.
    const input = `${folder}/in [0:v],a='b';c.mp4`;
    await make(
      "-f",
      "lavfi",
      "-i",
      "color=red:size=320x180:rate=30:duration=1",
      ...tone(1),
      "-c:v",
      "mpeg4",
      "-q:v",
      "2",
      "-c:a",
      "aac",
      input,
    );
    assertEquals(await render(folder, input, "both.mkv"), null);
    const { frames, video } = await count(`${folder}/both.mkv`, width, 456);
    assertEquals(frames, 40);
    for (const frame of [0, 20, 39]) {
      const [red = 0, , blue = 0] = colour(video, frame, [100, 100, 200, 100]);
      assert(red > 220 && blue < 40, "the user's last picture stays until the end");
      const [, green = 0] = colour(video, frame, [500, 40, 300, 280]);
      assert(green > 220, "the agent's picture");
      assertLess(
        Math.max(...colour(video, frame, [10, 10, 200, 20]).map((x, i) => x - [60, 60, 60][i]!)),
        40,
      );
    }
    const strip: [number, number, number, number] = [200, 370, 440, 80];
    const [empty = 0] = colour(video, 2, strip);
    const [full = 0] = colour(video, 10, strip);
    assert(full > empty + 2, `text brightens the strip: ${empty}, ${full}`);

    const [left, right] = [
      await channel(`${folder}/both.mkv`, 0),
      await channel(`${folder}/both.mkv`, 1),
    ];
    assertEquals([left.length, right.length], [76800, 76800]);
    assert(share(left.subarray(4800, 43200), 440) > 0.95);
    assert(share(right.subarray(4800, 72000), 880) > 0.95);
    assert(rms(left.subarray(52800)) < 0.01, "silence after the user's end");
    assertEquals(names(folder).filter((name) => name.startsWith(".")), []);
  },
);

ffmpegTest(
  "drawSideBySide() shows a card for sound alone, and silence for a picture alone",
  async (folder) => {
    await response(folder);
    await make(...tone(3), `${folder}/in.mp3`);
    assertEquals(await render(folder, `${folder}/in.mp3`, "card.mp4"), null);
    const card = await count(`${folder}/card.mp4`, width, 456);
    assertEquals(card.frames, 40);
    const [r = 0, g = 0, b = 0] = colour(card.video, 20, [50, 50, 300, 300]);
    assert(
      Math.abs(r - 42) < 8 && Math.abs(g - 48) < 8 && Math.abs(b - 56) < 8,
      `card ${r} ${g} ${b}`,
    );

    await make(...picture(1, "90x160"), "-c:v", "ffv1", `${folder}/in.mkv`);
    assertEquals(await render(folder, `${folder}/in.mkv`, "mute.webm"), null);
    assertLess(rms(await channel(`${folder}/mute.webm`, 0)), 1e-3);
    assert(rms(await channel(`${folder}/mute.webm`, 1)) > 0.05);
  },
);

ffmpegTest(
  "drawSideBySide() adds a subtitle track where no font is there, and says so",
  async (folder) => {
    await response(folder);
    await make(...tone(1), `${folder}/in.wav`);
    await Deno.writeTextFile(
      `${folder}/fonts.conf`,
      '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig></fontconfig>',
    );
    const before = Deno.env.get("FONTCONFIG_FILE");
    Deno.env.set("FONTCONFIG_FILE", `${folder}/fonts.conf`);
    try {
      const why = await render(folder, `${folder}/in.wav`, "both.mkv");
      assertStringIncludes(why ?? "", "no font was found");
    } finally {
      if (before === undefined) Deno.env.delete("FONTCONFIG_FILE");
      else Deno.env.set("FONTCONFIG_FILE", before);
    }
    const track = await make("-i", `${folder}/both.mkv`, "-map", "0:s", "-f", "webvtt", "pipe:1");
    assertStringIncludes(new TextDecoder().decode(track), "Hello");
  },
);

ffmpegTest("drawSideBySide() stops when it is interrupted", async (folder) => {
  await response(folder);
  await make(...picture(60), "-c:v", "mpeg4", `${folder}/in.mkv`);
  const outputs = new Outputs([], true);
  const output = await outputs.claim(`${folder}/both.mkv`);
  const stop = new AbortController();
  const task = {
    input: `${folder}/in.mkv`,
    response: `${folder}/response.mkv`,
    output,
    agent,
    units: 3000,
    spoken,
    tracks: defaultTracks,
  };
  setTimeout(() => stop.abort(), 700);
  await drawSideBySide(await finder(), task, stop.signal);
  // What is there is far from whole.
  const packets = await make(
    ...["-i", output.temporary, "-map", "0:v", "-c", "copy", "-f", "framecrc", "pipe:1"],
  ).catch(() => new Uint8Array());
  assertLess(new TextDecoder().decode(packets).split("\n").length, 3000 * 4);
  await outputs.discard();
  assertEquals(names(folder), ["in.mkv", "response.mkv"]);
});

Deno.test("webVtt() begins every cue in its unit, holds it, and keeps its text harmless", () => {
  const text = webVtt(
    [{ unit: 0, text: " a" }, { unit: 3, text: "<b>\n\n-->&" }, { unit: 9, text: " \n" }, {
      unit: 22500,
      text: "z",
    }],
    160,
    22510,
  );
  assertEquals(
    text,
    [
      "WEBVTT",
      "",
      "00:00:00.000 --> 00:00:00.480",
      "a",
      "",
      "00:00:00.480 --> 00:00:02.640",
      "a<00:00:00.480>&lt;b&gt; --&gt;&amp;",
      "",
      "01:00:00.000 --> 01:00:01.600",
      "z",
      "",
    ].join("\n"),
  );
});

Deno.test("ass() lets a line grow, holds it in silence, and begins anew after it", () => {
  const box = {
    width: 840,
    height: 456,
    strip: 96,
    labels: ["user", "agent"] as [string, string],
    second: 480,
  };
  const said = [[0, "Hel"], [1, "lo"], [3, " you"], [40, "New"]] as const;
  const lines = ass(said.map(([unit, text]) => ({ unit, text })), 160, box).split("\n")
    .filter((line) => line.includes(",Text,,"));
  assertEquals(lines.map((line) => line.replace("Dialogue: 0,", "").replace("Text,,0,0,0,,", "")), [
    "0:00:00.00,0:00:00.16,Hel",
    "0:00:00.16,0:00:00.48,Hello",
    "0:00:00.48,0:00:02.64,Hello you",
    "0:00:06.40,0:00:08.56,New",
  ]);
  const escaped = ass([{ unit: 0, text: "{\\an8}x\\Ny\nz" }], 160, box);
  assertStringIncludes(escaped, ",,\\{\\\u2060an8\\}x\\\u2060Ny z");
});
