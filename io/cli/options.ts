/**
 * The options of a command, declared once: parsing, range checks, messages and `--help` come from the
 * same table.
 */
import { parseArgs, type ParseArgsOptionDescriptor } from "node:util";
import { InputError } from "../../engine/config/errors.ts";
import { nearest } from "../../engine/config/nearest.ts";
import type { ChoiceRule, NumberRule } from "../../engine/config/option_rules.ts";

interface Described {
  help: string;
  /** One-letter name. */
  short?: string;
  /** The field of a session's settings that it sets, e.g. "solver.steps": a saved session holds it. */
  setting?: string;
  /**
   * What a resumed run does where the option isn't given: both take over the saved run's value. Where
   * it is given, `fixed` refuses another value, because that would change what is answered.
   */
  onResume?: "kept" | "fixed";
}

/**
 * One option of a command. `value` is the placeholder that `--help` shows; FILE and DIR stand for paths.
 */
export type Option =
  | Described & { kind: "flag" }
  | Described & { kind: "text"; value: string }
  | Described & ChoiceRule
  | Described & Partial<NumberRule> & { kind: NumberRule["kind"]; value?: string };

/** A command as its file declares it. */
export interface CommandSpec<T extends Record<string, Option>> {
  name: string;
  /** One line for the list of commands. */
  summary: string;
  /** What stands after the command's name, e.g. "INPUT -o OUTPUT [options]". */
  usage: string;
  options: T;
  /** Command lines to learn from. */
  examples: string[];
}

type Value<O> = O extends { kind: "flag" } ? boolean
  : O extends { kind: "whole" | "number" } ? number | undefined
  : O extends { choices: readonly (infer C)[] } ? C | undefined
  : string | undefined;

/** Options by name (undefined: not given; flags: false) and the arguments that are none. */
export interface Parsed<T extends Record<string, Option>> {
  options: { [Name in keyof T]: Value<T[Name]> };
  operands: string[];
  /** `--help` was given: nothing else was checked. */
  help: boolean;
}

/**
 * Reads a command's arguments. Every option takes `--name value` or `--name=value`.
 *
 * @throws InputError that names the option, its value, and what it may be; an unknown option is
 * answered with the nearest known name.
 */
export function parseOptions<const T extends Record<string, Option>>(
  spec: CommandSpec<T>,
  args: string[],
): Parsed<T> {
  // Deno puts U+FFFD where an argument isn't UTF-8: the file of that name is another one.
  const broken = args.find((arg) => arg.includes("\ufffd"));
  if (broken !== undefined) {
    throw new InputError(`'${broken}' is not UTF-8: rename the file, and give its new name`);
  }
  const entries = Object.entries<Option>(spec.options);
  const flag = { type: "boolean" } as const;
  const declared = entries.map(([name, { kind, short }]) => {
    const type: ParseArgsOptionDescriptor = kind === "flag" ? flag : { type: "string" };
    return [name, short === undefined ? type : { ...type, short }] as const;
  });
  const { tokens } = parseArgs({
    args,
    options: { ...Object.fromEntries(declared), help: { ...flag, short: "h" } },
    strict: false,
    tokens: true,
  });
  const operands: string[] = [];
  const given = new Map<string, (string | undefined)[]>();
  let unknown: string | undefined;
  let forgotten: string | undefined;
  let help = false;
  for (const token of tokens) {
    if (token.kind === "positional") operands.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value, inlineValue, index } = token;
    const isShort = !rawName.startsWith("--");
    // `-dash.wav` is read as -d, -a, -s, -h, ...: a file's name, and no call for help.
    const group = isShort && /^-\w./.test(args[index] ?? "") ? args[index] : undefined;
    if (name === "help" && group === undefined) help = true;
    else if (!Object.hasOwn(spec.options, name)) unknown ??= group ?? rawName;
    // In `-o --force` the value is forgotten; `--shift -1` is a value that is out of range.
    if (!inlineValue && value !== undefined && /^-(?!\.?\d|$)/.test(value)) {
      forgotten ??= needsValue(name, spec.options[name]) + dashHint(value);
    }
    const text = isShort && inlineValue ? value.replace(/^=/, "") : value;
    given.set(name, [...given.get(name) ?? [], text]);
  }
  if (!help && forgotten !== undefined) throw new InputError(forgotten);
  const options: Record<string, unknown> = {};
  for (const [name, option] of help ? [] : entries) {
    const values = given.get(name) ?? [];
    options[name] = option.kind === "flag"
      ? values.length > 0 && values.at(-1) !== "false"
      : one(name, option, values.map((value) => value ?? ""));
  }
  if (!help && unknown !== undefined) throw unknownOption(unknown, entries);
  return { options: options as Parsed<T>["options"], operands, help };
}

