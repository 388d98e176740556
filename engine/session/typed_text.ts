/** Text that the user types, as tokens waiting for slots: what doesn't fit in a unit comes in the
 * next ones. */
export class TypedText {
  readonly #waiting: number[];

  /**
   * @param slots User text slots of a unit.
   * @param waiting Tokens that wait already, from `waiting` of a saved stream.
   */
  constructor(private readonly slots: number, waiting: readonly number[] = []) {
    this.#waiting = [...waiting];
  }

  /** Tokens that have no slot yet. */
  get waiting(): number[] {
    return [...this.#waiting];
  }

  type(ids: readonly number[]): void {
    this.#waiting.push(...ids);
  }

  /** The tokens of the next unit, at most its slots. */
  take(): number[] {
    return this.#waiting.splice(0, this.slots);
  }
}
