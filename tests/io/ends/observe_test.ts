import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import type { Observation } from "../../../engine/checkpoint/unit.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { findFfmpeg } from "../../../io/ffmpeg/ffmpeg.ts";
import { openInput, readPicture, readSound } from "../../../io/ends/observe.ts";
import {
  ffmpegTest,
  finder,
  folderTest,
  make,
  observe,
  picture,
  rms,
  tone,
  userShape,
} from "../media.ts";

const h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];

/** Units and which media they carry. */
async function look(path: string) {
  const { units, cut } = await observe(path);
  assertEquals(cut, null, path);
  for (const unit of units) {
    assert(unit.audio === null || unit.audio.length === 2560);
    assert(unit.frames === null || unit.frames.length === 4 * 64 * 48 * 3);
  }
  return {
    count: units.length,
    sound: units[0]?.audio !== null,
    sight: units[0]?.frames !== null,
    units,
  };
}

/** Left, right, top and bottom edge of what is lit in a frame. */
function lit(frames: Uint8Array | null | undefined): number[] {
  const xs: number[] = [];
  const ys: number[] = [];
  for (let i = 0; i < 64 * 48; i++) {
    if ((frames?.[i * 3 + 1] ?? 0) < 128) continue;
    xs.push(i % 64);
    ys.push(Math.floor(i / 64));
  }
  return [Math.min(...xs), Math.max(...xs) + 1, Math.min(...ys), Math.max(...ys) + 1];
}

const white = (seconds: number, size: string) => [
  ...["-f", "lavfi", "-i", `color=white:size=${size}:rate=25:duration=${seconds}`],
];

ffmpegTest(
  "openInput() gives the exact number of units for many kinds of recordings",
  async (folder) => {
    const two = [...picture(2.4), ...tone(2.4)];
    const kinds: [name: string, units: number, sight: boolean, sound: boolean, args: string[]][] = [
      ["a.mp4", 15, true, true, [...two, ...h264, "-c:a", "aac"]],
      ["b.mkv", 15, true, true, [...two, ...h264, "-c:a", "libopus"]],
      ["c.webm", 15, true, true, [
        ...two,
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
        "-c:a",
        "libvorbis",
      ]],
      ["d.ts", 15, true, true, [...two, "-c:v", "mpeg2video", "-c:a", "mp2"]],
      ["pal.avi", 15, true, true, [...two, "-c:v", "mjpeg", "-c:a", "pcm_s16le"]],
      ["ntsc.mov", 15, true, true, [
        ...[...picture(2.4, "161x121", 30000 / 1001), ...tone(2.4, 48000)],
        ...["-c:v", "mjpeg", "-c:a", "pcm_s16le"],
      ]],
      ["vfr.mp4", 15, true, true, [
        ...[...picture(2.4, "160x120", 60), ...tone(2.4), "-vf", "select='mod(floor(n/7)\\,3)'"],
        ...["-vsync", "vfr", ...h264, "-c:a", "aac"],
      ]],
      ["slow.mkv", 13, true, false, [...picture(2, "160x120", 1), "-c:v", "ffv1"]],
      ["tall.mkv", 15, true, false, [...picture(2.4, "33x211"), "-c:v", "ffv1"]],
      ["silent.mp4", 15, true, false, [...picture(2.4), ...h264]],
      ["six.mkv", 15, true, true, [
        ...[...picture(2.4), "-f", "lavfi", "-i"],
        "aevalsrc=0.2*sin(2000*t)|0|0|0|0|0:channel_layout=5.1:sample_rate=44100:duration=2.4",
        ...[...h264, "-c:a", "ac3"],
      ]],
      ["a.mp3", 15, false, true, [...tone(2.4)]],
      ["a.m4a", 15, false, true, [...tone(2.4, 48000), "-c:a", "aac"]],
      ["a.ogg", 15, false, true, [...tone(2.4), "-c:a", "libvorbis"]],
      ["a.flac", 15, false, true, [...tone(2.4, 96000)]],
      ["cover.mp3", 15, false, true, [
        ...[...tone(2.4), ...white(0.04, "64x64"), "-map", "0", "-map", "1", "-c:v", "mjpeg"],
        ...["-disposition:v", "attached_pic"],
      ]],
      ["long sound.mkv", 20, true, true, [...picture(1), ...tone(3.2), ...h264, "-c:a", "flac"]],
      ["long sight.mkv", 20, true, true, [...picture(3.2), ...tone(1), ...h264, "-c:a", "flac"]],
      ["still.png", 1, true, false, [...white(0.04, "64x64")]],
    ];
    for (const [name, count, sight, sound, args] of kinds) {
      await make(...args, `${folder}/${name}`);
      const found = await look(`${folder}/${name}`);
      assertEquals([found.count, found.sight, found.sound], [count, sight, sound], name);
      if (sound) assert(rms(found.units[1]?.audio ?? null) > 0.01, `${name} is silent`);
    }
  },
);

