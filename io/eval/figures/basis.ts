/** What a result rests on, as digests: results are put together only where these agree. */
/** SHA-256 of each, in hexadecimal. */
export interface Basis {
  /** The recording's media files. */
  recording: string;
  /** Its truth record. */
  truth: string;
  /** The generator that made the recording, with the length that was asked of it; null: the recording
   * came from a folder. */
  generator: string | null;
  checkpoint: string;
  /** Every setting that the answers depend on, defaults included, but for the seed of the noise. */
  settings: string;
  /** The program's own source. */
  program: string;
}

/** What must be the same in all results of a file, and how people call it. */
const shared = {
  checkpoint: "another checkpoint",
  settings: "other settings",
  program: "another version of the program",
  generator: "recordings from elsewhere (a folder, another generator, another length)",
} as const;

export type SharedBasis = Pick<Basis, keyof typeof shared>;

/** What one result was made with that differs from others, in words; null: nothing. */
export function difference(a: SharedBasis, b: SharedBasis): string | null {
  return differencesOf(a, b)[0] ?? null;
}

/** The same of two runs as a whole: every kind of difference. */
export function differencesOf(a: SharedBasis, b: SharedBasis): string[] {
  return Object.entries(shared).flatMap(([key, what]) =>
    a[key as keyof SharedBasis] === b[key as keyof SharedBasis] ? [] : [what]
  );
}
