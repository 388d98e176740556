/** Recordings whose white flash and beep come together at 1, 2 and 3 s, through each way in. */
import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { openSource } from "../../../io/ends/endpoints.ts";
import { openInput, readPicture } from "../../../io/ends/observe.ts";
import { awaitHead, decodeStream } from "../../../io/ends/stream_decode.ts";
import { ObservationReader } from "../../../io/media/observation_reader.ts";
import { defaultTracks, type TrackChoice } from "../../../io/media/tracks.ts";
import { concat } from "../../../io/system/bytes.ts";
import { ffmpegTest, finder, make, picture, rms, tone, userShape } from "../media.ts";

/** On for 0.12 s after each full second from 1 s on. */
const on = "between(mod(t,1),0,0.119)*gte(t,0.9)";
const flash = (seconds = 4) => [
  ...["-f", "lavfi", "-i"],
  `color=black:s=320x240:r=25:d=${seconds},drawbox=c=white:t=fill:enable='${on}'`,
];
const beep = (seconds = 4, hertz = 1000) => [
  ...["-f", "lavfi", "-i", `aevalsrc='0.5*sin(2*PI*${hertz}*t)*(${on})':s=48000:d=${seconds}`],
];
const marker = [...flash(), ...beep()];
const h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
const mpeg2 = ["-c:v", "mpeg2video", "-bf", "0", "-q:v", "2", "-c:a", "mp2", "-b:a", "192k"];

/** When a recording flashes and when it beeps, in seconds. */
async function markers(path: string, choice: Partial<TrackChoice> = {}) {
  const tracks = { ...defaultTracks, ...choice };
  const { observations, facts } = await openInput(path, userShape, finder, tracks);
  return { ...await read(observations), facts };
}

/** The same of a file that comes through a pipe. */
async function streamed(path: string, choice: Partial<TrackChoice> = {}) {
  const source = await openSource(path, finder);
  try {
    const headed = await awaitHead(source, { ...defaultTracks, ...choice });
    const media = decodeStream(await finder(), source, headed, userShape);
    return { ...await read(new ObservationReader(media, userShape)), facts: headed.taken.facts };
  } finally {
    await source.close();
  }
}

async function read(observations: ObservationReader) {
  const [flashes, beeps]: [number[], number[]] = [[], []];
  let bright = false;
  let units = 0, lastLoud = -Infinity;
  for await (const { frames, audio } of observations) {
    const size = 64 * 48 * 3;
    for (let i = 0; frames && i < 4; i++) {
      const level = frames[i * size + (24 * 64 + 32) * 3] ?? 0;
      if (level > 100 && !bright) flashes.push(units * 0.16 + i / 25);
      bright = level > 100;
    }
    audio?.forEach((sample, i) => {
      if (Math.abs(sample) < 0.05) return;
      const at = units * 0.16 + i / 16000;
      if (at - lastLoud > 0.2) beeps.push(at);
      lastLoud = at;
    });
    units++;
  }
  return { flashes, beeps, units, cut: observations.cut };
}

/** Asserts times to a frame, or to the smear of a lossy codec. */
function near(found: number[], expected: number[], tolerance: number, what: string): void {
  assertEquals(found.length, expected.length, `${what}: ${found}`);
  found.forEach((at, i) => {
    assertLess(Math.abs(at - (expected[i] ?? 9)), tolerance, `${what}: ${found}`);
  });
}

