/** The program's own lines: results on standard output, everything for people on standard error. */
import { writeAll } from "./bytes.ts";
import { osReason, RunError } from "./errors.ts";

const encoder = new TextEncoder();

/**
 * Writes text to standard output, all of it. When its reader has gone, the rest is left out.
 *
 * @throws RunError (exit code 3) when it can't be written for another reason, a full disk say.
 */
export async function print(text: string): Promise<void> {
  try {
    await writeAll(Deno.stdout, encoder.encode(text));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return;
    throw new RunError(`standard output can't be written: ${osReason(error)}`, 3);
  }
}

/** Characters that would command a terminal, but for the end of a line and the tab. */
// deno-lint-ignore no-control-regex
const commanding = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]/g;

/**
 * Writes text to standard error as far as that is possible: a message never ends a run. Names in it come
 * from outside, so what would command a terminal is shown as a code.
 */
export function tell(text: string): void {
  draw(text.replace(commanding, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`));
}

/** Writes text to standard error with the commands to a terminal that it holds. */
export function draw(text: string): void {
  try {
    const bytes = encoder.encode(text);
    for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
  } catch {
    // Its reader has gone, or its disk is full: the work goes on without messages.
  }
}

export function say(line: string): void {
  tell(`${line}\n`);
}

/** Writes a line that the next one overwrites; it writes only to a terminal. */
export function showStatus(what: string): void {
  if (Deno.stderr.isTerminal()) draw(`\r\x1b[K${what}`);
}
