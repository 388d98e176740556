/** Streams that are killed and go on later, as real processes with the shipped checkpoint. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { run as runReplay } from "../../../io/commands/replay.ts";
import { run } from "../../../io/commands/stream.ts";
import type { Event } from "../../../io/pace/events.ts";
import { MatroskaMuxer } from "../../../io/media/matroska_muxer.ts";
import { listAdapters } from "../../../kernels/gpu/probe.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { integer, normal, random } from "../../reference/random.ts";
import { echo } from "../echo_replay.ts";
import { count, ffmpegTest, make, names } from "../media.ts";
import { agent, noise, user } from "../stream_process.ts";

const adapters = await listAdapters();
const units = 16;

/** A stream of the user's noise from unit `first` on, on a clock of its own. */
function liveStream(first: number): Uint8Array<ArrayBuffer>[] {
  const muxer = new MatroskaMuxer(user);
  const head = muxer.start();
  const parts = Array.from(
    { length: units - first },
    (_, i) => muxer.unit({ ...noise(user, first + i), unit: i }),
  );
  return [head, ...parts];
}

/** Starts the real program with a pipe into it, and few and quick solver steps. */
function start(args: string[], command = "stream"): Deno.ChildProcess {
  const program = new URL("../../../main.ts", import.meta.url).pathname;
  const quick = ["--steps", "1", "--temperature", "1", "--seed", "5", "--quiet", "--no-tune"];
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-check", "-A", program, command, ...args, ...quick],
    stdin: "piped",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function events(path: string): Promise<Event[]> {
  const text = await Deno.readTextFile(path).catch(() => "");
  // A line that was being written when the run was killed is none.
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

/** What the units were. */
async function answered(path: string) {
  return (await events(path)).flatMap((event) => {
    if (event.type !== "unit") return [];
    const { unit, digest, text, tokens, start, observation, heard } = event;
    return [{ unit, digest, text, tokens, start, observation, heard }];
  });
}

/** Runs to the end of the stream, or kills it once so many units were answered and it was saved. */
async function live(args: string[], first: number, log: string, killAt = Infinity, saved = "") {
  const child = start([...args, "--events", log]);
  const writer = child.stdin.getWriter();
  const feeding = (async () => {
    // The rest never comes when it is to be killed.
    for (const part of liveStream(first).slice(0, killAt + 3)) await writer.write(part);
    if (killAt === Infinity) await writer.close();
  })().catch(() => {});
  let over = false;
  const status = child.status.then((status) => (over = true, status));
  const due = async () =>
    (await answered(log)).length >= killAt && await Deno.stat(saved).catch(() => null);
  while (!over && killAt < Infinity && !await due()) await wait(5);
  if (!over && killAt < Infinity) child.kill("SIGKILL");
  const { code, signal } = await status;
  await feeding;
  await writer.abort().catch(() => {});
  assertEquals(killAt < Infinity ? signal : code, killAt < Infinity ? "SIGKILL" : 0);
}

for (const placement of ["split", "fused"]) {
  const name =
    `stream that is killed at a random unit and resumed goes on with what arrives then, ` +
    placement;
  if (adapters.length === 0) {
    const skipped = `${name} (skipped: no WebGPU adapter on this machine)`;
    Deno.test({ name: skipped, ignore: true, fn: () => {} });
    continue;
  }
  ffmpegTest(name, async (at) => {
    await Deno.writeTextFile(`${at}/typed.jsonl`, '{"at": 0.2, "text": "hello"}\n');
    const network = ["--network", "300ms,loss=20%,seed=1"];
    const given = [...network, "--user-text", `${at}/typed.jsonl`, "--placement", placement];
    await live([...given, "-o", `${at}/whole.mkv`], 0, `${at}/whole.jsonl`);
    const whole = await answered(`${at}/whole.jsonl`);
    assertEquals(whole.map(({ unit }) => unit), Array.from({ length: units }, (_, k) => k));
    assert(whole.some(({ observation, heard }) => observation === "lost" || !heard));

    const killAt = integer(random(Date.now() % 2 ** 31), 5, 11);
    const save = ["--save-session", `${at}/saved`, "--every", "2"];
    await live(
      [...given, ...save, "-o", `${at}/a.mkv`],
      0,
      `${at}/a.jsonl`,
      killAt,
      `${at}/saved/session.json`,
    );
    const before = await answered(`${at}/a.jsonl`);
    assertEquals(before, whole.slice(0, before.length));
    const { progress } = JSON.parse(await Deno.readTextFile(`${at}/saved/session.json`));
    const first: number = progress.units;
    const what = `killed after ${before.length} units, saved after ${first}`;
    assert(first > 0 && first % 2 === 0 && first <= before.length, what);

    // Network, typed text and placement are the saved session's.
    const resume = ["--resume", `${at}/saved`, "-o", `${at}/b.mkv`];
    await live(resume, first, `${at}/b.jsonl`);
    assertEquals(await answered(`${at}/b.jsonl`), whole.slice(first), what);
    const media = await count(`${at}/b.mkv`, agent.width, agent.height);
    assertEquals([media.frames, media.samples], [(units - first) * 4, (units - first) * 2560]);
    const table = await make("-copyts", ...["-i", `${at}/b.mkv`, "-map", "0:v", "-c", "copy"], ...[
      "-f",
      "framecrc",
      "pipe:1",
    ]);
    const time = /^0, *-?\d+, *(\d+),/m.exec(new TextDecoder().decode(table));
    assertEquals(Number(time?.[1]), first * 160, "its clock goes on");
    const saved = names(`${at}/saved`);
    assertEquals(saved, ["blobs", "lock", "session.json"]);
    if (placement === "fused") await forks(at);

    // What doesn't fit is refused before anything is read.
    const cases: [command: typeof run, args: string[], message: string][] = [
      [run, ["--network", "1ms"], "--network: 1ms, but the session was saved with 300ms,loss=20%"],
      [
        run,
        ["--late", "skip", "--pace", "live"],
        "--late: skip, but the session was saved without it",
      ],
      [run, ["--seed", "6"], "--seed: 6, but the session was saved with 5"],
      [run, ["--units", "2"], "--units: 2, but the session was saved after"],
      [runReplay, [`${at}/whole.mkv`], "'stream' saved it: resume it with that"],
    ];
    for (const [command, args, message] of cases) {
      const all = [...args, "--resume", `${at}/saved`, "-o", `${at}/c.mkv`, "--quiet"];
      const error = await assertRejects(() => command(all, echo().open), InputError);
      assertStringIncludes(error.message, message);
    }
    await Deno.writeTextFile(`${at}/typed.jsonl`, '{"at": 0.2, "text": "other"}\n');
    const changed = () => run(["--resume", `${at}/saved`, "-o", `${at}/c.mkv`], echo().open);
    await assertRejects(
      changed,
      InputError,
      "typed.jsonl: has changed since the session was saved",
    );
  });
}

/** A session that answered all units goes on with other ones, in a stream and over a recording. */
async function forks(at: string): Promise<void> {
  await live(["--resume", `${at}/saved`, "--fork", "s", "-o", `${at}/s.mkv`], 13, `${at}/s.jsonl`);
  const asked = (await answered(`${at}/s.jsonl`)).map(({ unit }) => unit);
  assertEquals(asked, [units, units + 1, units + 2]);
  const { progress } = JSON.parse(await Deno.readTextFile(`${at}/saved/s.json`));
  assertEquals(progress.units, units + 3, "saved at the input's end, too");
  const wav = await WavWriter.create(`${at}/in.wav`, 16000);
  await wav.write(normal(random(2), (units + 2) * 2560, 0.1));
  await wav.close();
  const fork = ["--resume", `${at}/saved`, "--fork", "r", "--events", `${at}/r.jsonl`];
  const child = start([`${at}/in.wav`, "-o", `${at}/r.wav`, ...fork], "replay");
  await child.stdin.close();
  assertEquals((await child.status).code, 0);
  const replayed = (await answered(`${at}/r.jsonl`)).map(({ unit }) => unit);
  assertEquals(replayed, [units, units + 1]);
}
