/**
 * `parseArgs` as in `@std/cli/parse-args`. Not here: names with dots that make nested objects.
 *
 * @module
 */

/** Other names of an option. */
export type Aliases = Readonly<Record<string, string | readonly string[]>>;

/** What {@linkcode parseArgs} takes. */
export interface ParseOptions<
  TBooleans extends string = string,
  TStrings extends string = string,
  TCollectable extends string = string,
  TNegatable extends string = string,
  TDefaults extends Record<string, unknown> = Record<string, unknown>,
  TAliases extends Aliases = Aliases,
  TDoubleDash extends boolean = boolean,
> {
  /** Puts what stands after `--` into a list of its own instead of `_`. */
  "--"?: TDoubleDash;
  /** Other names: each name gets the value of the others. */
  alias?: TAliases;
  /** Options without a value; false when not given. `true`: all `--options` without `=`. */
  boolean?: boolean | TBooleans | readonly TBooleans[];
  /** Values of options that are not given. */
  default?: TDefaults;
  /** Puts everything after the first argument that is no option into `_`. */
  stopEarly?: boolean;
  /** Options whose value stays text, even when it looks like a number; `_` means the arguments. */
  string?: TStrings | readonly TStrings[];
  /** Options whose values are collected in a list; otherwise the last one counts. */
  collect?: TCollectable | readonly TCollectable[];
  /** Options that `--no-NAME` sets to false. */
  negatable?: TNegatable | readonly TNegatable[];
  /** Called with each argument that is no declared option; false leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

type Names<TName extends string, TAliases> = TName extends keyof TAliases
  ? TAliases[TName] extends infer Other
    ? TName | (Other extends readonly (infer One extends string)[] ? One : Extract<Other, string>)
  : TName
  : TName;

type Value<TName, TType, TCollectable, TNegatable> =
  | (TName extends TCollectable ? TType[] : TType)
  | (TName extends TNegatable ? false : never);

type Given<
  TName extends string,
  TType,
  TCollectable extends string,
  TNegatable extends string,
  TDefaults,
  TAliases,
> = {
  [
    Name in TName as Name extends keyof TDefaults | TCollectable ? Names<Name, TAliases> : never
  ]:
    | Value<Name, TType, TCollectable, TNegatable>
    | (Name extends keyof TDefaults ? TDefaults[Name] : never);
};

type Optional<TName extends string, TNegatable extends string, TExcept, TAliases> = {
  [Name in TName as Name extends TExcept | "_" ? never : Names<Name, TAliases>]?:
    | string
    | (Name extends TNegatable ? false : never);
};

/** What {@linkcode parseArgs} gives: the options by name, and in `_` the arguments that are none. */
export type Args<
  TBooleans extends string = never,
  TStrings extends string = never,
  TCollectable extends string = never,
  TNegatable extends string = never,
  TDefaults = Record<never, never>,
  TAliases = Record<never, never>,
  TDoubleDash extends boolean = false,
> =
  & { [name: string]: unknown; _: (string | number)[] }
  & Given<
    TBooleans,
    boolean,
    TCollectable,
    TNegatable,
    TDefaults & Record<TBooleans, never>,
    TAliases
  >
  & Given<TStrings, string, TCollectable, TNegatable, TDefaults, TAliases>
  & Optional<TStrings, TNegatable, keyof TDefaults | TCollectable, TAliases>
  & (TDoubleDash extends true ? { "--": string[] } : unknown);

type Parsed = { [name: string]: unknown; _: (string | number)[] };

/**
 * Reads command line arguments. `--name value`, `--name=value`, `-n value`, `-n=value`, `-n5` and
 * groups of one-letter options (`-abc`); a value that begins with `-` needs the form with `=`. Values
 * that look like numbers become numbers unless the option is declared as text.
 *
 * @param args The arguments, such as `Deno.args`
 * @param options What is declared: see {@linkcode ParseOptions}
 * @returns The options by name, and in `_` the arguments that are none
 */
export function parseArgs<
  const TBooleans extends string = never,
  const TStrings extends string = never,
  const TCollectable extends string = never,
  const TNegatable extends string = never,
  TDefaults extends Record<string, unknown> = Record<never, never>,
  const TAliases extends Aliases = Record<never, never>,
  const TDoubleDash extends boolean = false,
>(
  args: string[],
  options: ParseOptions<
    TBooleans,
    TStrings,
    TCollectable,
    TNegatable,
    TDefaults,
    TAliases,
    TDoubleDash
  > = {},
): Args<TBooleans, TStrings, TCollectable, TNegatable, TDefaults, TAliases, TDoubleDash> {
  const names = new Synonyms(options.alias ?? {});
  const allBooleans = options.boolean === true;
  const booleans = names.all(typeof options.boolean === "boolean" ? [] : options.boolean);
  const strings = names.all(options.string);
  const collected = names.all(options.collect);
  const negatable = names.all(options.negatable);
  const parsed: Parsed = { _: [] };

  const set = (key: string, value: string | boolean, arg: string, negated = false) => {
    const declared = booleans.has(key) || strings.has(key) || names.has(key) ||
      (allBooleans && arg.startsWith("--") && !arg.includes("="));
    if (!declared && options.unknown?.(arg, key, value) === false) return;
    const one = typeof value === "string" && !strings.has(key) ? number(value) : value;
    for (const name of names.of(key)) {
      const before = parsed[name];
      parsed[name] = !collected.has(key) || negated
        ? one
        : Array.isArray(before)
        ? [...before, one]
        : before
        ? [before, one]
        : [one];
    }
  };

  const end = args.indexOf("--");
  const before = end < 0 ? args : args.slice(0, end);
  const after = end < 0 ? [] : args.slice(end + 1);

  for (let i = 0; i < before.length; i++) {
    const arg = before[i] ?? "";
    /** An option without `=`: takes the next argument when that can be its value. */
    const setWithNext = (key: string, looksLikeOption: RegExp, everyOneBoolean: boolean) => {
      const next = before[i + 1];
      if (next && !booleans.has(key) && !everyOneBoolean && !looksLikeOption.test(next)) {
        set(key, next, arg);
        i++;
      } else if (next === "true" || next === "false") {
        set(key, next === "true", arg);
        i++;
      } else {
        set(key, strings.has(key) ? "" : true, arg);
      }
    };

    if (/^--./s.test(arg)) {
      const { key, value } = split(arg.slice(2));
      if (value !== undefined) {
        set(key, booleans.has(key) ? value !== "false" : value, arg);
      } else if (/^no-./s.test(key) && negatable.has(key.slice(3))) {
        set(key.slice(3), false, arg, true);
      } else {
        setWithNext(key, /^-/, allBooleans);
      }
    } else if (/^-./s.test(arg)) {
      const last = shortGroup(
        arg,
        (key, value) => set(key, value ?? (strings.has(key) ? "" : true), arg),
      );
      if (last) setWithNext(last, /^--?[^-]/, false);
    } else {
      if (options.unknown?.(arg) !== false) parsed._.push(strings.has("_") ? arg : number(arg));
      if (options.stopEarly) {
        parsed._.push(...before.slice(i + 1));
        break;
      }
    }
  }

  for (const [key, value] of Object.entries(options.default ?? {})) {
    if (Object.hasOwn(parsed, key)) continue;
    for (const name of names.of(key)) parsed[name] = value;
  }
  for (const key of [...booleans, ...strings]) {
    if (Object.hasOwn(parsed, key) || key === "_") continue;
    if (collected.has(key)) parsed[key] = [];
    else if (booleans.has(key)) parsed[key] = false;
  }
  if (options["--"]) parsed["--"] = after;
  else parsed._.push(...after);
  return parsed as Args<
    TBooleans,
    TStrings,
    TCollectable,
    TNegatable,
    TDefaults,
    TAliases,
    TDoubleDash
  >;
}

/** Which names mean the same option. */
class Synonyms {
  #groups = new Map<string, Set<string>>();

  constructor(aliases: Aliases) {
    for (const [key, others] of Object.entries(aliases)) {
      const group = new Set([key, ...[others].flat()]);
      for (const name of group) this.#groups.set(name, group);
    }
  }

  has(key: string): boolean {
    return this.#groups.has(key);
  }

  of(key: string): Iterable<string> {
    return this.#groups.get(key) ?? [key];
  }

  all(keys: string | readonly string[] = []): Set<string> {
    return new Set([keys].flat().flatMap((key) => [...this.of(key)]));
  }
}

/** `name=value` in its two parts; what has no value after `=` is all name. */
function split(text: string): { key: string; value?: string } {
  const at = text.indexOf("=", 1);
  if (at < 0 || at === text.length - 1) return { key: text };
  return { key: text.slice(0, at), value: text.slice(at + 1) };
}

/**
 * Walks `-abc`, `-n5`, `-n=5` or `-I/path`.
 *
 * @returns The last letter when it may still take the next argument as its value
 */
function shortGroup(
  arg: string,
  set: (key: string, value?: string) => void,
): string | undefined {
  for (let j = 1; j < arg.length - 1; j++) {
    const letter = arg.charAt(j);
    const rest = arg.slice(j + 1);
    const isLetter = /[A-Za-z]/.test(letter);
    if (rest === "-") {
      set(letter, rest);
    } else if (isLetter && rest.startsWith("=") && rest.length > 1) {
      set(letter, rest.slice(1));
      return undefined;
    } else if ((isLetter && /^-?\d+(\.\d*)?(e-?\d+)?$/.test(rest)) || /^\W/.test(rest)) {
      set(letter, rest);
      return undefined;
    } else {
      set(letter);
    }
  }
  const last = arg.charAt(arg.length - 1);
  return last === "-" ? undefined : last;
}

function number(text: string): string | number {
  const isNumber = /^0x[0-9a-f]+$/i.test(text) ||
    /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/.test(text);
  return isNumber ? Number(text) : text;
}
