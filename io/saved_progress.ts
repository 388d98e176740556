/** Where a saved replay stands, as its session's file holds it. */
import { Fields } from "../engine/config_fields.ts";
import { InputError } from "../engine/errors.ts";
import type { Snapshot } from "../engine/mod.ts";

/** JSON. */
export interface SavedProgress {
  input: { path: string; sha256: string };
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

/** Checks a progress that was loaded. @throws InputError */
export function readProgress(json: unknown, { meta }: Snapshot, path: string): SavedProgress {
  if (json === null || json === undefined) {
    throw new InputError(
      `${path}: no replay saved this session: give one that --save-session wrote`,
    );
  }
  const top = new Fields(json, path, "progress.");
  const input = top.object("input");
  const text = (key: string) => {
    const value = input.get(key);
    if (typeof value !== "string") throw input.error(key, "text");
    return value;
  };
  const last = new Fields(meta, path, "meta.").whole("unit", [0, 2 ** 40]);
  const units = top.whole("units", [last + 1, last + 1]);
  return {
    input: { path: text("path"), sha256: text("sha256") },
    first: top.whole("first", [0, units]),
    units,
    every: top.whole("every", [1, 1e6]),
    lineBytes: top.whole("lineBytes", [0, 2 ** 32]),
    wallMs: top.number("wallMs", [0, 1e12]),
  };
}
