/**
 * Reads the fields of untrusted JSON, each checked where it is read: a message names the key by its
 * path, its value, and what it may be.
 */
import { InputError } from "./errors.ts";
import { kindOf, valueText } from "./error_text.ts";
import { nearest } from "./nearest.ts";

/** A number's least and greatest value. */
export type Range = readonly [least: number, most: number];

export class Fields {
  readonly where: string;
  readonly path: string;
  readonly #json: Record<string, unknown>;
  readonly #asked = new Set<string>();

  /**
   * @param where The file or the argument, for messages.
   * @param path The keys down to this object, e.g. "response.audio."; empty at the top.
   * @throws InputError when `json` isn't an object.
   */
  constructor(json: unknown, where: string, path = "") {
    this.where = where;
    this.path = path;
    // Neither a list nor what only looks like an object: a promise, a Map, an array of samples.
    if (kindOf(json) !== "Object") {
      const what = path === "" ? "" : `${path.replace(/\.$/, "")} `;
      throw new InputError(`${where}: ${what}is ${valueText(json)}; it must be an object`);
    }
    this.#json = json as Record<string, unknown>;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  get(key: string): unknown {
    this.#asked.add(key);
    // What a class or a prototype gives counts, what every object has doesn't.
    const isGiven = Object.hasOwn(this.#json, key) || !(key in Object.prototype);
    return isGiven ? this.#json[key] : undefined;
  }

  /** The error of a key: its path, its value, and what it may be. */
  error(key: string, may: string): InputError {
    const value = this.get(key);
    const has = value === undefined ? "is missing" : `is ${valueText(value)}`;
    return new InputError(`${this.where}: ${this.path}${key} ${has}; it may be ${may}`);
  }

  whole(key: string, [least, most]: Range): number {
    const value = this.get(key);
    if (!isWhole(value) || value < least || value > most) {
      throw this.error(key, `a whole number from ${least} to ${most}`);
    }
    return value;
  }

  number(key: string, [least, most]: Range): number {
    const value = this.get(key);
    if (typeof value !== "number" || !(value >= least && value <= most)) {
      throw this.error(key, `a number from ${least} to ${most}`);
    }
    return value;
  }

  /** @param most Its longest length. */
  text(key: string, most: number): string {
    const value = this.get(key);
    if (typeof value !== "string" || value.length > most) {
      throw this.error(key, `a text of up to ${most} letters`);
    }
    return value;
  }

  boolean(key: string): boolean {
    const value = this.get(key);
    if (typeof value !== "boolean") throw this.error(key, "true or false");
    return value;
  }

  oneOf<const T extends string>(key: string, names: readonly T[]): T {
    const found = names.find((name) => name === this.get(key));
    if (found === undefined) throw this.error(key, names.map(valueText).join(" or "));
    return found;
  }

  /** A list of any of these names, each once. */
  someOf<const T extends string>(key: string, names: readonly T[]): T[] {
    const value = this.get(key);
    const found = names.filter((name) => Array.isArray(value) && value.includes(name));
    if (Array.isArray(value) && found.length === value.length) return found;
    throw this.error(key, `a list of some of ${names.map(valueText).join(", ")}`);
  }

  /** Three whole numbers along time, height, width. */
  triple(key: string, range: Range): [number, number, number] {
    const value = this.get(key);
    const [t, h, w, ...more] = Array.isArray(value) ? value as unknown[] : [];
    const inRange = (n: unknown): n is number => isWhole(n) && n >= range[0] && n <= range[1];
    if (!inRange(t) || !inRange(h) || !inRange(w) || more.length > 0) {
      throw this.error(key, `three whole numbers from ${range[0]} to ${range[1]}`);
    }
    return [t, h, w];
  }

  list(key: string, range: Range): unknown[] {
    const value = this.get(key);
    if (!Array.isArray(value) || value.length < range[0] || value.length > range[1]) {
      throw this.error(key, `a list of ${[...new Set(range)].join(" to ")} entries`);
    }
    return value;
  }

  object(key: string): Fields {
    return new Fields(this.get(key), this.where, `${this.path}${key}.`);
  }

  /** Refuses a key that is nearly one that was asked for and is missing; other keys are passed over. */
  refuseMisspelt(): void {
    const missing = [...this.#asked].filter((key) => !Object.hasOwn(this.#json, key));
    for (const key of missing.length === 0 ? [] : Object.keys(this.#json)) {
      const near = this.#asked.has(key) ? undefined : nearest(key.toLowerCase(), missing);
      if (near === undefined) continue;
      throw new InputError(`${this.where}: ${this.path}${key}: did you mean ${near}?`);
    }
  }

  /** Refuses keys but these and those asked for before: a misspelt option must not pass for its
   * default. */
  refuseOthers(...keys: string[]): void {
    for (const key of keys) this.#asked.add(key);
    const other = Object.keys(this.#json).find((key) => !this.#asked.has(key));
    if (other === undefined) return;
    const what = this.path === "" ? "" : `${this.path.replace(/\.$/, "")} `;
    const near = nearest(other, [...this.#asked]);
    throw new InputError(
      `${this.where}: ${what}has the key ${valueText(other)}; it may have ` +
        [...this.#asked].join(", ") + (near ? `: did you mean ${near}?` : ""),
    );
  }
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
