/** Bad input: the message names the thing, its value, what it may be, and the remedy, in one line. */
export class InputError extends Error {
  /** What messages begin with. */
  override name = "InputError";
}
