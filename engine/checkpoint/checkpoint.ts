/**
 * Opens a checkpoint: `config.json`, `tokenizer.json`, and the weights in `model.safetensors` or in
 * shards that `model.safetensors.index.json` lists.
 *
 * Sizes are checked against the config and the files before anything is allocated.
 */
import { createHash, type Hash } from "node:crypto";
import { canonicalJson } from "../config/canonical_json.ts";
import type { BackboneConfig, ModelConfig } from "../config/config.ts";
import { validateBackbone, validateConfig } from "./config_check.ts";
import { InputError } from "../config/errors.ts";
import { localPath } from "../config/local_path.ts";
import { valueText } from "../config/error_text.ts";
import { isFile, readJson, refuseOtherFile } from "../weights/files.ts";
import type { Parameter } from "../weights/parameter.ts";
import { dtypeBytes } from "../weights/safetensors.ts";
import { type TensorHeader, WeightFiles } from "../weights/weight_files.ts";
import { checkFinite, type CheckpointTensor } from "../weights/weights.ts";
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

/** A plain Qwen3 or Qwen2.5 folder, its weights not read yet. */
export interface BackboneFolder {
  family: string;
  /** The folder. */
  where: string;
  /** `config.json` as it came. */
  published: unknown;
  config: BackboneConfig;
  weights: WeightFiles;
  tokenizer: unknown;
}

const chunkBytes = 4 << 20;
const tokenizerBytes = 64 << 20;

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
  const tokenizer = await readJson(`${path}/tokenizer.json`, tokenizerBytes);
  using weights = await openWeights(path, expectedTensors(config));

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
  // What it was trained with and where its parts came from change no answer.
  const shape = canonicalJson({ ...config, trained_with: undefined, parts: undefined });
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
    checkFinite(tensor, name, file);
    yield [name, tensor];
  }
}

/** Reads and checks a `config.json` alone, given by a checkpoint's folder or by its own path. @throws
 * InputError */
export async function openConfig(folder: string | URL): Promise<ModelConfig> {
  const path = folderPath(folder);
  return await readConfig(path.endsWith(".json") ? path : `${path}/config.json`);
}

const readConfig = async (file: string) => validateConfig(await readJson(file), file);

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
  using weights = await openWeights(path, expectedTensors(config));
  const hash = createHash("sha256");
  for await (const _ of readTensors(config, weights, hash));
  return { config, tensors: weights.entries, digest: hash.digest("hex") };
}

/** Opens a checkpoint's config and weights, to read tensors piecewise. @throws InputError */
export async function openStored(
  folder: string | URL,
): Promise<{ config: ModelConfig; weights: WeightFiles }> {
  const path = folderPath(folder);
  const config = await readConfig(`${path}/config.json`);
  return { config, weights: await openWeights(path, expectedTensors(config)) };
}

/**
 * Opens a Hugging Face Qwen3 or Qwen2.5 folder as it was downloaded, to read its `model.*` weights piecewise.
 *
 * @throws InputError when it isn't such a folder, or its weights don't fit its config.
 */
export async function openBackbone(folder: string | URL): Promise<BackboneFolder> {
  const path = folderPath(folder);
  if (await isFile(path)) {
    await refuseOtherFile(path);
    throw new InputError(`${path}: is a file; give the folder that holds it and config.json`);
  }
  const file = `${path}/config.json`;
  const json = await readJson(file);
  const config = validateBackbone(json, file);
  const family = (json as { model_type: string }).model_type;
  const tokenizer = await readJson(`${path}/tokenizer.json`, tokenizerBytes);
  const weights = await openWeights(path, backboneTensors(config));
  return { family, where: path, published: json, config, weights, tokenizer };
}

/**
 * Opens a folder's weights under our names (name_maps.ts), sorted.
 *
 * @param expected Names and shapes; the files must hold these and no others (but for an unused
 * `lm_head.weight`, which Hugging Face writes for tied embeddings too).
 * @throws InputError
 */
async function openWeights(
  folder: string,
  expected: ReadonlyMap<string, Parameter>,
): Promise<WeightFiles> {
  const weights = await WeightFiles.open(folder);
  try {
    const map = nameMapFor([...weights.entries.keys()], expected.keys());
    const own = new Map([...weights.entries].map(([name, entry]) => [ownName(name, map), entry]));
    checkAgainst(own, expected, weights.where);
    return weights.keep(
      new Map(
        [...expected.keys()].sort().flatMap((name) => {
          const entry = own.get(name);
          return entry ? [[name, entry]] : [];
        }),
      ),
    );
  } catch (error) {
    weights.close();
    throw error;
  }
}

function checkAgainst(
  found: WeightFiles["entries"],
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

function folderPath(folder: string | URL): string {
  return localPath(folder, "a checkpoint's folder").replace(/(?<=.)\/+$/, "");
}
