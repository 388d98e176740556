/** Relative paths in a task mean the caller's folder. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Runs a task of the project from another folder. */
async function task(cwd: string, ...args: string[]) {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", "--config", `${root}deno.json`, ...args],
    cwd,
    env: { INIT_CWD: cwd },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

Deno.test("a task finds and writes files beside its caller, in every kind of command", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.symlink(`${root}engine/models/nano-1`, `${folder}/mine`);
    const inspected = await task(folder, "inspect", "mine", "--json");
    assertEquals([inspected.code, inspected.stderr], [0, ""]);
    const made = await task(folder, "init", "--preset", "nano", "-o", "made");
    assertEquals(made.code, 0, made.stderr);
    assertEquals((await Deno.stat(`${folder}/made/config.json`)).isFile, true);
    const own = await task(folder, "inspect", "--json");
    assertEquals(own.code, 0, own.stderr);
    assertStringIncludes(own.stdout, "engine/models/nano-1");
    const missing = await task(folder, "replay", "talk.wav", "-o", "answer.wav");
    assertEquals(missing.code, 2);
    assertStringIncludes(missing.stderr, "talk.wav");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
