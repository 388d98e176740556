/** What a replay gathers unit by unit: events on disk, and what the summary and captions need. */
import type { Response } from "../engine/unit.ts";
import type { Spoken } from "./captions.ts";
import { type Event, eventLine, unitEvent } from "./events.ts";
import type { OutputFile } from "./output_file.ts";
import type { Felt } from "./pace.ts";
import type { UnitTimes } from "./statistics.ts";

/** Writes events as they happen (without a file: nowhere) and keeps times, digests and text. */
export class ReplayLog {
  readonly times: UnitTimes[] = [];
  readonly felt: Felt[] = [];
  readonly digests: string[] = [];
  readonly spoken: Spoken[] = [];
  readonly #file: Deno.FsFile | null;
  readonly #unitMs: number;
  #open = true;

  constructor(file: OutputFile | null, unitMs: number) {
    this.#file = file && Deno.openSync(file.temporary, { write: true });
    this.#unitMs = unitMs;
  }

  async add(event: Event): Promise<void> {
    const bytes = new TextEncoder().encode(eventLine(event));
    for (let at = 0; this.#file && at < bytes.length;) {
      at += await this.#file.write(bytes.subarray(at));
    }
  }

  /** Adds a unit that was written. */
  async addUnit(response: Response, times: UnitTimes, felt: Felt): Promise<void> {
    this.times.push(times);
    this.felt.push(felt);
    this.digests.push(response.digest);
    if (response.text !== "") this.spoken.push({ unit: response.unit, text: response.text });
    await this.add(unitEvent(response, times, felt, this.#unitMs));
  }

  /** Closes the file; once is enough. */
  close(): void {
    if (this.#open) this.#file?.close();
    this.#open = false;
  }
}
