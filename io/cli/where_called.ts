/** Relative paths mean what they mean to the person who types them. */
import { resolve } from "node:path";

/**
 * Goes to the folder from which a task was called. `deno task` begins in the project's folder, wherever
 * it is called, and tells the caller's folder in INIT_CWD.
 *
 * @param root The project's folder. A program that begins elsewhere stands where it was started.
 */
export function goWhereCalled(root: string): void {
  if (Deno.permissions.querySync({ name: "env", variable: "INIT_CWD" }).state !== "granted") return;
  const caller = Deno.env.get("INIT_CWD");
  if (caller && resolve(Deno.cwd()) === resolve(root)) Deno.chdir(caller);
}
