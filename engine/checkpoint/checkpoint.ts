/**
 * Opens a checkpoint: `config.json`, `tokenizer.json`, and the weights in `model.safetensors` or in
 * shards that `model.safetensors.index.json` lists. No other file of the engine reads from disk.
 *
 * Sizes are checked against the config and the files before anything is allocated.
 */
import { createHash, type Hash } from "node:crypto";
import { canonicalJson } from "../config/canonical_json.ts";
import type { BackboneConfig, ModelConfig } from "../config/config.ts";
import { validateBackbone, validateConfig } from "./config_check.ts";
import { InputError } from "../config/errors.ts";
import { localPath } from "../config/local_path.ts";
import { errorText, valueText } from "../config/error_text.ts";
import type { Parameter } from "../weights/parameter.ts";
import { dtypeBytes, type FileDtype, headerLength, parseHeader } from "../weights/safetensors.ts";
import { type CheckpointTensor, firstNotFinite, toF32 } from "../weights/weights.ts";
import { nameMapFor, ownName } from "./name_maps.ts";
import { backboneTensors, expectedTensors } from "./tensors.ts";

/** An open checkpoint. Its weights lie in shared memory, so that sessions and Workers share them. */
export interface Checkpoint {
  /** `config.json`, checked. */
  config: ModelConfig;
  /** The weights by name. */
  tensors: Map<string, CheckpointTensor>;
  /** `tokenizer.json`, parsed. */
  tokenizer: unknown;
  /** SHA-256 (hex) over the config and all weights, however they are sharded or indented. */
  digest: string;
}

/** A plain Qwen3 folder, its weights not read yet. `close()` or `using` closes the files. */
export interface BackboneFolder {
  config: BackboneConfig;
  weights: WeightFiles;
  tokenizer: unknown;
}

const chunkBytes = 4 << 20;
const single = "model.safetensors";
const index = "model.safetensors.index.json";

/**
 * Opens a checkpoint folder and reads its weights into shared memory.
 *
 * @param folder A path, or a `file:` URL, as text too.
 * @throws InputError when a file is missing, cut off or hostile, or doesn't hold what the config
 * says; the message names the file, the tensor, what it had, what it may have, and the remedy.
 */
export async function openCheckpoint(folder: string | URL): Promise<Checkpoint> {
  const path = folderPath(folder);
  const config = await readConfig(`${path}/config.json`);
  const tokenizer = await readJson(`${path}/tokenizer.json`, 64 << 20);
  using weights = await WeightFiles.open(path, expectedTensors(config));

  const hash = createHash("sha256");
  const tensors = new Map<string, CheckpointTensor>();
  for await (const [name, tensor] of readTensors(config, weights, hash)) tensors.set(name, tensor);
  return { config, tensors, tokenizer, digest: hash.digest("hex") };
}

/** The weights one by one, in the order of their names; config and all bytes go into the hash. */
async function* readTensors(
  config: ModelConfig,
  weights: WeightFiles,
  hash: Hash,
): AsyncGenerator<[name: string, tensor: CheckpointTensor]> {
  // What it was trained with changes no answer.
  const shape = canonicalJson({ ...config, trained_with: undefined });
  hash.update(`wanstream checkpoint\n${shape}\n`);
  for (const [name, { dtype, shape, length, path: file }] of weights.entries) {
    hash.update(`${JSON.stringify([name, dtype, shape])}\n`);
    const bytes = new Uint8Array(new SharedArrayBuffer(length));
    for (let at = 0; at < length; at += chunkBytes) {
      const chunk = bytes.subarray(at, at + chunkBytes);
      await weights.read(name, at, chunk);
      hash.update(chunk);
    }
    const tensor = { dtype, shape, bytes };
    const wrong = firstNotFinite(tensor);
    if (wrong >= 0) {
      throw new InputError(
        `${file}: tensor ${valueText(name)} holds ${
          toF32(tensor)[wrong]
        } at index ${wrong}; every ` +
          `weight must be finite: export the checkpoint again`,
      );
    }
    yield [name, tensor];
  }
}

/** Reads and checks a `config.json` alone, given by a checkpoint's folder or by its own path. @throws
 * InputError */
export async function openConfig(folder: string | URL): Promise<ModelConfig> {
  const path = folderPath(folder);
  return await readConfig(path.endsWith(".json") ? path : `${path}/config.json`);
}

const readConfig = async (file: string) => validateConfig(await readJson(file, 1 << 20), file);

/**
 * Reads a checkpoint's config, the headers of its weights and its digest, and checks them as
 * `openCheckpoint` does, with one tensor at a time in memory.
 *
 * @throws InputError
 */
