/** What tests of benches share: the command as a process, over a tiny checkpoint. */
import { assertEquals } from "@std/assert";
import { listAdapters } from "../../../kernels/gpu/probe.ts";
import { tinyConfig } from "../../engine/support.ts";
import { withCheckpoint } from "../../engine/tiny_checkpoint.ts";

const root = new URL("../../../", import.meta.url).pathname;
const { tasks } = JSON.parse(await Deno.readTextFile(`${root}deno.json`));

/** The permissions of `deno task bench`; what it may start is asked as the task asks it. */
const permissions = (tasks.bench.command as string).match(/--allow-(read|write|env)\S*/g) ?? [];

/** Runs `bench` with these arguments. */
export async function bench(args: string[]) {
  const run = ["run", "-q", "--no-prompt", "--no-check", ...permissions, "--allow-run"];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...run, `${root}main.ts`, "bench", ...args],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Runs it with `--json` and gives what it printed. */
export async function benchJson(args: string[]) {
  const { code, stdout, stderr } = await bench([...args, "--json"]);
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout);
}

const adapters = await listAdapters();

/** A test over a tiny checkpoint, with the options that name it; where there is no adapter it is
 * skipped, and its name says so. */
export function adapterTest(name: string, fn: (model: string[]) => Promise<void>): void {
  if (adapters.length > 0) {
    Deno.test(
      name,
      () => withCheckpoint(tinyConfig(), (folder) => fn(["--model", folder, "--no-tune"])),
    );
  } else {
    const why = "no WebGPU adapter on this machine";
    Deno.test({ name: `${name} (skipped: ${why})`, ignore: true, fn: () => {} });
  }
}