ffmpegTest(
  "openInput() scales and pads without distortion, follows pixel shape and rotation",
  async (folder) => {
    const edges = async (name: string, ...args: string[]) => {
      await make(...args, `${folder}/${name}`);
      return lit((await look(`${folder}/${name}`)).units[0]?.frames);
    };
    assertEquals(await edges("wide.mkv", ...white(0.2, "128x64"), "-c:v", "ffv1"), [0, 64, 8, 40]);
    assertEquals(await edges("tall.mkv", ...white(0.2, "90x160"), "-c:v", "ffv1"), [18, 45, 0, 48]);
    const anamorphic = [...white(0.2, "72x48"), "-vf", "setsar=16/9", "-c:v", "ffv1"];
    assertEquals(await edges("pal.mkv", ...anamorphic), [0, 64, 12, 36]);
    await make(...white(0.2, "160x90"), ...h264, `${folder}/plain.mp4`);
    const copy = ["-i", `${folder}/plain.mp4`, "-c", "copy"];
    // Until FFmpeg 5 the rotation is written by a metadata key, from 6 on by an option.
    await make("-display_rotation", "90", ...copy, `${folder}/phone.mp4`)
      .catch(() => make(...copy, "-metadata:s:v", "rotate=90", `${folder}/phone.mp4`));
    assertEquals(lit((await look(`${folder}/phone.mp4`)).units[0]?.frames), [18, 45, 0, 48]);
  },
);

/** The first unit that is loud, and the first whose picture is bright. */
function events(units: Observation[]): [sound: number, sight: number] {
  const bright = (frames: Uint8Array | null) =>
    frames !== null && frames.reduce((a, b) => a + b, 0) / frames.length > 60;
  return [
    // Codecs smear a little of the beep before its start.
    units.findIndex((unit) => rms(unit.audio) > 0.1),
    units.findIndex((unit) => bright(unit.frames)),
  ];
}

ffmpegTest(
  "openInput() keeps sound and picture on one clock when one of them starts late",
  async (folder) => {
    const beep = "aevalsrc=0.5*sin(3000*t)*gte(t\\,T):sample_rate=44100:duration=3";
    const flash =
      "color=black:size=64x48:rate=25:duration=3,drawbox=c=white:t=fill:enable='gte(t,T)'";
    for (const name of ["a.mkv", "a.mp4", "a.ts"]) {
      // A flash and a beep at 2.08 s (unit 13), in streams that begin at 0 s or 1.2 s.
      for (const [sound, sight] of [[0, 0], [1.2, 0], [0, 1.2]] as const) {
        const at = (text: string, delay: number) => text.replaceAll("T", `${2.08 - delay}`);
        await make(
          ...["-itsoffset", `${sight}`, "-f", "lavfi", "-i", at(flash, sight)],
          ...["-itsoffset", `${sound}`, "-f", "lavfi", "-i", at(beep, sound)],
          ...[...h264, "-c:a", name.endsWith("mkv") ? "flac" : "aac", `${folder}/${name}`],
        );
        const { units } = await look(`${folder}/${name}`);
        assertEquals(events(units), [13, 13], `${name}, sound at ${sound} s, sight at ${sight} s`);
        // Before its start a late stream is silent, or shows its first frame (here: black).
        assertEquals(units.length, sound + sight > 0 ? 27 : 19, name);
      }
    }
  },
);

