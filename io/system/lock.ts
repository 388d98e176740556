/** Locks that last no longer than the process that holds them. */
import { ifThere } from "./errors.ts";

/**
 * The claim of one run on the files that begin with `stem`: a lock file that the operating system
 * frees when the process ends, however it ends.
 */
export class Lock {
  readonly stem: string;
  /** False: the file system has no locks, and others may hold this one too. */
  readonly excludes: boolean;
  readonly #path: string;
  readonly #file: Deno.FsFile;

  private constructor(stem: string, path: string, file: Deno.FsFile, excludes: boolean) {
    this.stem = stem;
    this.excludes = excludes;
    this.#path = path;
    this.#file = file;
  }

  /** The lock for all files that begin with `stem`; null while another run has it, unless it waits. */
  static async take(stem: string, waits = false): Promise<Lock | null> {
    for (;;) {
      const path = `${stem}.lock`;
      const file = await Deno.open(path, { write: true, create: true });
      try {
        if (waits) await file.lock(true);
        else if (!await file.tryLock(true)) {
          file.close();
          return null;
        }
      } catch (error) {
        if (hasLocks(error)) throw error;
        return new Lock(stem, path, file, false);
      }
      // Another run may have removed the file between these two calls: then the lock holds nothing.
      const [held, named] = [await file.stat(), await ifThere(Deno.stat(path))];
      if (named && held.ino === named.ino) return new Lock(stem, path, file, true);
      file.close();
    }
  }

  async release(): Promise<void> {
    await Deno.remove(this.#path).catch(() => {});
    this.#file.close();
  }
}

/** False for the errors of file systems without locks: none left, not implemented, not supported. */
function hasLocks(error: unknown): boolean {
  return !(error instanceof Error && /\(os error (37|38|95|524)\)/.test(error.message));
}
