/** Paths as scripts give them. */
import { fileURLToPath } from "node:url";
import { InputError } from "../../engine/config/errors.ts";

/** The path of a file or folder that is named by a path or a `file:` URL. @throws InputError */
export function localPath(file: string | URL): string {
  if (!(file instanceof URL) && (typeof file !== "string" || !/^[a-z][a-z+.-]+:\/\//i.test(file))) {
    if (typeof file === "string" && file !== "") return file;
    throw new InputError(`a file is named by a path or a file: URL, not by ${Deno.inspect(file)}`);
  }
  const { protocol, href } = new URL(file);
  if (protocol !== "file:") throw new InputError(`${href}: isn't a local file: download it first`);
  return fileURLToPath(href);
}
