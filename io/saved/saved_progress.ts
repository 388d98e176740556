/** What a saved run says of itself in its session's file: where it stands, and which options hold. */
import { resolve } from "node:path";
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { Snapshot } from "../../engine/mod.ts";
import { modelOptions } from "../cli/model_options.ts";
import { givenOptions, type Option, type Parsed } from "../cli/options.ts";
import { trackOptions } from "../media/tracks.ts";
import { paceOptions } from "../pace/pace_options.ts";
import { fileDigest } from "../system/bytes.ts";
import { readError } from "../system/errors.ts";

/** Who saved it: a run over a file, which is read again, or over a stream, which has gone on. */
export type SavingCommand = "replay" | "stream";

const runOptions = { ...modelOptions, ...paceOptions, ...trackOptions };
type RunOptions = typeof runOptions;
type Values = Parsed<RunOptions>["options"];
/** The names of options whose declaration says so. */
type Declaring<Property extends "setting" | "onResume"> = {
  [Name in keyof RunOptions]: RunOptions[Name] extends Record<Property, string> ? Name : never;
}[keyof RunOptions];

/** The options that a resumed run takes over from the one that was saved. */
export type KeptOptions = { [Name in Declaring<"onResume">]?: Values[Name] | undefined };

/** The options that change what is answered and that the snapshot holds. */
export type SettingOptions = Pick<Values, Declaring<"setting">>;

const declarations: [name: string, option: Option][] = Object.entries(runOptions);

/** Options that may be given again, but not others, unless the run is a fork. */
export const fixedOptions = declarations.flatMap(([name, { onResume }]) =>
  onResume === "fixed" ? [name as keyof KeptOptions] : []
);

/** The same of options that the snapshot holds, each with its field there. */
export const settingOptions = declarations.flatMap(([name, { setting }]) =>
  setting === undefined ? [] : [[name as keyof SettingOptions, setting] as const]
);

/** JSON. */
export interface SavedProgress {
  command: SavingCommand;
  options: KeptOptions;
  /** SHA-256 of the file of typed text; null: none was given. */
  userText: string | null;
  /** Null: a stream. */
  input: { path: string; sha256: string } | null;
  /** The first unit whose answer is kept: 0, or where the run was forked. */
  first: number;
  /** Units that the session has answered. */
  units: number;
  /** Units from save to save. */
  every: number;
  /** Bytes of NAME.units that count. */
  lineBytes: number;
  /** Milliseconds of work so far. */
  wallMs: number;
}

/** Those of a command's options that a resumed run takes over; paths from the root on. */
export function keptOptions(options: KeptOptions): KeptOptions {
  return Object.fromEntries(
    givenOptions(options).flatMap(([name, value]) => {
      const option = declarations.find(([known]) => known === name)?.[1];
      if (option?.onResume === undefined) return [];
      const isPath = option.kind === "text" && ["FILE", "DIR"].includes(option.value);
      return [[name, isPath ? resolve(`${value}`) : value]];
    }),
  );
}

/** SHA-256 (hex) of a file of typed text; null when there is none. */
export async function textDigest(path: string | undefined): Promise<string | null> {
  if (path === undefined) return null;
  return await fileDigest(path).catch((error) => {
    throw readError(path, error);
  });
}

/** Checks a progress that was loaded. @throws InputError */
export function readProgress(json: unknown, { meta }: Snapshot, path: string): SavedProgress {
  if (json === null || json === undefined) {
    throw new InputError(
      `${path}: no run saved this session: give one that --save-session wrote`,
    );
  }
  const top = new Fields(json, path, "progress.");
  const last = new Fields(meta, path, "meta.").whole("unit", [0, 2 ** 40]);
  const units = top.whole("units", [last + 1, last + 1]);
  const command = top.oneOf("command", ["replay", "stream"]);
  const input = command === "replay" ? top.object("input") : null;
  const given = top.object("options");
  const options = declarations.flatMap(([name, option]) =>
    option.onResume && given.has(name) ? [[name, readOption(given, name, option)]] : []
  );
  return {
    command,
    options: Object.fromEntries(options),
    userText: top.get("userText") === null ? null : readText(top, "userText"),
    input: input && { path: readText(input, "path"), sha256: readText(input, "sha256") },
    first: top.whole("first", [0, units]),
    units,
    every: top.whole("every", [1, 1e6]),
    lineBytes: top.whole("lineBytes", [0, 2 ** 32]),
    wallMs: top.number("wallMs", [0, 1e12]),
  };
}

/** An option's value, of the kind and in the range that its declaration says. */
function readOption(given: Fields, name: string, option: Option): unknown {
  switch (option.kind) {
    case "flag":
      return given.boolean(name);
    case "choice":
      return given.oneOf(name, option.choices);
    case "text":
      return readText(given, name);
    default:
      return given[option.kind](name, [option.min ?? -Infinity, option.max ?? 2 ** 40]);
  }
}

function readText(fields: Fields, key: string): string {
  const value = fields.get(key);
  if (typeof value !== "string") throw fields.error(key, "text");
  return value;
}
