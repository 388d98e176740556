/** How far a batch is: a line that is drawn on a terminal, a line a minute elsewhere. */
import { clock } from "../cli/progress.ts";
import { draw, say } from "../system/terminal.ts";

/** Counts of a run over items. */
export interface Counts {
  /** Items to settle. */
  items: number;
  /** Settled before: they were left as they are. */
  earlier: number;
  /** Answered now, those that failed not among them. */
  done: number;
  /** Failed, now or before. */
  failed: number;
  /** Seconds of stream answered now. */
  seconds: number;
}

/** The line. @param elapsed Seconds. */
export function batchLine(
  { items, earlier, done, failed, seconds }: Counts,
  elapsed: number,
): string {
  const settled = earlier + done + failed;
  // What was settled before took next to no time.
  const rate = elapsed > 0 ? done / elapsed : 0;
  const left = rate > 0 ? `, ${clock((items - settled) / rate)} left` : "";
  const speed = elapsed > 0 ? (seconds / elapsed).toFixed(2) : "0";
  return `${settled} of ${items} items${failed > 0 ? `, ${failed} failed` : ""}, ${speed} ` +
    `stream-seconds per second${left}`;
}

/** Tells of the counts while a batch runs. */
export class BatchProgress implements Disposable {
  readonly #counts: Counts;
  readonly #shown: boolean;
  readonly #start = performance.now();
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #last = -Infinity;

  constructor(counts: Counts, quiet: boolean) {
    this.#counts = counts;
    this.#shown = !quiet && Deno.stderr.isTerminal();
    if (quiet || this.#shown) return;
    this.#timer = setInterval(() => say(this.#line), 60_000);
    Deno.unrefTimer(this.#timer);
  }

  /** Seconds since the beginning. */
  get elapsed(): number {
    return (performance.now() - this.#start) / 1000;
  }

  get #line(): string {
    return batchLine(this.#counts, this.elapsed);
  }

  update(): void {
    const now = performance.now();
    if (!this.#shown || now - this.#last < 100) return;
    this.#last = now;
    draw(`\r\x1b[K${this.#line.slice(0, (Deno.consoleSize().columns || 80) - 1)}`);
  }

  /** A line of its own. */
  say(line: string): void {
    this.clear();
    say(line);
  }

  clear(): void {
    if (this.#shown) draw("\r\x1b[K");
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.clear();
  }
}
