/**
 * A part of a checkpoint, opened as it was published: its tensors checked against what its family needs,
 * then read under our names.
 */
import type { Medium } from "../checkpoint/coders.ts";
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";
import { localPath } from "../config/local_path.ts";
import { coderParameters } from "../layers/coder.ts";
import { exists, isFile, readJson } from "../weights/files.ts";
import type { Parameter } from "../weights/parameter.ts";
import { dtypeBytes, type FileDtype } from "../weights/safetensors.ts";
import { WeightFiles } from "../weights/weight_files.ts";
import { checkFinite } from "../weights/weights.ts";
import { elements } from "../../kernels/gpu/tensor.ts";
import type { CodecFamily, Found, PartCodec, PartCoder, TensorRule } from "./family.ts";
import { familyOf } from "./registry.ts";

/** An open codec of a family. `close()` or `using` closes its files. */
export class CodecPart {
  readonly family: string;
  readonly where: string;
  readonly codec: PartCodec;
  /** `config.json` as it came; null beside a single file. */
  readonly config: unknown;
  readonly weights: WeightFiles;

  private constructor(found: Found, family: CodecFamily, codec: PartCodec, weights: WeightFiles) {
    this.family = family.name;
    this.where = found.where;
    this.config = found.config;
    this.codec = codec;
    this.weights = weights;
  }

  /**
   * Opens a codec's folder, or its safetensors file.
   *
   * @throws InputError when no family reads it, or a tensor is missing, too many, or of another shape or
   * dtype; the message names file, tensor, what was found and what is needed.
   */
  static async open(path: string | URL, medium: Medium): Promise<CodecPart> {
    const where = localPath(path, `the ${medium} codec`).replace(/(?<=.)\/+$/, "");
    const single = await isFile(where) || !await exists(where);
    const config = single ? null : await readJson(`${where}/config.json`);
    const weights = await WeightFiles.open(where);
    try {
      const tensors = new Map(
        [...weights.entries].map(([name, { stored, shape }]) => [name, { dtype: stored, shape }]),
      );
      const found = { where, config, tensors };
      const family = familyOf(found, medium);
      const codec = family.read(found, medium);
      checkTensors(weights, family, codec);
      return new CodecPart(found, family, codec, weights);
    } catch (error) {
      weights.close();
      throw error;
    }
  }

  /** The type of one of our tensors. */
  dtype({ from }: TensorRule): FileDtype {
    return this.weights.entry(from[0]?.name ?? "").dtype;
  }

