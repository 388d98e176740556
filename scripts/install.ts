/**
 * Puts the command `wanstream` on the PATH, with completions for bash, zsh and fish, or takes them away.
 *
 *     deno task install [--to FOLDER]
 *     deno task uninstall [--to FOLDER]
 *
 * FOLDER is ~/.local/bin; completions go below $XDG_DATA_HOME and $XDG_CONFIG_HOME.
 */
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { InputError } from "../engine/config/errors.ts";
import { goWhereCalled } from "../io/cli/where_called.ts";
import { explain } from "../io/system/errors.ts";
import { remove, writeOutput } from "../io/system/output_file.ts";
import { say } from "../io/system/terminal.ts";
import { commands } from "../main.ts";
import { batchLauncher, completions, mark, shellLauncher } from "./launcher.ts";

const root = fileURLToPath(new URL("..", import.meta.url)).replace(/[/\\]$/, "");
const windows = Deno.build.os === "windows";

/** The options of each command, as its `--help` lists them. */
async function optionsByCommand(): Promise<Map<string, string[]>> {
  const entries = Object.keys(commands).map(async (name): Promise<[string, string[]]> => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-prompt", "--allow-read", join(root, "main.ts"), name, "--help"],
      stdin: "null",
      stderr: "null",
    }).output();
    const rows = new TextDecoder().decode(stdout).matchAll(/^ +(?:-\w, )?(--[a-z0-9-]+)/gm);
    return [name, [...rows].map(([, option = ""]) => option)];
  });
  return new Map(await Promise.all(entries));
}

/** Where each file of ours goes. */
function places(to: string | undefined) {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  if (home === undefined) throw new InputError("HOME is not set: give a folder by --to");
  const data = Deno.env.get("XDG_DATA_HOME") || join(home, ".local", "share");
  const settings = Deno.env.get("XDG_CONFIG_HOME") || join(home, ".config");
  const folder = resolve(to ?? join(home, ".local", "bin"));
  return {
    launcher: join(folder, windows ? "wanstream.cmd" : "wanstream"),
    bash: join(data, "bash-completion", "completions", "wanstream"),
    zsh: join(data, "zsh", "site-functions", "_wanstream"),
    fish: join(settings, "fish", "completions", "wanstream.fish"),
  };
}

/** True when a file is ours, null when there is none. */
async function isOurs(path: string): Promise<boolean | null> {
  try {
    return (await Deno.readTextFile(path)).includes(mark);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

async function install(files: ReturnType<typeof places>): Promise<void> {
  for (const path of Object.values(files)) {
    if (await isOurs(path) === false) {
      throw new InputError(`${path}: is another program's file: give another folder by --to`);
    }
  }
  const names = Object.keys(commands);
  const text = (windows ? batchLauncher : shellLauncher)(root, Deno.execPath(), names);
  await writeOutput(files.launcher, text);
  if (!windows) await Deno.chmod(files.launcher, 0o755);
  const shells = completions(await optionsByCommand());
  for (const shell of windows ? [] : ["bash", "zsh", "fish"] as const) {
    await writeOutput(files[shell], shells[shell]);
  }
  const folder = dirname(files.launcher);
  const isOnPath = (Deno.env.get("PATH") ?? "").split(delimiter).includes(folder);
  say(`install: ${files.launcher}${isOnPath ? "" : `; put ${folder} on the PATH to use it`}`);
}

async function uninstall(files: ReturnType<typeof places>): Promise<void> {
  let removed = 0;
  for (const path of Object.values(files)) {
    if (!await isOurs(path)) continue;
    await remove(path);
    removed++;
  }
  say(removed > 0 ? `uninstall: ${files.launcher} is gone` : "uninstall: nothing was installed");
}

if (import.meta.main) {
  try {
    goWhereCalled(root);
    const { values, positionals } = parseArgs({
      args: Deno.args,
      options: { to: { type: "string" } },
      allowPositionals: true,
    });
    const files = places(values.to);
    if (positionals[0] === "uninstall") await uninstall(files);
    else await install(files);
  } catch (error) {
    const { text, exitCode } = explain(error);
    say(`install: ${text}`);
    Deno.exit(exitCode);
  }
}
