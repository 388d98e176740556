/** Replays that are killed and resumed, as real processes with the shipped checkpoint. */
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { run } from "../../../io/commands/replay.ts";
import type { Event } from "../../../io/pace/events.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { listAdapters } from "../../../kernels/gpu/probe.ts";
import { integer, random } from "../../reference/random.ts";
import { echo } from "../echo_replay.ts";
import {
  count,
  digest,
  ffmpeg,
  ffmpegTest,
  folderTest,
  make,
  names,
  picture,
  tone,
} from "../media.ts";

const adapters = await listAdapters();
const units = 14;
const unitBytes = 4 * 128 * 128 * 3 + 2560 * 4;

/** A test that needs an adapter; where there is none it is skipped, and its name says so. */
function adapterTest(register: typeof folderTest, name: string, fn: (at: string) => Promise<void>) {
  if (adapters.length > 0) return register(name, fn);
  const skipped = `${name} (skipped: no WebGPU adapter on this machine)`;
  Deno.test({ name: skipped, ignore: true, fn: () => {} });
}

/** The real program, with few and quick solver steps. */
function start(args: string[], stderr: "inherit" | "piped" = "inherit"): Deno.ChildProcess {
  const program = new URL("../../../main.ts", import.meta.url).pathname;
  const quick = ["--steps", "1", "--temperature", "1", "--quiet", "--no-tune"];
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-check", "-A", program, "replay", ...args, ...quick],
    stdin: "null",
    stdout: "null",
    stderr,
  }).spawn();
}

async function main(...args: string[]): Promise<void> {
  assertEquals((await start(args).status).code, 0, args.join(" "));
}

/** Kills it when so many units have been answered. */
async function killed(atUnit: number, session: string, args: string[]): Promise<void> {
  const child = start(args);
  let over = false;
  const status = child.status.then((status) => (over = true, status));
  const size = async () => (await Deno.stat(`${session}/session.answers`).catch(() => null))?.size;
  while (!over && (await size() ?? 0) < atUnit * unitBytes) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (!over) child.kill("SIGKILL");
  assertEquals((await status).signal, "SIGKILL", `${args.join(" ")} ended before unit ${atUnit}`);
}

