/**
 * Saved sessions on disk. A folder holds any number of them under names: continuations of one
 * another share what they have in common.
 *
 *   NAME.json      what the snapshot says of itself, its blobs by name {sha256, bytes}, and the
 *                  progress of who saved it
 *   blobs/SHA256   a blob, named by its content: one block of history per unit, codec states, ...
 *   lock           held while a session is saved or loaded
 *   NAME.claim     held while a run goes on with the session
 *
 * A save writes the blobs that aren't there, then NAME.json beside its place, and renames it: before
 * that moment the folder holds the old session, after it the new one. Blobs that no session names any
 * more are removed then. Everything is flushed to the disk before it gets its name.
 */
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import { writeAll } from "./bytes.ts";
import { blobDigest, sha256, type Snapshot } from "../../engine/roles/snapshot.ts";
import { ifThere, osReason } from "./errors.ts";

/** A session as it was saved. */
export interface SavedSession {
  snapshot: Snapshot;
  /** What `save` was given: JSON, unchecked. */
  progress: unknown;
}

const formatVersion = 2;
/** Disks flush several files together in little more time than one. */
const writesAtOnce = 16;
const maxManifestBytes = 64 << 20;
/** All blobs together: more than the largest model's history that fits in memory. */
const maxBytes = 64 * 2 ** 30;
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const hashPattern = /^[0-9a-f]{64}$/;
/** Files that a save which was killed left behind. */
const temporaryPattern = /^\.saving-[0-9a-f]{12}$/;

/** The name of a session that was given none. */
export const defaultName = "session";

export class SessionFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * Saves a snapshot under a name, in place of what had it before.
   *
   * @param progress JSON that `load` gives back: where the input and the output stand.
   * @throws InputError when the name or the folder can't be used.
   */
  async save(snapshot: Snapshot, progress: unknown = null, name = defaultName): Promise<void> {
    const manifest = this.#manifest(name);
    try {
      await Deno.mkdir(`${this.path}/blobs`, { recursive: true });
      using _lock = await this.#lock(true);
      const blobs: Record<string, { sha256: string; bytes: number }> = {};
      const all = [...snapshot.blobs];
      for (let at = 0; at < all.length; at += writesAtOnce) {
        await Promise.all(
          all.slice(at, at + writesAtOnce).map(([blob, bytes]) => {
            const digest = blobDigest(bytes);
            blobs[blob] = { sha256: digest, bytes: bytes.length };
            return this.#writeBlob(digest, bytes);
          }),
        );
      }
      await flushFolder(`${this.path}/blobs`);
      const json = { wanstream_session: formatVersion, meta: snapshot.meta, blobs, progress };
      await writeWhole(this.path, manifest, new TextEncoder().encode(JSON.stringify(json)));
      await flushFolder(this.path);
      await this.#sweep();
    } catch (error) {
      if (error instanceof InputError) throw error;
      throw new InputError(
        `${this.path}: the session can't be saved (${
          osReason(error)
        }): choose another folder, or make room`,
      );
    }
  }

  /**
   * Loads a session and checks that it is whole; whether it fits a checkpoint is the engine's to say.
   *
   * @throws InputError when there is none of this name, or it is damaged.
   */
  async load(name = defaultName): Promise<SavedSession> {
    const path = this.#manifest(name);
    if (!(await stat(path))?.isFile) {
      const names = await this.names();
      const wasBegun = await stat(`${this.path}/${name}.claim`) !== null;
      throw new InputError(
        wasBegun
          ? `${this.path}: nothing was saved yet: the run ended before its first save: begin anew ` +
            "with --save-session"
          : names.length > 0
          ? `${this.path}: holds no session '${name}': it may be ${names.join(", ")}`
          : `${this.path}: holds no saved session: give the folder that --save-session or saveSnapshot wrote`,
      );
    }
    using _lock = await this.#lock(false);
    const top = new Fields(await readManifest(path), path);
    if (top.get("wanstream_session") !== formatVersion) {
      throw top.error(
        "wanstream_session",
        `${formatVersion}: load it with the version that saved it`,
      );
    }
    const blobs: Snapshot["blobs"] = new Map();
    const read = new Map<string, Uint8Array<ArrayBuffer>>();
    let total = 0;
    for (const [blob, entry] of entries(top, "blobs")) {
      const { sha256: digest, bytes } = readEntry(entry);
      let content = read.get(digest);
      if (!content) {
        total += bytes;
        if (total > maxBytes) throw entry.error("bytes", `${maxBytes} together with the others`);
        read.set(digest, content = await this.#readBlob(path, digest, bytes));
      }
      blobs.set(blob, content);
    }
    const meta = top.get("meta");
    // The engine checks it field by field.
    return { snapshot: { meta: meta as Snapshot["meta"], blobs }, progress: top.get("progress") };
  }

  /** Whether there is a session of this name. @throws InputError when the name can't be used. */
  async has(name: string): Promise<boolean> {
    return (await stat(this.#manifest(name))) !== null;
  }

  /** What was saved beside a snapshot; null: nothing was, or there is no session of this name. */
  async progress(name: string): Promise<unknown> {
    if (!await this.has(name)) return null;
    const path = this.#manifest(name);
    return new Fields(await readManifest(path), path).get("progress") ?? null;
  }

  /** Lets a name go, if it is there; the next save removes blobs that nobody else has. */
  async forget(name: string): Promise<void> {
    if (!await this.has(name)) return;
    await Deno.remove(this.#manifest(name));
    await flushFolder(this.path);
  }

  /**
   * Makes a name one run's own, until it is disposed of; then nothing is left of a folder in which
   * nothing was saved.
   *
   * @throws InputError when another run has it, or the folder can't be written.
   */
  async claim(name: string): Promise<Disposable> {
    const manifest = this.#manifest(name);
    const path = `${this.path}/${name}.claim`;
    let file: Deno.FsFile;
    try {
      await Deno.mkdir(this.path, { recursive: true });
      file = await Deno.open(path, { write: true, create: true });
    } catch (error) {
      throw new InputError(
        `${this.path}: can't be written (${osReason(error)}): choose another folder`,
      );
    }
    if (!await file.tryLock(true)) {
      file.close();
      throw new InputError(`${manifest}: another run is going on with it: wait for its end`);
    }
    return {
      [Symbol.dispose]: () => {
        try {
          Deno.removeSync(path);
          Deno.removeSync(this.path);
        } catch {
          // Something was saved, or Windows keeps what is open.
        }
        file.close();
      },
    };
  }

  async names(): Promise<string[]> {
    const names: string[] = [];
    for (const file of await list(this.path)) {
      const name = file.replace(/\.json$/, "");
      if (file.endsWith(".json") && namePattern.test(name)) names.push(name);
    }
    return names.sort();
  }

  #manifest(name: string): string {
    if (namePattern.test(name)) return `${this.path}/${name}.json`;
    throw new InputError(
      `session name '${name}': it may have up to 64 letters, digits, '-' and '_'`,
    );
  }

  /** Waits for others that save here; those that only load don't wait for each other. */
  async #lock(exclusive: boolean): Promise<Disposable> {
    const file = await Deno.open(
      `${this.path}/lock`,
      exclusive ? { write: true, create: true } : { read: true },
    ).catch((error) => {
      if (exclusive) throw error;
      return null;
    });
    await file?.lock(exclusive);
    return { [Symbol.dispose]: () => file?.close() };
  }

  async #writeBlob(digest: string, bytes: Uint8Array): Promise<void> {
    const path = `${this.path}/blobs/${digest}`;
    const info = await stat(path);
    if (info?.isFile && info.size === bytes.length) return;
    await writeWhole(`${this.path}/blobs`, path, bytes);
  }

  async #readBlob(
    manifest: string,
    digest: string,
    bytes: number,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const path = `${this.path}/blobs/${digest}`;
    const info = await stat(path);
    // Before anything is allocated: the file itself is that large.
    if (!info?.isFile || info.size !== bytes) {
      const has = info?.isFile ? `has ${info.size} bytes` : "is missing";
      throw new InputError(
        `${path}: ${has}, but ${manifest} says ${bytes} bytes: copy the folder again, or begin anew`,
      );
    }
    const content = await Deno.readFile(path);
    if (content.length !== bytes || sha256(content) !== digest) {
      throw new InputError(
        `${path}: its content isn't what its name says: copy the folder again, or begin anew`,
      );
    }
    return content;
  }

  /** Removes blobs that no session names, and what killed saves left. */
  async #sweep(): Promise<void> {
    const used = new Set<string>();
    for (const name of await this.names()) {
      const path = this.#manifest(name);
      try {
        const top = new Fields(await readManifest(path), path);
        for (const [, entry] of entries(top, "blobs")) used.add(readEntry(entry).sha256);
      } catch {
        // Whoever mends that file may want its blobs.
        return;
      }
    }
    const blobs = `${this.path}/blobs`;
    for (const file of await list(blobs)) {
      const unused = hashPattern.test(file) && !used.has(file);
      if (unused || temporaryPattern.test(file)) await Deno.remove(`${blobs}/${file}`);
    }
    for (const file of await list(this.path)) {
      if (temporaryPattern.test(file)) await Deno.remove(`${this.path}/${file}`);
    }
  }
}

