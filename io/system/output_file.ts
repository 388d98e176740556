/**
 * Output files that appear whole or not at all: written under a temporary name in their own folder
 * and renamed at the end. What is no regular file (a FIFO, a device) can't be replaced so: it gets the
 * bytes at the end, or line by line where a caller asks for that.
 */
import { createHash } from "node:crypto";
import { basename, dirname, extname, join, resolve } from "node:path";
import { InputError } from "../../engine/config/errors.ts";
import { ifThere, isExhausted, osReason, RunError } from "./errors.ts";
import { Lock } from "./lock.ts";

/** Names of files that a run writes before they get their own: hidden, and plain letters and digits, so
 * that FFmpeg's filters can name them too. */
const temporaryPattern = /^\.wanstream-([0-9a-f]{16})(-[0-9a-f]{8})?(\.[A-Za-z0-9]+)?$/;

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
   * missing, and its temporary file, which stays this run's own until it ends.
   *
   * @param live The file is read while it grows: a FIFO or a device then gets what is written at once.
   * @throws InputError when it exists (without force), is an input, is claimed already, here or by
   * another run, or its folder can't be written.
   */
  async claim(path: string, live = false): Promise<OutputFile> {
    try {
      // Where this fails, following the links says why.
      const special = await statOf(path).catch(() => null);
      if (special && !special.isFile && !special.isDirectory) {
        // A pipe of this process, /dev/fd/63, is a link that leads nowhere.
        const target = await Deno.realPath(path).catch(() => path);
        return await this.#claimSpecial(path, target, live);
      }
      const target = await followLinks(path);
      const info = await statOf(target);
      await this.#makeFolder(dirname(target));
      await this.#check(path, target, info);
      const lock = await takeLock(target);
      if (lock === null) {
        throw new InputError(
          `${path}: another run is writing it: wait for its end, or choose another output`,
        );
      }
      const file = new OutputFile(path, target, lock, info?.mode ?? null);
      this.#claimed.push(file);
      await Deno.writeFile(file.temporary, new Uint8Array());
      return file;
    } catch (error) {
      if (error instanceof InputError || isExhausted(error)) throw error;
      const what = error instanceof Deno.errors.NotCapable ? "it" : "its folder";
      throw new InputError(
        `${path}: ${what} can't be written (${
          osReason(error)
        }): choose another, or change its permissions`,
      );
    }
  }

  async #claimSpecial(path: string, target: string, live: boolean): Promise<OutputFile> {
    if (this.#claimed.some((other) => other.target === target)) throw askedForTwice(path);
    const folder = live ? null : await Deno.makeTempDir({ prefix: "wanstream-" });
    const file = new OutputFile(path, target, folder, null);
    this.#claimed.push(file);
    if (folder !== null) await Deno.writeFile(file.temporary, new Uint8Array());
    return file;
  }

  async #makeFolder(folder: string): Promise<void> {
    let first: string | null = null;
    for (let at = folder; !(await statOf(at)); at = dirname(at)) first = at;
    if (first === null) return;
    await Deno.mkdir(folder, { recursive: true });
    this.#folders.push(first);
  }

  async #check(path: string, target: string, info: Deno.FileInfo | null): Promise<void> {
    if (info?.isDirectory) throw new InputError(`${path}: is a folder: give a file name in it`);
    const real = await realPath(target);
    for (const input of this.#inputs) {
      if (info && await realPath(input).catch(() => null) === real) {
        throw new InputError(`${path}: is an input as well: choose another output`);
      }
    }
    for (const other of this.#claimed) {
      if (await realPath(other.target) === real) throw askedForTwice(path);
    }
    if (info && !this.#force) throw alreadyThere(path);
  }

  /** Removes one file that won't be finished. */
  async drop(file: OutputFile): Promise<void> {
    this.#claimed.splice(this.#claimed.indexOf(file), 1);
    await file.discard();
  }

  /**
   * Gives all files their names. Each is tried; those that fail keep what was written beside their
   * place.
   *
   * @throws RunError (exit code 3) that names the first file that can't be put in its place.
   */
  async commit(): Promise<void> {
    const failed: unknown[] = [];
    for (const file of this.#claimed.splice(0)) {
      try {
        await file.commit(this.#force);
      } catch (error) {
        failed.push(error);
      }
    }
    this.#folders.length = 0;
    if (failed.length > 0) throw failed[0];
  }

  /** Removes everything that was begun; nothing after `commit`. */
  async discard(): Promise<void> {
    for (const file of this.#claimed.splice(0)) await file.discard();
    for (const folder of this.#folders.splice(0)) await removeEmpty(folder);
  }
}

/** A file that doesn't have its name yet. */
export class OutputFile {
  /** As it was asked for. */
  readonly path: string;
  /** The file itself: where links lead. */
  readonly target: string;
  /** Where to write it: a plain name in the same folder; a FIFO or device that is written live itself. */
  readonly temporary: string;
  readonly #place: Lock | string | null;
  readonly #mode: number | null;

  /**
   * @param place The lock beside a regular file; for a FIFO or a device the folder that holds its
   * content until the end, or null when it is written at once.
   * @param mode The mode of the regular file that it replaces.
   */
  constructor(path: string, target: string, place: Lock | string | null, mode: number | null) {
    this.path = path;
    this.target = target;
    this.#place = place;
    this.#mode = mode;
    if (place instanceof Lock) this.temporary = `${place.stem}${plainExtension(path)}`;
    else this.temporary = place === null ? target : join(place, `output${plainExtension(path)}`);
  }

  /** Another temporary file beside it, for steps in between; remove it with `remove`. */
  beside(extension: string): string {
    const id = crypto.getRandomValues(new Uint8Array(4)).toHex();
    const stem = this.#place instanceof Lock ? this.#place.stem : join(this.#place ?? ".", "step");
    return `${stem}-${id}${plainExtension(`x${extension}`)}`;
  }

  /** Puts the file in its place, with the mode of what it replaces. @throws RunError */
  async commit(force: boolean): Promise<void> {
    const place = this.#place;
    try {
      if (place instanceof Lock) {
        if (this.#mode !== null) {
          await Deno.chmod(this.temporary, this.#mode & 0o7777).catch(() => {});
        }
        if (!force && await statOf(this.target)) throw alreadyThere(this.path);
        await Deno.rename(this.temporary, this.target);
        await place.release();
      } else if (place !== null) {
        using from = await Deno.open(this.temporary);
        using to = await Deno.open(this.target, { write: true });
        await from.readable.pipeTo(to.writable);
        await Deno.remove(place, { recursive: true });
      }
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) return;
      const why = error instanceof InputError
        ? "another run has written it meanwhile"
        : osReason(error);
      throw new RunError(
        `${this.path}: can't be written (${why}): it is in ${await this.#keep()}`,
        3,
      );
    }
  }

  /** Saves what was written from being taken for a leftover. @returns Where it is. */
  async #keep(): Promise<string> {
    if (!(this.#place instanceof Lock)) return this.temporary;
    const id = crypto.getRandomValues(new Uint8Array(4)).toHex();
    const kept = `${this.target}.${id}${plainExtension(this.path)}`;
    try {
      await Deno.rename(this.temporary, kept);
      await this.#place.release();
      return kept;
    } catch {
      return this.temporary;
    }
  }

  async discard(): Promise<void> {
    const place = this.#place;
    if (place instanceof Lock) {
      await remove(this.temporary);
      await place.release();
    } else if (place !== null) await Deno.remove(place, { recursive: true }).catch(() => {});
  }
}

/** The lock for a target, once what killed runs left beside it is gone; null while another run has
 * the target. Runs do this in turn, because one that removes holds other targets' locks for a moment. */
async function takeLock(target: string): Promise<Lock | null> {
  const folder = dirname(target);
  const turn = await Lock.take(join(folder, `.wanstream-${turnStem}`), true);
  try {
    await removeLeftovers(folder);
    const name = createHash("sha256").update(basename(target)).digest("hex").slice(0, 16);
    return await Lock.take(join(folder, `.wanstream-${name}`));
  } finally {
    await turn?.release();
  }
}

/** The lock of the run whose turn it is in a folder. */
const turnStem = "0".repeat(16);

/** Removes what killed runs left in a folder: temporary files whose lock no running process holds. */
async function removeLeftovers(folder: string): Promise<void> {
  const stems = new Map<string, string[]>();
  for await (const { name, isFile } of Deno.readDir(folder)) {
    const stem = temporaryPattern.exec(name)?.[1];
    if (!isFile || stem === undefined || stem === turnStem) continue;
    stems.set(stem, [...stems.get(stem) ?? [], name]);
  }
  for (const [stem, names] of stems) {
    const lock = await Lock.take(join(folder, `.wanstream-${stem}`)).catch(() => null);
    if (lock === null) continue;
    for (const name of lock.excludes ? names : []) {
      if (!name.endsWith(".lock")) await remove(join(folder, name));
    }
    await lock.release();
  }
}

/**
 * Writes a file whole, as an output of one file: a link's target is replaced and keeps its mode, a
 * FIFO or a device gets the bytes.
 *
 * @throws InputError when it can't be written before, RunError when it can't be written now.
 */
export async function writeOutput(path: string, content: string): Promise<void> {
  const outputs = new Outputs([], true);
  try {
    const file = await outputs.claim(path);
    await Deno.writeTextFile(file.temporary, content);
    await outputs.commit();
  } finally {
    await outputs.discard();
  }
}

const alreadyThere = (path: string) =>
  new InputError(`${path}: exists: add --force to replace it, or choose another output`);

const askedForTwice = (path: string) =>
  new InputError(`${path}: is asked for twice: choose different outputs`);

/** A file's extension where it is plain letters and digits, else nothing. */
function plainExtension(path: string): string {
  const extension = extname(path);
  return /^\.[a-z0-9]+$/i.test(extension) && extension !== ".lock" ? extension : "";
}

/** Removes a file if it is there. */
export async function remove(path: string): Promise<void> {
  await ifThere(Deno.remove(path));
}

/** Removes folders from the inside out, as long as they hold no file. */
async function removeEmpty(folder: string): Promise<void> {
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.isDirectory) await removeEmpty(`${folder}/${entry.name}`);
    }
    await Deno.remove(folder);
  } catch {
    // Another program put something there.
  }
}

/** Where a path leads: through links, also those whose target isn't there yet. */
async function followLinks(path: string): Promise<string> {
  let at = path;
  for (let links = 0; links < 40; links++) {
    const info = await ifThere(Deno.lstat(at));
    if (!info?.isSymlink) return at;
    at = resolve(dirname(at), await Deno.readLink(at));
  }
  throw new InputError(`${path}: leads from link to link without end: choose another output`);
}

const statOf = (path: string) => ifThere(Deno.stat(path));

/** The path without links; of a file that isn't there, its folder's. */
async function realPath(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch {
    return `${await Deno.realPath(dirname(path))}/${basename(path)}`;
  }
}
