/** The bar that is drawn while a replay works: on a terminal only. */
import { draw } from "../system/terminal.ts";

export interface Position {
  units: number;
  /** Seconds of stream that were answered, of `total` (null: not known). */
  seconds: number;
  total: number | null;
  /** Seconds of work so far. */
  elapsed: number;
}

/** The line: units, stream time, bar, speed, time left; never longer than `columns`. */
export function progressLine(position: Position, columns: number): string {
  const { units, seconds, total, elapsed } = position;
  const speed = elapsed > 0 ? seconds / elapsed : 0;
  const left = total === null || speed === 0 ? null : Math.max(0, total - seconds) / speed;
  const time = total === null ? clock(seconds) : `${clock(seconds)} of ${clock(total)}`;
  const tail = `${speed.toFixed(2)}x${left === null ? "" : `  ${clock(left)} left`}`;
  const room = Math.min(30, columns - 1 - `unit ${units}  ${time}  []  ${tail}`.length);
  const share = total ? Math.min(1, seconds / total) : 0;
  const filled = Math.round(share * room);
  const bar = total !== null && room >= 5
    ? `[${"#".repeat(filled)}${"-".repeat(room - filled)}]  `
    : "";
  return `unit ${units}  ${time}  ${bar}${tail}`.slice(0, Math.max(0, columns - 1));
}

/** Minutes and seconds. */
export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Draws the line on stderr, at most ten times a second. */
export class Progress {
  readonly #total: number | null;
  readonly #shown: boolean;
  readonly #start = performance.now();
  #last = -Infinity;

  constructor(total: number | null, quiet: boolean) {
    this.#total = total;
    this.#shown = !quiet && Deno.stderr.isTerminal();
  }

  update(units: number, seconds: number): void {
    const now = performance.now();
    if (!this.#shown || now - this.#last < 100) return;
    this.#last = now;
    const elapsed = (now - this.#start) / 1000;
    const position = { units, seconds, total: this.#total, elapsed };
    draw(`\r\x1b[K${progressLine(position, Deno.consoleSize().columns || 80)}`);
  }

  /** Clears the line, so that what follows stands alone. */
  clear(): void {
    if (this.#shown) draw("\r\x1b[K");
  }
}
