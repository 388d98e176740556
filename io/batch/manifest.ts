/** What a batch answers: a manifest's lines, or the recordings of a folder or a glob. */
import { glob } from "node:fs/promises";
import { basename, dirname, extname, relative, resolve, sep } from "node:path";
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import { errorText } from "../../engine/config/error_text.ts";
import { modelOptions } from "../cli/model_options.ts";
import { givenOptions, type Option, type Parsed, parseOptions } from "../cli/options.ts";
import type { LayoutItem } from "../layouts/layout.ts";
import { chooseTracks, trackOptions } from "../media/tracks.ts";
import { choosePace, paceOptions } from "../pace/pace_options.ts";
import { readError } from "../system/errors.ts";
import { Ids, idsFor, markerFiles } from "./ids.ts";

/** What an item may ask for: the options of `replay` but for those that say where it writes. */
export const itemOptions = {
  ...trackOptions,
  ...modelOptions,
  ...paceOptions,
} as const satisfies Record<string, Option>;
export type ItemOptions = Partial<Parsed<typeof itemOptions>["options"]>;

/** Options that name files, whose content counts. */
export const fileOptions = ["persona", "voice", "user-text"] as const;
const pathOptions: readonly string[] = [...fileOptions, "model", "tune-cache"];

/** One recording to answer. Its paths begin at the root. */
export interface Item {
  id: string;
  input: string;
  /** Those that are given, by the item or for all. */
  options: ItemOptions;
}

const mostItems = 10_000_000;
const longestLine = 1 << 20;

/**
 * Reads what operands name: a manifest (.jsonl), a folder, a glob, or recordings.
 *
 * @param given Options of all items, which an item's own replace.
 * @param out The batch's folder, in which nothing is looked for.
 * @throws InputError that names the line, when anything in it can't be used.
 */
