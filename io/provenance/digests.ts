/** What results rest on, as digests (SHA-256 in hexadecimal): values, files, the program's sources. */
import { createHash } from "node:crypto";
import { readError } from "../system/errors.ts";

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
