/**
 * The weights of a folder, or of one safetensors file: headers checked, bytes read piecewise.
 */
import { createHash } from "node:crypto";
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";
import {
  exists,
  fileSize,
  isFile,
  openFile,
  readFully,
  readJson,
  refuseOthers,
  refuseOthersIn,
} from "./files.ts";
import { type FileDtype, headerLength, parseHeader } from "./safetensors.ts";

/** Names of weights in one file, transformers' and diffusers'; with `.index.json`, of their shards' index. */
const singles = ["model.safetensors", "diffusion_pytorch_model.safetensors"];

const chunkBytes = 4 << 20;

/** A tensor without its bytes; `length` counts them. */
export interface TensorHeader {
  dtype: FileDtype;
  shape: readonly number[];
  length: number;
}

/** Where a tensor lies: `begin` counts bytes from the start of its file. */
export interface WeightEntry extends TensorHeader {
  /** Its dtype as the header has it. Whoever uses `dtype` has checked that it is one of `FileDtype`. */
  stored: string;
  begin: number;
  file: Deno.FsFile;
  path: string;
}

/** The open weight files of a folder. */
export class WeightFiles {
  /** What the headers list, by their names; after `keep`, by ours. */
  entries: ReadonlyMap<string, WeightEntry> = new Map();
  /** What the headers list, whatever is kept. */
  all: ReadonlyMap<string, WeightEntry> = new Map();
  /** The files' paths and their headers, as JSON text. */
  readonly headers = new Map<string, string>();
  #files: Deno.FsFile[] = [];

  /** @param path A folder, or one safetensors file. @throws InputError */
  static async open(path: string): Promise<WeightFiles> {
    const weights = new WeightFiles();
    try {
      await weights.#open(path);
      return weights;
    } catch (error) {
      weights.close();
      throw error;
    }
  }

  async #open(path: string): Promise<void> {
    const found = new Map<string, WeightEntry>();
    const { files, index } = await shards(path);
    for (const [path, names] of files) {
      for (const [name, entry] of await this.#openFile(path)) {
        const other = found.get(name);
        if (other) {
          throw new InputError(
            `${path}: tensor ${valueText(name)} is in ${other.path} too; one shard may hold it`,
          );
        }
        found.set(name, entry);
      }
      const lost = names.find((name) => found.get(name)?.path !== path);
      if (lost !== undefined) {
        throw new InputError(
          `${path}: tensor ${valueText(lost)} is missing, though ${index} places it there; ` +
            `download the folder again`,
        );
      }
    }
    this.entries = this.all = found;
  }

  async #openFile(path: string): Promise<[string, WeightEntry][]> {
    const size = await fileSize(path);
    const file = await openFile(path);
    this.#files.push(file);
    const prefix = new Uint8Array(8);
    if (size >= 8) await readFully(file, 0, prefix, path);
    refuseOthers(String.fromCharCode(...prefix), path);
    const header = new Uint8Array(headerLength(prefix, size, path));
    await readFully(file, 8, header, path);
    const entries = parseHeader(header, size, path);
    this.headers.set(path, new TextDecoder().decode(header));
    return [...entries].map(([name, { dtype, shape, begin, end }]) => [
      name,
      { stored: dtype, dtype: dtype as FileDtype, shape, begin, length: end - begin, file, path },
    ]);
  }

  /** The file that a message names: the only one, or the folder. */
  get where(): string {
    const [first = "", ...more] = this.headers.keys();
    return more.length === 0 ? first : first.replace(/\/[^/]*$/, "");
  }

  /** Where a tensor lies. @throws RangeError when it isn't listed. */
  entry(name: string): WeightEntry {
    const entry = this.entries.get(name);
    if (!entry) throw new RangeError(`no tensor ${valueText(name)}`);
    return entry;
  }

  /** Lists these tensors only, in this order and by these names. */
  keep(entries: ReadonlyMap<string, WeightEntry>): this {
    this.entries = entries;
    return this;
  }

  /**
   * Fills `into` with a tensor's bytes from byte `offset` of it on.
   *
   * @throws InputError when the file ends early; RangeError when the tensor does.
   */
  async read(name: string, offset: number, into: Uint8Array): Promise<void> {
    const entry = this.entry(name);
    if (offset + into.length > entry.length) {
      throw new RangeError(`tensor ${valueText(name)} has no bytes ${offset}..+${into.length}`);
    }
    await readFully(entry.file, entry.begin + offset, into, entry.path);
  }

  /** SHA-256 (hex) over the tensors' names, types, shapes and bytes, however they are sharded. */
  async digest(): Promise<string> {
    const hash = createHash("sha256");
    for (const name of [...this.entries.keys()].sort()) {
      const { stored, shape } = this.entry(name);
      hash.update(`${JSON.stringify([name, stored, shape])}\n`);
      for await (const chunk of this.chunks(name)) hash.update(chunk);
    }
    return hash.digest("hex");
  }

  /** A tensor's bytes, in pieces. @throws InputError when the file ends early. */
  async *chunks(
    name: string,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const { length } = this.entry(name);
    for (let at = 0; at < length; at += chunkBytes) {
      const chunk = new Uint8Array(Math.min(chunkBytes, length - at));
      await this.read(name, at, chunk);
      yield chunk;
    }
  }

  close(): void {
    for (const file of this.#files.splice(0)) file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The paths of the weight files, each with the tensors that the index `file` places in it; a single
 * file needs no index and has an empty list. */
async function shards(path: string): Promise<{ files: Map<string, string[]>; index: string }> {
  if (await isFile(path) || !await exists(path)) return { files: new Map([[path, []]]), index: "" };
  for (const single of singles) {
    const file = `${path}/${single}`;
    if (await exists(file)) return { files: new Map([[file, []]]), index: "" };
    if (await exists(`${file}.index.json`)) {
      return { files: await indexed(path, `${file}.index.json`), index: `${single}.index.json` };
    }
  }
  await refuseOthersIn(path);
  throw new InputError(
    `${path}: holds neither ${singles[0]} nor ${singles[0]}.index.json; give the folder of a ` +
      `checkpoint, or make one with 'init'`,
  );
}

/** True for a plain file name: what a file lists must not name others outside of its folder. */
export const isPlainShard = (name: string) =>
  /^[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors$/.test(name);

async function indexed(folder: string, file: string): Promise<Map<string, string[]>> {
  const json = await readJson(file, 16 << 20);
  const map = (json as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new InputError(
      `${file}: weight_map is ${valueText(map)}; it must be an object of tensor name to file name`,
    );
  }
  const files = new Map<string, string[]>();
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || !isPlainShard(shard)) {
      throw new InputError(
        `${file}: tensor ${valueText(name)} lies in ${
          valueText(shard)
        }; it may be a plain file name ` +
          `that ends in .safetensors, in the same folder`,
      );
    }
    const names = files.get(`${folder}/${shard}`);
    if (names) names.push(name);
    else files.set(`${folder}/${shard}`, [name]);
    if (files.size > 1000) {
      throw new InputError(`${file}: lists more than 1000 shards; merge them into fewer files`);
    }
  }
  if (files.size > 0) return files;
  throw new InputError(`${file}: weight_map is {}; it must name the file of each tensor`);
}
