/**
 * `stream` with a stand-in for the session, as in echo_replay.ts.
 *
 *     deno run tests/io/echo_stream.ts MS_PER_UNIT [options of stream]
 */
import { InputError } from "../../engine/config/errors.ts";
import { run } from "../../io/commands/stream.ts";
import { RunError } from "../../io/system/errors.ts";
import { echo } from "./echo_replay.ts";

const [delay, ...args] = Deno.args;
let code: number;
try {
  code = await run(args, echo(Number(delay)).open);
} catch (error) {
  if (!(error instanceof InputError || error instanceof RunError)) throw error;
  Deno.stderr.writeSync(new TextEncoder().encode(`${error.message}\n`));
  code = error.exitCode;
}
Deno.exit(code);
