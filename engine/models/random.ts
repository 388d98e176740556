/**
 * Random numbers that are a pure function of (seed, name, index), made of whole-number arithmetic
 * only: the same on every machine, in any order, without state. For weights, not for the noise of
 * a stream (that is Philox, in a kernel).
 */
import type { Parameter } from "../weights/parameter.ts";
import type { FileDtype } from "../weights/safetensors.ts";
import { elements } from "../../kernels/gpu/tensor.ts";

/** A keyed mix of 32 bits (the 'lowbias32' finalizer: two multiplications, three shifts). */
function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}

/** Two 32-bit keys of a named sequence. */
function keysOf(seed: number, name: string): [number, number] {
  let hash = mix(seed ^ 0x9e3779b9);
  for (const byte of new TextEncoder().encode(name)) hash = mix(hash ^ byte);
  return [hash, mix(hash ^ 0x85ebca6b)];
}

/**
 * `count` numbers of mean 0 and the standard deviation `std`, from index `start` of the sequence on.
 * The sum of four uniform 16-bit numbers: bell-shaped, at most 3.5 std from 0.
 */
export function randomNumbers(
  seed: number,
  name: string,
  start: number,
  count: number,
  std: number,
): Float64Array {
  const [key0, key1] = keysOf(seed, name);
  const numbers = new Float64Array(count);
  // Variance of a sum of four uniforms on 0..65535: 4 (2^32 - 1) / 12.
  const scale = std / Math.sqrt((2 ** 32 - 1) / 3);
  for (let i = 0; i < count; i++) {
    const a = mix((start + i) ^ key0);
    const b = mix(a ^ key1);
    const sum = (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16);
    numbers[i] = (sum - 131070) * scale;
  }
  return numbers;
}

/** Numbers in a storage type, little-endian, rounded to the nearest (ties to even). */
export function toStorage(numbers: Float64Array, dtype: FileDtype): Uint8Array<ArrayBuffer> {
  if (dtype === "F16") return new Uint8Array(new Float16Array(numbers).buffer);
  const floats = new Float32Array(numbers);
  if (dtype === "F32") return new Uint8Array(floats.buffer);
  const bits = new Uint32Array(floats.buffer);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i] ?? 0;
    halves[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}

const chunkElements = 1 << 20;

/** A tensor's random bytes in chunks; the same for the same seed, name, parameter and dtype anywhere. */
export async function* randomTensor(
  seed: number,
  name: string,
  { shape, fill }: Parameter,
  dtype: FileDtype,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const length = elements(shape);
  for (let at = 0; at < length; at += chunkElements) {
    const count = Math.min(chunkElements, length - at);
    const numbers = fill === "ones"
      ? new Float64Array(count).fill(1)
      : randomNumbers(seed, name, at, count, fill.std);
    yield await Promise.resolve(toStorage(numbers, dtype));
  }
}
