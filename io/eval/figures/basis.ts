/** What a result rests on, as digests: results are put together only where these agree. */
import { createHash } from "node:crypto";
import { readError } from "../../system/errors.ts";

/** SHA-256 of each, in hexadecimal. */
export interface Basis {
  /** The recording's media files. */
  recording: string;
  /** Its truth record. */
  truth: string;
  /** The generator that made the recording, with the length that was asked of it; null: the recording
   * came from a folder. */
  generator: string | null;
  checkpoint: string;
  /** Every setting that the answers depend on, defaults included, but for the seed of the noise. */
  settings: string;
  /** The program's own source. */
  program: string;
}

/** What must be the same in all results of a file, and how people call it. */
const shared = {
  checkpoint: "another checkpoint",
  settings: "other settings",
  program: "another version of the program",
  generator: "recordings from elsewhere (a folder, another generator, another length)",
} as const;

export type SharedBasis = Pick<Basis, keyof typeof shared>;

/** What one result was made with that differs from others, in words; null: nothing. */
export function difference(a: SharedBasis, b: SharedBasis): string | null {
  return differencesOf(a, b)[0] ?? null;
}

/** The same of two runs as a whole: every kind of difference. */
export function differencesOf(a: SharedBasis, b: SharedBasis): string[] {
  return Object.entries(shared).flatMap(([key, what]) =>
    a[key as keyof SharedBasis] === b[key as keyof SharedBasis] ? [] : [what]
  );
}

/** Digest of a value as JSON; the order of keys doesn't count. */
export function valueDigest(value: unknown): string {
  const sorted = (_: string, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1))
      : inner;
  return createHash("sha256").update(JSON.stringify(value, sorted)).digest("hex");
}

/** Digest of files, one after the other. @throws InputError when one can't be read. */
export async function fileDigest(...paths: string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) {
    const file = await Deno.open(path).catch((error) => {
      throw readError(path, error);
    });
    for await (const bytes of file.readable) hash.update(bytes);
  }
  return hash.digest("hex");
}

/** Digest of the sources in folders, with their paths: the same for the same program. */
export async function sourceDigest(folders: readonly string[], pattern: RegExp): Promise<string> {
  const digests: [string, string][] = [];
  const walk = async (folder: string, path: string) => {
    for await (const { name, isDirectory } of Deno.readDir(`${folder}/${path}`)) {
      const inside = `${path}/${name}`;
      if (isDirectory) await walk(folder, inside);
      else if (pattern.test(name)) digests.push([inside, await fileDigest(`${folder}/${inside}`)]);
    }
  };
  for (const folder of folders) await walk(folder, "");
  return valueDigest(digests.sort(([a], [b]) => a < b ? -1 : 1));
}
