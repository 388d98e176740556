/** The README's promises that a test can keep: its library snippet runs, its commands exist. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";

const root = new URL("..", import.meta.url);
const readme = await Deno.readTextFile(new URL("README.md", root));

async function deno(...args: string[]) {
  const command = new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
  });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("the README's library snippet answers five units of silence", async (t) => {
  const snippet = /```ts\n([\s\S]+?)```/.exec(readme)?.[1];
  assert(snippet, "README.md has a ts snippet");
  assert(snippet.trim().split("\n").length <= 13, "it stays short");
  const folder = await Deno.makeTempDir({ dir: new URL("tests", root).pathname });
  try {
    const file = `${folder}/snippet.ts`;
    // The snippet imports as a script in the repository's root would.
    await Deno.writeTextFile(file, snippet.replaceAll('"./engine/', '"../../engine/'));
    const { code, stdout, stderr } = await deno(
      "run",
      "-q",
      "--check",
      "--allow-read",
      "--allow-env",
      file,
    );
    if (stderr.includes("no Vulkan driver")) {
      await t.step({ name: "skipped: no Vulkan driver", ignore: true, fn: () => {} });
      return;
    }
    assertEquals(code, 0, stderr);
    stdout.trim().split("\n").forEach((line, i) => {
      const [, unit, samples, bytes] = /^(\d+) ".*" (\d+) (\d+) [\d.]+$/.exec(line) ?? [];
      assertEquals([unit, samples, bytes].map(Number), [i, 2560, 4 * 128 * 128 * 3], line);
    });
    assertEquals(stdout.trim().split("\n").length, 5);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("every command of the README is a task and has --help with an example", async () => {
  const names = new Set([...readme.matchAll(/^wanstream (\w+)/gm)].map(([, name]) => name ?? ""));
  assert(names.size >= 5);
  for (const name of names) {
    const { code, stdout, stderr } = await deno("run", "-q", "-A", "main.ts", name, "--help");
    assertEquals(code, 0, `${name}: ${stderr}`);
    assertStringIncludes(stdout, "Example");
    assertStringIncludes(stdout, `wanstream ${name}`);
  }
});

Deno.test("the README's two commands name the Deno version and tasks that exist", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const commands = [...readme.matchAll(/^npx -y deno@(\S+) task (\w+)$/gm)];
  assertEquals(commands.map(([, , task]) => task), ["demo", "test", "install"]);
  for (const [, version, task] of commands) {
    assertEquals(version, commands[0]?.[1]);
    assert(Object.hasOwn(tasks, task ?? ""));
  }
});
