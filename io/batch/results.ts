/** What an item's folder says of it: `done.json` or `error.json`. */
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { Cut } from "../media/observation_reader.ts";
import type { Provenance } from "../provenance/provenance.ts";
import { valueDigest } from "../provenance/digests.ts";
import type { SummaryEvent } from "../pace/events.ts";
import { ifThere } from "../system/errors.ts";
import { markerFiles } from "./ids.ts";
import type { ItemOptions } from "./manifest.ts";

/** What a result rests on (SHA-256). */
export interface Basis {
  /** Null: it can't be read. */
  input: string | null;
  /** What was asked for, with the content of files that options name, and what is written. */
  options: string;
  /** Null: it can't be opened. */
  checkpoint: string | null;
  /** The program's own source. */
  program: string;
}

/** One digest of all. */
export const basisDigest = (basis: Basis): string => valueDigest(basis);

/** What both kinds of results say. */
interface Common {
  id: string;
  provenance: Provenance;
  /** Of all of `basis`: a rerun with the same one leaves the item as it is. */
  digest: string;
  basis: Basis;
  /** What was answered. */
  input: { path: string; bytes: number | null; sha256: string | null };
  /** As they were given. */
  options: ItemOptions;
}

export interface Done extends Common {
  state: "done";
  ended: SummaryEvent["ended"];
  units: number;
  seconds: number;
  cut: Cut | null;
  /** Everything that the agent said. */
  text: string;
  /** SHA-256 over the units' latents. */
  answer: string;
  outputs: { name: string; bytes: number; sha256: string }[];
  realTimeFactor: number;
  wallSeconds: number;
}

export interface Failed extends Common {
  state: "failed";
  /** `input`: it is bad, and fails again; `machine`: a rerun may mend it. */
  kind: "input" | "machine";
  message: string;
}

export type Result = Done | Failed;

/** Names of the files that tell of an item's end, and their schemas. */
export const markers = {
  done: { file: markerFiles.done, schema: "wanstream/batch-done/1" },
  failed: { file: markerFiles.failed, schema: "wanstream/batch-error/1" },
} as const;

/** The file's content. */
export function resultJson({ state, ...result }: Result): string {
  const whole = { schema: markers[state].schema, ...result };
  return `${JSON.stringify(whole, (_, value) => value ?? null, 2)}\n`;
}

const mostBytes = 1 << 20;

/** What an item's folder says; null: nothing, or nothing that can be read. */
export async function readResult(folder: string): Promise<Result | null> {
  for (const state of ["done", "failed"] as const) {
    const path = `${folder}/${markers[state].file}`;
    const info = await ifThere(Deno.stat(path));
    if (!info?.isFile || info.size > mostBytes) continue;
    try {
      // Another process may replace the folder meanwhile.
      const text = await ifThere(Deno.readTextFile(path));
      if (text === null) continue;
      const json = JSON.parse(text);
      check(state, new Fields(json, path));
      const { schema: _, ...result } = json;
      return { state, ...result };
    } catch (error) {
      if (error instanceof InputError || error instanceof SyntaxError) continue;
      throw error;
    }
  }
  return null;
}

/** Refuses what this program doesn't write: such an item is answered again. @throws InputError */
function check(state: Result["state"], fields: Fields): void {
  fields.oneOf("schema", [markers[state].schema]);
  const text = (of: Fields, ...keys: string[]) => {
    for (const key of keys) if (typeof of.get(key) !== "string") throw of.error(key, "text");
  };
  text(fields, "id", "digest");
  text(fields.object("input"), "path");
  text(fields.object("basis"), "options", "program");
  fields.object("options");
  fields.object("provenance").object("run");
  if (state === "failed") {
    fields.oneOf("kind", ["input", "machine"]);
    text(fields, "message");
    return;
  }
  text(fields, "ended", "text", "answer");
  fields.whole("units", [1, Number.MAX_SAFE_INTEGER]);
  for (const key of ["seconds", "realTimeFactor", "wallSeconds"]) fields.number(key, [0, 1e12]);
  for (const output of fields.list("outputs", [1, 100])) {
    const file = new Fields(output, fields.where, "outputs.");
    text(file, "name", "sha256");
    file.whole("bytes", [0, Number.MAX_SAFE_INTEGER]);
  }
}
