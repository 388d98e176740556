/**
 * What options may be, as tables: a script's options are read by them, and the command line's options
 * of the same meaning take kind and range from them.
 */
import { Fields } from "./config_fields.ts";
import { kindOf } from "./error_text.ts";

/** A number, both ends included. */
export interface NumberRule {
  readonly kind: "whole" | "number";
  readonly min: number;
  readonly max: number;
}

/** One of several words. */
export interface ChoiceRule {
  readonly kind: "choice";
  readonly choices: readonly string[];
}

/** Kinds of values that have no range. `any` is checked where it is read: sound, pictures, tracks. */
const others = {
  text: { may: "text", is: (value: unknown) => typeof value === "string" },
  function: { may: "a function", is: (value: unknown) => typeof value === "function" },
  flag: { may: "true or false", is: (value: unknown) => typeof value === "boolean" },
  signal: { may: "an AbortSignal", is: (value: unknown) => kindOf(value) === "AbortSignal" },
  any: { may: "anything", is: () => true },
  object: { may: "an object", is: (value: unknown) => typeof value === "object" && value !== null },
};

/** What an option may be; with `keys`: an object of options. */
export type Rule =
  | NumberRule
  | ChoiceRule
  | { readonly kind: keyof typeof others }
  | { readonly keys: Rules };
export type Rules = { readonly [name: string]: Rule };

/** A rule for each option of `T`. */
export type RulesOf<T> = { readonly [Name in keyof Required<T>]: Rule };

/** A whole number, both ends included. */
export const whole = (min: number, max: number) => ({ kind: "whole", min, max }) as const;
/** A number, both ends included. */
export const number = (min: number, max: number) => ({ kind: "number", min, max }) as const;
/** One of these words. */
export const choice = <const C extends readonly string[]>(choices: C) =>
  ({ kind: "choice", choices }) as const;

/**
 * A copy of options without those that are undefined, which mean their defaults.
 *
 * @param what What messages call them.
 * @throws InputError that names the option, its value, and what it may be; an unknown one is answered
 * with the nearest known name.
 */
export function readOptions<T extends object>(given: T, rules: RulesOf<T>, what = "options"): T {
  return read(new Fields(given, what), rules) as T;
}

function read(fields: Fields, rules: Rules): Record<string, unknown> {
  const given = Object.entries(rules).filter(([name]) => fields.has(name));
  fields.refuseOthers();
  return Object.fromEntries(given.map(([name, rule]) => [name, readOne(fields, name, rule)]));
}

function readOne(fields: Fields, name: string, rule: Rule): unknown {
  if ("keys" in rule) return read(fields.object(name), rule.keys);
  switch (rule.kind) {
    case "whole":
    case "number":
      return fields[rule.kind](name, [rule.min, rule.max]);
    case "choice":
      return fields.oneOf(name, rule.choices);
    default: {
      const { may, is } = others[rule.kind];
      if (!is(fields.get(name))) throw fields.error(name, may);
      return fields.get(name);
    }
  }
}
