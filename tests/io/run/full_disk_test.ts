/** Disks that fill while a replay or a stream writes: what was answered is kept and playable, wherever it goes. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { run } from "../../../io/commands/replay.ts";
import { echo } from "../echo_replay.ts";
import { count, ffmpegTest, make, names, picture, tone } from "../media.ts";
import { pipe } from "../stream_process.ts";

/** Mounts a disk of so many KiB at a folder; null where this may not be done. */
async function disk(folder: string, kibibytes: number): Promise<AsyncDisposable | null> {
  await Deno.mkdir(folder);
  const mount = (program: string, ...args: string[]) =>
    new Deno.Command(program, { args, stderr: "null" }).output().catch(() => null);
  const done = await mount("mount", "-t", "tmpfs", "-o", `size=${kibibytes}k`, "tmpfs", folder);
  if (!done?.success) return null;
  return { [Symbol.asyncDispose]: async () => void await mount("umount", folder) };
}

/** A test with a small disk at `full` in its folder. */
function fullDiskTest(name: string, kibibytes: number, fn: (at: string) => Promise<void>): void {
  ffmpegTest(name, async (at) => {
    await using full = await disk(`${at}/full`, kibibytes);
    if (full) return await fn(at);
    await Deno.stderr.write(
      new TextEncoder().encode("skipped: only root can mount a disk of its own\n"),
    );
  });
}

/** Paths on the full disk, and beside it. */
const within = (at: string, words: string[]) =>
  words.map((word) => /^(full\/|out\.)/.test(word) ? `${at}/${word}` : word);

/** Where outputs go, which of them fills its disk, and how large that disk is. */
const cases = [
  { what: "events", output: "out.mkv", more: ["--events", "full/e.jsonl"], size: 8 },
  { what: "picture of both", output: "out.mkv", more: ["--side-by-side", "full/b.mkv"], size: 8 },
  { what: "response in Matroska", output: "full/out.mkv", more: [], size: 200 },
  { what: "response in WAV", output: "full/out.wav", more: [], size: 100 },
  { what: "response in Y4M", output: "full/out.y4m", more: [], size: 4000 },
  { what: "saved run", output: "out.mkv", more: ["--save-session", "full/s"], size: 4000 },
];

for (const { what, output, more, size } of cases) {
  fullDiskTest(
    `replay keeps what was answered when the disk of the ${what} fills`,
    size,
    async (at) => {
      const noise = ["-vf", "noise=alls=60:allf=t", "-c:v", "mpeg4", "-q:v", "2"];
      await make(...picture(9.6, "128x128"), ...tone(9.6, 16000), ...noise, `${at}/in.mkv`);
      const code = await run(
        [`${at}/in.mkv`, "-o", `${at}/${output}`, "--quiet", ...within(at, more)],
        echo(1).open,
      );
      assertEquals(code, 3);
      const kept = await count(`${at}/${output}`, 128, 128);
      const units = output.endsWith(".wav") ? kept.samples / 2560 : kept.frames / 4;
      if (what === "picture of both") assert(units >= 60, `${units} units`);
      else assert(units >= 1 && units < 60, `${units} units`);
      // FFmpeg's file ends wherever the disk was full: the units that are counted, and a part of the next.
      if (!output.endsWith("full/out.mkv")) assert(Number.isInteger(units), `${units} units`);
      const folder = output.startsWith("full/") ? `${at}/full` : at;
      assertEquals(names(folder).filter((name) => name.startsWith(".")), []);
    },
  );
}

/** The same of a stream, with what holds its pictures. */
const streamCases = [
  { what: "events", more: ["-o", "out.mkv", "--events", "full/e.jsonl"], kept: "out.mkv", size: 8 },
  { what: "text", more: ["-o", "out.mkv", "--text", "full/t.vtt"], kept: "out.mkv", size: 4 },
  { what: "response", more: ["-o", "full/out.mkv"], kept: "full/out.mkv", size: 2000 },
  {
    what: "pictures",
    more: ["--raw-video-out", "full/v", "--raw-audio-out", "out.f32"],
    kept: "full/v",
    size: 2000,
  },
];

for (const { what, more, kept, size } of streamCases) {
  fullDiskTest(
    `stream keeps what was answered when the disk of its ${what} fills`,
    size,
    async (at) => {
      const sent = what === "text" ? 300 : 60;
      const input = await make(
        ...[...picture(0.16 * sent, "16x16"), ...tone(0.16 * sent, 16000), "-c:v", "mpeg4", "-f"],
        ...["nut", "pipe:1"],
      );
      const { code, stderr } = await pipe(input, "--quiet", ...within(at, more));
      const name = more.find((word) => word.startsWith("full/"));
      assertEquals([code, stderr.trimEnd().split("\n").length], [3, 1], stderr);
      assertMatch(
        stderr,
        new RegExp(`/${name}: can't be written: No space left on device.*; all of`),
      );
      const units = kept === "full/v"
        ? (await Deno.stat(`${at}/full/v`)).size / (4 * 128 * 128 * 3)
        : (await count(`${at}/${kept}`, 128, 128)).frames / 4;
      assert(Number.isInteger(units) && units >= 1 && units < sent, `${units} units`);
      assertStringIncludes(stderr, ` of ${units} answered units are kept`);
    },
  );
}
