import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Event } from "../../../io/pace/events.ts";
import { MatroskaMuxer } from "../../../io/media/matroska_muxer.ts";
import { concat } from "../../../io/system/bytes.ts";
import { count, ffmpeg, ffmpegTest, make, names, picture, tone } from "../media.ts";
import {
  agent,
  answerBytes,
  noise,
  pipe,
  start,
  Taken,
  user,
  userStream,
} from "../stream_process.ts";

/** Longer than any machine takes, in ms: only what would wait for ever is ended by it. */
const patience = 120_000;

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Frames and samples in a container's bytes. */
async function counted(folder: string, bytes: Uint8Array): Promise<[number, number]> {
  await Deno.writeFile(`${folder}/counted`, bytes);
  const { frames, samples } = await count(`${folder}/counted`, agent.width, agent.height);
  return [frames, samples];
}

async function events(path: string): Promise<Event[]> {
  const text = await Deno.readTextFile(path);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

const talk = [...picture(2, "160x120", 30), ...tone(2), "-c:v", "mpeg4"];

for (const format of ["nut", "matroska"]) {
  ffmpegTest(`stream answers ${format} in Matroska, and writes nothing else`, async (folder) => {
    const input = await make(...talk, "-c:a", "aac", "-f", format, "pipe:1");
    const files = ["--events", `${folder}/e.jsonl`, "--text", `${folder}/t.vtt`];
    const { code, stdout, stderr } = await pipe(input, "--quiet", ...files);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(await counted(folder, stdout), [13 * 4, 13 * 2560]);
    const [header, ...rest] = await events(`${folder}/e.jsonl`);
    assert(header?.type === "header");
    assertEquals([header.input?.reader, header.input?.path], [format, "standard input"]);
    assertEquals([rest.length, rest.at(-1)?.type], [14, "summary"]);
    assertStringIncludes(
      await Deno.readTextFile(`${folder}/t.vtt`),
      "00:00:00.480 --> 00:00:00.960\nw0<00:00:00.480> w3\n",
    );
  });
}

ffmpegTest("stream says where the clock of its input steps", async (folder) => {
  const muxer = new MatroskaMuxer(user);
  const clock = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 1000, 1001, 1002];
  const live = [muxer.start(), ...clock.map((unit) => muxer.unit({ ...noise(user, 1), unit }))];
  const part = await make(...talk, "-c:a", "pcm_s16le", "-f", "nut", "pipe:1");
  const cases: [input: Uint8Array[], steps: [at: number, step: string, said: string][]][] = [
    [live, [
      [0.96, "back", "its clock steps back at 0.96 s"],
      [1.6, "forward", "its clock jumps by more than a minute at 1.60 s"],
    ]],
    [[part, part], [[2, "restart", "another container begins at 2.0"]]],
  ];
  for (const [input, steps] of cases) {
    const path = `${folder}/e.jsonl`;
    const { code, stderr } = await pipe(concat(input), "--events", path, "--force");
    assertEquals(code, 0, stderr);
    const found = (await events(path)).flatMap((event) => event.type === "clock" ? [event] : []);
    assertEquals(
      found.map(({ at, step }) => [Math.floor(at * 2) / 2, step]),
      steps.map(([at, step]) => [Math.floor(at * 2) / 2, step]),
    );
    for (const [, , said] of steps) assertStringIncludes(stderr, `standard input: ${said}`);
    if (input === live) {
      assertEquals((await events(path)).filter(({ type }) => type === "unit").length, clock.length);
      assertEquals(found.map(({ unit }) => unit), [6, 10]);
    }
  }
});

ffmpegTest("stream: unit k has left before unit k + 1 is there", async () => {
  const units = 12;
  const [head, ...parts] = userStream(units);
  const sizes = answerBytes(units);
  const process = start(0, "--quiet");
  const out = new Taken(process.stdout);
  const writer = process.stdin.getWriter();
  if (head) await writer.write(head);
  let expected = sizes[0] ?? 0;
  for (let unit = 0; unit < units; unit++) {
    const part = parts[unit];
    if (part) await writer.write(part);
    expected += sizes[unit + 1] ?? 0;
    await out.until(expected, patience, `unit ${unit}`);
  }
  await writer.close();
  await out.cancel();
  await process.stderr.cancel();
  assertEquals((await process.status).code, 0);
});