async function events(path: string): Promise<Event[]> {
  const text = await Deno.readTextFile(path);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** What the units were, whenever they were answered. */
async function answered(path: string) {
  return (await events(path)).flatMap((event) => {
    if (event.type !== "unit") return [];
    const { unit, digest, text, tokens, start, historyTokens, observation, heard } = event;
    return [{ unit, digest, text, tokens, start, historyTokens, observation, heard }];
  });
}

/** Runs once undisturbed and once killed twice at random units, with outputs in the same format. */
async function compare(at: string, input: string, extension: string, placement: string) {
  const next = random(Date.now() % 2 ** 31);
  const where = (name: string) => [
    ...["-o", `${at}/${name}${extension}`, "--events", `${at}/${name}.jsonl`],
    ...["--seed", "5"],
  ];
  // These are given once: a run that is resumed takes them over.
  await Deno.writeTextFile(`${at}/typed.jsonl`, '{"at": 1.7, "text": "hello"}\n');
  const given = [
    ...["--placement", placement, "--network", "300ms,loss=20%,seed=1"],
    ...["--user-text", `${at}/typed.jsonl`],
  ];
  await main(input, ...where("whole"), ...given);
  const [first, second] = [integer(next, 4, 6), integer(next, 9, 10)];
  const saved = `${at}/saved`;
  await killed(first, saved, [
    input,
    ...where("broken"),
    ...given,
    ...["--save-session", saved, "--every", "3"],
  ]);
  const resume = [input, ...where("broken"), "--resume", saved];
  await killed(second, saved, resume);
  await main(...resume);

  const what = `killed after units ${first} and ${second}`;
  const all = await answered(`${at}/whole.jsonl`);
  assertEquals(all.map(({ unit }) => unit), Array.from({ length: units }, (_, k) => k));
  assertEquals(await answered(`${at}/broken.jsonl`), all, what);
  for (const suffix of [extension, ".vtt"]) {
    assertEquals(await digest(`${at}/broken${suffix}`), await digest(`${at}/whole${suffix}`), what);
  }
  const [whole, broken] = await Promise.all(
    ["whole", "broken"].map(async (name) => (await events(`${at}/${name}.jsonl`)).at(-1)),
  );
  assert(whole?.type === "summary" && broken?.type === "summary");
  assertEquals([broken.units, broken.ended, broken.digest], [units, "complete", whole.digest]);
}

adapterTest(
  ffmpegTest,
  "replay that is killed twice at random units and resumed gives the undisturbed run's file; its forks go their own way",
  async (at) => {
    const h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
    await make(...picture(2.24), ...tone(2.24), ...h264, `${at}/in.mp4`);
    await compare(at, `${at}/in.mp4`, ".mkv", "split");
    const { frames, samples } = await count(`${at}/broken.mkv`, 128, 128);
    assertEquals([frames, samples], [units * 4, units * 2560]);

    // The last save was after 12 units.
    const all = await answered(`${at}/broken.jsonl`);
    await make(...picture(2.56), ...tone(2.56, 44100, 300), ...h264, `${at}/other.mp4`);
    const blobs = new Set(names(`${at}/saved/blobs`));
    for (
      const [name, input, length, ...options] of [
        ["seed", "in", units, "--seed", "6", "--every", "1"],
        ["input", "other", 16],
      ] as const
    ) {
      const out = ["-o", `${at}/${name}.mkv`, "--events", `${at}/${name}.jsonl`];
      const fork = ["--resume", `${at}/saved`, "--fork", name];
      await main(`${at}/${input}.mp4`, ...out, ...fork, ...options);
      const forked = await answered(`${at}/${name}.jsonl`);
      assertEquals(forked.map(({ unit }) => unit), [12, 13, 14, 15].slice(0, length - 12));
      assertNotEquals(forked[0]?.digest, all[12]?.digest);
      const media = await count(`${at}/${name}.mkv`, 128, 128);
      assertEquals([media.frames, media.samples], [forked.length * 4, forked.length * 2560]);
    }
    assertEquals(names(`${at}/saved`).filter((name) => name.endsWith(".json")), [
      "input.json",
      "seed.json",
      "session.json",
    ]);
    // History until the fork is there once.
    const history = async (name: string) =>
      JSON.parse(await Deno.readTextFile(`${at}/saved/${name}.json`)).blobs["history.unit.3"];
    assertEquals(await history("seed"), await history("session"));
    assert(blobs.isSubsetOf(new Set(names(`${at}/saved/blobs`))));
  },
);

adapterTest(
  folderTest,
  "replay on one adapter resumes too, and refuses what doesn't fit what was saved",
  async (at) => {
    const wav = `${at}/in.wav`;
    await noise(wav, units * 2560);
    await compare(at, wav, ".wav", "fused");

    await noise(`${at}/other.wav`, 5000);
    const saved = `${at}/saved`;
    const resume = ["--resume", saved];
    const other = `${at}/other.jsonl`;
    await Deno.writeTextFile(other, '{"at": 1.7, "text": "hey"}\n');
    const before = names(at);
    const cases: [args: string[], message: string][] = [
      [[`${at}/other.wav`, ...resume], "isn't the recording that the session was saved with"],
      [[`${at}/other.wav`, ...resume, "--fork", "f"], "has 2 units, but the fork begins after 12"],
      [[wav, ...resume, "--units", "5"], "--units: 5, but the session was saved after 12 units"],
      [[wav, ...resume, "--seed", "6"], "--seed: 6, but the session was saved with 5"],
      [[wav, ...resume, "--network", "1s"], "--network: 1s, but the session was saved with 300ms,"],
      [[wav, ...resume, "--user-text", other], "other.jsonl, but the session was saved with /"],
      [[wav, ...resume, "--session", "x"], "holds no session 'x': it may be session"],
      [[wav, ...resume, "--fork", "session"], "is the session itself"],
      [[wav, ...resume, "--fork", "a/b"], "session name 'a/b'"],
      [[wav, ...resume, "--save-session", saved], "give one of them"],
      [[wav, "--save-session", saved], "holds a session 'session': go on with --resume"],
      [[wav, "--resume", `${at}/none`], "holds no saved session"],
      [[wav, "--fork", "f"], "--fork f: there is nothing to fork: add --resume DIR"],
      [[wav, "--every", "3"], "--every: nothing is saved: add --save-session DIR"],
    ];
    const refused = async (args: string[], message: string) => {
      const error = await assertRejects(
        () => run([...args, "-o", `${at}/new.wav`, "--quiet"], echo().open),
        InputError,
        undefined,
        args.join(" "),
      );
      assertStringIncludes(error.message, message);
      assert(!error.message.includes("\n"), error.message);
    };
    for (const [args, message] of cases) await refused(args, message);
    assertEquals(names(at), before);

    const answers = await Deno.readFile(`${saved}/session.answers`);
    answers[7 * unitBytes + 99]! ^= 1;
    await Deno.writeFile(`${saved}/session.answers`, answers);
    await refused([wav, ...resume], "session.units: unit 7 is damaged");
    await Deno.writeFile(`${saved}/session.answers`, answers.subarray(0, 999));
    await refused([wav, ...resume], "session.answers: has 999 bytes");
  },
);

adapterTest(
  ffmpegTest,
  "replay whose FFmpeg always dies keeps what was saved, and goes on from there with another",
  async (at) => {
    if (Deno.build.os === "windows") return;
    const wav = `${at}/in.wav`;
    await noise(wav, 9 * 2560);
    const real = `'${ffmpeg?.path}' "$@"`;
    // Takes six units' frames and then ends.
    const encoder = `head -c ${
      6 * 4 * 128 * 128 * 3
    } >/dev/null; echo '[fatal] no room' >&2; exit 1`;
    const script = `#!/bin/sh\ncase "$*" in *pipe:0*) ${encoder};; *) exec ${real};; esac\n`;
    await Deno.writeTextFile(`${at}/dying`, script, { mode: 0o755 });
    const args = (name: string) => [wav, "-o", `${at}/${name}.mkv`, "--seed", "5"];
    await main(...args("whole"));
    const saved = ["--save-session", `${at}/saved`, "--every", "2", "--ffmpeg", `${at}/dying`];
    const { code, stderr } = await start([...args("broken"), ...saved], "piped").output();
    assertEquals(code, 1);
    const said = new TextDecoder().decode(stderr);
    assertStringIncludes(said, "broken.mkv: no room");
    assertStringIncludes(said, `--resume ${at}/saved --force goes on after the last save`);
    await main(...args("broken"), "--resume", `${at}/saved`);
    assertEquals(await digest(`${at}/broken.mkv`), await digest(`${at}/whole.mkv`));
  },
);

folderTest("a replay that is killed before its first save can begin anew", async (at) => {
  await noise(`${at}/in.wav`, 99 * 2560);
  const program = new URL("../echo_replay.ts", import.meta.url).pathname;
  const given = [`${at}/in.wav`, "-o", `${at}/out.wav`];
  const save = ["--save-session", `${at}/saved`, "--every", "1000"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-check", "-A", program, "600000", ...given, ...save, "--quiet"],
    stdin: "null",
  }).spawn();
  while (!await Deno.stat(`${at}/saved/session.answers`).catch(() => null)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  child.kill("SIGKILL");
  await child.status;
  const resume = () => run([...given, "--resume", `${at}/saved`, "--quiet"], echo().open);
  await assertRejects(resume, InputError, "nothing was saved yet");
  assertEquals(await run([...given, ...save, "--units", "2", "--quiet"], echo().open), 0);
  assertEquals(names(at), ["in.wav", "out.vtt", "out.wav"]);
});

folderTest("replay says in its events that the session was mended", async (at) => {
  await noise(`${at}/in.wav`, 5 * 2560);
  const { open } = echo();
  const recovery = { unit: 0, reason: "thinker: the device was lost", snapshot: -1, ms: 12.3456 };
  const mended: typeof open = async (...args) => {
    const opened = await open(...args);
    return { ...opened, session: Object.assign(opened.session, { recoveries: [recovery] }) };
  };
  const out = ["-o", `${at}/out.wav`, "--events", `${at}/e.jsonl`, "--quiet"];
  assertEquals(await run([`${at}/in.wav`, ...out], mended), 0);
  const types = (await events(`${at}/e.jsonl`)).map(({ type }) => type);
  assertEquals(types, ["header", "recovery", ...Array(5).fill("unit"), "summary"]);
  const event = (await events(`${at}/e.jsonl`))[1];
  assertEquals(event, { type: "recovery", ...recovery, ms: 12.346 });
});

async function noise(path: string, samples: number): Promise<void> {
  const next = random(samples);
  const wav = await WavWriter.create(path, 16000);
  await wav.write(Float32Array.from({ length: samples }, () => next() - 0.5));
  await wav.close();
}
