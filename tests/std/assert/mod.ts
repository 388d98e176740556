/**
 * A stand-in for `@std/assert` where JSR cannot be reached: the functions that the tests use, with the
 * real package's names, signatures and meaning. Without the `links` entry in deno.json the real package
 * takes its place.
 *
 * @module
 */
import { equal } from "./equal.ts";

/** What a failed assertion throws. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

/** A class, whatever its constructor takes. */
type AnyConstructor<T = unknown> = abstract new (...args: never[]) => T;

function fails(what: string, msg?: string, details = ""): never {
  throw new AssertionError(what + (msg === undefined ? "." : `: ${msg}`) + details);
}

/** A value with one member per line. */
function show(value: unknown): string {
  return Deno.inspect(value, {
    compact: false,
    depth: 8,
    iterableLimit: 10_000,
    sorted: true,
    strAbbreviateSize: 2000,
    trailingComma: true,
  });
}

/** Throws unless `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Throws unless both are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) fails("Values are not equal", msg, difference(actual, expected));
}

/** The lines that differ, `-` actual and `+` expected, between what both begin and end with. */
function difference(actual: unknown, expected: unknown): string {
  const [a, b] = [show(actual).split("\n"), show(expected).split("\n")];
  let start = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const cut = (lines: string[], sign: string) => {
    const shown = lines.slice(start, lines.length - end);
    const more = shown.length > 40 ? [`  ... ${shown.length - 40} more lines`] : [];
    return [...shown.slice(0, 40).map((line) => `${sign} ${line}`), ...more];
  };
  return ["", "  - actual, + expected", ...cut(a, "-"), ...cut(b, "+")].join("\n");
}

/** Throws when both are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) {
    fails(`Expected actual: ${show(actual)} not to be: ${show(expected)}`, msg);
  }
}

/** Throws when the numbers differ by more than `tolerance`: 1e-7 of `expected` when left out. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance: number = Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7,
  msg?: string,
): void {
  if (Object.is(actual, expected)) return;
  const delta = Math.abs(expected - actual);
  if (delta <= tolerance) return;
  fails(
    `Expected actual: "${actual}" to be close to "${expected}": delta "${delta}" is greater than "${tolerance}"`,
    msg,
  );
}

/** Throws unless actual < expected. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) fails(`Expect ${show(actual)} < ${show(expected)}`, msg);
}

/** Throws unless the text contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) {
    fails(`Expected actual: "${actual}" to contain: "${expected}"`, msg);
  }
}

/** Throws unless the text matches. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) {
    fails(`Expected actual: "${actual}" to match: "${expected}"`, msg);
  }
}

/** Throws unless the value is an Error, of the class and with the message that are asked for. */
function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: AnyConstructor<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) fails('Expected "error" to be an Error object', msg);
  if (ErrorClass && !(error instanceof ErrorClass)) {
    fails(
      `Expected error to be instance of "${ErrorClass.name}", but was "${error.constructor.name}" (${error.message})`,
      msg,
    );
  }
  if (msgMatches === undefined || msgMatches === "") return;
  const matches = typeof msgMatches === "string"
    ? error.message.includes(msgMatches)
    : msgMatches.test(error.message);
  if (!matches) {
    fails(
      `Expected error message to include ${
        typeof msgMatches === "string" ? JSON.stringify(msgMatches) : msgMatches
      }, but got ${JSON.stringify(error.message)}`,
      msg,
    );
  }
}

/** Checks what was thrown against the class and message that were asked for, and gives it back. */
function thrown<E extends Error>(
  error: unknown,
  how: string,
  classOrMsg?: AnyConstructor<E> | string,
  msgIncludes?: string | RegExp,
  msg?: string,
): unknown {
  if (typeof classOrMsg === "function") {
    if (!(error instanceof Error)) fails(`A non-Error object was ${how}`, msg);
    assertIsError(error, classOrMsg, msgIncludes, msg);
  }
  return error;
}

/** Throws unless `fn` throws; gives back what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Throws unless `fn` throws an error of this class whose message has `msgIncludes`; gives it back. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: AnyConstructor<E>,
  msgIncludes?: string | RegExp,
  msg?: string,
): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  classOrMsg?: AnyConstructor<E> | string,
  msgIncludes?: string | RegExp,
  msg?: string,
): unknown {
  const said = typeof classOrMsg === "string" ? classOrMsg : msg;
  try {
    fn();
  } catch (error) {
    return thrown(error, "thrown", classOrMsg, msgIncludes, said);
  }
  fails("Expected function to throw", said);
}

/** Throws unless the promise that `fn` gives rejects; resolves to the reason. A function that throws
 * before it gives a promise fails the assertion. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Throws unless the promise that `fn` gives rejects with an error of this class whose message has
 * `msgIncludes`; resolves to the error. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: AnyConstructor<E>,
  msgIncludes?: string | RegExp,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: AnyConstructor<E> | string,
  msgIncludes?: string | RegExp,
  msg?: string,
): Promise<unknown> {
  const said = typeof classOrMsg === "string" ? classOrMsg : msg;
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch {
    fails("Function throws when expected to reject", said);
  }
  if (typeof promise?.then !== "function") {
    fails("Function throws when expected to reject", said);
  }
  try {
    await promise;
  } catch (error) {
    return thrown(error, "rejected", classOrMsg, msgIncludes, said);
  }
  fails("Expected function to reject", said);
}
