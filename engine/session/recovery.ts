/** Rebuilding the roles of a session after one of them failed. */
import { clock } from "../roles/messages.ts";

/** A rebuild of the roles from the snapshot in memory. */
export interface Recovery {
  /** The first unit that the failure delayed. */
  unit: number;
  /** What failed, on one line. */
  reason: string;
  /** The unit that the snapshot was taken after; -1: the session began anew. */
  snapshot: number;
  /** Milliseconds from the failure until the roles were ready to catch up. */
  ms: number;
}

/** Rebuilds without a new response in between, after which a session gives up. */
const maxAttempts = 3;

/** What a recovery does to the session. */
export interface Rebuild {
  /** Ends the roles that are there. */
  stop(): void;
  /** Starts the roles where the newest snapshot says. @throws Error when one of them fails */
  start(): Promise<void>;
  /** The session was closed or has failed: there is nothing to rebuild for. */
  isOver(): boolean;
}

export class Recoveries {
  private readonly rebuild: Rebuild;
  /** The rebuilds so far, oldest first. */
  readonly list: Recovery[] = [];
  #attempts = 0;

  constructor(rebuild: Rebuild) {
    this.rebuild = rebuild;
  }

  /** A new response came: the roles work, and attempts count from zero again. */
  progressed(): void {
    this.#attempts = 0;
  }

  /**
   * Rebuilds the roles, and tries again when that fails.
   *
   * @param what The failure's first unit and the snapshot's.
   * @returns False: the session was closed meanwhile.
   * @throws Error after three attempts without a new response.
   */
  async recover(error: Error, what: Pick<Recovery, "unit" | "snapshot">): Promise<boolean> {
    const start = clock();
    const { stop, isOver } = this.rebuild;
    for (let failure = error;;) {
      stop();
      if (this.#attempts === maxAttempts) {
        const message = `${failure.message} (after ${maxAttempts} recoveries without a response)`;
        throw new Error(message, { cause: failure });
      }
      // A device that was reset may take a moment to come back.
      await new Promise((resolve) => setTimeout(resolve, 200 * this.#attempts));
      if (isOver()) return false;
      this.#attempts++;
      try {
        await this.rebuild.start();
        this.list.push({ ...what, reason: error.message, ms: clock() - start });
        return true;
      } catch (again) {
        failure = again instanceof Error ? again : new Error(String(again));
        if (isOver()) return false;
      }
    }
  }
}
