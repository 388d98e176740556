/** Items' names: each is a folder in the batch's folder, on any file system. */
import { InputError } from "../../engine/config/errors.ts";
import { valueText } from "../../engine/config/error_text.ts";

const plain = /^[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}._+=@,() -]*[\p{L}\p{M}\p{N}_+=@,()-])?$/u;
/** Windows gives these names to devices, with any extension. */
const device = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;
/** Files that `merge` writes beside the items. */
export const summaryFiles = { lines: "summary.jsonl", page: "summary.html" } as const;
/** Files that tell of an item's end, in its folder. */
export const markerFiles = { done: "done.json", failed: "error.json" } as const;
const mostBytes = 200;

/** Why a name can't be an item's; null: it can. */
export function whyNoId(id: string): string | null {
  if (new TextEncoder().encode(id).length > mostBytes) return `it has more than ${mostBytes} bytes`;
  if (!plain.test(id)) {
    return "it may have letters, digits and . _ + = @ , ( ) - with spaces between them, and begins " +
      "with a letter, a digit or _";
  }
  if (device.test(id)) return "Windows keeps that name for a device";
  const taken = Object.values(summaryFiles).some((name) => folded(name) === folded(id));
  return taken ? "'batch merge' writes a file of that name" : null;
}

/** The same for names that some file system takes for one another. */
export const folded = (id: string) => id.normalize("NFC").toUpperCase();

/** Names that were met, each where it stands. */
export class Ids {
  readonly #met = new Map<string, string>();

  /** @param where What messages begin with. @throws InputError */
  add(id: string, where: string): void {
    const why = whyNoId(id);
    if (why !== null) {
      throw new InputError(`${where}: the id ${valueText(id)} can't be used: ${why}`);
    }
    const other = this.#met.get(folded(id));
    if (other !== undefined) {
      throw new InputError(
        `${where}: the id ${valueText(id)} is ${other}'s too, or differs from it in case alone: ` +
          "give each item an id of its own",
      );
    }
    this.#met.set(folded(id), where);
  }
}

/** A name for each of some recordings, from their paths in a folder: without extensions, where that
 * tells them apart. */
export function idsFor(paths: readonly string[]): string[] {
  const safe = (path: string) =>
    path.normalize("NFC")
      .replaceAll(/[^\p{L}\p{M}\p{N}._+=@,() -]+/gu, "_")
      .replace(/^[^\p{L}\p{N}_]+/u, "_")
      .replace(/[. ]+$/, "");
  const short = paths.map((path) => safe(path.replace(/\.[^./\\]*$/, "")));
  const counts = Map.groupBy(short, folded);
  return short.map((id, i) =>
    (counts.get(folded(id))?.length ?? 0) > 1 ? safe(paths[i] ?? "") : id
  );
}
