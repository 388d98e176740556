/** What a run gathers unit by unit: events on disk, and what the summary needs. */
import type { Recovery } from "../../engine/mod.ts";
import type { Response } from "../../engine/checkpoint/unit.ts";
import {
  type Event,
  eventLine,
  type RecoveryEvent,
  type UnitEvent,
  unitEvent,
} from "../pace/events.ts";
import type { OutputFile } from "../system/output_file.ts";
import type { Felt } from "../pace/pace.ts";
import { round, RunTotals, type UnitTimes } from "../pace/statistics.ts";

/** Writes events as they happen (without a file: nowhere) and adds up what the summary says. */
export class ReplayLog {
  readonly totals = new RunTotals();
  readonly #file: Deno.FsFile | null;
  readonly #write: (line: string) => Promise<void>;
  readonly #unitMs: number;
  #mended = 0;
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

  /** Adds what was mended since the last call. @returns Its events. */
  async addRecoveries(recoveries: readonly Recovery[] = []): Promise<RecoveryEvent[]> {
    const events = recoveries.slice(this.#mended).map((recovery): RecoveryEvent => (
      { type: "recovery", ...recovery, ms: round(recovery.ms, 3) }
    ));
    this.#mended += events.length;
    for (const event of events) await this.add(event);
    return events;
  }

  /** Closes the file; once is enough. */
  close(): void {
    if (this.#open) this.#file?.close();
    this.#open = false;
  }
}
