/** The README's promises that a test can keep: its library snippet runs, its commands exist. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { tinyConfig } from "./engine/support.ts";
import { withCheckpoint } from "./engine/tiny_checkpoint.ts";
import { readWavHeader, WavWriter } from "../io/media/wav.ts";

const root = new URL("..", import.meta.url);
const readme = await Deno.readTextFile(new URL("README.md", root));

async function deno(cwd: string | URL, ...args: string[]) {
  const command = new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
  });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("the README's three scripts run from another folder", async (t) => {
  const snippets = [...readme.matchAll(/```ts\n([\s\S]+?)```/g)].map(([, code = ""]) => code);
  assertEquals(snippets.length, 3);
  await withCheckpoint(tinyConfig(), async (folder) => {
    const imports = {
      "@wanstream/wanstream": new URL("engine/mod.ts", root).href,
      "@wanstream/wanstream/media": new URL("io/mod.ts", root).href,
    };
    await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify({ imports }));
    const wav = await WavWriter.create(`${folder}/talk.wav`, 16000);
    await wav.write(new Float32Array(12 * 2560).fill(0.01));
    await wav.close();
    const lines: string[][] = [];
    for (const [i, code] of snippets.entries()) {
      assert(code.trim().split("\n").length <= 15, "it stays short");
      // A small checkpoint, no FFmpeg, fewer units.
      const quick = code.replace("engine/models/nano-1", ".").replace("answer.mkv", "answer.wav")
        .replace("unit < 20", "unit < 3");
      await Deno.writeTextFile(`${folder}/${i}.ts`, quick);
      const { code: exit, stdout, stderr } = await deno(
        folder,
        ...["run", "-q", "--no-check", "--allow-read", "--allow-write", "--allow-env"],
        `${i}.ts`,
      );
      if (stderr.includes("no Vulkan driver")) {
        await t.step({ name: "skipped: no Vulkan driver", ignore: true, fn: () => {} });
        return;
      }
      assertEquals([exit, stderr], [0, ""]);
      lines.push(stdout.trim().split("\n"));
    }
    const [replay = [], forks = [], talk = []] = lines;
    assertEquals([replay.length, forks.length, talk.length], [12, 3 * 2, 3]);
    assertEquals(new Set(forks.map((line) => line.split(" ")[2])).size, 6);
    assertEquals((await readWavHeader(`${folder}/answer.wav`))?.length, 12 * 2560 * 2);
  });
});

Deno.test("every command of the README is a task and has --help with an example", async () => {
  const names = new Set([...readme.matchAll(/^wanstream (\w+)/gm)].map(([, name]) => name ?? ""));
  assert(names.size >= 5);
  for (const name of names) {
    const { code, stdout, stderr } = await deno(root, "run", "-q", "-A", "main.ts", name, "--help");
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