ffmpegTest("stream: unit k of encoded media has left before unit k + 2 is there", async () => {
  const units = 8;
  // What FFmpeg has written after so many units is what two streams of different length share.
  const encoded = (seconds: number) =>
    make(
      ...picture(seconds, "320x240", 25),
      ...tone(seconds, 48000),
      ...["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-threads", "1"],
      ...[
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "pcm_s16le",
        "-fflags",
        "+bitexact",
        "-f",
        "nut",
        "pipe:1",
      ],
    );
  const whole = await encoded((units + 2) * 0.16);
  const shared = (part: Uint8Array) => part.findIndex((byte, i) => byte !== whole[i]);
  const cuts = [0];
  for (let unit = 1; unit <= units; unit++) cuts.push(shared(await encoded(unit * 0.16)));
  const sizes = answerBytes(units);
  const process = start(0, "--quiet");
  const out = new Taken(process.stdout);
  const writer = process.stdin.getWriter();
  let expected = sizes[0] ?? 0;
  for (let unit = 0; unit < units; unit++) {
    await writer.write(whole.subarray(cuts[unit], cuts[unit + 1]));
    if (unit === 0) continue;
    expected += sizes[unit] ?? 0;
    await out.until(expected, patience, `unit ${unit - 1}`);
  }
  process.kill("SIGTERM");
  assertEquals((await process.status).code, 130);
  await writer.abort().catch(() => {});
  await out.cancel();
  await process.stderr.cancel();
});

ffmpegTest("stream: a reader that stops makes it stop reading, with flat memory", async () => {
  const units = 250;
  const [head, ...parts] = userStream(units);
  const process = start(0, "--quiet");
  const writer = process.stdin.getWriter();
  let given = 0;
  const feeding = (async () => {
    if (head) await writer.write(head);
    for (const part of parts) {
      await writer.write(part);
      given++;
    }
    await writer.close();
  })();
  /** In MiB; NaN where there is no ps. */
  const memory = async () => {
    const args = ["-o", "rss=", "-p", `${process.pid}`];
    try {
      const { stdout } = await new Deno.Command("ps", { args }).output();
      return Number(new TextDecoder().decode(stdout)) / 1024;
    } catch (error) {
      // Thrown at once, not through the promise.
      if (error instanceof Deno.errors.NotFound) return NaN;
      throw error;
    }
  };
  const out = new Taken(process.stdout);
  await out.until(1, patience, "the head");
  let before = -1;
  // Nothing is read here. Once it has stopped, it stays so; a busy machine may pause for a moment.
  for (let still = 0; still < 6 && given < units; still = given === before ? still + 1 : 0) {
    before = given;
    await wait(300);
  }
  assert(given < 120, `${given} units were taken`);
  const held = await memory();
  await wait(1500);
  const more = await memory() - held;
  assert(!(more > 5), `${more} MiB more`);
  assert(given < 120, `${given} units were taken`);
  const bytes = answerBytes(units).reduce((a, b) => a + b, 0);
  await out.until(bytes, patience, "all units");
  await feeding;
  await out.cancel();
  await process.stderr.cancel();
  assertEquals((await process.status).code, 0);
});

