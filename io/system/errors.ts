/** A run that can't be finished for a reason outside of it: FFmpeg died, the disk is full. One line. */
export class RunError extends Error {
  override name = "RunError";
  readonly exitCode = 1;
}

/** The FFmpeg that writes an output is gone; units that it was given can be kept. */
export class OutputError extends RunError {
  override name = "OutputError";
}
