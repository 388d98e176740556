/** Ctrl-C, termination, and the end of the terminal as an AbortSignal. */

/** Exit code of a run that was interrupted. */
export const interruptedCode = 130;

/** Signals that ask a program to end, on this system. */
const signals: Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/** One Ctrl-C may arrive several times within milliseconds: from the terminal, and passed on by
 * `deno task` or npx. */
const echoMs = 500;

/** The first signal aborts `signal`; one that comes later calls `impatient`. */
export class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  readonly #impatient: () => void;
  #firstAt = 0;
  readonly #listener = () => {
    if (!this.#controller.signal.aborted) {
      this.#firstAt = performance.now();
      this.#controller.abort();
    } else if (performance.now() - this.#firstAt > echoMs) this.#impatient();
  };

  constructor(impatient: () => void) {
    this.#impatient = impatient;
    for (const name of signals) Deno.addSignalListener(name, this.#listener);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const name of signals) Deno.removeSignalListener(name, this.#listener);
  }
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/**
 * What is coming, or null when the signal is aborted before. Not Promise.race, which would keep a
 * reaction for every unit or chunk until the signal's end.
 */
export function orAborted<T>(coming: Promise<T>, signal: AbortSignal): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve(null);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    coming.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
