/**
 * Makes published figures again: docs/published.json lists what README, card and logs say with the
 * command that gives it. Commands of under ten minutes are run and compared, the others are listed
 * with their time.
 *
 *     deno task published [--only TEXT] [--minutes N] [--list]
 *
 * A figure agrees when what is measured now lies within the distance that the list gives, or else
 * holds the published value in its interval. A speed is compared on a machine of the same kind alone.
 */
import { fileURLToPath } from "node:url";
import published from "../docs/published.json" with { type: "json" };
import { InputError } from "../engine/config/errors.ts";
import { type CommandSpec, helpText, type Option, parseOptions } from "../io/cli/options.ts";
import { tableOf, tableText } from "../io/reports/table.ts";
import { print, say } from "../io/system/terminal.ts";

const spec = {
  name: "published",
  summary: "make published figures again and compare",
  usage: "[options]",
  options: {
    only: { kind: "text", value: "TEXT", help: "commands that hold this text alone" },
    minutes: { kind: "number", value: "N", min: 0, help: "run what takes less (10)" },
    list: { kind: "flag", help: "run nothing, list all" },
  },
  examples: ["deno task published", "deno task published --only 'bench tick' --minutes 60"],
} as const satisfies CommandSpec<Record<string, Option>>;

/** A published figure: where it stands, in which words, and where the command's JSON has it. */
export interface PublishedFigure {
  file: string;
  text: string;
  path: string;
  value: number;
  /** Largest distance; null: the figure's own interval decides. */
  within: number | null;
}

export interface PublishedResult {
  command: string;
  minutes: number;
  /** The machine that a speed is of. */
  machine: string | null;
  figures: PublishedFigure[];
}

/** What the list says. */
export const results: PublishedResult[] = published.results.map((result) => ({
  ...result,
  machine: "machine" in result ? result.machine ?? null : null,
  figures: Object.entries(result.figures).flatMap(([file, figures]) =>
    figures.map((figure) => {
      const [text, path, value, within] = figure;
      return {
        file,
        text: `${text}`,
        path: `${path}`,
        value: Number(value),
        within: within === undefined ? null : Number(within),
      };
    })
  ),
}));

/** What can't be compared by this program: commands of scripts, for people. */
export const { byHand } = published;

/** What others counted with voices that no package of this project has: no command here repeats it, and
 * the text says so. */
export const { outside } = published;

/** The value at a path; a key chooses an array's item by its index, its `key` or its `name`. */
export function at(value: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((inner, key) => {
    if (Array.isArray(inner)) {
      return inner[Number(key)] ?? inner.find((one) => [one.key, one.name].includes(key));
    }
    return typeof inner === "object" && inner !== null ? Reflect.get(inner, key) : undefined;
  }, value);
}

export type Verdict = "agrees" | "DIFFERS" | "other machine";

/** Compares a figure with what its command gave now. */
export function compare(
  { path, value, within }: Omit<PublishedFigure, "file" | "text">,
  result: unknown,
  isSameMachine: boolean,
): { now: unknown; verdict: Verdict } {
  const now = at(result, path);
  if (!isSameMachine) return { now, verdict: "other machine" };
  const interval = at(result, path.replace(/\.value$/, ".interval"));
  const [low, high] = Array.isArray(interval) ? interval.map(Number) : [NaN, NaN];
  // Published figures are rounded: to three digits and more.
  const near = Math.abs(Number(now) - value) <= (within ?? 0.0006 * Math.max(1, Math.abs(value)));
  const holds = within === null && value >= Number(low) && value <= Number(high);
  const isNumber = typeof now === "number";
  return { now, verdict: isNumber && (near || holds) ? "agrees" : "DIFFERS" };
}

/** Runs a command of wanstream's with `--json`. */
async function run(command: string): Promise<unknown> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", ...command.split(" "), "--json"],
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  // A check that fails has a result all the same.
  if (success || stdout.length > 0) return JSON.parse(text(stdout));
  throw new InputError(`${command}: ${text(stderr).trim()}`);
}

/** Whether a speed can be compared: the list names a machine by its CPU. */
const isOn = (machine: string, cpu: unknown) =>
  typeof cpu === "string" && machine.startsWith(cpu.split(" ").slice(0, 2).join(" "));

/** What the command doubts of its own figures: on a busy machine a speed differs by that alone. */
function warningsOf(result: unknown): string[] {
  const warnings = at(result, "warnings");
  return Array.isArray(warnings) ? warnings.map((warning) => `warning: ${warning}`) : [];
}

export async function main(args: string[]): Promise<number> {
  const { options: { only = "", minutes = 10, list }, operands, help } = parseOptions(spec, args);
  if (help) {
    await print(helpText(spec));
    return 0;
  }
  if (operands[0] !== undefined) throw new InputError(`published takes no '${operands[0]}'`);
  const chosen = results.filter(({ command }) => command.includes(only));
  const others = byHand.filter(({ command }) => command.includes(only));
  if (chosen.length + others.length === 0) {
    throw new InputError(`--only ${only}: no published figure's command holds it: --list has all`);
  }
  const runs = chosen.filter((one) => !list && one.minutes < minutes);
  let differs = 0;
  for (const { command, machine, figures, minutes } of runs) {
    say(`${command} (about ${minutes} min)`);
    const result = await run(command);
    const cpu = at(result, "provenance.machine.cpu");
    const rows = figures.map((figure) => ({
      ...figure,
      ...compare(figure, result, machine === null || isOn(machine, cpu)),
    }));
    differs += rows.filter(({ verdict }) => verdict === "DIFFERS").length;
    const made = `commit ${at(result, "provenance.commit")}, on ${cpu}`;
    const table = tableOf(`wanstream ${command}`, rows, [
      ["figure", ({ path }) => path],
      ["published", ({ value }) => `${value}`],
      ["now", ({ now }) => `${now ?? "none"}`],
      ["verdict", ({ verdict }) => verdict],
      ["in", ({ file }) => file],
    ], [machine === null ? made : `${made}; published on ${machine}`, ...warningsOf(result)]);
    await print(`${tableText(table)}\n`);
  }
  const left = [
    ...chosen.filter((one) => !runs.includes(one)).map(({ command, minutes }) => ({
      command: `wanstream ${command}`,
      minutes,
    })),
    ...others,
  ];
  const lines = left.map(({ command, minutes }) => `${`${minutes}`.padStart(5)} min  ${command}\n`);
  if (left.length > 0) await print(`Not run:\n${lines.join("")}`);
  const without = outside.map(({ file, text }) => `  ${text}, in ${file}\n`);
  await print(`Counted outside, without a command here:\n${without.join("")}`);
  return differs > 0 ? 1 : 0;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    say(`published: ${error.message}`);
    Deno.exit(2);
  }
}
