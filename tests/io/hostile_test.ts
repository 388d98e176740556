/** Recordings that lie about themselves: a clear error or a correct replay, never a hang. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../engine/config/errors.ts";
import { cutOff } from "../../io/media/cut_off.ts";
import { ffmpegTest, folderTest, make, observe, picture, tone } from "./media.ts";

const ascii = (text: string) => new TextEncoder().encode(text);

function bytes(...parts: (string | Uint8Array)[]): Uint8Array {
  const arrays = parts.map((part) => typeof part === "string" ? ascii(part) : part);
  const all = new Uint8Array(arrays.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of arrays) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function u32(value: number): Uint8Array {
  const field = new Uint8Array(4);
  new DataView(field.buffer).setUint32(0, value, true);
  return field;
}

interface Claims {
  tag?: number;
  channels?: number;
  rate?: number;
  frame?: number;
  size?: number;
  before?: Uint8Array;
}

/** A tenth of a second of 16-bit mono at 16 kHz under a header that may claim otherwise. */
function wav(claims: Claims = {}): Uint8Array {
  const { tag = 1, channels = 1, rate = 16000, frame = 2, size = 3200 } = claims;
  const format = new DataView(new ArrayBuffer(16));
  for (const [at, value] of [[0, tag], [2, channels], [12, frame], [14, 16]] as const) {
    format.setUint16(at, value, true);
  }
  format.setUint32(4, rate, true);
  const head = ["RIFF", u32(0xffffffff), "WAVE", claims.before ?? ""];
  const fmt = ["fmt ", u32(16), new Uint8Array(format.buffer)];
  return bytes(...head, ...fmt, "data", u32(size), new Uint8Array(3200));
}

/** Two grey pictures of 16 x 16 under a header that may claim otherwise. */
function y4m(header: string, rest = ""): Uint8Array {
  const frame = bytes("FRAME\n", new Uint8Array(384).fill(128));
  return bytes(`YUV4MPEG2 ${header}\n`, frame, frame, rest);
}

/** Asserts an InputError of one line that names the file and says `message`. */
async function refuses(path: string, message: string): Promise<void> {
  const error = await assertRejects(() => observe(path), InputError, undefined, path);
  assertStringIncludes(error.message, `${path}: `);
  assertStringIncludes(error.message, message);
  assert(!error.message.includes("\n"), error.message);
}

folderTest("WAV: a header with impossible numbers is refused in one line", async (folder) => {
  const cases: [Claims, string][] = [
    [{ channels: 0 }, "0 channels"],
    [{ channels: 65535, frame: 65535 }, "65535 channels"],
    [{ rate: 0 }, "at 0 Hz"],
    [{ rate: 1_000_000_000 }, "at 1000000000 Hz"],
    [{ rate: 0xffffffff }, "at 4294967295 Hz"],
    [{ frame: 0 }, "0 bits"],
    [{ frame: 0xffff }, "bits"],
    [{ size: 1 }, "without samples"],
    [{ before: bytes("junk", u32(0x7fffffff)) }, "without samples"],
  ];
  for (const [claims, message] of cases) {
    await Deno.writeFile(`${folder}/a.wav`, wav(claims));
    await refuses(`${folder}/a.wav`, message);
  }
});

folderTest("WAV: a data length that lies gives what is there, and says so", async (folder) => {
  for (const size of [3300, 0x12345678, 0xf0000000 - 100_000]) {
    await Deno.writeFile(`${folder}/a.wav`, wav({ size }));
    const { cut } = await observe(`${folder}/a.wav`);
    assertStringIncludes(cut?.reason ?? "", `should have ${size} bytes, 3200 are there`);
  }
  await Deno.writeFile(`${folder}/a.wav`, wav({ size: 1600 }));
  const { units, cut } = await observe(`${folder}/a.wav`);
  assertEquals([units.length, cut], [1, null]);
});

folderTest("WAV: millions of empty chunks don't hold it up", async (folder) => {
  const junk = bytes("junk", u32(0));
  const many = new Uint8Array(8 * 1_000_000);
  for (let at = 0; at < many.length; at += 8) many.set(junk, at);
  await Deno.writeFile(`${folder}/a.wav`, wav({ before: many }));
  await refuses(`${folder}/a.wav`, "chunks before its samples");
});

folderTest(
  "MP4: millions of empty boxes don't hold the look at its structure up",
  async (folder) => {
    const box = bytes(u32(0x08000000), "free");
    const many = new Uint8Array(8 * 1_000_000);
    for (let at = 0; at < many.length; at += 8) many.set(box, at);
    await Deno.writeFile(`${folder}/a.mp4`, many);
    assertEquals(await cutOff(`${folder}/a.mp4`), null);
  },
);