const containers: [name: string, args: string[]][] = [
  ["base.mkv", ["-c:v", "ffv1", "-pix_fmt", "bgr0", "-c:a", "pcm_s16le"]],
  ["a.mp4", [...h264, "-c:a", "aac"]],
  ["a.mov", ["-c:v", "mjpeg", "-c:a", "pcm_s16le"]],
  ["a.webm", ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"]],
  ["a.nut", ["-c:v", "mpeg4", "-c:a", "pcm_s16le"]],
  ["a.flv", [...h264, "-c:a", "aac", "-ar", "44100"]],
  ["a.ts", mpeg2],
  ["a.mpg", mpeg2],
];

ffmpegTest("flash and beep stay where they are, wherever the clock begins", async (folder) => {
  const clocks = { "a.mpg": [0, 5], "a.flv": [0, 5, 36_000], "a.ts": [0, 5, 36_000] };
  for (const [name, args] of containers) {
    const far = Object.entries(clocks).find(([other]) => other === name)?.[1];
    for (const start of far ?? [0, 36_000, 1_700_000_000]) {
      await make(...marker, ...args, "-output_ts_offset", `${start}`, `${folder}/${name}`);
      const { flashes, beeps, units, facts } = await markers(`${folder}/${name}`);
      const what = `${name} from ${start} s`;
      near(flashes, [1, 2, 3], 0.05, what);
      near(beeps, [1, 2, 3], 0.05, what);
      assert(units === 25 || units === 26, `${what}: ${units} units`);
      if (facts.seconds !== null) assertLess(Math.abs(facts.seconds - 4), 0.2, what);
    }
  }
});

ffmpegTest("a stream's clock begins at 0, wherever the input's begins", async (folder) => {
  const codecs: [name: string, args: string[]][] = [
    ["h264", [...h264, "-c:a", "pcm_s16le"]],
    ["h264 without sound", [...h264, "-an"]],
    ["mpeg4", ["-c:v", "mpeg4", "-c:a", "pcm_s16le"]],
    ["sound", ["-vn", "-c:a", "pcm_s16le"]],
  ];
  for (const format of ["nut", "matroska"]) {
    for (const [codec, args] of codecs) {
      for (const start of [0, 5, 3600]) {
        const what = `${codec} in ${format} from ${start} s`;
        const offset = ["-output_ts_offset", `${start}`, "-f", format, "pipe:1"];
        await Deno.writeFile(`${folder}/a`, await make(...marker, ...args, ...offset));
        const { flashes, beeps, units } = await streamed(`${folder}/a`);
        near(flashes, codec === "sound" ? [] : [1, 2, 3], 0.05, what);
        near(beeps, codec.includes("without") ? [] : [1, 2, 3], 0.05, what);
        assertEquals(units, 25, what);
      }
    }
  }
});

ffmpegTest(
  "containers that follow each other in a stream are joined, both media together",
  async (folder) => {
    const part = ["-c:v", "mpeg4", "-c:a", "pcm_s16le"];
    const made = async (format: string, ...args: string[]) =>
      await make(...args, ...part, "-f", format, "pipe:1");
    const [nut, matroska] = [await made("nut", ...marker), await made("matroska", ...marker)];
    // Sound that ends before the picture, or after it; another size; sound alone.
    const short = await made("nut", ...flash(4), ...beep(3.5));
    const long = await made("matroska", ...flash(3.6), ...beep(4));
    const alone = await made("nut", ...beep(4));
    const small = await made("nut", ...marker, "-s", "96x64", "-output_ts_offset", "50");
    const each = (from: number) => [from + 1, from + 2, from + 3];
    const cases: [what: string, parts: Uint8Array[], flashes: number[]][] = [
      ["NUT", [nut, nut], [...each(0), ...each(4)]],
      ["Matroska", [matroska, matroska], [...each(0), ...each(4)]],
      ["both", [nut, matroska, small], [...each(0), ...each(4), ...each(8)]],
      ["unequal", [short, long, short, nut], [...each(0), ...each(4), ...each(8), ...each(12)]],
      ["sound alone", [nut, alone, nut], [...each(0), ...each(8)]],
    ];
    for (const [what, parts, expected] of cases) {
      await Deno.writeFile(`${folder}/a`, concat(parts));
      const { flashes, beeps, units, cut } = await streamed(`${folder}/a`);
      near(flashes, expected, 0.05, what);
      near(beeps, parts.flatMap((_, k) => each(4 * k)), 0.05, what);
      assertEquals([units, cut], [25 * parts.length, null], what);
    }
    await Deno.writeFile(`${folder}/a`, concat([nut, nut.subarray(0, nut.length >> 1)]));
    assertEquals(
      (await streamed(`${folder}/a`)).cut?.reason,
      "it lacks the index that ends a NUT stream",
    );
  },
);

ffmpegTest("recordings of hours are looked at in a moment", async (folder) => {
  const hours = 3 * 3600;
  const silence = ["-f", "lavfi", "-i", `anullsrc=r=8000:cl=mono:d=${hours}`, "-c:a", "flac"];
  const still = ["-f", "lavfi", "-i", `color=s=16x16:r=1:d=${hours}`, "-c:v", "mpeg4"];
  const long: [name: string, args: string[]][] = [
    ["a.flac", silence],
    ["a.mka", silence],
    ["a.mkv", still],
    ["b.mkv", [...still.slice(0, 4), ...silence, ...still.slice(4)]],
  ];
  for (const [name, args] of long) {
    await make(...args, `${folder}/${name}`);
    const { observations, facts } = await openInput(`${folder}/${name}`, userShape, finder);
    assertLess(Math.abs((facts.seconds ?? 0) - hours), 1, name);
    const first = await observations[Symbol.asyncIterator]().next();
    assertEquals([first.done, facts.audio], [false, first.value?.audio !== null], name);
    await observations.close();
  }
});

ffmpegTest("sound of more than 4,000 packets is read to its end", async (folder) => {
  for (const name of ["a.mp3", "a.m4a", "a.opus"]) {
    await make(...tone(110, 16000), `${folder}/${name}`);
    const { units, cut } = await markers(`${folder}/${name}`);
    assertEquals([units, cut], [688, null], name);
  }
});

ffmpegTest("one track is taken: the container's default, or the one asked for", async (folder) => {
  // The first track of sound begins late and isn't the default one.
  await make(
    ...[...flash(), "-itsoffset", "1.9", ...tone(2), ...beep(), "-map", "0", "-map", "1"],
    ...["-map", "2", "-c:v", "ffv1", "-pix_fmt", "bgr0", "-c:a", "pcm_s16le"],
    ...["-disposition:a:0", "0", "-disposition:a:1", "default", "-metadata:s:a:1", "language=deu"],
    ...["-metadata:s:a:1", "title=The one", `${folder}/a.mkv`],
  );
  const path = `${folder}/a.mkv`;
  const second = await markers(path);
  near(second.flashes, [1, 2, 3], 0.05, "default");
  near(second.beeps, [1, 2, 3], 0.05, "default");
  assertEquals(second.facts.tracks.audio, {
    ...{ number: 2, of: 2, codec: "pcm_s16le", language: "deu", title: "The one" },
    ...{ channels: 1, channel: "mix" },
  });
  assertEquals(second.facts.tracks.video?.number, 1);
  near((await markers(path, { audio: 1 })).beeps, [1.9], 0.05, "track 1");
  assertEquals((await markers(path, { audio: "none" })).facts.audio, false);
  const sound = await markers(path, { video: "none" });
  assertEquals([sound.facts.video, sound.flashes], [false, []]);
  near(sound.beeps, [1, 2, 3], 0.05, "no picture");
  const error = await assertRejects(() => markers(path, { audio: 3 }), InputError);
  assertEquals(
    error.message,
    `${path}: holds no track 3 of sound: its tracks are: 1 (pcm_s16le, 1 channel); ` +
      "2 (deu, pcm_s16le, 1 channel, The one)",
  );
});

ffmpegTest("a stream takes the same track and channel as a recording", async (folder) => {
  const two = `aevalsrc='0.5*sin(6283*t)*(${on})|0.5*sin(6283*t)*between(t,1.4,1.5)':s=48000:d=4`;
  for (const name of ["a.mkv", "a.nut"]) {
    const path = `${folder}/${name}`;
    await make(
      ...[...flash(), ...tone(4), "-f", "lavfi", "-i", two, "-map", "0", "-map", "1", "-map", "2"],
      ...["-c:v", "mpeg4", "-c:a", "pcm_s16le", "-disposition:a:0", "0", "-disposition:a:1"],
      ...["default", path],
    );
    for (const choice of [{ channel: "left" }, { channel: "right" }] as const) {
      const [live, recorded] = [await streamed(path, choice), await markers(path, choice)];
      near(live.flashes, [1, 2, 3], 0.05, name);
      near(live.beeps, recorded.beeps, 0.01, name);
      assertEquals([live.facts.tracks.audio?.number, live.facts.tracks.audio?.channels], [2, 2]);
      assertEquals(recorded.facts.tracks.audio?.number, 2);
    }
    assertEquals((await streamed(path, { audio: 1 })).beeps.length, 1);
    assertEquals((await streamed(path, { video: "none" })).facts.video, false);
    await assertRejects(
      () => streamed(path, { audio: 3 }),
      InputError,
      "holds no track 3 of sound",
    );
    await assertRejects(() => streamed(path, { channel: 3 }), InputError, "has 2 channels");
  }
});

ffmpegTest("a track that can't be decoded is named, with the remedy", async (folder) => {
  await make(
    ...[...marker, ...tone(4), "-map", "0", "-map", "1", "-map", "2", "-c:v", "ffv1"],
    ...["-c:a:0", "flac", "-c:a:1", "pcm_s16le", `${folder}/a.mkv`],
  );
  const bytes = await Deno.readFile(`${folder}/a.mkv`);
  const at = new TextDecoder("latin1").decode(bytes.subarray(0, 4096)).indexOf("A_FLAC");
  bytes.set(new TextEncoder().encode("A_WHAT"), at);
  await Deno.writeFile(`${folder}/a.mkv`, bytes);
  const error = await assertRejects(() => markers(`${folder}/a.mkv`), InputError);
  assertEquals(
    error.message,
    `${folder}/a.mkv: track 1 of its sound is coded in a way that this FFmpeg can't decode: ` +
      "convert it, or add --audio-track 2 or none",
  );
  assertEquals((await markers(`${folder}/a.mkv`, { audio: 2 })).facts.tracks.audio?.number, 2);
});

ffmpegTest("a channel of two speakers is heard alone", async (folder) => {
  const two = `aevalsrc='0.5*sin(6283*t)*(${on})|0.5*sin(6283*t)*between(t,1.4,1.5)':s=48000:d=4`;
  for (const name of ["a.wav", "a.flac", "a.m4a"]) {
    await make("-f", "lavfi", "-i", two, `${folder}/${name}`);
    const beeps = async (channel: TrackChoice["channel"]) =>
      (await markers(`${folder}/${name}`, { channel })).beeps;
    near(await beeps("left"), [1, 2, 3], 0.05, name);
    near(await beeps("right"), [1.4], 0.05, name);
    near(await beeps(2), [1.4], 0.05, name);
    near(await beeps("mix"), [1, 1.4, 2, 3], 0.05, name);
    await assertRejects(() => beeps(3), InputError, "its sound has 2 channels");
  }
  await make(...tone(1), `${folder}/mono.flac`);
  await assertRejects(
    () => markers(`${folder}/mono.flac`, { channel: "right" }),
    InputError,
    "its sound has 1 channel, so that --audio-channel right can't be taken",
  );
});

ffmpegTest("parts that were chained together follow one another without a gap", async (folder) => {
  for (const codec of ["libopus", "libvorbis", "flac"]) {
    for (const serial of [0, 77]) {
      await make(...beep(), "-c:a", codec, `${folder}/1.ogg`);
      await make(...beep(), "-c:a", codec, "-serial_offset", `${serial}`, `${folder}/2.ogg`);
      const parts = await Promise.all([1, 2].map((n) => Deno.readFile(`${folder}/${n}.ogg`)));
      await Deno.writeFile(`${folder}/a.ogg`, concat(parts));
      const { beeps, units } = await markers(`${folder}/a.ogg`);
      near(beeps, [1, 2, 3, 5, 6, 7], 0.07, `${codec}, serial ${serial}`);
      assertEquals(units, 50, codec);
    }
  }
});

ffmpegTest(
  "a chained part that can't be joined on isn't left out without a word",
  async (folder) => {
    await make(...marker, "-c:v", "libtheora", "-c:a", "libvorbis", `${folder}/1.ogv`);
    const part = await Deno.readFile(`${folder}/1.ogv`);
    await Deno.writeFile(`${folder}/a.ogv`, concat([part, part]));
    const { beeps, cut } = await markers(`${folder}/a.ogv`);
    if (cut) assertMatch(cut.reason, /another part begins there/);
    else near(beeps, [1, 2, 3, 5, 6, 7], 0.07, "both parts");
  },
);

ffmpegTest("a change of the picture's size keeps its time and its shape", async (folder) => {
  const parts: Uint8Array[] = [];
  for (const [i, size] of ["320:240", "640:200,setsar=1", "320:240"].entries()) {
    const offset = ["-output_ts_offset", `${4 * i}`];
    await make(...marker, "-vf", `scale=${size}`, ...mpeg2, ...offset, `${folder}/part.ts`);
    parts.push(await Deno.readFile(`${folder}/part.ts`));
  }
  await Deno.writeFile(
    `${folder}/a.ts`,
    concat(parts),
  );
  const { flashes, beeps } = await markers(`${folder}/a.ts`);
  // mpegts puts the second part's first picture where the first part's last one was.
  const expected = [1, 2, 3, 5, 6, 7, 9, 10, 11];
  near(flashes, expected, 0.06, "flashes");
  near(beeps, expected, 0.06, "beeps");
});

/** Mean level of each colour in the first picture. */
async function colours(path: string): Promise<number[]> {
  const { observations } = await openInput(path, userShape, finder);
  let frame: Uint8Array | null = null;
  for await (const { frames } of observations) frame ??= frames;
  return means(frame ?? new Uint8Array());
}
const means = (frame: Uint8Array) => {
  const one = frame.subarray(0, 64 * 48 * 3);
  return [0, 1, 2].map((c) =>
    Math.round(one.reduce((sum, level, i) => sum + (i % 3 === c ? level : 0), 0) / (64 * 48))
  );
};

ffmpegTest("HDR keeps the levels of what SDR can show", async (folder) => {
  for (const transfer of ["smpte2084", "arib-std-b67"]) {
    for (const [colour, expected] of [["808080", 128], ["404040", 64], ["c0c0c0", 192]] as const) {
      await make(
        ...["-f", "lavfi", "-i", `color=0x${colour}:s=64x48:r=25:d=0.2,format=gbrp`, "-vf"],
        "setparams=color_trc=bt709:color_primaries=bt709:colorspace=gbr:range=pc," +
          "zscale=t=linear:npl=100,format=gbrpf32le," +
          `zscale=t=${transfer}:p=bt2020:npl=100,zscale=m=2020_ncl:r=tv,format=yuv420p10le`,
        ...["-c:v", "libx265", "-x265-params"],
        `log-level=none:colorprim=bt2020:transfer=${transfer}:colormatrix=bt2020nc`,
        `${folder}/a.mp4`,
      );
      for (const level of await colours(`${folder}/a.mp4`)) {
        assertLess(Math.abs(level - expected), 3, `${transfer} ${colour}`);
      }
    }
  }
});

ffmpegTest("transparent pictures stand on black", async (folder) => {
  const red = ["-f", "lavfi", "-i", "color=red@0.25:s=64x48:r=25:d=0.2,format=rgba"];
  const kinds: [name: string, args: string[]][] = [
    ["a.png", ["-frames:v", "1"]],
    ["a.mov", ["-c:v", "qtrle", "-pix_fmt", "argb"]],
    ["a.mkv", ["-c:v", "ffv1", "-pix_fmt", "yuva444p"]],
    ["a.webm", ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p"]],
  ];
  for (const [name, args] of kinds) {
    await make(...red, ...args, `${folder}/${name}`);
    const seen = [await colours(`${folder}/${name}`)];
    seen.push(means(await readPicture(`${folder}/${name}`, userShape, finder)));
    for (const [r = 0, g = 0, b = 0] of seen) {
      assert(Math.abs(r - 64) < 4 && g < 4 && b < 4, `${name}: ${r} ${g} ${b}`);
    }
  }
});

ffmpegTest("a voice is as loud from WAV as from another container", async (folder) => {
  const centre = "aevalsrc=0|0|0.5*sin(2000*t)|0|0|0:c=5.1:s=16000:d=1";
  await make("-f", "lavfi", "-i", centre, `${folder}/a.wav`);
  await make("-i", `${folder}/a.wav`, `${folder}/a.flac`);
  const levels = [];
  for (const name of ["a.wav", "a.flac"]) {
    const { observations } = await openInput(`${folder}/${name}`, userShape, finder);
    levels.push(rms((await Array.fromAsync(observations))[3]?.audio ?? null));
  }
  assertLess(Math.abs((levels[0] ?? 0) - (levels[1] ?? 9)), 1e-3);
});

/** NIST SPHERE, which FFmpeg doesn't write: a header of 1024 bytes of text, then samples. */
async function sphere(path: string): Promise<void> {
  const { length } = await Deno.readFile(path);
  const count = Math.floor((length - 44) / 2);
  const text = "NIST_1A\n   1024\nchannel_count -i 1\nsample_count -i " +
    `${count}\nsample_rate -i 48000\nsample_n_bytes -i 2\nsample_byte_format -s2 01\n` +
    "sample_coding -s3 pcm\nend_head\n";
  const samples = (await make("-i", path, "-f", "s16le", "pipe:1")).subarray(0, count * 2);
  const head = new TextEncoder().encode(text.padEnd(1024, " "));
  await Deno.writeFile(path, concat([head, samples]));
}

ffmpegTest("what stays refused is named, with the line that converts it", async (folder) => {
  const cases: [name: string, content: string, message: string][] = [
    ["a.mp4", "#EXTM3U\n#EXTINF:9,\na.ts\n", "is a playlist (hls), which points to other files: "],
    ["b.mp4", "ffconcat version 1.0\nfile a.ts\n", "is a playlist (concat), which points to"],
    ["a.sw", "raw samples ".repeat(500), "has no header that tells its rate or size (s16le): "],
  ];
  for (const [name, content, message] of cases) {
    await Deno.writeTextFile(`${folder}/${name}`, content);
    const error = await assertRejects(() => markers(`${folder}/${name}`), InputError, message);
    assert(error.message.includes("'ffmpeg "), error.message);
  }
});

ffmpegTest("one-file formats of all kinds are read", async (folder) => {
  const kinds = ["sph", "caf", "au", "voc", "aiff", "w64", "wv", "tta", "gsm", "rso", "sf", "wve"];
  let read = 0;
  for (const kind of [...kinds, "sbc", "g722", "mxf", "gxf", "dv", "mmf", "roq", "swf", "wtv"]) {
    const path = `${folder}/a.${kind}`;
    const rate = ["-ac", "1", "-ar", "8000"];
    const args = kind === "sph" ? [...beep(), "-f", "wav"] : [...marker, ...rate];
    // Not every FFmpeg writes all of them.
    if (await make(...args, path).catch(() => null) === null) continue;
    if (kind === "sph") await sphere(path);
    assertEquals((await markers(path)).facts.audio, true, kind);
    read++;
  }
  assert(read > 8, `${read}`);
  await make(...picture(0.2), `${folder}/a.apng`);
  assertEquals((await markers(`${folder}/a.apng`)).units, 2);
});
