/**
 * What an evaluation found, as JSON lines: a header, one object per recording as soon as it was run,
 * and the figures. A run that was interrupted goes on with its file, and `figures` reads it.
 */
import { InputError } from "../../../engine/config/errors.ts";
import { readError } from "../../system/errors.ts";
import { writeOutput } from "../../system/output_file.ts";
import type { Provenance } from "../../provenance/provenance.ts";
import type { Row } from "./bars.ts";
import type { RecordingResult } from "./recording_result.ts";

export const eventsSchema = "wanstream/eval-events/1";

export interface EvalHeader {
  type: "header";
  schema: typeof eventsSchema;
  /** Milliseconds of a unit. */
  unitMs: number;
  /** The runs that wrote the file, the first and those that went on with it. */
  runs: Provenance[];
}

export interface EvalSummary {
  type: "summary";
  /** The recordings that the figures are about: the file may hold more. */
  recordings: string[];
  noiseSeeds: number[];
  figures: Row[];
}

/** A file of `eval`: its header, and of each recording and seed of the noise the last result. */
export interface EvalFile {
  path: string;
  header: EvalHeader;
  results: RecordingResult[];
}

/** What tells a file's results apart. */
export const resultKey = ({ name, noiseSeed }: Pick<RecordingResult, "name" | "noiseSeed">) =>
  `${name} ${noiseSeed}`;

/**
 * Reads a file of `eval`, or several that were written one behind the other. A last line that is not
 * whole is left out.
 *
 * @throws InputError when there is none, it is of another kind or version, or a line is damaged.
 */
export async function readEvalFile(path: string): Promise<EvalFile> {
  const text = await Deno.readTextFile(path).catch((error) => {
    throw readError(path, error);
  });
  const lines = text.split("\n");
  const headers: EvalHeader[] = [];
  const last = new Map<string, RecordingResult>();
  lines.forEach((line, at) => {
    if (line === "") return;
    const value = parsed(line);
    // A run was killed while it wrote it.
    if (value === null && at === lines.length - 1) return;
    if (at === 0 && value?.["type"] !== "header") throw notOurs(path, null);
    if (value?.["type"] === "header") {
      if (value["schema"] !== eventsSchema) throw notOurs(path, value["schema"]);
      const { unitMs, runs } = value;
      if (!(Number(unitMs) > 0 && Array.isArray(runs))) throw damaged(path, at);
      headers.push(value as unknown as EvalHeader);
    } else if (isResult(value)) last.set(resultKey(value), value);
    else if (value?.["type"] !== "summary") {
      throw damaged(path, at);
    }
  });
  const [header] = headers;
  if (!header) throw notOurs(path, null);
  const runs = headers.flatMap(({ runs }) => runs);
  if (headers.some(({ unitMs }) => unitMs !== header.unitMs)) {
    throw new InputError(`${path}: holds runs with units of different lengths: take them apart`);
  }
  return { path, header: { ...header, runs }, results: [...last.values()] };
}

function damaged(path: string, at: number): InputError {
  const remedy = at === 0
    ? "make the file anew by 'eval --events FILE --force'"
    : "take it out (its recording is run again by --resume)";
  return new InputError(`${path}: line ${at + 1} is damaged: ${remedy}`);
}

function parsed(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

/** Whether a line has what figures are made of: a line that was changed by hand, or is another
 * program's, would give wrong figures without a word. */
function isResult(value: Record<string, unknown> | null): value is RecordingResult & typeof value {
  if (value?.["type"] !== "recording" || typeof value["name"] !== "string") return false;
  const { units, active, truthActive, outcomes, solveMs, rms } = value;
  const list = (one: unknown): unknown[] => Array.isArray(one) ? one : [null];
  const flags = [active, truthActive];
  const outcomeKeys = list(outcomes).map(fieldsOf);
  const basis = fieldsOf(value["basis"]);
  return [value["noiseSeed"], value["wallSeconds"], units, ...list(solveMs), ...list(rms)]
    .every(Number.isFinite) &&
    list(rms).length === units &&
    flags.every((one) => typeof one === "string" && one.length === units && /^[01]*$/.test(one)) &&
    outcomeKeys.every(({ measure, unit, value }) =>
      typeof measure === "string" && [unit, value].every(Number.isFinite)
    ) &&
    basisKeys.every((key) => typeof basis[key] === "string") &&
    (value["swap"] === null || typeof fieldsOf(value["swap"])["of"] === "string") &&
    ["lips", "pictures"].every((key) => typeof value[key] === "object" && value[key] !== null);
}

const basisKeys = ["recording", "truth", "checkpoint", "settings", "program"] as const;

/** The fields of what may be an object. */
const fieldsOf = (value: unknown): Record<string, unknown> => ({ ...value as object });

function notOurs(path: string, schema: unknown): InputError {
  const is = typeof schema === "string" ? ` (its schema is ${schema}, not ${eventsSchema})` : "";
  return new InputError(
    `${path}: this is not an events file of this version's 'eval'${is}: make one with ` +
      "'eval --events FILE'",
  );
}

/** Writes such a file, line by line. */
export class EventsFile {
  #file: Deno.FsFile;
  readonly #path: string;

  private constructor(file: Deno.FsFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /** Begins the file with what it is to hold already. @throws InputError when it can't be written. */
  static async create(
    path: string,
    header: EvalHeader,
    results: readonly RecordingResult[],
  ): Promise<EventsFile> {
    await writeOutput(path, [header, ...results].map(lineOf).join(""));
    return new EventsFile(await Deno.open(path, { append: true }), path);
  }

  /** Begins anew, when more is known for the header: once a session is open, say. */
  async restart(header: EvalHeader, results: readonly RecordingResult[]): Promise<void> {
    this.#file.close();
    await writeOutput(this.#path, [header, ...results].map(lineOf).join(""));
    this.#file = await Deno.open(this.#path, { append: true });
  }

  add(line: RecordingResult | EvalSummary): void {
    const bytes = new TextEncoder().encode(lineOf(line));
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

const lineOf = (line: object) => `${JSON.stringify(line)}\n`;
