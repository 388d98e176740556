/** How far a batch is, from its folder alone: what is missing, failed or twice there. */
import { valueDigest } from "../provenance/digests.ts";
import type { BatchFolder, ItemList } from "./folder.ts";
import type { Item } from "./manifest.ts";
import type { Result } from "./results.ts";
import { arrayExpression } from "./shards.ts";

/** What an item's folder tells. `stale`: its result is of other options; it is missing. */
export type ItemState = "done" | "bad input" | "failed" | "missing" | "stale";

export interface Placed {
  item: Item;
  state: ItemState;
  /** Null: there is none, or it is of other options. */
  result: Result | null;
}

export interface Status extends Omit<ItemList, "items"> {
  items: number;
  counts: Record<ItemState, number>;
  /** Done, of a recording that breaks off. */
  cutOff: string[];
  badInput: { id: string; message: string }[];
  failed: { id: string; message: string }[];
  /** Those without a result, or with one of other options. */
  missing: string[];
  /** Items with the same recording, options and model: each list is one answer. */
  duplicates: string[][];
  /** Folders of no item. */
  extra: string[];
  /** The shards that have to be run again, e.g. "0,3-5". */
  array: string;
}

/** Exit codes of `batch`: all done; a rerun may mend it; all done but bad inputs. */
export const exitCodes = { done: 0, again: 1, badInput: 4 } as const;

/** The exit code that counts stand for. */
export function exitCodeOf(again: number, badInputs: number): number {
  return again > 0 ? exitCodes.again : badInputs > 0 ? exitCodes.badInput : exitCodes.done;
}

/** Where each item stands, in the items' order. */
export async function* placed(folder: BatchFolder, items: readonly Item[]): AsyncGenerator<Placed> {
  // Small reads from a far file system: many at once.
  const many = 64;
  for (let at = 0; at < items.length; at += many) {
    yield* await Promise.all(
      items.slice(at, at + many).map(async (item): Promise<Placed> => {
        const result = await folder.result(item.id);
        if (result === null) return { item, state: "missing", result };
        const isOther = valueDigest(result.options) !== valueDigest(item.options) ||
          result.input.path !== item.input;
        if (isOther) return { item, state: "stale", result: null };
        if (result.state === "done") return { item, state: "done", result };
        return { item, state: result.kind === "input" ? "bad input" : "failed", result };
      }),
    );
  }
}

/** Sums up where all items stand. @param each Called with each. @throws InputError */
export async function statusOf(
  folder: BatchFolder,
  each: (one: Placed) => void = () => {},
): Promise<Status> {
  const { items, ...form } = await folder.list();
  const counts = { done: 0, "bad input": 0, failed: 0, missing: 0, stale: 0 };
  const status: Omit<Status, "array" | "duplicates" | "extra"> = {
    ...{ ...form, items: items.length, counts },
    ...{ cutOff: [], badInput: [], failed: [], missing: [] },
  };
  const again: number[] = [];
  const answers = new Map<string, string[]>();
  let place = 0;
  for await (const one of placed(folder, items)) {
    const { item: { id }, state, result } = one;
    counts[state]++;
    if (state !== "done" && state !== "bad input") again.push(place % form.shards);
    if (state === "missing" || state === "stale") status.missing.push(id);
    if (result?.state === "failed") {
      const list = result.kind === "input" ? status.badInput : status.failed;
      list.push({ id, message: result.message });
    }
    if (result?.state === "done") {
      if (result.ended === "cut off") status.cutOff.push(id);
      const same = answers.get(result.digest);
      if (same) same.push(id);
      else answers.set(result.digest, [id]);
    }
    each(one);
    place++;
  }
  return {
    ...status,
    duplicates: [...answers.values()].filter((ids) => ids.length > 1),
    extra: await folder.extra(items),
    array: arrayExpression(again),
  };
}

const mostNamed = 20;

/** Some of many names in a line. */
function named(names: readonly string[]): string {
  const more = names.length - mostNamed;
  return names.slice(0, mostNamed).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** The status in lines for people. */
export function statusText(status: Status): string {
  const { items, counts, cutOff, badInput, failed, missing, duplicates, extra, shards, array } =
    status;
  const lines = [`${counts.done} of ${items} items are done`];
  const add = (what: string, names: readonly string[]) => {
    if (names.length > 0) lines.push(`${what} (${names.length}): ${named(names)}`);
  };
  add("their recordings break off", cutOff);
  for (const [what, list] of [["bad input", badInput], ["failed", failed]] as const) {
    for (const { id, message } of list.slice(0, mostNamed)) {
      lines.push(`${what}: ${id}: ${message}`);
    }
    if (list.length > mostNamed) lines.push(`${what}: ${list.length - mostNamed} more`);
  }
  add("missing", missing);
  add("the same recording with the same options", duplicates.map((ids) => ids.join(" = ")));
  add("folders of no item", extra);
  if (array !== "") lines.push(`to run again, of ${shards} shards: --array=${array}`);
  return `${lines.join("\n")}\n`;
}