export async function readItems(
  operands: readonly string[],
  given: ItemOptions,
  out: string,
): Promise<Item[]> {
  const options = checkedOptions(Object.fromEntries(givenOptions(given)), ".");
  const [first, second] = operands;
  if (first === undefined) {
    throw new InputError("batch needs a manifest, a folder or recordings: batch MANIFEST -o DIR");
  }
  const info = await Deno.stat(first).catch((error) => {
    if (error instanceof Deno.errors.NotFound && /[*?[{]/.test(first)) return null;
    throw readError(first, error);
  });
  if (second === undefined && info?.isFile && /\.(jsonl|ndjson)$/i.test(first)) {
    return await readManifest(first, options);
  }
  const lists = info?.isDirectory && second === undefined
    ? [{ folder: first, paths: await recordingsIn(first, resolve(out)) }]
    : [await named(operands)];
  const items = lists.flatMap(({ folder, paths }) => {
    const ids = new Ids();
    return idsFor(paths.map(nameOf)).map((id, i): Item => {
      const path = paths[i] ?? "";
      ids.add(id, path);
      return { id, input: resolve(folder, path), options };
    });
  });
  if (items.length > 0) return items;
  throw new InputError(`${first}: holds no recording (${extensions.join(", ")})`);
}

/** What a benchmark's folder gives. @throws InputError when options can't be used. */
export function itemsOf(found: readonly LayoutItem[], given: ItemOptions): Item[] {
  const options = checkedOptions(Object.fromEntries(givenOptions(given)), ".");
  const ids = new Ids();
  return found.map(({ id, input }): Item => {
    ids.add(id, input);
    return { id, input: resolve(input), options };
  });
}

/** Recordings that are named one by one, or by globs. */
async function named(operands: readonly string[]): Promise<{ folder: string; paths: string[] }> {
  const files: string[] = [];
  for (const operand of operands) {
    const isThere = await Deno.stat(operand).then(() => true, () => false);
    if (isThere || !/[*?[{]/.test(operand)) files.push(operand);
    else for await (const path of glob(operand)) files.push(path);
  }
  const paths = [...new Set(files.map((path) => resolve(path)))].sort();
  const [first = "."] = paths;
  // Names are told apart by what comes after the folder that all have in common.
  let folder = dirname(first);
  while (paths.some((path) => !path.startsWith(folder + (folder.endsWith(sep) ? "" : sep)))) {
    folder = dirname(folder);
  }
  return { folder, paths: paths.map((path) => relative(folder, path)) };
}

/** Reads a manifest: a line an item, `{"id": ..., "input": ..., OPTION: ...}`. @throws InputError */
async function readManifest(path: string, given: ItemOptions): Promise<Item[]> {
  const folder = dirname(path);
  const items: Item[] = [];
  const ids = new Ids();
  const read = new OptionReader(folder, given);
  let number = 0;
  for await (const line of lines(path)) {
    const where = `${path}:${++number}`;
    if (line.trim() === "") continue;
    const item = readItem(line, where, folder, read);
    ids.add(item.id, where);
    if (items.push(item) > mostItems) {
      throw new InputError(`${where}: more than ${mostItems} items: split the manifest`);
    }
  }
  if (items.length > 0) return items;
  throw new InputError(`${path}: holds no item: a line may be {"id": "a", "input": "a.wav"}`);
}

function readItem(line: string, where: string, folder: string, options: OptionReader): Item {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (error) {
    throw new InputError(`${where}: is no JSON (${errorText(error)})`);
  }
  const fields = new Fields(json, where);
  const text = (key: string, may: string) => {
    const value = fields.get(key);
    if (typeof value === "string" && value !== "" && !value.includes("\0")) return value;
    throw fields.error(key, may);
  };
  const id = text("id", "text: the item's name, and its folder's");
  const input = resolve(folder, text("input", "the path of a recording"));
  const { id: _, input: __, ...own } = json as Record<string, unknown>;
  try {
    return { id, input, options: options.of(own) };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`${where}: ${error.message}`);
  }
}

/** Reads items' options. Of a million items many have the same: they are read once and kept once. */
class OptionReader {
  readonly #folder: string;
  readonly #given: ItemOptions;
  readonly #read = new Map<string, ItemOptions>();

  constructor(folder: string, given: ItemOptions) {
    this.#folder = folder;
    this.#given = given;
  }

  /** Those of all items, and an item's own. @throws InputError */
  of(own: Record<string, unknown>): ItemOptions {
    const key = JSON.stringify(own);
    const known = this.#read.get(key);
    if (known) return known;
    const options = { ...this.#given, ...checkedOptions(own, this.#folder) };
    if (this.#read.size < 10_000) this.#read.set(key, options);
    return options;
  }
}

/** Options by name as the command line reads them, paths from the root on. @throws InputError */
function checkedOptions(own: Record<string, unknown>, folder: string): ItemOptions {
  const args = Object.entries(own).map(([name, value]) => {
    if (!/^[a-z-]+$/.test(name) || !["string", "number", "boolean"].includes(typeof value)) {
      throw new InputError(
        `${JSON.stringify(name)} is no option of replay with text, a number, true or false`,
      );
    }
    return `--${name}=${value}`;
  });
  const { options } = parseOptions(
    { name: "batch", summary: "", usage: "", options: itemOptions, examples: [] },
    args,
  );
  choosePace(options);
  chooseTracks(options);
  return Object.fromEntries(
    givenOptions(options).map(([name, value]) => [
      name,
      pathOptions.includes(name) ? resolve(folder, `${value}`) : value,
    ]),
  );
}

/** The lines of a text file. @throws InputError when one is too long, or it isn't UTF-8. */
export async function* lines(path: string): AsyncGenerator<string> {
  const file = await Deno.open(path).catch((error) => {
    throw readError(path, error);
  });
  const tooLong = () => new InputError(`${path}: a line has more than ${longestLine} letters`);
  let rest = "";
  try {
    for await (
      const text of file.readable.pipeThrough(new TextDecoderStream("utf-8", { fatal: true }))
    ) {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      if (rest.length > longestLine) throw tooLong();
      for (const line of parts) {
        if (line.length > longestLine) throw tooLong();
        yield line;
      }
    }
  } catch (error) {
    if (error instanceof TypeError) throw new InputError(`${path}: is not UTF-8: write it so`);
    throw error;
  }
  if (rest !== "") yield rest;
}

const extensions = [
  ...["aac", "aiff", "avi", "flac", "m4a", "m4v", "mkv", "mov", "mp3", "mp4", "mpg", "nut"],
  ...["oga", "ogg", "ogv", "opus", "ts", "wav", "webm", "y4m"],
];
const isMedia = (name: string) => extensions.includes(extname(name).slice(1).toLowerCase());
/** In a conversation's folder, the side that is answered. */
const userSides = [/^user\./, /^input\./];

const answered: readonly string[] = Object.values(markerFiles);

/** What names a recording: its path, or that of its folder where it is the user's side there. */
function nameOf(path: string): string {
  const isUser = userSides.some((side) => side.test(basename(path)));
  const folder = dirname(path);
  // The dot keeps an extension in the folder's own name.
  return isUser && folder !== "." ? `${folder}.` : path;
}

/** Paths of the recordings in a folder and its folders, but for answers of batches. In a folder that holds `user.*` or `input.*`,
 * that is the recording. */
async function recordingsIn(folder: string, out: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (path: string) => {
    const here = resolve(folder, path);
    const entries = await Array.fromAsync(Deno.readDir(here)).catch((error) => {
      throw readError(here, error);
    });
    const names: string[] = [];
    // The folder of an answer, this batch's or another's.
    if (entries.some(({ name }) => answered.includes(name))) return;
    for (const { name, isDirectory, isSymlink } of entries) {
      if (name.startsWith(".")) continue;
      const inside = path === "" ? name : `${path}/${name}`;
      const isFile = !isDirectory &&
        (!isSymlink || (await Deno.stat(`${here}/${name}`).catch(() => null))?.isFile === true);
      if (isFile && isMedia(name)) names.push(name);
      if (isDirectory && resolve(here, name) !== out) await walk(inside);
    }
    // Where there is one with picture and sound, and one with sound alone, it is the first.
    const sorted = names.sort((a, b) =>
      Number(/\.wav$/i.test(a)) - Number(/\.wav$/i.test(b)) || (a < b ? -1 : 1)
    );
    const user = userSides.map((side) => sorted.find((name) => side.test(name)))
      .find((name) => name !== undefined);
    const taken = user === undefined ? names : [user];
    found.push(...taken.map((name) => path === "" ? name : `${path}/${name}`));
  };
  await walk("");
  return found.sort();
}
