import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { run } from "../../../io/commands/replay.ts";
import type { Event } from "../../../io/pace/events.ts";
import { Y4mWriter } from "../../../io/media/y4m.ts";
import { explain, RunError } from "../../../io/system/errors.ts";
import { readWavHeader } from "../../../io/media/wav.ts";
import { assertSchema, assertType } from "../schemas.ts";
import { echo, type EchoSession } from "../echo_replay.ts";
import {
  count,
  digest,
  ffmpeg,
  ffmpegTest,
  folderTest,
  make,
  names,
  observe,
  picture,
  tone,
} from "../media.ts";
import { noise, user } from "../stream_process.ts";

/** Runs `replay` with an echo, quietly. */
async function replay(args: string[], session = echo()): Promise<number> {
  return await run([...args, "--quiet"], session.open);
}

/** An event as a line without the fields that differ from run to run. */
function withoutTimings(event: Event): string {
  const timings = new Set([
    ...["ms", "wallSeconds", "workSeconds", "realTimeFactor", "latencyMs", "interactionMs", "run"],
  ]);
  return JSON.stringify(event, (key, value) => timings.has(key) ? undefined : value);
}

async function events(path: string): Promise<Event[]> {
  const text = await Deno.readTextFile(path);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

const h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
const talk = (seconds: number) => [...picture(seconds), ...tone(seconds), ...h264, "-c:a", "aac"];

ffmpegTest("replay writes response, text, events and both ends, each complete", async (folder) => {
  await make(...talk(2.4), `${folder}/in.mp4`);
  const out = [
    "-o",
    `${folder}/deep/out.mkv`,
    "--events",
    `${folder}/e.jsonl`,
    "--side-by-side",
    `${folder}/both.mp4`,
  ];
  assertEquals(await replay([`${folder}/in.mp4`, ...out]), 0);
  assertEquals(names(folder), ["both.mp4", "deep", "e.jsonl", "in.mp4"]);
  assertEquals(names(`${folder}/deep`), ["out.mkv", "out.vtt"]);
  const { frames, samples } = await count(`${folder}/deep/out.mkv`, 128, 128);
  assertEquals([frames, samples], [60, 15 * 2560]);
  assertStringIncludes(
    await Deno.readTextFile(`${folder}/deep/out.vtt`),
    "00:00:00.480 --> 00:00:00.960\nw0<00:00:00.480> w3\n",
  );

  const [header, ...rest] = await events(`${folder}/e.jsonl`);
  assert(header?.type === "header");
  assertSchema(header);
  assertType("unit", rest[0]);
  assertType("summary", rest.at(-1));
  assertEquals(header.input?.sha256, await digest(`${folder}/in.mp4`));
  assertEquals([header.input?.video, header.input?.audio, header.input?.reader], [
    true,
    true,
    "ffmpeg",
  ]);
  assertStringIncludes(header.provenance.command, ` --events ${folder}/e.jsonl`);
  const summary = rest.pop();
  assert(summary?.type === "summary");
  assertEquals([summary.units, summary.seconds, summary.ended], [15, 2.4, "complete"]);
  assertEquals(Object.keys(summary.outputs), ["response", "text", "events", "sideBySide"]);
  assert(summary.wallSeconds > 0 && summary.realTimeFactor > 0);
  assertEquals(Object.keys(summary.latencyMs).slice(-2), ["total", "queue"]);
  assertEquals(rest.length, 15);
  rest.forEach((event, i) => {
    assert(event.type === "unit");
    assertEquals([event.unit, event.start, event.end], [i, i * 160 / 1000, (i + 1) * 160 / 1000]);
    assert(event.audioActive && event.ms["total"] === Math.max(...Object.values(event.ms)));
  });
});

ffmpegTest(
  "replay gives the same files twice, and events that differ in times only",
  async (folder) => {
    await make(...talk(1.6), `${folder}/in.mp4`);
    const runs = await Promise.all([0, 1].map(async (i) => {
      const at = `${folder}/${i}`;
      await Deno.mkdir(at);
      await Deno.copyFile(`${folder}/in.mp4`, `${at}/in.mp4`);
      const out = [
        "-o",
        `${at}/out.mkv`,
        "--events",
        `${at}/e.jsonl`,
        "--side-by-side",
        `${at}/both.mkv`,
      ];
      assertEquals(await replay([`${at}/in.mp4`, ...out], echo(i * 7)), 0);
      const shown = (await events(`${at}/e.jsonl`)).map((event) =>
        withoutTimings(event).replaceAll(at, "")
      );
      return [
        shown,
        await Promise.all(
          ["out.mkv", "out.vtt", "both.mkv"].map((name) => digest(`${at}/${name}`)),
        ),
      ];
    }));
    assertEquals(runs[0], runs[1]);
  },
);

ffmpegTest(
  "replay of a recording that was cut off answers what is whole and exits with 3",
  async (folder) => {
    await make(...talk(6), "-movflags", "+faststart", "-g", "25", `${folder}/whole.mp4`);
    const bytes = await Deno.readFile(`${folder}/whole.mp4`);
    await Deno.writeFile(`${folder}/cut.mp4`, bytes.subarray(0, Math.floor(bytes.length * 0.6)));
    const out = ["-o", `${folder}/out.mkv`, "--events", `${folder}/e.jsonl`];
    assertEquals(await replay([`${folder}/cut.mp4`, ...out]), 3);
    const summary = (await events(`${folder}/e.jsonl`)).at(-1);
    assert(summary?.type === "summary" && summary.ended === "cut off" && summary.cut !== null);
    assertEquals(summary.units, Math.floor(summary.cut.seconds / 0.16));
    assert(summary.units > 10 && summary.units < 37);
    const { frames, samples } = await count(`${folder}/out.mkv`, 128, 128);
    assertEquals([frames, samples], [summary.units * 4, summary.units * 2560]);
  },
);

folderTest("replay works without FFmpeg from WAV to WAV and from Y4M to Y4M", async (folder) => {
  await Deno.copyFile(await speech(folder), `${folder}/in.wav`);
  const none = ["--ffmpeg", `${folder}/no-such-program`];
  assertEquals(await replay([`${folder}/in.wav`, "-o", `${folder}/out.wav`, ...none]), 0);
  assertEquals((await observe(`${folder}/out.wav`)).units.length, 7);
  assertEquals(await replay([`${folder}/in.wav`, "-o", `${folder}/seen.y4m`, ...none]), 0);
  const header = "YUV4MPEG2 W128 H128 F25:1 Ip A1:1 C444 XCOLORRANGE=LIMITED\n".length;
  const { size } = await Deno.stat(`${folder}/seen.y4m`);
  assertEquals(size, header + 28 * (6 + 128 * 128 * 3));
  // Pictures of the user's size are read so too; the agent's are larger.
  const pictures = await Y4mWriter.create(`${folder}/given.y4m`, user);
  for (let unit = 0; unit < 7; unit++) await pictures.write(noise(user, unit).frames);
  pictures.close();
  assertEquals(await replay([`${folder}/given.y4m`, "-o", `${folder}/again.wav`, ...none]), 0);
  assertEquals((await readWavHeader(`${folder}/again.wav`))?.length, 7 * 2560 * 2);
  const error = await assertRejects(
    () => replay([`${folder}/in.wav`, "-o", `${folder}/new.mkv`, ...none]),
    InputError,
  );
  assertStringIncludes(error.message, "--ffmpeg: ");
});

/** Writes a second of noise as WAV without FFmpeg. */
async function speech(folder: string): Promise<string> {
  const bytes = new Uint8Array(44 + 32000).map((_, i) => i < 44 ? 0 : (i * 7919) >> 4 & 63);
  const view = new DataView(bytes.buffer);
  new TextEncoder().encodeInto("RIFF....WAVEfmt ", bytes);
  new TextEncoder().encodeInto("data", bytes.subarray(36));
  view.setUint32(4, bytes.length - 8, true);
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, 16000, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  view.setUint32(40, 32000, true);
  await Deno.writeFile(`${folder}/speech.wav`, bytes);
  return `${folder}/speech.wav`;
}

folderTest("replay --units answers the first units only", async (folder) => {
  const wav = await speech(folder);
  const session = echo();
  assertEquals(await replay([wav, "-o", `${folder}/out.wav`, "--units", "3"], session), 0);
  assertEquals((await readWavHeader(`${folder}/out.wav`))?.length, 3 * 5120);
  assert(session.seen.closed > 0);
});

folderTest("replay --user-text types each text in its unit", async (folder) => {
  const wav = await speech(folder);
  const lines = [
    '{"at": 0.16, "text": "one"}',
    "",
    '{"at": 0.3, "text": "more"}',
    '{"at": 0.96, "text": "six"}',
  ];
  await Deno.writeTextFile(`${folder}/typed.jsonl`, lines.join("\n"));
  const session = echo();
  const args = [wav, "-o", `${folder}/out.wav`, "--user-text", `${folder}/typed.jsonl`];
  assertEquals(await replay(args, session), 0);
  assertEquals(session.seen.texts, [[1, "one more"], [6, "six"]]);
  for (
    const bad of [
      "{",
      '"at"',
      '{"at": -1, "text": "x"}',
      '{"at": 1}',
      '{"text": "x"}',
      '{"at": "1", "text": "x"}',
    ]
  ) {
    await Deno.writeTextFile(`${folder}/typed.jsonl`, `{"at": 0, "text": "x"}\n${bad}\n`);
    const error = await assertRejects(
      () => replay([...args, "--force"], echo()),
      InputError,
      undefined,
      bad,
    );
    assertStringIncludes(error.message, "typed.jsonl: line 2");
  }
});

ffmpegTest("replay gives the session its options, persona and voice", async (folder) => {
  const wav = await speech(folder);
  await make("-f", "lavfi", "-i", "color=red:size=50x100", "-frames:v", "1", `${folder}/face.png`);
  const session = echo();
  const args = [
    "--persona",
    `${folder}/face.png`,
    "--voice",
    wav,
    "--prompt",
    "Be brief.",
    "--steps",
    "9",
    "--seed",
    "5",
  ];
  assertEquals(await replay([wav, "-o", `${folder}/out.wav`, ...args], session), 0);
  const { options, references } = session.seen;
  assertEquals([options?.prompt, options?.steps, options?.seed], ["Be brief.", 9, 5]);
  assertEquals(references?.persona?.frame.length, 128 * 128 * 3);
  assertEquals(references?.voice?.length, 16000);
  const middle = (64 * 128 + 64) * 3;
  const [red = 0, green = 255] = references?.persona?.frame.subarray(middle, middle + 3) ?? [];
  assert(red > 200 && green < 60);
});

folderTest("replay refuses bad input in one line and leaves nothing behind", async (folder) => {
  const wav = await speech(folder);
  await Deno.mkdir(`${folder}/dir.mp4`);
  await Deno.writeTextFile(`${folder}/empty.mp4`, "");
  await Deno.writeTextFile(`${folder}/text.mp4`, "just text ".repeat(99));
  await Deno.writeTextFile(`${folder}/old.wav`, "old");
  await Deno.writeTextFile(`${folder}/old.vtt`, "old");
  const out = `${folder}/new/out.wav`;
  const before = names(folder);
  const cases: [args: string[], message: string][] = [
    [[], "replay needs a recording"],
    [[wav], "replay needs -o FILE"],
    [["-", "-o", out], "'stream' reads what comes through a pipe"],
    [[wav, wav, "-o", out], "is one too many"],
    [[`${folder}/none.mp4`, "-o", out], "there is no such file"],
    [[`${folder}/dir.mp4`, "-o", out], "is a folder"],
    [[`${folder}/empty.mp4`, "-o", out], "is empty (0 bytes)"],
    [["/dev/null", "-o", out], "not a file"],
    ...(ffmpeg
      ? [
        [[`${folder}/text.mp4`, "-o", out], "is no recording that FFmpeg can read"] as [
          string[],
          string,
        ],
      ]
      : []),
    [
      [`${folder}/text.mp4`, "-o", out, "--ffmpeg", "/none"],
      "--ffmpeg: '/none' is no FFmpeg that runs",
    ],
    [
      [wav, "-o", `${folder}/new/out.mkv`, "--ffmpeg", "/none"],
      "--ffmpeg: '/none' is no FFmpeg that runs",
    ],
    [[wav, "-o", `${folder}/old.wav`], "exists: add --force"],
    [[wav, "-o", `${folder}/old.y4m`], "old.vtt: exists: add --force"],
    [[wav, "-o", out, "--events", `${folder}/old.wav`], "exists: add --force"],
    [[wav, "-o", out, "--events", out], "is asked for twice"],
    [[wav, "-o", wav, "--force"], "is an input as well"],
    [[wav, "-o", `${folder}/old.wav/out.wav`], "its folder can't be written"],
    [[wav, "-o", `${folder}/out.mp3`], "-o: '"],
    [[wav, "-o", `${folder}/out`], "should end in .mkv"],
    [
      [wav, "-o", out, "--side-by-side", `${folder}/both.mkv`],
      "--side-by-side needs a response with picture and sound",
    ],
    [[wav, "-o", `${folder}/o.mkv`, "--side-by-side", `${folder}/both.wav`], "--side-by-side: '"],
    [[wav, "-o", out, "--persona", `${folder}/none.png`], "none.png: there is no such file"],
    [[wav, "-o", out, "--voice", `${folder}/dir.mp4`], "is a folder"],
    [[wav, "-o", out, "--model", `${folder}/nowhere`], "nowhere"],
    [[wav, "-o", out, "--units", "0"], "--units: 0 is too few: 1 or more"],
    [[wav, "-o", out, "--history-unit", "3"], "did you mean --history-units?"],
    [[wav, "-o", out, "--solver", "rk4"], "--solver: 'rk4' is none of euler, midpoint, heun, ab2"],
  ];
  for (const [args, message] of cases) {
    const error = await assertRejects(() => replay(args), InputError, undefined, args.join(" "));
    assertStringIncludes(error.message, message);
    assert(!error.message.includes("\n"), error.message);
    assertEquals(explain(error).exitCode, 2);
    assertEquals(names(folder), before, args.join(" "));
  }
  assertEquals(await Deno.readTextFile(`${folder}/old.wav`), "old");
});

folderTest("replay leaves nothing behind when the session fails, early or late", async (folder) => {
  const wav = await speech(folder);
  const before = names(folder);
  for (const at of [-1, 0, 4]) {
    const { open, seen } = echo();
    const failing: typeof open = async (...args) => {
      if (at < 0) throw new InputError("no such adapter");
      const opened = await open(...args);
      const inner = opened.session as EchoSession;
      const session = {
        push: (observation: Parameters<EchoSession["push"]>[0]) => inner.push(observation),
        end: () => inner.end(),
        close: () => inner.close(),
        async *[Symbol.asyncIterator]() {
          for await (const response of inner) {
            if (response.unit === at) throw new RunError("the adapter was lost");
            yield response;
          }
        },
      };
      return { ...opened, session };
    };
    const error = await assertRejects(() =>
      replay([wav, "-o", `${folder}/x/out.wav`], { open: failing, seen })
    );
    assertStringIncludes(`${error}`, at < 0 ? "no such adapter" : "the adapter was lost");
    assertEquals(names(folder), before);
    assertEquals(seen.closed > 0, at >= 0);
  }
});

folderTest("replay --json prints the summary, --quiet says nothing else", async (folder) => {
  const wav = await speech(folder);
  const { code, stdout, stderr } = await child([
    wav,
    "-o",
    `${folder}/out.wav`,
    "--json",
    "--quiet",
  ], 0).output();
  assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  const summary = JSON.parse(new TextDecoder().decode(stdout));
  assertSchema(summary);
  assertEquals([summary.schema, summary.units, summary.outputs.response], [
    "wanstream/replay/1",
    7,
    `${folder}/out.wav`,
  ]);
});

/** The command with an echo, in a process of its own. */
function child(args: string[], delay: number): Deno.Command {
  const program = new URL("../echo_replay.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-check", "-A", program, `${delay}`, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  ffmpegTest(`replay finishes a playable file and exits with 130 on ${signal}`, async (folder) => {
    await make(...talk(20), `${folder}/in.mp4`);
    const args = [`${folder}/in.mp4`, "-o", `${folder}/out.mkv`, "--events", `${folder}/e.jsonl`];
    const process = child(args, 150).spawn();
    while (!(await hasUnits(folder))) await new Promise((resolve) => setTimeout(resolve, 50));
    process.kill(signal);
    const { code, stderr } = await process.output();
    assertEquals(code, 130);
    assertStringIncludes(new TextDecoder().decode(stderr), "interrupted after");
    const summary = (await events(`${folder}/e.jsonl`)).at(-1);
    assert(summary?.type === "summary" && summary.ended === "interrupted");
    assert(summary.units >= 5 && summary.units < 100, `${summary.units} units`);
    const { frames, samples } = await count(`${folder}/out.mkv`, 128, 128);
    assertEquals([frames, samples], [summary.units * 4, summary.units * 2560]);
    assertEquals(names(folder), ["e.jsonl", "in.mp4", "out.mkv", "out.vtt"]);
  });
}

/** True once the events of some units are on disk, under whatever name. */
async function hasUnits(folder: string): Promise<boolean> {
  for (const name of names(folder)) {
    if (!name.endsWith(".jsonl")) continue;
    if ((await Deno.readTextFile(`${folder}/${name}`)).split("\n").length > 7) return true;
  }
  return false;
}

ffmpegTest(
  "replay writes all outputs by plain names in the folder where it stands",
  async (folder) => {
    await make(...talk(0.5), `${folder}/in.mp4`);
    const program = new URL("../echo_replay.ts", import.meta.url).pathname;
    const outputs = ["-o", "out.mkv", "--side-by-side", "both.mkv", "--events", "e.jsonl"];
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-check", "-A", program, "0", "in.mp4", ...outputs],
      cwd: folder,
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    assertEquals(names(folder), ["both.mkv", "e.jsonl", "in.mp4", "out.mkv", "out.vtt"]);
  },
);
