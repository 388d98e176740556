/** The command `wanstream`: put on the PATH, used from another folder, completed, and taken away. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { findFfmpeg } from "../io/ffmpeg/ffmpeg.ts";
import { revisionOf } from "../io/provenance/repository.ts";
import config from "../deno.json" with { type: "json" };

const root = fileURLToPath(new URL("../", import.meta.url));
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function run(program: string, args: string[], cwd: string, env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd,
    env,
    stdin: "null",
  }).output();
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test({
  name: "wanstream is installed, runs from any folder, is completed, and is taken away",
  ignore: Deno.build.os === "windows",
}, async () => {
  const folder = await Deno.makeTempDir({ prefix: "wanstream it's " });
  try {
    const env = { XDG_DATA_HOME: `${folder}/data`, XDG_CONFIG_HOME: `${folder}/config` };
    const task = (name: string) =>
      run(
        Deno.execPath(),
        ["task", "-q", "--config", `${root}deno.json`, name, "--to", "my bin"],
        folder,
        { ...env, INIT_CWD: folder },
      );
    const installed = await task("install");
    assertEquals(installed.code, 0, installed.stderr);
    const wanstream = `${folder}/my bin/wanstream`;
    assertStringIncludes(installed.stderr, `put ${folder}/my bin on the PATH`);

    const version = await run(wanstream, ["--version"], folder);
    assertEquals([version.code, version.stderr], [0, ""]);
    const { commit } = await revisionOf();
    const expected = `wanstream ${config.version}, commit ${commit ?? "unknown"}`;
    assert(version.stdout.startsWith(expected), version.stdout);
    await Deno.symlink(`${root}engine/models/nano-1`, `${folder}/mine`);
    const inspected = await run(wanstream, ["inspect", "mine", "--json"], folder);
    assertEquals([inspected.code, inspected.stderr], [0, ""]);
    assert(JSON.parse(inspected.stdout));
    const unknown = await run(wanstream, ["repaly"], folder);
    assertEquals(unknown.code, 2);
    assertStringIncludes(unknown.stderr, "did you mean replay?");

    const ffmpeg = await findFfmpeg().catch(() => null);
    if (ffmpeg) {
      await Deno.writeTextFile(`${folder}/text.mp4`, "no recording ".repeat(99));
      const script = `#!/bin/sh\n: > mine-was-here\nexec '${ffmpeg.path}' "$@"\n`;
      await Deno.writeTextFile(`${folder}/my ffmpeg`, script, { mode: 0o755 });
      const args = ["replay", "text.mp4", "-o", "out.wav", "--ffmpeg", "./my ffmpeg"];
      const mine = await run(wanstream, args, folder);
      assertEquals(mine.code, 2, mine.stderr);
      assertStringIncludes(mine.stderr, "text.mp4: is no recording that FFmpeg can read");
      assert((await Deno.stat(`${folder}/mine-was-here`)).isFile, "the FFmpeg that was asked for");
    }

    const bash = await run("bash", [
      "-c",
      `. "$1"; COMP_WORDS=(wanstream replay --sid); COMP_CWORD=2; _wanstream; echo "\${COMPREPLY[*]}"`,
      "bash",
      `${folder}/data/bash-completion/completions/wanstream`,
    ], folder);
    assertEquals([bash.stdout, bash.stderr], ["--side-by-side\n", ""]);
    const fish = await Deno.readTextFile(`${folder}/config/fish/completions/wanstream.fish`);
    assertStringIncludes(fish, '"__fish_seen_subcommand_from stream" -l pace');
    const zsh = await Deno.readTextFile(`${folder}/data/zsh/site-functions/_wanstream`);
    assert(zsh.startsWith("#compdef wanstream\n"));

    const gone = await task("uninstall");
    assertEquals(gone.code, 0, gone.stderr);
    assertEquals([...Deno.readDirSync(`${folder}/my bin`)], []);
    await Deno.writeTextFile(wanstream, "another program");
    const refused = await task("install");
    assertEquals(refused.code, 2);
    assertStringIncludes(refused.stderr, "another program's file");
    assertStringIncludes((await task("uninstall")).stderr, "nothing was installed");
    assertEquals(await Deno.readTextFile(wanstream), "another program");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
