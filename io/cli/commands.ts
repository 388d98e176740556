/** Commands that are chosen by name: those of main.ts, and the measurements of `bench`. */
import { InputError } from "../../engine/config/errors.ts";
import { nearest } from "../../engine/config/nearest.ts";
import { type StartedRun, startRun } from "../provenance/provenance.ts";
import { print } from "../system/terminal.ts";
import { type CommandSpec, helpText, type Option, type Parsed, parseOptions } from "./options.ts";

/** What a command's module exports. `More`: what it gets beside its arguments. */
export interface Command<More extends unknown[] = []> {
  /** One line for the list of commands. */
  summary: string;
  /** @returns The exit code. */
  run(args: string[], ...more: More): Promise<number>;
}

/** Commands by name; each is loaded when it is needed. */
export type Commands<More extends unknown[] = []> = Record<string, () => Promise<Command<More>>>;

/** Runs a command on what its arguments say, or prints its help.
 *
 * @param body Gets the options, the operands, and the run that its results come from.
 * @returns The exit code. */
export async function runCommand<const T extends Record<string, Option>>(
  spec: CommandSpec<T>,
  args: string[],
  body: (options: Parsed<T>["options"], operands: string[], run: StartedRun) => Promise<number>,
): Promise<number> {
  const run = startRun(...spec.name.split(" "), ...args);
  const { options, operands, help } = parseOptions(spec, args);
  if (!help) return await body(options, operands, run);
  await print(helpText(spec));
  return 0;
}

/** Loads a command. @throws InputError that begins with `label` when no command has this name. */
export async function findCommand<More extends unknown[]>(
  commands: Commands<More>,
  name: string,
  label: string,
): Promise<Command<More>> {
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load) return await load();
  const known = Object.keys(commands);
  const near = nearest(name, known);
  const hint = near ? `did you mean ${near}?` : `known are ${known.join(", ")}`;
  throw new InputError(`${label} ${name}: ${hint}`);
}

/** A line per command: its name after `prefix`, and its summary. */
export async function commandList<More extends unknown[]>(
  commands: Commands<More>,
  prefix = "",
): Promise<string> {
  const lines = Object.entries(commands).map(async ([name, load]) =>
    `  ${prefix}${name.padEnd(10)}${(await load()).summary}\n`
  );
  return (await Promise.all(lines)).join("");
}
