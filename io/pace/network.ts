/**
 * A network between user and agent, simulated: delay, jitter and loss by seed, the same on every run.
 *
 * Up goes one packet per unit of observation, down one per unit of response. A delay of D±J gives each
 * direction one half: D/2 ± J/2, evenly distributed, drawn for each packet. Loss holds for each
 * direction alone. Packets never overtake: one that comes too early waits for the one before it.
 *
 * The receiver knows D and J, and gives a packet up when its longest delay (D + J) / 2 is over: one
 * that was not lost is never too late. For a unit given up the agent goes on with an absent observation
 * (audio and frames null); typed text is not lost. A lost response stays in what the agent gave, but
 * nobody felt its latency.
 */
import { InputError } from "../../engine/config/errors.ts";

/** What `--network` asks for; times in ms, round trip. */
export interface Network {
  delay: number;
  /** Largest deviation from `delay`, at most `delay`. */
  jitter: number;
  /** Share of packets lost in each direction, 0 to 1. */
  loss: number;
  seed: number;
}

export type Direction = "up" | "down";

/** Longest round trip that may be asked for, in ms. */
const maxDelay = 60_000;

/**
 * Reads `350ms`, `0.35s`, `350ms±80ms,loss=1%,seed=7`; `+-` stands for `±`.
 *
 * @throws InputError that names the part that can't be read.
 */
export function parseNetwork(text: string): Network {
  const wrong = (part: string, should: string) =>
    new InputError(`--network: '${part}' ${should}, as in 350ms±80ms,loss=1%,seed=7`);
  const [times = "", ...settings] = text.split(",");
  const [first = "", second, ...more] = times.split(/±|\+-|\+\/-/);
  if (more.length > 0) throw wrong(times, "has more than one jitter: it should be a delay");
  const milliseconds = (part: string) => {
    const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(part.trim()) ?? [];
    if (number === undefined) throw wrong(part, "is no time: it should be a number with ms or s");
    return Number(number) * (unit === "s" ? 1000 : 1);
  };
  const network: Network = {
    delay: milliseconds(first),
    jitter: second === undefined ? 0 : milliseconds(second),
    loss: 0,
    seed: 0,
  };
  if (network.delay > maxDelay) {
    throw wrong(first, "is too long: it should be a minute at the most");
  }
  if (network.jitter > network.delay) {
    throw wrong(times, "has more jitter than delay: packets can't arrive before they are sent");
  }
  const seen = new Set<string>();
  for (const setting of settings) {
    const [, name, number, percent] = /^\s*(loss|seed)=(\d+(?:\.\d+)?)(%?)\s*$/.exec(setting) ?? [];
    if (name === undefined || seen.has(name)) {
      throw wrong(setting, "is not loss=N% or seed=N, once each");
    }
    seen.add(name);
    const value = Number(number);
    if (name === "loss") {
      if (percent === "" || value > 100) throw wrong(setting, "is no share from 0% to 100%");
      network.loss = value / 100;
    } else {
      if (percent !== "" || !Number.isSafeInteger(value)) {
        throw wrong(setting, "is no whole number");
      }
      network.seed = value;
    }
  }
  return network;
}

/** Philox4x32-10 (Salmon et al., SC 2011): four words for a counter and a key. */
export function philox(counter: number[], key: number[]): number[] {
  let [c0 = 0n, c1 = 0n, c2 = 0n, c3 = 0n] = counter.map(BigInt);
  let [k0 = 0n, k1 = 0n] = key.map(BigInt);
  const word = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const a = 0xd2511f53n * c0;
    const b = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(b >> 32n) ^ c1 ^ k0, b & word, (a >> 32n) ^ c3 ^ k1, a & word];
    k0 = (k0 + 0x9e3779b9n) & word;
    k1 = (k1 + 0xbb67ae85n) & word;
  }
  return [c0, c1, c2, c3].map(Number);
}

/** What happens to the packet of one unit: a pure function of network, direction and unit. */
export function packet(
  network: Network,
  direction: Direction,
  unit: number,
): { delay: number; lost: boolean } {
  const { delay, jitter, loss, seed } = network;
  const counter = [unit % 2 ** 32, Math.floor(unit / 2 ** 32), direction === "up" ? 0 : 1, 0];
  const key = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
  const [first = 0, second = 0] = philox(counter, key).map((word) => word / 2 ** 32);
  return { delay: delay / 2 + (2 * first - 1) * (jitter / 2), lost: second < loss };
}

/** One direction of a network, packet after packet. Without a network everything arrives at once. */
export class Link {
  readonly #network: Network | null;
  readonly #direction: Direction;
  #arrived = -Infinity;

  constructor(network: Network | null, direction: Direction) {
    this.#network = network;
    this.#direction = direction;
  }

  /** Longest time that a packet is under way, in ms. */
  get longest(): number {
    return this.#network ? (this.#network.delay + this.#network.jitter) / 2 : 0;
  }

  /**
   * When a packet arrives that was sent at `sent` (ms on any clock, never before the packet before
   * it). `at` of a lost one is the moment at which the receiver gives it up by itself.
   */
  send(unit: number, sent: number): { at: number; lost: boolean } {
    if (this.#network === null) return { at: sent, lost: false };
    const { delay, lost } = packet(this.#network, this.#direction, unit);
    if (lost) return { at: Math.max(this.#arrived, sent + this.longest), lost };
    this.#arrived = Math.max(this.#arrived, sent + delay);
    return { at: this.#arrived, lost };
  }
}
