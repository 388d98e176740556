/**
 * The truth record of a recording (truth.json): what happens in it and what the agent should do, unit
 * by unit. Written by scripts/world; docs/eval.md has the layout for other recordings.
 */
import { InputError } from "../../../engine/config/errors.ts";
import { quoted } from "../../../engine/config/quoted.ts";

/** One unit as it should be. */
export interface TruthUnit {
  /** The user's voice sounds (noises don't count). */
  user: boolean;
  /** The agent's voice sounds. */
  agent: boolean;
  /** The agent's word that begins here. */
  word: string | null;
  /** What the user types here. */
  typed: string | null;
}

/** The user asks, by voice or keyboard. */
export interface Question {
  type: "question";
  /** What is asked for, e.g. "colour". */
  kind: string;
  text: string;
  typed: boolean;
  /** First unit, and the unit in which the last of its sound (or its last word typed) lies. */
  start: number;
  end: number;
  /** Pauses inside it, [from, to) in samples at 16 kHz. */
  pauses: [number, number][];
  /** It interrupts the agent. */
  interrupts: boolean;
  /** The right answer, and the unit in which the oracle begins it. */
  words: string[];
  answer: number;
}

/** The user speaks or types while the agent speaks: a question, or a word like 'stop'. */
export interface Interruption {
  type: "interruption";
  /** The unit in which it begins. */
  onset: number;
}

/** A noise, talk in the background, or the user's 'mhm'. */
export interface Distraction {
  type: "distraction";
  kind: string;
  start: number;
  end: number;
  /** The agent is speaking and should go on. */
  during_answer: boolean;
}

/** The agent speaks first: names a card, greets. */
export interface Initiative {
  type: "naming" | "greeting";
  start: number;
  words: string[];
}

/** The user talks long. */
export interface Story {
  type: "story";
  start: number;
  end: number;
}

export type TruthEvent = Question | Interruption | Distraction | Initiative | Story;

/** What is different from the recording `of`, whose name is that of a folder beside this one. */
export interface Swap {
  kind: "card" | "question";
  of: string;
}

export interface Truth {
  units: number;
  /** Seed of the world; null: from elsewhere. */
  seed: number | null;
  events: TruthEvent[];
  timeline: TruthUnit[];
  swap: Swap | null;
  /** Length asked of the generator, in seconds; null: not said. */
  seconds: number | null;
}

/** Samples per second in which `pauses` count. */
export const truthRate = 16000;

/** Seeds of the world from here on are for evaluation. */
export const firstEvaluationSeed = 100_000;

/** Reads a truth record. @throws InputError that names the field. */
export async function readTruth(path: string): Promise<Truth> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new InputError(`${path}: there is no such file: a recording needs a truth record`);
    }
    if (error instanceof Deno.errors.NotCapable) {
      throw new InputError(`${path}: may not be read: run with Deno's --allow-read`);
    }
    throw error;
  }
  return parseTruth(text, path);
}

type Json = Record<string, unknown>;

/** Checks a truth record's text; `path` is for messages. @throws InputError */
export function parseTruth(text: string, path: string): Truth {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(`${path}: is no JSON: see docs/eval.md for its layout`);
  }
  const record = new Fields(value, path);
  const units = record.whole("units", 1, 1e6);
  const timeline = record.list("timeline").map((one): TruthUnit => ({
    user: one.flag("user"),
    agent: one.flag("agent"),
    word: one.textOrNull("word"),
    typed: one.textOrNull("typed"),
  }));
  if (timeline.length !== units) {
    throw new InputError(`${path}: timeline has ${timeline.length} entries: units says ${units}`);
  }
  const swap = record.optional("swap");
  return {
    units,
    seed: record.has("seed") ? record.whole("seed", 0, Number.MAX_SAFE_INTEGER) : null,
    events: record.list("events").flatMap((one) => event(one, units) ?? []),
    timeline,
    swap: swap ? { kind: swap.choice("kind", ["card", "question"]), of: swap.text("of") } : null,
    seconds: record.has("seconds") ? record.number("seconds") : null,
  };
}

/** An event; null for types that nothing is measured of. */
function event(one: Fields, units: number): TruthEvent | null {
  const unit = (name: string) => one.whole(name, 0, units);
  const type = one.text("type");
  switch (type) {
    case "question":
      return {
        type,
        kind: one.text("kind"),
        text: one.text("text"),
        typed: one.flag("typed"),
        start: unit("start"),
        end: unit("end"),
        pauses: one.pairs("pauses"),
        interrupts: one.flag("interrupts"),
        words: one.texts("words"),
        answer: unit("answer"),
      };
    case "interruption":
      return { type, onset: unit("onset") };
    case "distraction":
      return {
        type,
        kind: one.text("kind"),
        start: unit("start"),
        end: unit("end"),
        during_answer: one.flag("during_answer"),
      };
    case "naming":
    case "greeting":
      return { type, start: unit("start"), words: one.texts("words") };
    case "story":
      return { type, start: unit("start"), end: unit("end") };
    default:
      return null;
  }
}

/** Fields of a JSON object with messages that say where they are. */
class Fields {
  readonly #value: Json;

  constructor(value: unknown, private readonly where: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new InputError(`${where}: is ${quoted(value)}: it should be an object`);
    }
    this.#value = value as Json;
  }

  #wrong(name: string, should: string): InputError {
    const value = this.#value[name];
    const shown = value === undefined ? "missing" : quoted(value);
    return new InputError(`${this.where}: "${name}" is ${shown}: it should be ${should}`);
  }

  has(name: string): boolean {
    return this.#value[name] !== undefined && this.#value[name] !== null;
  }

  number(name: string): number {
    const value = this.#value[name];
    if (typeof value !== "number") throw this.#wrong(name, "a number");
    return value;
  }

  whole(name: string, min: number, max: number): number {
    const value = this.#value[name];
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) {
      return value;
    }
    throw this.#wrong(name, `a whole number from ${min} to ${max}`);
  }

  flag(name: string): boolean {
    const value = this.#value[name];
    if (typeof value !== "boolean") throw this.#wrong(name, "true or false");
    return value;
  }

  text(name: string): string {
    const value = this.#value[name];
    if (typeof value !== "string" || value === "") throw this.#wrong(name, "text");
    return value;
  }

  textOrNull(name: string): string | null {
    return this.has(name) ? this.text(name) : null;
  }

  choice<const T extends string>(name: string, choices: readonly T[]): T {
    const value = this.#value[name];
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.#wrong(name, choices.join(" or "));
    return found;
  }

  texts(name: string): string[] {
    const value = this.#value[name];
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    throw this.#wrong(name, "a list of words");
  }

  pairs(name: string): [number, number][] {
    const value = this.#value[name];
    const isPair = (item: unknown): item is [number, number] =>
      Array.isArray(item) && item.length === 2 && item.every((end) => Number.isFinite(end));
    if (Array.isArray(value) && value.every(isPair)) return value;
    throw this.#wrong(name, "a list of [from, to]");
  }

  list(name: string): Fields[] {
    const value = this.#value[name];
    if (!Array.isArray(value)) throw this.#wrong(name, "a list");
    return value.map((item, i) => new Fields(item, `${this.where}: ${name}[${i}]`));
  }

  optional(name: string): Fields | null {
    return this.has(name) ? new Fields(this.#value[name], `${this.where}: ${name}`) : null;
  }
}
