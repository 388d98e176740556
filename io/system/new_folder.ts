/** Folders that appear whole or not at all. */
import { InputError } from "../../engine/config/errors.ts";
import { osReason, outputError } from "./errors.ts";
import { Interrupt, interruptedCode } from "./interrupt.ts";

/**
 * Lets `body` fill a folder beside `folder`, then puts what it wrote in place: nothing half-written
 * is ever seen there, nor left behind.
 *
 * @returns False when Ctrl-C came in between.
 */
export async function inNewFolder(
  folder: string,
  body: (partial: string, signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  const partial = `${folder}.partial-${Deno.pid}`;
  using interrupt = new Interrupt(() => Deno.exit(interruptedCode));
  try {
    await Deno.mkdir(partial, { recursive: true });
    await body(partial, interrupt.signal);
    await Deno.mkdir(folder, { recursive: true });
    for await (const { name } of Deno.readDir(partial)) {
      await Deno.rename(`${partial}/${name}`, `${folder}/${name}`);
    }
    return true;
  } catch (error) {
    if (error === interrupt.signal.reason) return false;
    if (error instanceof InputError || !(error instanceof Error)) throw error;
    // A full disk has no class of its own.
    if (!(error.name in Deno.errors)) throw outputError(folder, error);
    throw new InputError(
      `${folder}: can't be written (${
        error.message.split("\n")[0]
      }); choose another folder with -o`,
    );
  } finally {
    await Deno.remove(partial, { recursive: true }).catch(() => {});
  }
}

/** Refuses a folder that holds something, unless forced. */
export async function checkFree(folder: string, force: boolean): Promise<void> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(folder);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new InputError(
      `${folder}: can't be used (${osReason(error)}); choose another folder with -o`,
    );
  }
  if (!info.isDirectory) {
    throw new InputError(`${folder}: is a file; choose another name for the folder with -o`);
  }
  if (force) return;
  for await (const { name } of Deno.readDir(folder)) {
    throw new InputError(
      `${folder}: holds ${name} already; choose another folder, or --force to write into it`,
    );
  }
}
