/**
 * `batch` with a stand-in for sessions, as in echo_replay.ts. For tests; needs no GPU.
 *
 *     deno run tests/io/batch/echo_batch.ts KILL_AT [arguments of batch]
 *
 * @param KILL_AT The call that opens, makes, renames or removes a file at which it kills itself; 0: none.
 */
import { openConfig } from "../../../engine/checkpoint/checkpoint.ts";
import type { ModelOpener } from "../../../io/batch/workers.ts";
import { run } from "../../../io/commands/batch.ts";
import { explain } from "../../../io/system/errors.ts";
import { echo, type Seen } from "../echo_replay.ts";

/** Opens echoes; `opened` counts models and sessions, `seen` shows what a session was given last. */
export function echoOpener(delay = 0): {
  opener: ModelOpener;
  opened: { checkpoints: string[]; models: number; closed: number; sessions: number };
  seen: Seen;
} {
  const { open, seen } = echo(delay);
  const opened = { checkpoints: [] as string[], models: 0, closed: 0, sessions: 0 };
  const opener: ModelOpener = {
    async checkpoint(path) {
      opened.checkpoints.push(path);
      return { config: await openConfig(path), digest: "0".repeat(64) };
    },
    open(path) {
      opened.models++;
      return Promise.resolve({
        open(options, references) {
          opened.sessions++;
          return open(path, options, references);
        },
        close: () => Promise.resolve(void opened.closed++),
      });
    },
  };
  return { opener, opened, seen };
}

/** The sources that make the program's digest, for tests: one file. */
export const floors = [new URL("../../../engine/config", import.meta.url).pathname];

/** Ends this process, as a power failure would, at the Nth call that changes files. */
function killAt(n: number): void {
  let calls = 0;
  for (const name of ["open", "mkdir", "rename", "remove", "writeFile", "writeTextFile"] as const) {
    const call = Deno[name].bind(Deno) as (...args: unknown[]) => unknown;
    Object.defineProperty(Deno, name, {
      value: (...args: unknown[]) => {
        if (++calls === n) Deno.kill(Deno.pid, "SIGKILL");
        return call(...args);
      },
    });
  }
}

if (import.meta.main) {
  const [kill, ...args] = Deno.args;
  if (Number(kill) > 0) killAt(Number(kill));
  let code: number;
  try {
    code = await run(args, { floors }, echoOpener().opener);
  } catch (error) {
    const { text, exitCode } = explain(error);
    Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
    code = exitCode;
  }
  Deno.exit(code);
}