ffmpegTest(
  "openInput() keeps the clock where the picture's size and the channels change",
  async (folder) => {
    for (
      const [name, size, channels, delay] of [["a", "160x120", 1, 0], [
        "b",
        "320x90",
        2,
        1.6,
      ]] as const
    ) {
      await make(
        ...picture(1.6, size),
        ...tone(1.6),
        "-c:v",
        "mpeg2video",
        "-bf",
        "0",
        "-ac",
        `${channels}`,
        "-c:a",
        "mp2",
        "-output_ts_offset",
        `${delay}`,
        `${folder}/${name}.ts`,
      );
    }
    const parts = await Promise.all(
      ["a", "b"].map((name) => Deno.readFile(`${folder}/${name}.ts`)),
    );
    await Deno.writeFile(`${folder}/c.ts`, new Uint8Array(parts.flatMap((part) => [...part])));
    const { count } = await look(`${folder}/c.ts`);
    assert(count === 20 || count === 21, `${count} units`);
  },
);

ffmpegTest(
  "openInput() replays what is whole of a recording that was cut off, and says where",
  async (folder) => {
    const av = [...picture(8), ...tone(8), "-g", "25"];
    const kinds: [string, string[]][] = [
      ["faststart.mp4", [...av, ...h264, "-c:a", "aac", "-movflags", "+faststart"]],
      ["a.mkv", [...av, ...h264, "-c:a", "libopus"]],
      ["a.webm", [...av, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"]],
      ["a.avi", [...av, "-c:v", "mjpeg", "-c:a", "pcm_s16le"]],
      ["a.ts", [...av, "-c:v", "mpeg2video", "-c:a", "mp2"]],
      ["a.ogg", [...tone(8), "-c:a", "libvorbis"]],
      ["a.opus", [...tone(8), "-c:a", "libopus"]],
      ["a.flac", [...tone(8)]],
      ["a.mp3", [...tone(8)]],
      ["adpcm.wav", [...tone(8), "-c:a", "adpcm_ms"]],
      ["a.aiff", [...tone(8)]],
    ];
    for (const [name, args] of kinds) {
      await make(...args, `${folder}/${name}`);
      const whole = await observe(`${folder}/${name}`);
      assertEquals([whole.cut, whole.units.length], [null, 50], name);
      const bytes = await Deno.readFile(`${folder}/${name}`);
      await Deno.writeFile(
        `${folder}/cut.${name}`,
        bytes.subarray(0, Math.floor(bytes.length * 0.6) | 1),
      );
      const { cut, units } = await observe(`${folder}/cut.${name}`);
      assert(cut !== null, `${name}: the break was not noticed`);
      assert(cut.seconds > 2.5 && cut.seconds < 6, `${name}: broken off at ${cut.seconds} s`);
      assertEquals(units.length, Math.floor(cut.seconds / 0.16 + 1e-6), name);
      // What was read before the break is what the whole file holds there.
      for (const [i, unit] of units.slice(0, -2).entries()) {
        assertEquals(unit, whole.units[i], `${name}, unit ${i}`);
      }
    }
  },
);

ffmpegTest("openInput() refuses what is no recording, in one line", async (folder) => {
  await make(...picture(0.5), ...tone(0.5), ...h264, "-c:a", "aac", `${folder}/good.mp4`);
  const whole = await Deno.readFile(`${folder}/good.mp4`);
  await Deno.writeTextFile(`${folder}/sub.srt`, "1\n00:00:00,000 --> 00:00:02,000\nHi\n");
  await make("-i", `${folder}/sub.srt`, `${folder}/only text.mkv`);
  const playlist = (path: string) =>
    `#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n${path}\n#EXT-X-ENDLIST\n`;
  const files: [string, string | Uint8Array, string][] = [
    ["empty.mp4", "", "is empty (0 bytes)"],
    ["text.mp4", "Hello world. ".repeat(50), "is no recording that FFmpeg can read"],
    ["unfinished.mp4", whole.subarray(0, whole.length >> 1), "its index (moov) is missing"],
    [
      "noise.mkv",
      Uint8Array.from({ length: 50000 }, (_, i) => i * i * 7919 >> 5),
      "is no recording",
    ],
    ["hls.mp4", playlist("good.mp4"), "is a playlist ("],
    ["remote.mp4", playlist("http://127.0.0.1:9/x.ts"), "is a playlist ("],
    ["concat.mp4", "ffconcat version 1.0\nfile good.mp4\n", "is a playlist ("],
    [
      "session.mp4",
      "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
      "is ",
    ],
    ["photo.heic", "\0\0\0\x18ftypheic\0\0\0\0mif1heic" + "x".repeat(99), "is a picture in HEIF"],
    ["movie.svg", "<svg xmlns='http://www.w3.org/2000/svg'><image href='good.mp4'/></svg>", "is "],
  ];
  for (const [name, content] of files) {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await Deno.writeFile(`${folder}/${name}`, bytes);
  }
  const all: [string, string][] = [
    ...files.map(([name, , message]): [string, string] => [name, message]),
    ["only text.mkv", "holds neither sound nor picture"],
    ["missing.mp4", "there is no such file"],
    ["", "is a folder"],
  ];
  for (const [name, message] of all) {
    const error = await assertRejects(
      () => observe(`${folder}/${name}`),
      InputError,
      undefined,
      name,
    );
    assertStringIncludes(error.message, `${folder}/${name}: `);
    assertStringIncludes(error.message, message);
    assert(!error.message.includes("\n"), error.message);
  }
});

ffmpegTest(
  "openInput() takes a file's name as it is, whatever FFmpeg would read into it",
  async (folder) => {
    await make(...picture(0.4), ...h264, `${folder}/plain.mp4`);
    const before = Deno.cwd();
    Deno.chdir(folder);
    try {
      for (
        const name of [
          "-i.mp4",
          "http:x.mp4",
          "concat:a|b.mp4",
          "%03d.mp4",
          "a'b\\c:d,e[f];g.mp4",
          "two\nlines.mp4",
          "*.mp4",
          "файл é.mp4",
        ]
      ) {
        await Deno.copyFile("plain.mp4", name);
        assertEquals((await observe(name)).units.length, 3, name);
      }
    } finally {
      Deno.chdir(before);
    }
  },
);

ffmpegTest("openInput() ends FFmpeg when the reader stops early", async (folder) => {
  await make(...picture(20), ...tone(20), "-c:v", "mpeg4", "-c:a", "flac", `${folder}/a.mkv`);
  const { observations } = await openInput(`${folder}/a.mkv`, userShape, finder);
  let units = 0;
  for await (const _ of observations) if (++units === 3) break;
  assertEquals(units, 3);
  // That nothing of the process is left is checked by the test runner's sanitizers.
});

ffmpegTest("readPicture() fits a picture, readSound() takes a video's sound", async (folder) => {
  await make(...white(0.04, "200x50"), `${folder}/a.png`);
  const frame = await readPicture(`${folder}/a.png`, userShape, finder);
  assertEquals(frame.length, 64 * 48 * 3);
  assertEquals(lit(frame), [0, 64, 16, 32]);
  // A camera's picture, and one whose name lies.
  await make(...white(0.04, "200x50"), `${folder}/b.jpg`);
  await Deno.copyFile(`${folder}/a.png`, `${folder}/png.JPEG`);
  for (const name of ["b.jpg", "png.JPEG"]) {
    assertEquals(lit(await readPicture(`${folder}/${name}`, userShape, finder)), [0, 64, 16, 32]);
  }
  await make(...picture(3), ...tone(3), ...h264, "-c:a", "aac", `${folder}/a.mp4`);
  const sound = await readSound(`${folder}/a.mp4`, userShape, 1, finder);
  assertEquals(sound.length, 16000);
  assertLess(Math.abs(rms(sound) - 0.125 / Math.SQRT2), 5e-3);
  await assertRejects(
    () => readPicture(`${folder}/a.flac`, userShape, finder),
    InputError,
  );
  await make(...tone(1), `${folder}/a.flac`);
  await assertRejects(
    () => readPicture(`${folder}/a.flac`, userShape, finder),
    InputError,
    "no picture",
  );
  await assertRejects(
    () => readSound(`${folder}/a.png`, userShape, 1, finder),
    InputError,
    "no sound",
  );
});

folderTest("findFfmpeg() refuses a program that is no FFmpeg", async (folder) => {
  for (const path of [`${folder}/none`, "/bin/true", folder]) {
    const error = await assertRejects(() => findFfmpeg(path), InputError);
    assertEquals(error.message, `--ffmpeg: '${path}' is no FFmpeg that runs here: give its path`);
  }
});
