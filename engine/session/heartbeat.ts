/**
 * Notices that a Worker is gone: when one ends by itself, or its thread hangs in a driver, nobody is
 * told.
 *
 * Every so often the Worker is sent a ping, which it answers as soon as it waits for anything. While it
 * waits for its GPU it can't, so the limit is far above what a tick takes: before the first response
 * (kernels are compiled, weights are copied) it is ten times the patience; later four times the longest
 * silence that was seen, at least the patience. Beats are counted, not milliseconds, so that a machine
 * that slept, or was too busy to beat, is no failure.
 */

/** Beats in the time that patience lasts. */
const beatsOfPatience = 6;

/** Milliseconds from beat to beat. */
export function beatMs(patience: number): number {
  return patience / beatsOfPatience;
}

export class Heartbeat {
  private readonly ping: () => void;
  private readonly lost: (beats: number) => void;
  #silent = 0;
  #longest = 0;
  #settled = false;
  #lost = false;

  /**
   * @param ping Asks the Worker for a sign of life.
   * @param lost Called once, when it has given none for too long.
   */
  constructor(ping: () => void, lost: (beats: number) => void) {
    this.ping = ping;
    this.lost = lost;
  }

  /** Beats without a sign of life after which the Worker counts as lost. */
  get limit(): number {
    if (!this.#settled) return 10 * beatsOfPatience;
    return Math.max(beatsOfPatience, 4 * this.#longest);
  }

  /** A message came from the Worker. */
  heard(): void {
    this.#longest = Math.max(this.#longest, this.#silent);
    this.#silent = 0;
  }

  /** The first response is there: what takes longest lies behind. */
  settle(): void {
    this.#settled = true;
  }

  /** Called every `beatMs`. */
  beat(): void {
    if (this.#lost) return;
    if (this.#silent >= this.limit) {
      this.#lost = true;
      this.lost(this.#silent);
      return;
    }
    this.#silent++;
    this.ping();
  }
}
