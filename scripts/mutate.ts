/** Ways to damage a file, all random from a generator of numbers in [0, 1). */

type Next = () => number;

const below = (next: Next, end: number) => Math.floor(next() * end);
const pick = <T>(next: Next, list: readonly T[]): T => list[below(next, list.length)] as T;

/** Numbers at which counts, sizes and times go wrong. */
const edges = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0xffffn, 0x7fffffffn, 0x80000000n, -1n, -2n];

/** A place in a file; every other time near its start or end, where headers and indices are. */
function place(next: Next, length: number): number {
  const chance = next();
  if (chance < 0.3) return below(next, Math.min(length, 512));
  return chance < 0.5 ? length - 1 - below(next, Math.min(length, 512)) : below(next, length);
}

/** One to four wounds: bits, numbers, pieces lost, doubled, moved, or cut off. */
export function mutateBytes(whole: Uint8Array, next: Next): Uint8Array<ArrayBuffer> {
  let bytes = Uint8Array.from(whole);
  for (let left = 1 + below(next, 4); left > 0 && bytes.length > 0; left--) {
    const at = place(next, bytes.length);
    const size = 1 + below(next, next() < 0.8 ? 16 : bytes.length);
    const end = Math.min(bytes.length, at + size);
    switch (below(next, 8)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << below(next, 8));
        break;
      case 1:
        for (let i = at; i < end; i++) bytes[i] = below(next, 256);
        break;
      case 2:
      case 3: {
        const width = pick(next, [2, 4, 8]);
        if (at + width > bytes.length) break;
        let value = BigInt.asUintN(8 * width, pick(next, edges));
        const little = next() < 0.5;
        for (let i = 0; i < width; i++, value >>= 8n) {
          bytes[at + (little ? i : width - 1 - i)] = Number(value & 0xffn);
        }
        break;
      }
      case 4:
        bytes = splice(bytes, at, end, new Uint8Array());
        break;
      case 5:
        bytes = splice(bytes, end, end, bytes.slice(at, end));
        break;
      case 6:
        bytes = splice(bytes, at, at, bytes.slice(place(next, bytes.length)).subarray(0, size));
        break;
      default:
        if (next() < 0.3) bytes = bytes.slice(0, at);
        else bytes.fill(pick(next, [0, 0xff]), at, end);
    }
  }
  return bytes;
}

function splice(bytes: Uint8Array, from: number, to: number, by: Uint8Array) {
  const result = new Uint8Array(from + by.length + bytes.length - to);
  result.set(bytes.subarray(0, from));
  result.set(by, from);
  result.set(bytes.subarray(to), from + by.length);
  return result;
}

const badNumbers = [
  ...["0", "-1", "1", "2", "1e9", "100000", "-100000", "2147483648", "4294967295"],
  ...["9007199254740993", "18446744073709551616", "1e308", "1e-308", "0.5", "1e999", ""],
];

/** Replaces one to three numbers of a text. */
export function mutateText(whole: Uint8Array, next: Next): Uint8Array<ArrayBuffer> {
  let text = new TextDecoder().decode(whole);
  for (let left = 1 + below(next, 3); left > 0; left--) {
    const numbers = [...text.matchAll(/\d+/g)];
    if (numbers.length === 0) break;
    const { index, 0: number } = pick(next, numbers);
    text = text.slice(0, index) + pick(next, badNumbers) + text.slice(index + number.length);
  }
  return new TextEncoder().encode(text);
}

/** Changes one to three values of a JSON text: its numbers, its structure, its names. */
export function mutateJson(whole: Uint8Array, next: Next): Uint8Array<ArrayBuffer> {
  if (next() < 0.3) return mutateText(whole, next);
  let json: unknown = JSON.parse(new TextDecoder().decode(whole));
  for (let left = 1 + below(next, 3); left > 0; left--) json = changed(json, next);
  return new TextEncoder().encode(JSON.stringify(json));
}

/** A copy of a value with one random value inside it (or all of it) changed. */
function changed(value: unknown, next: Next): unknown {
  if (typeof value !== "object" || value === null || next() < 0.02) return other(value, next);
  if (Array.isArray(value)) {
    if (value.length === 0) return [other(null, next)];
    const at = below(next, value.length);
    const chance = next();
    if (chance < 0.1) return value.toSpliced(at, 1);
    return chance < 0.2 ? [...value, value[at]] : value.with(at, changed(value[at], next));
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return { x: other(null, next) };
  const at = below(next, entries.length);
  const [name, inner] = entries[at] ?? ["", null];
  const chance = next();
  if (chance < 0.1) return Object.fromEntries(entries.toSpliced(at, 1));
  if (chance < 0.15) {
    const names = ["__proto__", "constructor", "", "\n\u001b[31m", `${name}x`];
    return Object.fromEntries(entries.with(at, [pick(next, names), inner]));
  }
  return Object.fromEntries(entries.with(at, [name, changed(inner, next)]));
}

function other(value: unknown, next: Next): unknown {
  const numbers = [0, 1, -1, 2, 3, 0.5, 1e9, 2 ** 31, 2 ** 53, 1e308, -1e9];
  if (typeof value === "number" && next() < 0.7) {
    return pick(next, [value - 1, value * 2, ...numbers]);
  }
  const rest = [null, true, "", "../x", "x".repeat(5000), "\u0000\n", [], {}, [[]], [0, 0, 0]];
  return pick(next, [...rest, ...numbers]);
}