  /** The bytes of one of our tensors. @throws InputError when a file ends early, or a value isn't finite. */
  async read({ from, order, view, flip }: TensorRule): Promise<Uint8Array<ArrayBuffer>> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for (const { name, shape } of from) {
      const { dtype, length, path } = this.weights.entry(name);
      const bytes = new Uint8Array(length);
      await this.weights.read(name, 0, bytes);
      checkFinite({ dtype, shape, bytes }, name, path);
      parts.push(order ? permuted(bytes, view ?? shape, order, dtypeBytes[dtype], flip) : bytes);
    }
    return parts.length === 1 && parts[0] ? parts[0] : joined(parts);
  }

  close(): void {
    this.weights.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function joined(parts: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * The bytes of one of their tensors, back from the piece of ours that it became.
 *
 * @param size Bytes per element.
 */
export function unread(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  { from, order, view, flip }: TensorRule,
  size: number,
): Uint8Array<ArrayBuffer> {
  const shape = view ?? from.find((each) => each.name === name)?.shape;
  if (!order || !shape) return bytes;
  const moved = order.map((axis) => shape[axis] ?? 1);
  const back = order.map((_, axis) => order.indexOf(axis));
  return permuted(bytes, moved, back, size, flip === undefined ? undefined : order.indexOf(flip));
}

/** Row-major elements of `size` bytes, their axes in another order, the axis `flip` backwards. */
export function permuted(
  bytes: Uint8Array<ArrayBuffer>,
  shape: readonly number[],
  order: readonly number[],
  size: number,
  flip = -1,
): Uint8Array<ArrayBuffer> {
  const strides = shape.map((_, axis) =>
    elements(shape.slice(axis + 1)) * (axis === flip ? -1 : 1)
  );
  const extents = order.map((axis) => shape[axis] ?? 1);
  const steps = order.map((axis) => strides[axis] ?? 1);
  const result = new Uint8Array(bytes.length);
  const place = extents.map(() => 0);
  let from = flip < 0 ? 0 : (1 - (shape[flip] ?? 1)) * (strides[flip] ?? 0);
  for (let to = 0; to < bytes.length; to += size) {
    for (let b = 0; b < size; b++) result[to + b] = bytes[from * size + b] ?? 0;
    for (let axis = extents.length - 1; axis >= 0; axis--) {
      from += steps[axis] ?? 0;
      if ((place[axis] = (place[axis] ?? 0) + 1) < (extents[axis] ?? 1)) break;
      from -= (steps[axis] ?? 0) * (extents[axis] ?? 1);
      place[axis] = 0;
    }
  }
  return result;
}

/** Checks what was found against what the family's rules name. @throws InputError */
function checkTensors(weights: WeightFiles, family: CodecFamily, codec: PartCodec): void {
  const { entries, where } = weights;
  const needs = `the ${codec.medium} codec '${family.name}' needs`;
  const used = new Set<string>();
  const { encoder, decoder, coded = { encoder, decoder } } = codec;
  for (const coder of [encoder, decoder, coded.encoder, coded.decoder]) {
    for (const { from } of Object.values(coder.tensors)) {
      const dtypes = new Set<string>();
      for (const { name, shape } of from) {
        used.add(name);
        const entry = entries.get(name);
        if (!entry) {
          throw new InputError(
            `${where}: tensor ${valueText(name)} is missing; ${needs} it with shape ` +
              `${valueText(shape)}: take config and weights from the same checkpoint`,
          );
        }
        if (entry.shape.join() !== shape.join()) {
          throw new InputError(
            `${entry.path}: tensor ${valueText(name)} has shape ${
              valueText(entry.shape)
            }; ${needs} ` +
              `${valueText(shape)}: take config and weights from the same checkpoint`,
          );
        }
        if (!Object.hasOwn(dtypeBytes, entry.stored)) {
          throw new InputError(
            `${entry.path}: tensor ${valueText(name)} has dtype ${valueText(entry.stored)}; ` +
              `${needs} one of ${Object.keys(dtypeBytes).join(", ")}: convert the weights`,
          );
        }
        dtypes.add(entry.stored);
        if (dtypes.size > 1) {
          throw new InputError(
            `${entry.path}: tensor ${valueText(name)} has dtype ${entry.stored}; ${needs} it as ` +
              `${[...dtypes][0]}, as ${valueText(from[0]?.name)}: convert the weights`,
          );
        }
      }
    }
  }
  for (const [name, { path }] of entries) {
    if (used.has(name) || codec.unused?.some((pattern) => pattern.test(name))) continue;
    throw new InputError(
      `${path}: tensor ${valueText(name)} is one too many; ${needs} ${used.size} others and not ` +
        `this one: take config and weights from the same checkpoint`,
    );
  }
}

/**
 * The rules of a coder by our whole names, each with what ours is.
 *
 * @param name The coder's, e.g. "response.audio.encoder".
 * @param before Layers of ours that stand before the part's.
 * @throws RangeError when the family's rules don't give what its layers need: a mistake in the family.
 */
export function coderRules(
  name: string,
  { layers, tensors }: PartCoder,
  input: readonly [time: number, height: number, width: number, channels: number],
  before = 0,
): Map<string, Parameter & { rule: TensorRule }> {
  const rules = new Map<string, Parameter & { rule: TensorRule }>();
  const { parameters } = coderParameters({ name, layers, input });
  for (const [whole, { shape, fill }] of Object.entries(parameters)) {
    const key = whole.slice(name.length + 1);
    const rule = tensors[key];
    const has = rule?.from.reduce((sum, { shape }) => sum + elements(shape), 0);
    if (!rule || has !== elements(shape)) {
      throw new RangeError(
        `family: ${whole} needs ${elements(shape)} numbers, its rule gives ${has}`,
      );
    }
    const placed = key.replace(/^\d+/, (index) => `${Number(index) + before}`);
    rules.set(`${name}.${placed}`, { rule, shape, fill });
  }
  const surplus = Object.keys(tensors).find((key) => parameters[`${name}.${key}`] === undefined);
  if (surplus !== undefined) throw new RangeError(`family: no layer of ${name} has ${surplus}`);
  return rules;
}
