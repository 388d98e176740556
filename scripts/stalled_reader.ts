/**
 * Shows that a reader that stops makes `stream` stop reading, and that nothing piles up meanwhile:
 * feeds it noise for some minutes (10 by default), reads nothing but the first unit, and prints what
 * it took and how large it was, as a line of JSON.
 *
 *     deno task stalled [MINUTES]
 */
import { openConfig } from "../engine/checkpoint/checkpoint.ts";
import { MatroskaMuxer } from "../io/media/matroska_muxer.ts";
import { streamShapes } from "../io/media/stream_shape.ts";

const root = new URL("..", import.meta.url);
const { user } = streamShapes(await openConfig(new URL("engine/models/nano-1", root).pathname));
const minutes = Number(Deno.args[0] ?? 10);

const process = new Deno.Command(Deno.execPath(), {
  args: [
    ...["run", "-q", "-P=answer", "--allow-run"],
    ...[new URL("main.ts", root).pathname, "stream", "--quiet"],
  ],
  stdin: "piped",
  stdout: "piped",
  stderr: "inherit",
}).spawn();
const input = process.stdin.getWriter();
const output = process.stdout.getReader();
const muxer = new MatroskaMuxer(user);
let taken = 0;
let stopped = false;

async function feed(): Promise<void> {
  await input.write(muxer.start());
  for (let unit = 0; !stopped; unit++) {
    const audio = Float32Array.from({ length: user.samples }, () => Math.random() - 0.5);
    const frames = new Uint8Array(user.frames * user.width * user.height * 3).fill(unit);
    await input.write(muxer.unit({ unit, text: "", audio, frames }));
    taken++;
  }
}

/** Resident memory in MiB. */
async function memory(): Promise<number> {
  const args = ["-o", "rss=", "-p", `${process.pid}`];
  const { stdout } = await new Deno.Command("ps", { args }).output();
  return Math.round(Number(new TextDecoder().decode(stdout)) / 102.4) / 10;
}

feed().catch(() => {});
for (let bytes = 0; bytes < 100_000;) bytes += (await output.read()).value?.length ?? Infinity;
const samples: { minute: number; taken: number; mib: number }[] = [];
const steps = 20;
for (let step = 0; step <= steps; step++) {
  await new Promise((resolve) => setTimeout(resolve, step === 0 ? 5000 : minutes * 60000 / steps));
  samples.push({ minute: (step * minutes) / steps, taken, mib: await memory() });
}
stopped = true;
process.kill("SIGTERM");
const { code } = await process.status;
const mib = samples.map((sample) => sample.mib);
const line = {
  minutes,
  unitsTaken: [samples[0]?.taken, samples.at(-1)?.taken],
  mib: [Math.min(...mib), Math.max(...mib)],
  firstMib: mib[0],
  lastMib: mib.at(-1),
  exitCode: code,
};
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
Deno.exit(0);
