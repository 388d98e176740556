/**
 * A cascade: the agent made of modules. It keeps a session's contract: observations in, responses out,
 * in order, unit by unit.
 */
import { givenObservation } from "../checkpoint/given.ts";
import type { Observation, StreamLayout } from "../checkpoint/unit.ts";
import { readOptions } from "../config/option_rules.ts";
import { Responses } from "../session/responses.ts";
import { Dialogue } from "./dialogue.ts";
import type { CascadeResponse, Parts } from "./parts.ts";
import { turnRules, type TurnSettings } from "./turns.ts";

/**
 * A session whose agent is a cascade.
 *
 * In each unit, between the arrival of its observation and its response, these run one after the other:
 * voice activity; the reader takes the unit; a barge-in stops the speaker; the end of the turn is asked
 * for, and where the turn is over the utterance is read, the card is looked at where the picture has
 * changed since the last look, the answer is found and given to the speaker; then the speaker makes the
 * unit. So the first sound of an answer is in the response to the unit in which the turn was over; the
 * modules' own time comes on top and is in `modules`.
 *
 * What it gives depends on observations, settings and parts only, never on a clock.
 */
export class Cascade implements AsyncIterable<CascadeResponse> {
  readonly #parts: Parts;
  readonly #layout: StreamLayout;
  readonly #dialogue: Dialogue;
  readonly #responses: Responses<CascadeResponse>;
  /** Ends when everything that was pushed is answered. */
  #work: Promise<void> = Promise.resolve();
  #hasEnded = false;
  #isClosed = false;
  #failure: Error | undefined;
  #answered = 0;

  /**
   * @param parts Are the cascade's from now on: it closes them.
   * @param layout Of the checkpoint whose observations it takes.
   * @throws InputError when a setting is out of range.
   */
  constructor(parts: Parts, settings: TurnSettings, layout: StreamLayout) {
    this.#parts = parts;
    this.#layout = layout;
    this.#dialogue = new Dialogue(
      parts,
      readOptions(settings, turnRules, "cascade"),
      layout.user,
    );
    this.#responses = new Responses(0, layout.user.unitMs, () => {});
  }

  /**
   * Gives the next unit's observation, which is copied. Resolves when there is room for another.
   *
   * @throws InputError when it isn't one unit, or holds a sample that isn't finite; nothing was pushed.
   * @throws Error when the input has ended, a part has failed, or the cascade is closed meanwhile.
   */
  async push(observation: Observation): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (this.#isClosed) throw new Error("push(): the session was closed: open another");
    if (this.#hasEnded) {
      throw new Error("push() comes before end(): the session's input has ended");
    }
    const given = givenObservation(observation, this.#layout.user);
    const unit = this.#responses.nextIn;
    const arrived = performance.now();
    const room = this.#responses.accept();
    this.#work = this.#work.then(async () => {
      if (this.#failure || this.#isClosed) return;
      const response = await this.#dialogue.answer(unit, given, performance.now() - arrived);
      if (this.#isClosed) return;
      this.#answered = unit + 1;
      this.#responses.put(response);
    }).catch((error) => this.#fail(error));
    await room;
  }

  /** Says that no more observations come; the responses still under way follow. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#work = this.#work.then(() => {
      if (!this.#failure && !this.#isClosed) this.#responses.end();
    });
  }

  /** The responses, in order, until the input has ended and the last one was given. A reader that
   * breaks out may go on later; two at a time are refused. */
  async *[Symbol.asyncIterator](): AsyncGenerator<CascadeResponse> {
    const leave = this.#responses.seize("an iteration");
    try {
      yield* this.#responses.read();
    } finally {
      leave();
    }
  }

  /** Closes the parts, and waits for the unit that is under way.
   *
   * @throws What closing a part throws; the others are closed all the same. */
  async close(): Promise<void> {
    if (this.#isClosed) return await this.#work;
    this.#isClosed = true;
    const isAnswered = this.#hasEnded && this.#answered === this.#responses.nextIn;
    if (isAnswered && !this.#failure) this.#responses.end();
    this.#responses.fail(
      new Error(`the session was closed before unit ${this.#answered} was answered`),
    );
    const { activity, endOfTurn, reader, speaker } = this.#parts;
    const closed = await Promise.allSettled(
      [activity, endOfTurn, reader, speaker].map(async (part) => await part.close?.()),
    );
    await this.#work;
    for (const result of closed) if (result.status === "rejected") throw result.reason;
  }

  /** `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#responses.fail(this.#failure);
  }
}
