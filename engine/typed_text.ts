/** Text that the user types, as tokens waiting for slots: what doesn't fit in a unit comes in the
 * next ones. */
export class TypedText {
  #waiting: number[] = [];

  /** @param slots User text slots of a unit. */
  constructor(private readonly slots: number) {}

  type(ids: readonly number[]): void {
    this.#waiting.push(...ids);
  }

  /** The tokens of the next unit, at most its slots. */
  take(): number[] {
    return this.#waiting.splice(0, this.slots);
  }
}