folderTest("Y4M: a header with impossible numbers is refused in one line", async (folder) => {
  const cases = [
    ["W100000 H100000 F25:1 C420", "100000x100000"],
    ["W16384 H16384 F25:1 C420", "16384x16384"],
    ["W-16 H16 F25:1 C420", "-16x16"],
    ["W0 H16 F25:1 C420", "0x16"],
    ["W1e99 H16 F25:1 C420", "1e+99x16"],
    ["W16 H16 F1000000000:1 C420", "1000000000 frames/s"],
    ["W16 H16 F1:1000000000 C420", "1e-9 frames/s"],
    ["W16 H16 F0:0 C420", "NaN frames/s"],
    ["W16 H16 F-25:1 C420", "-25 frames/s"],
    ["W100000 H100000 F25:1 C420p10", "100000x100000"],
    ["W8000 H8000 F25:1 C420", "without a whole frame"],
    ["W16 H16 F25:1 A-1:1 C420", "a negative shape"],
  ] as const;
  for (const [header, message] of cases) {
    await Deno.writeFile(`${folder}/a.y4m`, y4m(header));
    const before = Deno.memoryUsage().rss;
    await refuses(`${folder}/a.y4m`, message);
    assert(Deno.memoryUsage().rss - before < 3e8, `${header}: memory`);
  }
});

ffmpegTest("Y4M: pixels of any shape are fitted", async (folder) => {
  for (const aspect of ["1:1000000000", "1000000000:1", "0:0"]) {
    await Deno.writeFile(`${folder}/a.y4m`, y4m(`W16 H16 F25:1 A${aspect} C420`));
    const { units } = await observe(`${folder}/a.y4m`);
    assertEquals(units.length, 1, aspect);
  }
});

folderTest("inputs that are no files are refused without being opened", async (folder) => {
  await new Deno.Command("mkfifo", { args: [`${folder}/fifo.mp4`] }).output();
  await Deno.symlink("/dev/zero", `${folder}/zero.wav`);
  await Deno.symlink("/dev/stdin", `${folder}/stdin.y4m`);
  await Deno.symlink(`${folder}/loop.mp4`, `${folder}/loop.mp4`);
  await Deno.symlink(`${folder}/nothing`, `${folder}/dangling.mp4`);
  await Deno.writeTextFile(`${folder}/file.mp4`, "x");
  await refuses(`${folder}/fifo.mp4`, "not a file");
  await refuses(`${folder}/zero.wav`, "not a file");
  await refuses(`${folder}/loop.mp4`, "can't be read");
  await refuses(`${folder}/dangling.mp4`, "no such file");
  await refuses(`${folder}/file.mp4/x.mp4`, "can't be read");
  await refuses(`${folder}/${"n".repeat(300)}.mp4`, "can't be read");
  // A link to a recording is a recording.
  await Deno.writeFile(`${folder}/a.wav`, wav());
  await Deno.symlink(`${folder}/a.wav`, `${folder}/link.mp4`);
  assertEquals((await observe(`${folder}/link.mp4`)).units.length, 1);
});

ffmpegTest("playlists named .mp4 reach neither other files nor the network", async (folder) => {
  const secret = "canary-5f1d";
  await make(
    ...picture(0.4),
    ...tone(0.4),
    "-c:v",
    "mpeg4",
    "-f",
    "mpegts",
    `${folder}/${secret}.ts`,
  );
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let connections = 0;
  const listening = (async () => {
    for await (const connection of listener) {
      connections++;
      connection.close();
    }
  })();
  const host = `127.0.0.1:${listener.addr.port}`;
  const targets = [
    `${secret}.ts`,
    `${folder}/${secret}.ts`,
    `file:${folder}/${secret}.ts`,
    `http://${host}/a.ts`,
    `tcp://${host}`,
    `concat:${folder}/${secret}.ts|${folder}/${secret}.ts`,
    `subfile,,start,0,end,0,,:${folder}/${secret}.ts`,
  ];
  const hls = (target: string) => `#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n${target}\n`;
  const playlists = [
    ...targets.map((target) => `${hls(target)}#EXT-X-ENDLIST\n`),
    `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://${host}/live.m3u8\n`,
    `#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="http://${host}/key"\n#EXTINF:9,\n${secret}.ts\n`,
    `ffconcat version 1.0\nfile ${secret}.ts\n`,
    `ffconcat version 1.0\nfile 'http://${host}/a.ts'\n`,
    `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n` +
    `a=control:rtsp://${host}/\nm=audio ${listener.addr.port} TCP/RTP/AVP 0\n`,
    `# mpv EDL v0\n${folder}/${secret}.ts,0,1\n`,
    `<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>http://${host}/` +
    `</BaseURL></Representation></AdaptationSet></Period></MPD>`,
    `[playlist]\nFile1=http://${host}/a.mp3\nNumberOfEntries=1\n`,
    `[InternetShortcut]\nURL=http://${host}/\n`,
  ];
  for (const [i, playlist] of playlists.entries()) {
    const path = `${folder}/list${i}.mp4`;
    await Deno.writeTextFile(path, playlist);
    const error = await assertRejects(() => observe(path), InputError, undefined, playlist);
    assertStringIncludes(error.message, `${path}: `);
    assert(!error.message.includes(secret), error.message);
    assert(!error.message.includes("\n"), error.message);
  }
  assertEquals(connections, 0);
  // The trap works: a connection would have been seen.
  (await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port })).close();
  while (connections === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  listener.close();
  await listening;
});