function readEntry(entry: Fields): { sha256: string; bytes: number } {
  const digest = entry.get("sha256");
  if (typeof digest !== "string" || !hashPattern.test(digest)) {
    throw entry.error("sha256", "64 digits from 0 to f");
  }
  return { sha256: digest, bytes: entry.whole("bytes", [0, Number.MAX_SAFE_INTEGER]) };
}

/** The objects in an object. */
function entries(top: Fields, key: string): [string, Fields][] {
  const object = top.object(key);
  return Object.keys(top.get(key) as object).map((name) => [name, object.object(name)]);
}

async function readManifest(path: string): Promise<unknown> {
  const size = (await stat(path))?.size ?? 0;
  if (size > maxManifestBytes) {
    throw new InputError(
      `${path}: has ${size} bytes, a saved session at most ${maxManifestBytes}: give another folder`,
    );
  }
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    throw new InputError(
      `${path}: is no saved session (${osReason(error)}): copy the folder again, or begin anew`,
    );
  }
}

/** Writes a file that is there whole, on disk, or not at all. */
async function writeWhole(folder: string, path: string, bytes: Uint8Array): Promise<void> {
  const id = crypto.getRandomValues(new Uint8Array(6)).toHex();
  const temporary = `${folder}/.saving-${id}`;
  {
    using file = await Deno.open(temporary, { write: true, createNew: true });
    await writeAll(file, bytes);
    await file.sync();
  }
  await Deno.rename(temporary, path);
}

/** Puts the names of a folder on disk, where the system can. */
async function flushFolder(path: string): Promise<void> {
  try {
    using folder = await Deno.open(path);
    await folder.sync();
  } catch {
    // Windows opens no folders.
  }
}

const stat = (path: string) => ifThere(Deno.lstat(path));

/** Names in a folder; none where it isn't there. */
async function list(path: string): Promise<string[]> {
  const entries = await ifThere(Array.fromAsync(Deno.readDir(path)));
  return entries?.map(({ name }) => name) ?? [];
}
