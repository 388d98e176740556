/** What the program that runs the other libraries prints. */

/** A library's figure for one piece of work, or why there is none. */
export interface PeerFigure {
  library: string;
  version: string;
  /** Median milliseconds of one run, and the quartiles of the rounds. */
  ms?: number;
  quartiles?: [lower: number, upper: number];
  gigaflops?: number;
  /** How many times as long as this engine's kernels it takes. */
  ratio?: number;
  failed?: string;
}

export interface PeerWork {
  work: string;
  /** Null: it isn't counted alike for all. */
  flops: number | null;
  figures: PeerFigure[];
}

export interface Peers {
  adapter: string;
  rounds: number;
  /** Libraries that could not be opened, and why. */
  missing: { library: string; why: string }[];
  works: PeerWork[];
}