export async function openHeaders(folder: string | URL): Promise<{
  config: ModelConfig;
  tensors: ReadonlyMap<string, TensorHeader>;
  digest: string;
}> {
  const path = folderPath(folder);
  const config = await readConfig(`${path}/config.json`);
  using weights = await WeightFiles.open(path, expectedTensors(config));
  const hash = createHash("sha256");
  for await (const _ of readTensors(config, weights, hash));
  return { config, tensors: weights.entries, digest: hash.digest("hex") };
}

/**
 * Opens a Hugging Face Qwen3 folder as it was downloaded, to read its `model.*` weights piecewise.
 *
 * @throws InputError when it isn't a Qwen3 folder, or its weights don't fit its config.
 */
export async function openBackbone(folder: string | URL): Promise<BackboneFolder> {
  const path = folderPath(folder);
  const file = `${path}/config.json`;
  const config = validateBackbone(await readJson(file, 1 << 20), file);
  const tokenizer = await readJson(`${path}/tokenizer.json`, 64 << 20);
  return { config, weights: await WeightFiles.open(path, backboneTensors(config)), tokenizer };
}

/** A tensor without its bytes; `length` counts them. */
export interface TensorHeader {
  dtype: FileDtype;
  shape: readonly number[];
  length: number;
}

/** Where a tensor lies: `begin` counts bytes from the start of its file. */
interface WeightEntry extends TensorHeader {
  begin: number;
  file: Deno.FsFile;
  path: string;
}

/** The open weight files of a folder, checked against the tensors that are expected in them. */
export class WeightFiles {
  /** By our names (name_maps.ts), sorted. */
  readonly entries = new Map<string, WeightEntry>();
  #files: Deno.FsFile[] = [];

  /**
   * @param expected Names and shapes; the files must hold these and no others (but for an unused
   * `lm_head.weight`, which Hugging Face writes for tied embeddings too).
   * @throws InputError
   */
  static async open(
    folder: string,
    expected: ReadonlyMap<string, Parameter>,
  ): Promise<WeightFiles> {
    const weights = new WeightFiles();
    try {
      await weights.#open(folder, expected);
      return weights;
    } catch (error) {
      weights.close();
      throw error;
    }
  }

  async #open(folder: string, expected: ReadonlyMap<string, Parameter>): Promise<void> {
    const found = new Map<string, WeightEntry & { stored: string }>();
    const shards = await shardNames(folder);
    for (const [shard, names] of shards) {
      const path = `${folder}/${shard}`;
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
    const where = shards.size === 1 ? `${folder}/${[...shards.keys()][0]}` : folder;
    const map = nameMapFor([...found.keys()], expected.keys());
    const own = new Map([...found].map(([name, entry]) => [ownName(name, map), entry]));
    checkAgainst(own, expected, where);
    for (const name of [...expected.keys()].sort()) {
      const entry = own.get(name);
      if (entry) this.entries.set(name, entry);
    }
  }

