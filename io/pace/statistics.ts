/** What the units of a run add up to: counts, and percentiles of their stages. */
import { createHash } from "node:crypto";
import type { StageTimes } from "../../engine/checkpoint/unit.ts";
import type { Felt } from "./pace.ts";

/** Milliseconds of one unit by stage; `write` is handing it to the output, and `total` includes it. */
export type UnitTimes = StageTimes & { write: number };

/** Stages in the order in which a unit passes them. */
export const stages = [
  "encode",
  "pass",
  "sendSlice",
  "solve",
  "sendLatents",
  "decode",
  "wait",
  "write",
  "total",
] as const satisfies (keyof UnitTimes)[];

/** Values below this count as 0. */
const smallest = 1e-3;
/** Width of a bin: values in it lie within 0.2 % of each other. */
const binWidth = Math.log(1.002);

/** p50, p95 and p99, rounded to microseconds. */
export interface Percentiles {
  p50: number;
  p95: number;
  p99: number;
}

/**
 * Percentiles of any number of values in little memory: values are counted in bins, and a percentile is
 * the mean of its bin. Off by 0.2 % at the most; exact where a bin holds one value.
 */
export class Quantiles {
  readonly #bins = new Map<number, { count: number; sum: number }>();
  #count = 0;

  /** Bins in use: what it costs. */
  get bins(): number {
    return this.#bins.size;
  }

  add(value: number): void {
    const size = Math.abs(value);
    const bin = size < smallest
      ? 0
      : Math.sign(value) * (1 + Math.floor(Math.log(size / smallest) / binWidth));
    const there = this.#bins.get(bin);
    if (there) {
      there.count++;
      there.sum += value;
    } else this.#bins.set(bin, { count: 1, sum: value });
    this.#count++;
  }

  /** The value below which a part p (0 to 1) of the values lies: nearest rank. NaN of none. */
  at(p: number): number {
    let left = Math.max(1, Math.ceil(p * this.#count));
    for (const [, { count, sum }] of [...this.#bins].sort(([a], [b]) => a - b)) {
      left -= count;
      if (left <= 0) return sum / count;
    }
    return NaN;
  }

  /** Null of none. */
  percentiles(): Percentiles | null {
    if (this.#count === 0) return null;
    const [p50 = 0, p95 = 0, p99 = 0] = [0.5, 0.95, 0.99].map((p) => round(this.at(p), 3));
    return { p50, p95, p99 };
  }
}

/** What a run adds up to, unit by unit; its memory doesn't grow with the units. */
export class RunTotals {
  units = 0;
  /** Observations that were skipped; packets that were lost. */
  skipped = 0;
  readonly lost = { up: 0, down: 0 };
  /** Of the units that were heard. */
  readonly interaction = new Quantiles();
  readonly #stages = new Map(stages.map((stage) => [stage, new Quantiles()]));
  readonly #digest = createHash("sha256");

  /** Adds the next unit. */
  add(times: UnitTimes, { observation, heard, interactionMs }: Felt, digest: string): void {
    this.units++;
    if (observation === "skipped") this.skipped++;
    if (observation === "lost") this.lost.up++;
    if (!heard) this.lost.down++;
    if (interactionMs !== null) this.interaction.add(interactionMs);
    for (const [stage, quantiles] of this.#stages) quantiles.add(times[stage]);
    this.#digest.update(digest);
  }

  /** By stage, in ms. */
  latency(): Partial<Record<typeof stages[number], Percentiles>> {
    return Object.fromEntries(
      [...this.#stages].flatMap(([stage, quantiles]) => {
        const percentiles = quantiles.percentiles();
        return percentiles ? [[stage, percentiles]] : [];
      }),
    );
  }

  /** SHA-256 over the units' digests so far. */
  digest(): string {
    return this.#digest.copy().digest("hex");
  }
}

/** Rounded to so many decimals. */
export function round(value: number, decimals: number): number {
  return Math.round(value * 10 ** decimals) / 10 ** decimals;
}
