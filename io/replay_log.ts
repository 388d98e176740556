/** What a run gathers unit by unit: events on disk, and what the summary needs. */
import type { Response } from "../engine/unit.ts";
import { type Event, eventLine, type UnitEvent, unitEvent } from "./events.ts";
import type { OutputFile } from "./output_file.ts";
import type { Felt } from "./pace.ts";
import { RunTotals, type UnitTimes } from "./statistics.ts";

/** Writes events as they happen (without a file: nowhere) and adds up what the summary says. */
export class ReplayLog {
  readonly totals = new RunTotals();
  readonly #file: Deno.FsFile | null;
  readonly #write: (line: string) => Promise<void>;
  readonly #unitMs: number;
  #open = true;

  /** @param to A file, or what writes a line somewhere. */
  constructor(to: OutputFile | ((line: string) => Promise<void>) | null, unitMs: number) {
    const file = to !== null && "temporary" in to
      ? Deno.openSync(to.temporary, { write: true })
      : null;
    this.#file = file;
    this.#write = typeof to === "function" ? to : async (line) => {
      const bytes = new TextEncoder().encode(line);
      for (let at = 0; file && at < bytes.length;) at += await file.write(bytes.subarray(at));
    };
    this.#unitMs = unitMs;
  }

  async add(event: Event): Promise<void> {
    await this.#write(eventLine(event));
  }

  /** Adds a unit that was written. @returns Its event. */
  async addUnit(response: Response, times: UnitTimes, felt: Felt): Promise<UnitEvent> {
    const event = unitEvent(response, times, felt, this.#unitMs);
    await this.addEarlier({ event, times, felt });
    return event;
  }

  /** Adds a unit whose event is known. */
  async addEarlier(
    { event, times, felt }: { event: UnitEvent; times: UnitTimes; felt: Felt },
  ): Promise<void> {
    this.totals.add(times, felt, event.digest);
    await this.add(event);
  }

  /** Closes the file; once is enough. */
  close(): void {
    if (this.#open) this.#file?.close();
    this.#open = false;
  }
}
