/** The program's name and version, as headers and reports give them. */
import { isExhausted, osReason, RunError } from "./errors.ts";
import config from "../../deno.json" with { type: "json" };

export const { version } = config;

export const program = `wanstream ${version}`;

/** Files and pipes that a run opens at once, its Workers', FFmpegs' and saved blobs' too, and more. */
const mostFiles = 64;

/**
 * Makes sure that the system lets this process open the files that a run needs: a Worker or FFmpeg that
 * can't be started would end it in the middle.
 *
 * @throws RunError (exit code 3)
 */
export function checkFileLimit(): void {
  const open: Deno.FsFile[] = [];
  try {
    while (open.length < mostFiles) open.push(Deno.openSync(new URL(import.meta.url)));
  } catch (error) {
    if (!isExhausted(error)) return;
    throw new RunError(
      `the system lets this program open ${open.length} files more (${
        osReason(error)
      }), a run may ` +
        `need ${mostFiles}: raise the limit, 'ulimit -n 1024'`,
      3,
    );
  } finally {
    for (const file of open) file.close();
  }
}
