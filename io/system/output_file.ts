/**
 * Output files that appear whole or not at all: written under a temporary name in their own folder
 * and renamed at the end.
 */
import { basename, dirname, extname } from "node:path";
import { InputError } from "../../engine/config/errors.ts";

/** Plain letters and digits, so that FFmpeg's filters can name it too; hidden where dots hide. */
function temporaryName(extension: string): string {
  const id = crypto.getRandomValues(new Uint8Array(6)).toHex();
  return `.wanstream-${id}${/^\.[a-z0-9]+$/i.test(extension) ? extension : ""}`;
}

/** All outputs of one run. */
export class Outputs {
  readonly #inputs: string[];
  readonly #force: boolean;
  readonly #claimed: OutputFile[] = [];
  readonly #folders: string[] = [];

  /**
   * @param inputs Files that must not be overwritten.
   * @param force Replace what exists.
   */
  constructor(inputs: string[], force: boolean) {
    this.#inputs = inputs;
    this.#force = force;
  }

  /**
   * Makes sure that a file can be written, before any work is done: creates its folder if it is
   * missing, and its temporary file.
   *
   * @throws InputError when it exists (without force), is an input, is claimed already, or its folder
   * can't be written.
   */
  async claim(path: string): Promise<OutputFile> {
    const folder = dirname(path);
    try {
      await this.#makeFolder(folder);
      await this.#check(path);
      const file = new OutputFile(path, `${folder}/${temporaryName(extname(path))}`);
      (await Deno.open(file.temporary, { write: true, createNew: true })).close();
      this.#claimed.push(file);
      return file;
    } catch (error) {
      if (error instanceof InputError) throw error;
      if (error instanceof Deno.errors.NotCapable) {
        throw new InputError(`${path}: may not be written: run with Deno's --allow-write`);
      }
      const why = error instanceof Error
        ? error.message.replace(/ *\(os error.*/s, "")
        : `${error}`;
      throw new InputError(
        `${path}: its folder can't be written (${why}): choose another, or change its permissions`,
      );
    }
  }

  async #makeFolder(folder: string): Promise<void> {
    let first: string | null = null;
    for (let at = folder; !(await exists(at)); at = dirname(at)) first = at;
    if (first === null) return;
    await Deno.mkdir(folder, { recursive: true });
    this.#folders.push(first);
  }

  async #check(path: string): Promise<void> {
    const info = await exists(path);
    if (info?.isDirectory) throw new InputError(`${path}: is a folder: give a file name in it`);
    const real = await realPath(path);
    for (const input of this.#inputs) {
      if (info && await realPath(input) === real) {
        throw new InputError(`${path}: is an input as well: choose another output`);
      }
    }
    for (const other of this.#claimed) {
      if (await realPath(other.path) === real) {
        throw new InputError(`${path}: is asked for twice: choose different outputs`);
      }
    }
    if (info && !this.#force) {
      throw new InputError(`${path}: exists: add --force to replace it, or choose another output`);
    }
  }

  /** Removes one file that won't be finished. */
  async drop(file: OutputFile): Promise<void> {
    this.#claimed.splice(this.#claimed.indexOf(file), 1);
    await remove(file.temporary);
  }

  /** Gives all files their names. */
  async commit(): Promise<void> {
    for (const file of this.#claimed.splice(0)) await Deno.rename(file.temporary, file.path);
    this.#folders.length = 0;
  }

  /** Removes everything that was begun; nothing after `commit`. */
  async discard(): Promise<void> {
    for (const file of this.#claimed.splice(0)) await remove(file.temporary);
    for (const folder of this.#folders.splice(0)) await removeEmpty(folder);
  }
}

/** A file that doesn't have its name yet. */
export class OutputFile {
  readonly path: string;
  /** Where to write it: a plain name in the same folder. */
  readonly temporary: string;

  constructor(path: string, temporary: string) {
    this.path = path;
    this.temporary = temporary;
  }

  /** Another temporary file beside it, for steps in between; remove it with `remove`. */
  beside(extension: string): string {
    return `${dirname(this.path)}/${temporaryName(extension)}`;
  }
}

/** Removes a file if it is there. */
export async function remove(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Removes folders from the inside out, as long as they hold no file. */
async function removeEmpty(folder: string): Promise<void> {
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.isDirectory) await removeEmpty(`${folder}/${entry.name}`);
    }
    await Deno.remove(folder);
  } catch {
    // Somebody else put something there.
  }
}

async function exists(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** The path without links; of a file that isn't there, its folder's. */
async function realPath(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch {
    return `${await Deno.realPath(dirname(path))}/${basename(path)}`;
  }
}
