/**
 * What an evaluation found, as JSON lines: a header, one object per recording as soon as it was run,
 * and the figures. A run that was interrupted goes on with its file.
 */
import { InputError } from "../../engine/config/errors.ts";
import { ifThere } from "../system/errors.ts";
import { writeOutput } from "../system/output_file.ts";
import type { Row } from "./bars.ts";
import type { RecordingResult } from "./recording_result.ts";

export interface EvalHeader {
  type: "header";
  format: 1;
  program: string;
  /** SHA-256 of the checkpoint. */
  checkpoint: string;
  /** The options that the answers depend on, as they were given. */
  options: Record<string, unknown>;
}

export interface EvalSummary {
  type: "summary";
  figures: Row[];
}

/**
 * The recordings in a file that was made with the same checkpoint and options. A last line that is
 * not whole is left out.
 *
 * @throws InputError when `eval` didn't write the file, or wrote it with another checkpoint or options.
 */
export async function readResults(path: string, header: EvalHeader): Promise<RecordingResult[]> {
  const text = await ifThere(Deno.readTextFile(path));
  if (text === null) return [];
  const parsed = text.split("\n").flatMap((line): Record<string, unknown>[] => {
    try {
      const value: unknown = JSON.parse(line);
      return typeof value === "object" && value !== null ? [{ ...value }] : [];
    } catch {
      return [];
    }
  });
  const [first] = parsed;
  if (first?.["type"] !== "header") {
    throw new InputError(`${path}: this is not a file of 'eval': give another one to --events`);
  }
  for (const key of ["format", "checkpoint", "options"] as const) {
    if (JSON.stringify(first[key]) === JSON.stringify(header[key])) continue;
    throw new InputError(
      `${path}: was made with other ${key === "options" ? "options" : `a ${key}`} (${
        JSON.stringify(first[key])
      }): give them again, or another file to --events`,
    );
  }
  return parsed.filter(({ type }) => type === "recording") as unknown as RecordingResult[];
}

/** Writes such a file, line by line. */
export class EventsFile {
  private readonly file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.file = file;
  }

  /** Begins the file with what it is to hold already. @throws InputError when it can't be written. */
  static async create(
    path: string,
    header: EvalHeader,
    results: readonly RecordingResult[],
  ): Promise<EventsFile> {
    const lines = [header, ...results].map((line) => `${JSON.stringify(line)}\n`);
    await writeOutput(path, lines.join(""));
    return new EventsFile(await Deno.open(path, { append: true }));
  }

  add(line: RecordingResult | EvalSummary): void {
    const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
    for (let at = 0; at < bytes.length;) at += this.file.writeSync(bytes.subarray(at));
  }

  [Symbol.dispose](): void {
    this.file.close();
  }
}
