/** Command name -> io/commands/NAME.ts, error -> exit code; nothing else. */
import { InputError } from "./engine/config/errors.ts";
import { RunError } from "./io/system/errors.ts";
import { nearest } from "./io/cli/options.ts";

interface Command {
  summary: string;
  run(args: string[]): Promise<number>;
}

const commands: Record<string, () => Promise<Command>> = {
  replay: () => import("./io/commands/replay.ts"),
  stream: () => import("./io/commands/stream.ts"),
  adapters: () => import("./io/commands/adapters.ts"),
  inspect: () => import("./io/commands/inspect.ts"),
  init: () => import("./io/commands/init.ts"),
  bench: () => import("./io/commands/bench.ts"),
  eval: () => import("./io/commands/eval.ts"),
};

async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const lines = Object.entries(commands).map(async ([name, load]) =>
      `  ${name.padEnd(10)}${(await load()).summary}\n`
    );
    const text = "Usage: deno task COMMAND [options]\n\nCommands (each has --help):\n" +
      (await Promise.all(lines)).join("");
    await Deno.stdout.write(new TextEncoder().encode(text));
    return name === undefined ? 2 : 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    const known = Object.keys(commands);
    const near = nearest(name, known);
    throw new InputError(
      `unknown command ${name}: ${
        near ? `did you mean ${near}?` : `known are ${known.join(", ")}`
      }`,
    );
  }
  return await (await load()).run(args);
}

if (import.meta.main) {
  let code: number;
  try {
    code = await main(Deno.args);
  } catch (error) {
    const known = error instanceof InputError || error instanceof RunError;
    // A stack trace only for what nobody foresaw.
    const text = known ? error.message : Deno.inspect(error);
    Deno.stderr.writeSync(new TextEncoder().encode(`wanstream: ${text}\n`));
    code = known ? error.exitCode : 1;
  }
  Deno.exit(code);
}
