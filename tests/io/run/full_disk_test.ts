/** Disks that fill while a replay writes: what was answered is kept and playable, wherever it goes. */
import { assert, assertEquals } from "@std/assert";
import { run } from "../../../io/commands/replay.ts";
import { echo } from "../echo_replay.ts";
import { count, ffmpegTest, make, names, picture, tone } from "../media.ts";

/** Mounts a disk of so many KiB at a folder; null where this may not be done. */
async function disk(folder: string, kibibytes: number): Promise<AsyncDisposable | null> {
  await Deno.mkdir(folder);
  const mount = (program: string, ...args: string[]) =>
    new Deno.Command(program, { args, stderr: "null" }).output().catch(() => null);
  const done = await mount("mount", "-t", "tmpfs", "-o", `size=${kibibytes}k`, "tmpfs", folder);
  if (!done?.success) return null;
  return { [Symbol.asyncDispose]: async () => void await mount("umount", folder) };
}

/** Where outputs go, which of them fills its disk, and how large that disk is. */
const cases = [
  { what: "events", output: "out.mkv", more: ["--events", "full/e.jsonl"], size: 8 },
  { what: "response in Matroska", output: "full/out.mkv", more: [], size: 200 },
  { what: "response in WAV", output: "full/out.wav", more: [], size: 100 },
  { what: "response in Y4M", output: "full/out.y4m", more: [], size: 4000 },
  { what: "saved run", output: "out.mkv", more: ["--save-session", "full/s"], size: 4000 },
];

for (const { what, output, more, size } of cases) {
  ffmpegTest(`replay keeps what was answered when the disk of the ${what} fills`, async (at) => {
    await using full = await disk(`${at}/full`, size);
    if (full === null) {
      await Deno.stderr.write(
        new TextEncoder().encode("skipped: only root can mount a disk of its own" + "\n"),
      );
      return;
    }
    const noise = ["-vf", "noise=alls=60:allf=t", "-c:v", "mpeg4", "-q:v", "2"];
    await make(...picture(9.6, "128x128"), ...tone(9.6, 16000), ...noise, `${at}/in.mkv`);
    const paths = more.map((word) => word.startsWith("full/") ? `${at}/${word}` : word);
    const code = await run(
      [`${at}/in.mkv`, "-o", `${at}/${output}`, "--quiet", ...paths],
      echo(1).open,
    );
    assertEquals(code, 3);
    const kept = await count(`${at}/${output}`, 128, 128);
    const units = output.endsWith(".wav") ? kept.samples / 2560 : kept.frames / 4;
    assert(units >= 1 && units < 60, `${units} units`);
    // FFmpeg's file ends wherever the disk was full: the units that are counted, and a part of the next.
    if (!output.endsWith("full/out.mkv")) assert(Number.isInteger(units), `${units} units`);
    const folder = output.startsWith("full/") ? `${at}/full` : at;
    assertEquals(names(folder).filter((name) => name.startsWith(".")), []);
  });
}
