/** The program's own lines: results on standard output, everything for people on standard error. */
import { writeAll } from "./bytes.ts";

const encoder = new TextEncoder();

/** Writes text to standard output, all of it. */
export async function print(text: string): Promise<void> {
  await writeAll(Deno.stdout, encoder.encode(text));
}

/** Writes text to standard error, all of it. */
export function tell(text: string): void {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
}

/** Writes a line for people. */
export function say(line: string): void {
  tell(`${line}\n`);
}

/** Writes a line that the next one overwrites; nothing when standard error is no terminal. */
export function showStatus(what: string): void {
  if (Deno.stderr.isTerminal()) tell(`\r\x1b[K${what}`);
}