/** Those of a command's options that were given; a flag counts when it is set. */
export function givenOptions(options: object): [name: string, value: unknown][] {
  return Object.entries(options).filter(([, value]) => value !== undefined && value !== false);
}

function needsValue(name: string, option: Option | undefined): string {
  return `--${name} needs a value${option ? `: ${label(name, option)}` : ""}`;
}

/** How a file's name that looks like an option is given. */
function dashHint(word: string): string {
  return word.startsWith("--") ? "" : `; a file of the name ${word} is given as ./${word}`;
}

function one(name: string, option: Option, given: string[]): string | number | undefined {
  const text = given[0];
  if (text === undefined) return undefined;
  if (given.length > 1) {
    throw new InputError(`--${name} is given ${given.length} times: give it once`);
  }
  if (text === "") throw new InputError(needsValue(name, option));
  switch (option.kind) {
    case "choice":
      if (option.choices.includes(text)) return text;
      throw new InputError(`--${name}: '${text}' is none of ${option.choices.join(", ")}`);
    case "whole":
    case "number":
      return toNumber(name, option, text);
    default:
      return text;
  }
}

function toNumber(
  name: string,
  { kind, min = -Infinity, max = Infinity }: Option & { kind: "whole" | "number" },
  text: string,
): number {
  const value = /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : NaN;
  const ok = kind === "whole" ? Number.isSafeInteger(value) : Number.isFinite(value);
  if (!ok) {
    throw new InputError(`--${name}: '${text}' is not a ${kind === "whole" ? "whole " : ""}number`);
  }
  if (value < min) {
    throw new InputError(
      `--${name}: ${text} is too ${kind === "whole" ? "few" : "low"}: ${min} or more`,
    );
  }
  if (value > max) {
    throw new InputError(
      `--${name}: ${text} is too ${kind === "whole" ? "many" : "high"}: ${max} or less`,
    );
  }
  return value;
}

function unknownOption(name: string, entries: [string, Option][]): InputError {
  const known = ["help", ...entries.map(([key]) => key)].map((key) => `--${key}`);
  const near = nearest(name, known);
  const hint = near ? `did you mean ${near}?` : "--help lists the known ones";
  return new InputError(`unknown option ${name}: ${hint}${name.length > 2 ? dashHint(name) : ""}`);
}

function label(name: string, option: Option): string {
  switch (option.kind) {
    case "flag":
      return `--${name}`;
    case "choice":
      return `--${name} ${option.choices.join("|")}`;
    case "text":
      return `--${name} ${option.value}`;
    default:
      return `--${name} ${option.value ?? "N"}`;
  }
}

/** The text of `--help`: usage, options, examples. */
export function helpText<T extends Record<string, Option>>(spec: CommandSpec<T>): string {
  const rows = Object.entries<Option>(spec.options).map(([name, option]) => [
    `${option.short === undefined ? "" : `-${option.short}, `}${label(name, option)}`,
    option.help,
  ]);
  rows.push(["-h, --help", "this text"]);
  const width = Math.min(30, Math.max(...rows.map(([left]) => left?.length ?? 0)));
  const lines = rows.map(([left = "", right = ""]) =>
    left.length > width
      ? `  ${left}\n  ${" ".repeat(width)}  ${right}`
      : `  ${left.padEnd(width)}  ${right}`
  );
  return [
    `${spec.name}: ${spec.summary}`,
    "",
    `Usage: wanstream ${spec.name} ${spec.usage}`,
    "",
    "Options:",
    ...lines,
    "",
    spec.examples.length > 1 ? "Examples:" : "Example:",
    ...spec.examples.map((line) => `  ${line}`),
    "",
  ].join("\n");
}

/** Which FFmpeg runs. */
export const ffmpegOption = {
  ffmpeg: {
    kind: "text",
    value: "PATH",
    help: "FFmpeg; in a task FFMPEG_BIN=PATH (ffmpeg-static, PATH)",
  },
} as const satisfies Record<string, Option>;
