/** Errors that end a command, and what the operating system says of a failure, each in one line. */
import { InputError } from "../../engine/config/errors.ts";

/** A run that can't be finished for a reason outside of it: FFmpeg died, the disk is full. One line. */
export class RunError extends Error {
  /** What messages begin with. */
  override name = "RunError";
  /** What a command ends with. */
  readonly exitCode: number;

  /** One line for people. @param exitCode 1, or 3 where what was answered so far is kept. */
  constructor(message: string, exitCode: 1 | 3 = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** An output can't be written further: its FFmpeg is gone, its disk is full. What was written is kept. */
export class OutputError extends RunError {
  /** What messages begin with. */
  override name = "OutputError";
}

/** Folders of which Deno opens nothing without all permissions. */
const isReserved = (path: string) => /^\/(dev|proc|sys)\//.test(path);

const deniedPath = (error: Error) => /access to "([^"]*)"/.exec(error.message)?.[1] ?? "";

/**
 * The reason of a failed call in one line: without Deno's error number and without the paths that the
 * message around it names already.
 */
export function osReason(error: unknown): string {
  if (error instanceof Deno.errors.NotCapable) {
    return isReserved(deniedPath(error))
      ? "Deno keeps programs from opening files in this folder: use a FIFO (mkfifo) or a file elsewhere"
      : error.message;
  }
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/ *\(os error.*/s, "").split("\n")[0]?.slice(0, 200) ?? "";
}

/** What a call gives of a file or folder; null where it isn't there. */
export async function ifThere<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return null;
    throw error;
  }
}

/** True for what the operating system refused: a disk that is full, a file that isn't there. */
export function isOsError(error: unknown): error is Error {
  return error instanceof Error && /\(os error \d+\)/.test(error.message);
}

/** True when the system has no more of what every call needs: files (of this process, of all), memory. */
export function isExhausted(error: unknown): boolean {
  return isOsError(error) && /\(os error (12|23|24)\)/.test(error.message);
}

/** True when a disk or its server failed, which may pass: input/output errors, no answer, a stale handle. */
function isDisks(error: unknown): boolean {
  return isOsError(error) && /\(os error (5|107|110|112|113|116|121)\)/.test(error.message);
}

/**
 * An error of writing a file: what the operating system refused becomes an OutputError that names the
 * file; any other error stays what it is.
 */
export function outputError(path: string, error: unknown): unknown {
  return isOsError(error)
    ? new OutputError(`${path}: can't be written: ${osReason(error)}`, 3)
    : error;
}

/** A message whose names hold line ends stays one line. */
export const oneLine = (text: string) => text.replaceAll("\n", "\\n");

/** The line and the exit code for an error that ends a command. */
export function explain(error: unknown): { text: string; exitCode: number } {
  if (error instanceof InputError) return { text: oneLine(error.message), exitCode: 2 };
  if (error instanceof RunError) return { text: oneLine(error.message), exitCode: error.exitCode };
  if (error instanceof Deno.errors.NotCapable) {
    const path = deniedPath(error);
    return { text: `${isReserved(path) ? `${path}: ` : ""}${osReason(error)}`, exitCode: 2 };
  }
  if (isOsError(error)) return { text: osReason(error), exitCode: 3 };
  // A stack trace is printed only for errors that no part of the program expects.
  return { text: Deno.inspect(error), exitCode: 1 };
}

/** Why a file that was named can't be read, and the remedy. */
export function readError(path: string, error: unknown): Error {
  if (isExhausted(error) || isDisks(error)) {
    return new RunError(`${path}: can't be read: ${osReason(error)}`, 3);
  }
  if (error instanceof Deno.errors.NotFound) {
    return new InputError(`${path}: there is no such file: check its name`);
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return new InputError(`${path}: may not be read: change its permissions`);
  }
  if (error instanceof Deno.errors.NotCapable) {
    return new InputError(
      isReserved(path)
        ? `${path}: can't be read: ${osReason(error)}`
        : `${path}: may not be read: run with Deno's --allow-read`,
    );
  }
  // A link to itself, a name that is too long, a file used as a folder.
  return new InputError(`${path}: can't be read (${osReason(error)}): check its name`);
}
