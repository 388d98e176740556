/** Command name -> io/commands/NAME.ts, error -> exit code; nothing else. */
import { fileURLToPath } from "node:url";
import { commandList, type Commands, findCommand } from "./io/cli/commands.ts";
import { goWhereCalled } from "./io/cli/where_called.ts";
import { explain } from "./io/system/errors.ts";
import { revisionOf } from "./io/provenance/repository.ts";
import { checkFileLimit, program } from "./io/system/program.ts";
import { print, say } from "./io/system/terminal.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** What stands beside the floors and is handed to the commands that need it. */
const programs = {
  root: here("."),
  peers: here("./scripts/peers/"),
  scripts: here("./scripts/"),
  judges: here("./scripts/judges/"),
};
const floors = ["io", "engine", "kernels"].map((floor) => here(floor));
const sources = { smallSet: here("./samples/eval"), world: here("./scripts/world"), floors };

/** The commands by name. */
export const commands: Commands = {
  replay: () => import("./io/commands/replay.ts"),
  stream: () => import("./io/commands/stream.ts"),
  batch: async () => {
    const { summary, run } = await import("./io/commands/batch.ts");
    return { summary, run: (args) => run(args, sources) };
  },
  adapters: () => import("./io/commands/adapters.ts"),
  inspect: async () => {
    const { summary, run } = await import("./io/commands/inspect.ts");
    return { summary, run: (args) => run(args, programs) };
  },
  init: () => import("./io/commands/init.ts"),
  bench: async () => {
    const { summary, run } = await import("./io/commands/bench.ts");
    return { summary, run: (args) => run(args, programs) };
  },
  eval: async () => {
    const { summary, run } = await import("./io/commands/eval.ts");
    return { summary, run: (args) => run(args, { ...sources, ...programs }) };
  },
  compare: async () => {
    const { summary, run } = await import("./io/commands/compare.ts");
    return { summary, run: (args) => run(args, { ...sources, ...programs }) };
  },
  export: () => import("./io/commands/export.ts"),
  codec: () => import("./io/commands/codec.ts"),
  figures: () => import("./io/commands/figures.ts"),
  score: async () => {
    const { summary, run } = await import("./io/commands/score.ts");
    return { summary, run: (args) => run(args, programs) };
  },
};

async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    await print(
      "Usage: wanstream COMMAND [options]\n\nCommands (each has --help):\n" +
        await commandList(commands),
    );
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-V") {
    const { commit, dirty } = await revisionOf();
    await print(`${program}, commit ${commit ?? "unknown"}${dirty ? ", changed since" : ""}\n`);
    return 0;
  }
  const { run } = await findCommand(commands, name, "unknown command");
  checkFileLimit();
  return await run(args);
}

if (import.meta.main) {
  let code: number;
  try {
    goWhereCalled(programs.root);
    code = await main(Deno.args);
  } catch (error) {
    const { text, exitCode } = explain(error);
    say(`wanstream: ${text}`);
    code = exitCode;
  }
  Deno.exit(code);
}
