/**
 * The modules of a cascade: what is handed in, and what it hands out. Sound is mono at the
 * observation's rate, one unit at a time.
 */
import type { Observation, Response } from "../checkpoint/unit.ts";

/** Tells speech from everything else. */
export interface ActivityDetector {
  /**
   * Scores of the next unit's samples, 0 (no speech) to 1, one for each window of `windowSeconds`.
   * State is kept from unit to unit.
   */
  push(samples: Float32Array): Promise<Float32Array> | Float32Array;
  /** Frees what it holds. */
  close?(): Promise<void> | void;
}

/** Decides whether the user's turn is over. */
export interface EndOfTurn {
  /**
   * Seconds of silence from which on it is asked, once a unit, until the turn is over or the user goes
   * on; by default the activity's stop time. Silence counts from the end of the last window of speech.
   * 0: it is asked in every unit of an open turn, while the user speaks too.
   */
  readonly after?: number;
  /** Whether the turn is over at the end of this unit. */
  isOver(asked: AskedEnd): Promise<boolean> | boolean;
  /** Frees what it holds. */
  close?(): Promise<void> | void;
}

/** What is known when the end of a turn is asked for. */
export interface AskedEnd {
  /** The unit that has just arrived. */
  unit: number;
  /** Seconds from the end of the last window of speech to the end of this unit. */
  silence: number;
  /** It is the first time since the user spoke. */
  isFirst: boolean;
  /** Samples from 0.5 s before the turn began to the end of this unit, at most the last 8 s. */
  sound: Float32Array;
}

/** Sound and picture to text. */
export interface Reader {
  /** Takes the next unit. */
  push(observation: Observation): Promise<void>;
  /** Words of the utterance since the last read. */
  read(): Promise<string[]>;
  /** Words for the card that is seen now; none where none is seen. */
  look(): Promise<string[]>;
  /** Frees what it holds. */
  close?(): Promise<void> | void;
}

/** Text to voice and face. */
export interface Speaker {
  /** Queues words; the first of them begins in the next unit that `next` gives. */
  say(words: readonly string[]): void;
  /** Drops the queue and falls silent at the beginning of the next unit.
   *
   * @returns The words that were not begun; nothing where the speaker doesn't know. */
  stop(): readonly string[] | void;
  /** True from `say` until the queue is said and its sound is over. */
  readonly isSpeaking: boolean;
  /** The next unit of voice, face and text. */
  next(): Promise<Response>;
  /** Frees what it holds. */
  close?(): Promise<void> | void;
}

/** Text to text. */
export interface Answerer {
  /**
   * The answer to what was heard or typed.
   *
   * @param card Words of the card that is seen; none where none is seen.
   * @param previous The card that was seen before it; null: none was.
   * @returns null: there is nothing to say.
   */
  heard(words: string[], card: string[], previous: string[] | null): string[] | null;
  /** What to say of a card that was not talked about; null: nothing. */
  unasked(card: string[]): string[] | null;
}

/** The parts of a cascade. It closes them. */
export interface Parts {
  activity: ActivityDetector;
  endOfTurn: EndOfTurn;
  reader: Reader;
  answerer: Answerer;
  speaker: Speaker;
}

/** The modules whose time is measured. */
export const moduleNames = ["activity", "endOfTurn", "read", "look", "answer", "speak"] as const;
export type ModuleName = typeof moduleNames[number];

/** One decision of a module. */
export interface TraceEntry {
  unit: number;
  module: ModuleName | "bargeIn";
  /** What it decided, e.g. "the turn begins". */
  what: string;
  words?: string[];
}

/** What a cascade gives in one unit. */
export interface CascadeResponse extends Response {
  /** Milliseconds by module, 0 where it did nothing; `read` includes taking in the unit. */
  modules: Record<ModuleName, number>;
  /** The decisions in this unit, in their order. */
  trace: TraceEntry[];
}
