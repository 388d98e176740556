/** What tests of benches share: the command as a process, over a tiny checkpoint. */
import { assertEquals } from "@std/assert";
import { listAdapters } from "../../../kernels/gpu/probe.ts";
import { tinyConfig } from "../../engine/support.ts";
import { withCheckpoint } from "../../engine/tiny_checkpoint.ts";

import { assertSchema } from "../schemas.ts";

const root = new URL("../../../", import.meta.url).pathname;

/** Runs `bench` with these arguments and the permissions of its task; it may start any program. */
export async function bench(args: string[]) {
  const run = ["run", "-q", "--no-prompt", "--no-check", "-P=measure", "--allow-run"];
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
  const result = JSON.parse(stdout);
  assertSchema(result);
  return result;
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
