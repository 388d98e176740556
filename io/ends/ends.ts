/** The two ends of a run: what comes in, and where the answers go. */
import type { Observation, Response } from "../../engine/checkpoint/unit.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import type { Cut, ObservationReader } from "../media/observation_reader.ts";
import type { InputFacts, SummaryEvent } from "../pace/events.ts";

/** What an output takes of a response. */
export type Answer = Pick<Response, "unit" | "text" | "audio" | "frames">;

/** Units as they come in, and where they broke off. */
export type UnitReader =
  & AsyncIterable<Observation>
  & Pick<ObservationReader, "cut" | "joins" | "close">;

/** What comes in, once it is known what it is. */
export interface Input {
  reader: UnitReader;
  facts: InputFacts;
}

/** What the outputs hold at the end. */
export interface Finished {
  /** Units that they hold. */
  units: number;
  /** Paths by kind. */
  outputs: Record<string, string>;
  /** Whether they hold every answered unit. */
  ended: Extract<SummaryEvent["ended"], "complete" | "output broke off" | "reader gone">;
  /** Where and why the response broke off, if it did. */
  cut: Cut | null;
}

/** Where the answers go: files, or a stream; `close` is called last, however the run goes. */
export interface Output {
  /** Gives the line that media carry about their making; before anything is written. */
  tag(comment: string): void;
  /** Writes what stands before the first unit. @throws ReaderGone */
  begin(): Promise<void>;
  /**
   * Writes a unit's answer; in order.
   *
   * @returns When its first bytes were taken, on performance.now().
   * @throws OutputError when FFmpeg died over it, ReaderGone when its reader has gone.
   */
  write(answer: Answer): Promise<number>;
  /** Appends a line to the events. */
  writeEvent(line: string): Promise<void>;
  /**
   * Completes the outputs.
   *
   * @param units Units that were answered.
   * @param broken Why `write` failed, if it did.
   * @returns null when nothing was answered: then nothing is written.
   * @throws OutputError when nothing of a broken output can be kept.
   */
  finish(units: number, broken: Error | null): Promise<Finished | null>;
  close(): Promise<void>;
}

/** File ends or live ends. */
export interface Ends extends Output {
  /** The input is captured while it is read (a stream), not before (a recording). */
  readonly arriving: boolean;
  /** Each unit is answered before the next is asked for. */
  readonly inTurn: boolean;
  readonly ffmpeg: FfmpegFinder;
  /** Opens the input; of a stream it waits for the head. @throws InputError */
  open(): Promise<Input>;
}
