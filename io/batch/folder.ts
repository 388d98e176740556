/**
 * A batch's folder, which any number of processes write into at once:
 *
 *   ID/                     an item's result, which appears whole and is replaced whole
 *   .wanstream/items.jsonl  a header and the items, for `status` and `merge`
 *   .wanstream/ID.lock      held while a process works on the item
 *   .wanstream/ID~RANDOM/   what a process has of an item's result so far
 *
 * Where a file system has no locks, two processes may answer the same item; their results are the same,
 * and one of them replaces the other.
 */
import { createHash } from "node:crypto";
import { Fields } from "../../engine/config/config_fields.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { InputError } from "../../engine/config/errors.ts";
import { ifThere, isOsError, osReason, RunError } from "../system/errors.ts";
import { Lock } from "../system/lock.ts";
import { whyNoId } from "./ids.ts";
import { readResult, type Result } from "./results.ts";
import { type Item, type ItemOptions, lines } from "./manifest.ts";

/** What is written for all items alike. */
export interface Form {
  /** Extension of the response, e.g. ".mkv". */
  format: string;
  /** Name of the layout that is written as well; null: none. */
  layout: string | null;
}

/** The items of a batch as its folder lists them. */
export interface ItemList extends Form {
  /** Into how many the items were divided when it was run last. */
  shards: number;
  items: Item[];
}

const listSchema = "wanstream/batch-items/1";

/** Names of what an item's folder may hold; a folder with others isn't ours to replace. */
const ownNames = /^(response\.\w+|events\.jsonl|done\.json|error\.json)$/;

/** An item that this process works on. */
export interface Claim {
  /** An empty folder to write into. */
  attempt: string;
  /** Puts what the folder holds in the item's place. */
  place(): Promise<void>;
  /** Lets the item go, and removes what wasn't placed. */
  release(): Promise<void>;
}

export class BatchFolder {
  readonly path: string;
  readonly #work: string;

  constructor(path: string) {
    this.path = path;
    this.#work = `${path}/.wanstream`;
  }

  /** Where an item's result lies. */
  of(id: string): string {
    return `${this.path}/${id}`;
  }

  /** What an item's folder says; null: nothing. */
  result(id: string): Promise<Result | null> {
    return readResult(this.of(id));
  }

