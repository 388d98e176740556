/** What a saved run says of itself in its session's file: where it stands, and which options hold. */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { Snapshot } from "../../engine/mod.ts";

/** Who saved it: a run over a file, which is read again, or over a stream, which has gone on. */
export type SavingCommand = "replay" | "stream";

/**
 * The options that a resumed run takes over from the one that was saved. Those that change what is
 * answered (`mustHold`) may be given again, but not others, unless the run is a fork. What the snapshot
 * itself holds (seed, solver, sampling, prompt, persona, voice, precision) isn't here.
 */
export interface KeptOptions {
  model?: string | undefined;
  "user-text"?: string | undefined;
  network?: string | undefined;
  late?: "wait" | "skip" | undefined;
  pace?: "live" | "max" | undefined;
  placement?: "auto" | "split" | "fused" | undefined;
  thinker?: string | undefined;
  performer?: string | undefined;
  units?: number | undefined;
  "no-tune"?: boolean | undefined;
  "tune-cache"?: string | undefined;
}

export const mustHold = ["user-text", "network", "late"] as const satisfies (keyof KeptOptions)[];

const texts = ["model", "user-text", "network", "thinker", "performer", "tune-cache"] as const;
/** Names of files and folders. */
const paths: string[] = ["model", "user-text", "tune-cache"];
const choices = {
  late: ["wait", "skip"],
  pace: ["live", "max"],
  placement: ["auto", "split", "fused"],
} as const;

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
  const names: string[] = [...texts, ...Object.keys(choices), "units", "no-tune"];
  const given = Object.entries(options).filter(([name, value]) =>
    names.includes(name) && value !== undefined && value !== false
  );
  return Object.fromEntries(
    given.map(([name, value]) => [name, paths.includes(name) ? resolve(`${value}`) : value]),
  );
}

/** SHA-256 (hex) of a file of typed text; null when there is none. */
export async function textDigest(path: string | undefined): Promise<string | null> {
  if (path === undefined) return null;
  try {
    return createHash("sha256").update(await Deno.readFile(path)).digest("hex");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new InputError(`${path}: there is no such file: check its name`);
  }
}

/** Checks a progress that was loaded. @throws InputError */
export function readProgress(json: unknown, { meta }: Snapshot, path: string): SavedProgress {
  if (json === null || json === undefined) {
    throw new InputError(
      `${path}: no run saved this session: give one that --save-session wrote`,
    );
  }
  const top = new Fields(json, path, "progress.");
  const text = (fields: Fields, key: string) => {
    const value = fields.get(key);
    if (typeof value !== "string") throw fields.error(key, "text");
    return value;
  };
  const last = new Fields(meta, path, "meta.").whole("unit", [0, 2 ** 40]);
  const units = top.whole("units", [last + 1, last + 1]);
  const command = top.oneOf("command", ["replay", "stream"]);
  const input = command === "replay" ? top.object("input") : null;
  const given = top.object("options");
  const options: Record<string, unknown> = {};
  for (const name of texts) if (given.has(name)) options[name] = text(given, name);
  for (const [name, values] of Object.entries(choices)) {
    if (given.has(name)) options[name] = given.oneOf<string>(name, values);
  }
  if (given.has("no-tune")) options["no-tune"] = given.boolean("no-tune");
  if (given.has("units")) options["units"] = given.whole("units", [1, 2 ** 40]);
  return {
    command,
    options,
    userText: top.get("userText") === null ? null : text(top, "userText"),
    input: input && { path: text(input, "path"), sha256: text(input, "sha256") },
    first: top.whole("first", [0, units]),
    units,
    every: top.whole("every", [1, 1e6]),
    lineBytes: top.whole("lineBytes", [0, 2 ** 32]),
    wallMs: top.number("wallMs", [0, 1e12]),
  };
}
