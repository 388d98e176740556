/**
 * Access to a model's weights: a name map with a prefix, each tensor read with the shape that its
 * reader expects (candle's `VarBuilder`).
 */
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";
import type { Parameters } from "./parameter.ts";
import type { FileDtype } from "./safetensors.ts";

/** A tensor as it is stored. Its bytes lie in shared memory: posting it to a Worker copies nothing. */
export interface CheckpointTensor {
  /** Storage type of its elements. */
  dtype: FileDtype;
  /** Its extents, outermost first. */
  shape: readonly number[];
  /** Little-endian elements, row-major; the view covers its SharedArrayBuffer from byte 0. */
  bytes: Uint8Array<SharedArrayBuffer>;
}

/** Gives the values of a tensor by its whole name. @throws InputError when it has another shape. */
export type ReadTensor = (name: string, shape: readonly number[]) => Float32Array;

export class Weights {
  private readonly read: ReadTensor;
  readonly prefix: string;

  /** @param prefix Stands before every name, with its dot; empty for the whole model. */
  constructor(read: ReadTensor, prefix = "") {
    this.read = read;
    this.prefix = prefix;
  }

  /** The weights of a checkpoint's tensors. */
  static of(tensors: ReadonlyMap<string, CheckpointTensor>): Weights {
    return new Weights((name, shape) => {
      const tensor = tensors.get(name);
      if (!tensor) throw new InputError(`the checkpoint has no tensor ${name}`);
      if (tensor.shape.join() !== shape.join()) {
        throw new InputError(
          `the checkpoint's tensor ${name} has shape [${tensor.shape}], not [${shape}]`,
        );
      }
      return toF32(tensor);
    });
  }

  /** The weights whose names begin with `name` and a dot. */
  under(name: string): Weights {
    return new Weights(this.read, `${this.prefix}${name}.`);
  }

  /** A tensor's values, row-major. @throws InputError when it is missing or has another shape. */
  get(name: string, shape: readonly number[]): Float32Array {
    return this.read(this.prefix + name, shape);
  }

  /** The values of all these parameters. @throws InputError */
  load<T extends Parameters>(parameters: T): { [K in keyof T]: Float32Array } {
    const entries = Object.entries(parameters).map(([name, { shape }]) => [
      name,
      this.get(name, shape),
    ]);
    return Object.fromEntries(entries);
  }
}

/** Bits that are all set in a number that is infinite or none. */
const exponentBits: Readonly<Record<FileDtype, number>> = {
  F32: 0x7f800000,
  F16: 0x7c00,
  BF16: 0x7f80,
};

/** A tensor in memory of any kind. */
type Stored = Omit<CheckpointTensor, "bytes"> & { bytes: Uint8Array };

/** Index of a tensor's first value that is infinite or not a number; -1 where all are finite. */
function firstNotFinite({ dtype, bytes }: Stored): number {
  const { buffer, byteOffset, byteLength } = bytes;
  const exponent = exponentBits[dtype];
  const words = dtype === "F32"
    ? new Uint32Array(buffer, byteOffset, byteLength / 4)
    : new Uint16Array(buffer, byteOffset, byteLength / 2);
  // A plain loop: a call for each of millions of weights would be felt at every start.
  for (let i = 0; i < words.length; i++) {
    if (((words[i] ?? 0) & exponent) === exponent) return i;
  }
  return -1;
}

/** @param file That holds it. @throws InputError when a value isn't finite. */
export function checkFinite(tensor: Stored, name: string, file: string): void {
  const wrong = firstNotFinite(tensor);
  if (wrong < 0) return;
  throw new InputError(
    `${file}: tensor ${valueText(name)} holds ${toF32(tensor)[wrong]} at index ${wrong}; every ` +
      `weight must be finite: export the checkpoint again`,
  );
}

/** A tensor's values as f32. An F32 tensor isn't copied: the result views its memory. */
export function toF32({ dtype, bytes }: Stored): Float32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === "F32") return new Float32Array(buffer, byteOffset, byteLength / 4);
  if (dtype === "F16") {
    return new Float32Array(new Float16Array(buffer, byteOffset, byteLength / 2));
  }
  const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = (halves[i] ?? 0) << 16;
  return new Float32Array(words.buffer);
}
