/** Paths as scripts give them. */
import { fileURLToPath } from "node:url";
import { errorText, valueText } from "./error_text.ts";
import { InputError } from "./errors.ts";

/**
 * The path of a file or folder that is named by a path, or by a `file:` URL, as text too.
 *
 * @param what What messages call it. @throws InputError
 */
export function localPath(file: string | URL, what = "a file"): string {
  const isUrl = file instanceof URL ||
    (typeof file === "string" && /^[a-z][a-z+.-]+:\//i.test(file));
  if (!isUrl) {
    if (typeof file === "string" && file !== "") return file;
    throw new InputError(`${what} is ${valueText(file)}; it may be a path or a file: URL`);
  }
  const url = URL.parse(file);
  try {
    if (url?.protocol === "file:") return fileURLToPath(url.href);
  } catch (error) {
    // Another machine's, or not percent-encoded.
    throw new InputError(`${what} is ${url}: ${errorText(error)}: give its path`);
  }
  throw new InputError(`${what} is ${file}, which isn't on this machine: download it first`);
}
