/**
 * `stream` with a stand-in for the session, as in echo_replay.ts.
 *
 *     deno run tests/io/echo_stream.ts MS_PER_UNIT [options of stream]
 */
import { run } from "../../io/commands/stream.ts";
import { explain } from "../../io/system/errors.ts";
import { echo } from "./echo_replay.ts";

const [delay, ...args] = Deno.args;
let code: number;
try {
  code = await run(args, echo(Number(delay)).open);
} catch (error) {
  const { text, exitCode } = explain(error);
  Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
  code = exitCode;
}
Deno.exit(code);