  /**
   * Makes the folder, and notes the items in it where it doesn't list the same already.
   *
   * @throws InputError when it can't be written.
   */
  async note({ items, ...form }: ItemList): Promise<void> {
    const header = { schema: listSchema, ...form, count: items.length, digest: listDigest(items) };
    const first = `${JSON.stringify(header)}\n`;
    const isNoted = async () => await firstLine(this.#listPath) === first;
    try {
      await Deno.mkdir(this.#work, { recursive: true });
      if (await isNoted()) return;
      const lock = await Lock.take(`${this.#work}/~items`, true);
      try {
        if (await isNoted()) return;
        const temporary = `${this.#work}/~items${random()}`;
        {
          using file = await Deno.open(temporary, { write: true, createNew: true });
          const writer = file.writable.getWriter();
          const encoder = new TextEncoder();
          await writer.write(encoder.encode(first));
          for (let at = 0; at < items.length; at += 1000) {
            const lines = items.slice(at, at + 1000).map((item) => `${JSON.stringify(item)}\n`);
            await writer.write(encoder.encode(lines.join("")));
          }
          await writer.close();
        }
        await Deno.rename(temporary, this.#listPath);
      } finally {
        await lock?.release();
      }
    } catch (error) {
      throw new InputError(
        `${this.path}: can't be written (${osReason(error)}): choose another folder`,
      );
    }
  }

  get #listPath(): string {
    return `${this.#work}/items.jsonl`;
  }

  /** The items as they were noted last. @throws InputError when the folder is no batch's. */
  async list(): Promise<ItemList> {
    const path = this.#listPath;
    if (await ifThere(Deno.stat(path)) === null) {
      throw new InputError(`${this.path}: is no batch's folder: give the one after -o of 'batch'`);
    }
    try {
      const read = lines(path);
      const { value: first = "" } = await read.next();
      const header = new Fields(JSON.parse(first), path);
      header.oneOf("schema", [listSchema]);
      const shards = header.whole("shards", [1, 1e6]);
      const items: Item[] = [];
      for await (const line of read) {
        const { id, input, options } = JSON.parse(line);
        const why = whyNoId(`${id}`);
        if (why !== null) throw new SyntaxError(`${valueText(id)}: ${why}`);
        items.push({ id: `${id}`, input: `${input}`, options: options as ItemOptions });
      }
      header.whole("count", [items.length, items.length]);
      const [format, layout] = ["format", "layout"].map((key) => header.get(key));
      return {
        shards,
        items,
        format: `${format}`,
        layout: typeof layout === "string" ? layout : null,
      };
    } catch (error) {
      if (!(error instanceof InputError || error instanceof SyntaxError)) throw error;
      throw new InputError(`${path}: is damaged (${error.message}): run 'batch' once more`);
    }
  }

  /** Folders that belong to no item. */
  async extra(items: readonly Item[]): Promise<string[]> {
    const ids = new Set(items.map(({ id }) => id));
    const found: string[] = [];
    for await (const { name, isDirectory } of Deno.readDir(this.path)) {
      if (isDirectory && !name.startsWith(".") && !ids.has(name)) found.push(name);
    }
    return found.sort();
  }

  /** Makes an item this process's own; null: another process works on it. */
  async claim(id: string): Promise<Claim | null> {
    const lock = await Lock.take(`${this.#work}/${id}`);
    if (lock === null) return null;
    if (lock.excludes) await this.#removeLeftovers(id);
    const attempt = `${this.#work}/${id}~${random()}`;
    const remove = (path: string) => ifThere(Deno.remove(path, { recursive: true }));
    await Deno.mkdir(attempt);
    return {
      attempt,
      place: () => this.#place(attempt, id),
      release: async () => {
        await remove(attempt).catch(() => {});
        await lock.release();
      },
    };
  }

  /** Removes what a killed process left of an item that is settled, unless another one works on it. */
  async tidy(id: string): Promise<void> {
    if (await ifThere(Deno.stat(`${this.#work}/${id}.lock`))) {
      await (await this.claim(id))?.release();
    }
  }

  /** What killed processes left of an item. */
  async #removeLeftovers(id: string): Promise<void> {
    for await (const { name } of Deno.readDir(this.#work)) {
      const isLeft = name.startsWith(`${id}~`) && /^[0-9a-f]{16}$/.test(name.slice(id.length + 1));
      if (isLeft) await ifThere(Deno.remove(`${this.#work}/${name}`, { recursive: true }));
    }
  }

  /**
   * Gives a whole result its name, in place of an older one.
   *
   * @throws RunError when the name is taken by what no batch wrote.
   */
  async #place(attempt: string, id: string): Promise<void> {
    const place = this.of(id);
    for (let tries = 0;; tries++) {
      await this.checkOwn(id);
      const old = await ifThere(Deno.lstat(place));
      if (old) {
        const aside = `${this.#work}/${id}~${random()}`;
        await ifThere(Deno.rename(place, aside));
        await ifThere(Deno.remove(aside, { recursive: true }));
      }
      try {
        await Deno.rename(attempt, place);
        return;
      } catch (error) {
        // Another process has put its result there meanwhile.
        if (tries >= 20 || !isOsError(error)) throw error;
      }
    }
  }

  /** @throws RunError when an item's place holds what no batch wrote. */
  async checkOwn(id: string): Promise<void> {
    const place = this.of(id);
    const info = await ifThere(Deno.lstat(place));
    if (info === null) return;
    // Another process may move it away meanwhile.
    const names = info.isDirectory
      ? (await ifThere(Array.fromAsync(Deno.readDir(place))) ?? []).map(({ name }) => name)
      : [id];
    const other = info.isDirectory ? names.find((name) => !ownNames.test(name)) : id;
    if (other === undefined) return;
    throw new RunError(
      `${place}: holds ${other}, which no batch wrote: move it away, or choose another folder by -o`,
    );
  }
}

/** Digest of a list, a line at a time: as one text, millions of items would be too long. */
function listDigest(items: readonly Item[]): string {
  const hash = createHash("sha256");
  for (const item of items) hash.update(`${JSON.stringify(item)}\n`);
  return hash.digest("hex");
}

/** Sixteen letters that no other attempt has. */
const random = () => crypto.getRandomValues(new Uint8Array(8)).toHex();

/** The first line of a file with its end; null: there is none. */
async function firstLine(path: string): Promise<string | null> {
  const file = await ifThere(Deno.open(path));
  if (file === null) return null;
  using _ = file;
  const piece = new Uint8Array(4096);
  const length = await file.read(piece) ?? 0;
  const text = new TextDecoder().decode(piece.subarray(0, length));
  const end = text.indexOf("\n");
  return end < 0 ? null : text.slice(0, end + 1);
}
