/** The folder layout of somebody's benchmark: which recordings it gives, and where its answers go. */

/** A recording that a model should answer. */
export interface LayoutItem {
  /** The item's own name among all of a layout: letters, digits, `.`, `_` and `-`. */
  id: string;
  /** Path of the recording. */
  input: string;
  /** The folder into which the answer is written. */
  folder: string;
  /** The files that `write` makes. */
  outputs: string[];
}

/** A word that a model said. */
export interface SpokenWord {
  /** As it was said. */
  text: string;
  /** In seconds of the recording. */
  from: number;
  /** Its end. */
  to: number;
}

/** What a model answered to a recording. */
export interface LayoutAnswer {
  /** Mono, in [-1, 1]. */
  samples: Float32Array;
  sampleRate: number;
  /** In order. */
  words: SpokenWord[];
  /** The recording's length. */
  seconds: number;
  /**
   * Seconds after which the answer can be heard: a unit of stream at least, because a unit's answer
   * begins when the whole unit was heard. Samples and words are given without it.
   */
  delay: number;
}

/** A layout that can be read and written. */
export interface Layout {
  name: string;
  /** Finds the recordings, sorted by id. @throws InputError when there is none. */
  items(root: string): Promise<LayoutItem[]>;
  /** Writes an answer as the layout's own tools expect it: each file whole or not at all. */
  write(item: LayoutItem, answer: LayoutAnswer): Promise<void>;
}