  async #openFile(path: string): Promise<[string, WeightEntry & { stored: string }][]> {
    const size = await fileSize(path);
    const file = await Deno.open(path);
    this.#files.push(file);
    const prefix = new Uint8Array(8);
    if (size >= 8) await readFully(file, 0, prefix, path);
    refusePointer(new TextDecoder().decode(prefix), path);
    const header = new Uint8Array(headerLength(prefix, size, path));
    await readFully(file, 8, header, path);
    return [...parseHeader(header, size, path)].map(([name, { dtype, shape, begin, end }]) => [
      name,
      // checkAgainst refuses every dtype that isn't one of FileDtype before an entry is used.
      { stored: dtype, dtype: dtype as FileDtype, shape, begin, length: end - begin, file, path },
    ]);
  }

  /**
   * Fills `into` with a tensor's bytes from byte `offset` of it on.
   *
   * @throws InputError when the file ends early; RangeError when the tensor does.
   */
  async read(name: string, offset: number, into: Uint8Array): Promise<void> {
    const entry = this.entries.get(name);
    if (!entry || offset + into.length > entry.length) {
      throw new RangeError(`tensor ${valueText(name)} has no bytes ${offset}..+${into.length}`);
    }
    await readFully(entry.file, entry.begin + offset, into, entry.path);
  }

  close(): void {
    for (const file of this.#files.splice(0)) file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function checkAgainst(
  found: Map<string, WeightEntry & { stored: string }>,
  expected: ReadonlyMap<string, Parameter>,
  where: string,
): void {
  for (const [name, { shape }] of expected) {
    const entry = found.get(name);
    if (!entry) {
      throw new InputError(
        `${where}: tensor ${valueText(name)} is missing; config.json calls for it with shape ` +
          `${valueText(shape)}: take the weights and config.json from the same checkpoint`,
      );
    }
    if (!Object.hasOwn(dtypeBytes, entry.stored)) {
      throw new InputError(
        `${entry.path}: tensor ${valueText(name)} has dtype ${valueText(entry.stored)}; it may ` +
          `be ${Object.keys(dtypeBytes).join(", ")}: convert the weights`,
      );
    }
    if (entry.shape.length !== shape.length || entry.shape.some((n, i) => n !== shape[i])) {
      throw new InputError(
        `${entry.path}: tensor ${valueText(name)} has shape ${valueText(entry.shape)}; ` +
          `config.json calls for ${valueText(shape)}: take both from the same checkpoint`,
      );
    }
  }
  for (const [name, { path }] of found) {
    if (!expected.has(name) && name !== "lm_head.weight") {
      throw new InputError(
        `${path}: config.json doesn't call for the tensor ${valueText(name)}; take both from the ` +
          `same checkpoint`,
      );
    }
  }
}

/** The weight files, each with the tensors that the index places in it; a single file needs no index
 * and has an empty list. */
async function shardNames(folder: string): Promise<Map<string, string[]>> {
  if (await exists(`${folder}/${single}`)) return new Map([[single, []]]);
  const file = `${folder}/${index}`;
  if (!await exists(file)) {
    throw new InputError(
      `${folder}: holds neither ${single} nor ${index}; give the folder of a checkpoint, or make ` +
        `one with 'init'`,
    );
  }
  const json = await readJson(file, 16 << 20);
  const map = (json as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new InputError(
      `${file}: weight_map is ${valueText(map)}; it must be an object of tensor name to file name`,
    );
  }
  const shards = new Map<string, string[]>();
  for (const [name, shard] of Object.entries(map)) {
    // Only a plain file name: an index must not name files outside of its folder.
    if (typeof shard !== "string" || !/^[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors$/.test(shard)) {
      throw new InputError(
        `${file}: tensor ${valueText(name)} lies in ${
          valueText(shard)
        }; it may be a plain file name ` +
          `that ends in .safetensors, in the same folder`,
      );
    }
    const names = shards.get(shard);
    if (names) names.push(name);
    else shards.set(shard, [name]);
    if (shards.size > 1000) {
      throw new InputError(`${file}: lists more than 1000 shards; merge them into fewer files`);
    }
  }
  return shards;
}

function folderPath(folder: string | URL): string {
  return localPath(folder, "a checkpoint's folder").replace(/(?<=.)\/+$/, "");
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw unreadable(path, error);
  }
}

/** Size of a regular file (a pipe or device would never end). */
async function fileSize(path: string): Promise<number> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  if (!info.isFile) {
    throw new InputError(`${path}: isn't a regular file; give a checkpoint's folder`);
  }
  return info.size;
}

function unreadable(path: string, error: unknown): InputError {
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
    return new InputError(
      `${path}: no such file; give the folder of a checkpoint, or make one with 'init'`,
    );
  }
  return new InputError(`${path}: can't be read (${errorText(error)}); check its permissions`);
}

/** Git LFS leaves a pointer where it hasn't fetched a file. */
function refusePointer(text: string, path: string): void {
  if (!text.startsWith("version ")) return;
  throw new InputError(
    `${path}: is a Git LFS pointer, not the file: run 'git lfs pull' in its repository`,
  );
}

async function readJson(path: string, maxBytes: number): Promise<unknown> {
  const size = await fileSize(path);
  if (size > maxBytes) {
    throw new InputError(`${path}: has ${size} bytes; it may have up to ${maxBytes}`);
  }
  let text: string;
  try {
    // A byte-order mark, which some editors write, is read over.
    text = (await Deno.readTextFile(path)).replace(/^\uFEFF/, "");
  } catch (error) {
    throw unreadable(path, error);
  }
  refusePointer(text, path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(
      `${path}: isn't valid JSON (${errorText(error)}); download or write it again`,
    );
  }
}

async function readFully(
  file: Deno.FsFile,
  position: number,
  into: Uint8Array,
  path: string,
): Promise<void> {
  await file.seek(position, Deno.SeekMode.Start);
  for (let at = 0; at < into.length;) {
    const count = await file.read(into.subarray(at));
    if (count === null) {
      throw new InputError(
        `${path}: ends at byte ${position + at}, ${into.length - at} too early; download it again`,
      );
    }
    at += count;
  }
}