ffmpegTest("stream ends quietly when its reader has gone", async () => {
  const process = start(20, "--quiet");
  const writer = process.stdin.getWriter();
  const [head, ...parts] = userStream(6);
  if (head) await writer.write(head);
  await writer.write(parts[0] ?? new Uint8Array());
  const out = new Taken(process.stdout);
  await out.until(answerBytes(0)[0] ?? 0, patience, "the head");
  await out.cancel();
  // The producer is still there and says no more than this.
  for (const part of parts.slice(1, 4)) await writer.write(part).catch(() => {});
  assertEquals((await process.status).code, 0);
  assertEquals(await new Response(process.stderr).text(), "");
  await writer.abort().catch(() => {});
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  ffmpegTest(`stream finishes what it wrote and exits with 130 on ${signal}`, async (folder) => {
    const process = start(0, "-o", `${folder}/out.mkv`, "--events", `${folder}/e.jsonl`);
    const writer = process.stdin.getWriter();
    const [head, ...parts] = userStream(9);
    await writer.write(concat([head ?? new Uint8Array(), ...parts.slice(0, 8)]));
    const size = answerBytes(5).reduce((a, b) => a + b, 0);
    for (const end = Date.now() + patience; Date.now() < end;) {
      const there = await Deno.stat(`${folder}/out.mkv`).catch(() => null);
      if ((there?.size ?? 0) >= size) break;
      await wait(50);
    }
    // The producer neither writes nor closes.
    process.kill(signal);
    const { code, stderr } = await process.output();
    assertEquals(code, 130);
    assertStringIncludes(new TextDecoder().decode(stderr), "interrupted after");
    await writer.abort().catch(() => {});
    const summary = (await events(`${folder}/e.jsonl`)).at(-1);
    assert(summary?.type === "summary" && summary.ended === "interrupted");
    const { frames, samples } = await count(`${folder}/out.mkv`, agent.width, agent.height);
    assertEquals([frames, samples], [summary.units * 4, summary.units * 2560]);
  });
}

ffmpegTest("stream ends on a signal though nobody reads what it wrote", async () => {
  const process = start(0, "--quiet");
  const writer = process.stdin.getWriter();
  writer.write(concat(userStream(60).slice(0, -1))).catch(() => {});
  const out = new Taken(process.stdout);
  await out.until(1, patience, "the head");
  await wait(1000);
  process.kill("SIGTERM");
  assertEquals((await process.status).code, 130);
  await out.cancel();
  await process.stderr.cancel();
  await writer.abort().catch(() => {});
});

for (const format of ["nut", "matroska"]) {
  ffmpegTest(
    `stream answers what is whole of ${format} that breaks off, and exits with 3`,
    async (folder) => {
      const input = await make(...talk, "-c:a", "pcm_s16le", "-f", format, "pipe:1");
      const part = input.subarray(0, Math.floor(input.length * 0.6) + 5);
      const { code, stdout, stderr } = await pipe(part);
      assertEquals(code, 3, stderr);
      assertStringIncludes(stderr, "breaks off at");
      const [frames, samples] = await counted(folder, stdout);
      assert(frames >= 4 * 4 && frames <= 9 * 4, `${frames}`);
      assertEquals(samples, frames * 640);
    },
  );
}

ffmpegTest(
  "stream starts the clock at the first packet, and waits for no stream that is late",
  async (folder) => {
    const late = await make(
      ...[
        "-itsoffset",
        "0.64",
        ...picture(1.28),
        ...tone(1.92),
        "-c:v",
        "mpeg4",
        "-c:a",
        "pcm_s16le",
      ],
      ...["-output_ts_offset", "5000", "-f", "nut", "pipe:1"],
    );
    const { code, stdout, stderr } = await pipe(late, "--quiet");
    assertEquals([code, stderr], [0, ""]);
    assertEquals(await counted(folder, stdout), [12 * 4, 12 * 2560]);
  },
);

ffmpegTest("stream says what is wrong with an input and exits with 2", async (folder) => {
  const mp4 = await make(
    ...picture(0.4),
    "-movflags",
    "frag_keyframe+empty_moov",
    "-f",
    "mp4",
    "pipe:1",
  );
  const subtitles = new TextEncoder().encode("1\n00:00:00,000 --> 00:00:01,000\nhi\n");
  const cases: [Uint8Array, string[], string][] = [
    [new Uint8Array(), [], "standard input: is empty"],
    [mp4, ["-o", `${folder}/o.mkv`, "--events", `${folder}/e`, "--text", `${folder}/t`], "is MP4"],
    [subtitles, [], "is neither NUT nor Matroska"],
    [(userStream(0)[0] ?? mp4).subarray(0, 60), [], "broke off in its head"],
    [mp4, ["-i", "/nowhere/at.all"], "/nowhere/at.all: there is no such file"],
    [mp4, ["-o", "answer.avi"], "should end in .mkv"],
    [mp4, ["--raw-video", "a", "-i", "b"], "exclude each other"],
    [mp4, ["--late", "skip"], "--pace live"],
    [mp4, ["-i", "unix:/nowhere/socket"], "unix:/nowhere/socket: the socket can't be used"],
    [mp4, ["talk.mkv"], "give the input with -i"],
  ];
  for (const [input, args, message] of cases) {
    const { code, stdout, stderr } = await pipe(input, ...args);
    assertEquals([code, stdout.length], [2, 0], stderr);
    assertStringIncludes(stderr, message);
    assertEquals(stderr.trim().split("\n").length, 1, stderr);
    assertEquals(names(folder), []);
  }
});

ffmpegTest(
  "stream takes raw pictures and samples from two FIFOs and gives them on two",
  async (folder) => {
    if (Deno.build.os === "windows") return;
    const paths = ["v", "a", "vo", "ao"].map((name) => `${folder}/${name}`);
    await new Deno.Command("mkfifo", { args: paths }).output();
    const [v = "", a = "", vo = "", ao = ""] = paths;
    const process = start(
      0,
      ...[
        "--raw-video",
        v,
        "--raw-audio",
        a,
        "--raw-video-out",
        vo,
        "--raw-audio-out",
        ao,
        "--quiet",
      ],
    );
    const units = Array.from({ length: 5 }, (_, unit) => noise(user, unit));
    const samples = (audio: Float32Array) => new Uint8Array(audio.buffer);
    const [, , pictures, sound] = await Promise.all([
      Deno.writeFile(v, concat(units.map(({ frames }) => frames))),
      Deno.writeFile(a, concat(units.map(({ audio }) => samples(audio)))),
      Deno.readFile(vo),
      Deno.readFile(ao),
    ]);
    assertEquals((await process.output()).code, 0);
    assertEquals(pictures.length, 5 * 4 * agent.width * agent.height * 3);
    // The echo gives the sound back.
    assertEquals(sound, concat(units.map(({ audio }) => samples(audio))));
  },
);

ffmpegTest("stream reads and writes Unix sockets", async (folder) => {
  if (Deno.build.os === "windows") return;
  await Deno.writeFile(`${folder}/in.mkv`, concat(userStream(5)));
  const listen = (...args: string[]) =>
    new Deno.Command(ffmpeg?.path ?? "", { args: ["-v", "error", "-nostdin", ...args] }).output();
  const data = ["-map", "0", "-c", "copy", "-f", "data"];
  const given = listen(
    ...["-f", "data", "-i", `${folder}/in.mkv`, ...data, "-listen", "1", `unix:${folder}/i`],
  );
  const taken = listen(
    ...["-listen", "1", "-f", "data", "-i", `unix:${folder}/o`, ...data, `${folder}/out.mkv`],
  );
  for (const name of ["i", "o"]) {
    const there = () => Deno.lstat(`${folder}/${name}`).catch(() => null);
    for (const end = Date.now() + patience; Date.now() < end && !await there();) await wait(50);
  }
  const process = start(0, "-i", `unix:${folder}/i`, "-o", `unix:${folder}/o`, "--quiet");
  const { code, stderr } = await process.output();
  assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  await Promise.all([given, taken]);
  const { frames, samples } = await count(`${folder}/out.mkv`, agent.width, agent.height);
  assertEquals([frames, samples], [5 * 4, 5 * 2560]);
});

ffmpegTest(
  "streams and pipes of the shell work by their names in /dev, or one true line",
  async (at) => {
    if (!await Deno.stat("/bin/bash").catch(() => null)) return;
    const part = ["-t", "0.5", "-c:a", "pcm_s16le", "-f", "nut", `${at}/in.nut`];
    await make(...talk, ...part);
    const program = new URL("../echo_stream.ts", import.meta.url).pathname;
    const permissions = "--allow-read --allow-write --allow-env --allow-run --allow-net=127.0.0.1";
    const reserved = "Deno keeps programs from opening files in this folder";
    const cases: [line: string, code: number, said: string][] = [
      ["-i <(cat in.nut) -o a.mkv", 0, ""],
      ["-i /dev/stdin -o a.mkv < in.nut", 0, ""],
      ["-o /dev/stdout < in.nut > a.mkv", 0, ""],
      ["--format matroska -o >(cat > a.mkv) < in.nut", 0, ""],
      ["-o a.mkv --events /dev/stderr < in.nut", 0, '{"type":"header"'],
      ["-o a.mkv --events >(cat >&2) < in.nut", 0, '{"type":"header"'],
      [
        "-o a.mkv --events /dev/shm/e.jsonl < in.nut",
        2,
        `/dev/shm/e.jsonl: can't be written (${reserved}`,
      ],
      ["-i /dev/shm/in.nut -o a.mkv", 2, `/dev/shm/in.nut: can't be read (${reserved}`],
      ["-o a.mkv --events /dev/stdout < in.nut", 2, "events and text need a file"],
    ];
    for (const [line, code, said] of cases) {
      // What a process substitution writes may come after the end of the command: `cat` waits for it.
      const script =
        `cd '${at}' && { '${Deno.execPath()}' run -q --no-check --no-prompt ${permissions} ` +
        `'${program}' 0 --quiet --force ${line}; exit $?; } 2>&1 | cat; exit \${PIPESTATUS[0]}`;
      const { code: left, stdout } = await new Deno.Command("/bin/bash", { args: ["-c", script] })
        .output();
      const text = new TextDecoder().decode(stdout);
      assertEquals(left, code, `${line}: ${text}`);
      assertStringIncludes(text, said, line);
      if (code === 0) assertEquals((await count(`${at}/a.mkv`, 128, 128)).frames, 16, line);
      else assertEquals(text.trimEnd().split("\n").length, 1, text);
      await Deno.remove(`${at}/a.mkv`).catch(() => {});
    }
  },
);
