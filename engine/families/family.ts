/**
 * What the engine must know of a family of codecs: how its files are recognised, which layers of
 * engine/layers/ it is made of, and which of its tensors each of ours is. Each family is one file of
 * this room that exports one `CodecFamily`, and one line of registry.ts.
 *
 * A family only describes. part.ts opens the files, checks their tensors against the description, and
 * reads them.
 */
import type { Medium } from "../checkpoint/coders.ts";
import type { LayerConfig } from "../config/config.ts";
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";

/** What lies at a path: a folder with a `config.json` and weights, or one safetensors file. */
export interface Found {
  /** The folder or the file, for messages. */
  where: string;
  /** `config.json`, parsed and not checked; null beside a single file. */
  config: unknown;
  /** Of all weight files, by their names. */
  tensors: ReadonlyMap<string, FoundTensor>;
}

/** A tensor as its header has it. */
export interface FoundTensor {
  dtype: string;
  shape: readonly number[];
}

/** How one of our tensors is made of theirs. Bytes are moved and never rounded, so that a part can be
 * exported again as it came. */
export interface TensorRule {
  /** Their tensors, joined along their first axis. */
  from: readonly { name: string; shape: readonly number[] }[];
  /** Their axes in the order of ours: [1, 0, 2] turns a transposed convolution's [in, out, k] into
   * [out, in, k]. Absent: as they lie. Axes of 1 may be added or left out: only the order counts. */
  order?: readonly number[];
  /** The axes that `order` counts, where one of theirs is several: [2 c, k] as [2, c, k]. */
  view?: readonly number[];
  /** An axis of `view` along which ours runs backwards. */
  flip?: number;
}

/** A rule for one tensor of theirs. */
export function taken(
  name: string,
  shape: readonly number[],
  order?: readonly number[],
): TensorRule {
  return { from: [{ name, shape }], ...(order ? { order } : {}) };
}

/** An encoder or a decoder. */
export interface PartCoder {
  /** As they may stand in a `config.json` of ours. */
  layers: readonly LayerConfig[];
  /** By "INDEX.KEY" within the coder, e.g. "3.conv1.weight": a rule for each parameter that the layers
   * have (`coderParameters`). */
  tensors: Readonly<Record<string, TensorRule>>;
}

/** What a folder or file of a family holds. */
export interface PartCodec {
  medium: Medium;
  /** Samples per second; null for pictures. */
  sampleRate: number | null;
  /** Samples or frames that one latent in time covers: a unit must hold a whole number of them. */
  hop: number;
  /** What height and width must be a multiple of; 1 for sound. */
  multiple: number;
  /** Channels of a latent. */
  channels: number;
  encoder: PartCoder;
  decoder: PartCoder;
  /** The same around codes, whole numbers, where it has a quantizer; `bits` of each latent in time. */
  coded?: { channels: number; bits: number; encoder: PartCoder; decoder: PartCoder };
  /** More keys of `response.MEDIUM` in our `config.json`. */
  keys?: Readonly<Record<string, unknown>>;
  /** Names of their tensors that are left out; any other that no rule names is refused. */
  unused?: readonly RegExp[];
}

/** A family of codecs. */
export interface CodecFamily {
  /** As docs and messages call it, e.g. "mimi". */
  name: string;
  /** What its files hold. */
  media: readonly Medium[];
  /** True for what this family's `read` should judge: by the config's type, or the tensors' names. */
  recognises(found: Found): boolean;
  /**
   * Describes the codec of a medium. The tensors themselves needn't be checked.
   *
   * @throws InputError that names file, key or tensor, what was found and what is needed, when the config
   * asks for something that the family's layers don't do.
   */
  read(found: Found, medium: Medium): PartCodec;
}

/**
 * The shape of one of their tensors, to derive sizes from where no config tells them.
 *
 * @param axes How many it must have.
 * @throws InputError
 */
export function foundShape({ where, tensors }: Found, name: string, axes: number): number[] {
  const tensor = tensors.get(name);
  if (!tensor) throw new InputError(`${where}: tensor ${valueText(name)} is missing`);
  if (tensor.shape.length === axes) return [...tensor.shape];
  throw new InputError(
    `${where}: tensor ${valueText(name)} has shape ${
      valueText(tensor.shape)
    }; it needs ${axes} axes`,
  );
}

/** A text key of an unchecked config, e.g. `model_type`; null where there is none. */
export function configText({ config }: Found, key: string): string | null {
  const value = (config as Record<string, unknown> | null)?.[key];
  return typeof value === "string" ? value : null;
}