ffmpegTest("a container that claims huge pictures is refused", async (folder) => {
  await make(...picture(0.4, "64x48"), "-c:v", "mpeg4", `${folder}/a.mkv`);
  const whole = await Deno.readFile(`${folder}/a.mkv`);
  // PixelWidth (B0) and PixelHeight (BA), one byte each: 64 and 48.
  const at = whole.findIndex((_, i) =>
    [0xb0, 0x81, 64, 0xba, 0x81, 48].every((byte, j) => whole[i + j] === byte)
  );
  assert(at > 0, "the size was found");
  // Same length: the width takes five bytes, the height goes.
  whole.set([0xb0, 0x84, 0x00, 0x01, 0x86, 0xa0], at);
  await Deno.writeFile(`${folder}/wide.mkv`, whole);
  const seen = await observe(`${folder}/wide.mkv`).catch((error: unknown) => error);
  assert(seen instanceof InputError || (seen as { units: unknown[] }).units.length <= 3);
  // A bitmap header of 100,000 x 100,000 and one whose height is negative without end.
  for (const [width, height] of [[100_000, 100_000], [0, 48], [30000, 30000], [64, -0x80000000]]) {
    const bitmap = new DataView(new ArrayBuffer(1078));
    bitmap.setUint16(0, 0x424d);
    bitmap.setUint32(2, 1078, true);
    bitmap.setUint32(10, 54, true);
    bitmap.setUint32(14, 40, true);
    bitmap.setInt32(18, width ?? 0, true);
    bitmap.setInt32(22, height ?? 0, true);
    bitmap.setUint16(26, 1, true);
    bitmap.setUint16(28, 24, true);
    await Deno.writeFile(`${folder}/a.bmp`, new Uint8Array(bitmap.buffer));
    await refuses(`${folder}/a.bmp`, "");
  }
});

ffmpegTest("a stream that begins hours late is refused", async (at) => {
  await make(
    ...[...picture(0.5, "64x48"), ...tone(0.5, 16000)],
    ...["-c:v", "mpeg4", "-c:a", "pcm_s16le", `${at}/a.mkv`],
  );
  for (const [stream, message] of [["v", "its picture begins"], ["a", "its sound begins"]]) {
    const clock = "setts=pts='PTS+36000/TB':dts='DTS+36000/TB'";
    const copy = [
      "-copyts",
      "-i",
      `${at}/a.mkv`,
      "-map",
      "0",
      "-c",
      "copy",
      `-bsf:${stream}`,
      clock,
    ];
    await Deno.writeFile(`${at}/late.mkv`, await make(...copy, "-f", "matroska", "pipe:1"));
    await refuses(`${at}/late.mkv`, message ?? "");
  }
});

ffmpegTest("timestamps that run backwards replay; those that jump by hours don't", async (at) => {
  await make(
    ...[...picture(0.5, "64x48"), ...tone(0.5, 16000)],
    ...["-c:v", "mpeg4", "-c:a", "pcm_s16le", `${at}/a.mkv`],
  );
  const shift = async (stream: string, by: string, ...to: string[]) => {
    const clock = `setts=pts='if(gt(N,5),PTS+(${by})/TB,PTS)':dts='if(gt(N,5),DTS+(${by})/TB,DTS)'`;
    const copy = ["-copyts", "-i", `${at}/a.mkv`, "-map", "0", "-c", "copy"];
    return await make(...copy, `-bsf:${stream}`, clock, "-avoid_negative_ts", "disabled", ...to);
  };
  for (const stream of ["v", "a"]) {
    await shift(stream, "-0.2", `${at}/back.mkv`);
    const { units } = await observe(`${at}/back.mkv`);
    assert(units.length >= 2 && units.length <= 6, `${stream}: ${units.length} units`);
    await shift(stream, "36000", `${at}/jump.mkv`);
    await refuses(`${at}/jump.mkv`, "its timestamps jump");
    // A stream that was recorded into a pipe states no duration: what follows is joined on.
    const live = await shift(stream, "36000", "-f", "matroska", "pipe:1");
    await Deno.writeFile(`${at}/live.mkv`, live);
    const joined = await observe(`${at}/live.mkv`);
    assert(joined.units.length >= 3 && joined.units.length <= 6, `${joined.units.length} units`);
  }
});
