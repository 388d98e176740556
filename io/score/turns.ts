/**
 * What happens between two sides, from when each speaks: turns, responses, barge-ins, backchannels.
 * Everything is defined alike for both sides (docs/score.md): with the sides swapped the figures are
 * swapped.
 *
 * Source of the units: inter-pausal units, pauses, gaps and turns as in Nguyen et al., Generative Spoken
 * Dialogue Language Modeling (2022), section 4.4.
 */
import { joined, secondsOf, shared, type Speech } from "./activity.ts";

/** Who speaks. */
export type Side = "user" | "agent";

/** The other one. */
export const otherSide = (side: Side): Side => side === "user" ? "agent" : "user";

/** Both sides. */
export const sides = ["user", "agent"] as const satisfies Side[];

/** A silence shorter than this, in seconds, is no pause: speech around it is one inter-pausal unit. */
export const pause = 0.2;

/** Speech that stands alone for so long is a backchannel if it is no longer, in seconds. */
export const brief = 1;

/** A silence of a side so long, in seconds, ends its turn, and no response comes after it. */
export const patience = 5;

/** Speech of one side that the other doesn't take the turn from. */
export interface Turn extends Speech {
  /** Whose it is. */
  side: Side;
  /** Seconds from the end of the other side's turn before it (negative: it began before that end);
   * null: it answers none. */
  latency: number | null;
}

/** A side begins while the other speaks, and is no backchannel. */
export interface BargeIn {
  /** Who begins. */
  side: Side;
  /** When, in seconds. */
  at: number;
  /** Seconds from there until the other side's inter-pausal unit ends. */
  stopLatency: number;
}

/** A few words while the other side has the turn. */
export interface Backchannel extends Speech {
  /** Who says it. */
  side: Side;
}

/** What happened. */
export interface Exchange {
  /** In the order in which they begin. */
  turns: Turn[];
  /** In order. */
  bargeIns: BargeIn[];
  /** In order. */
  backchannels: Backchannel[];
  /** Seconds in which both speak. */
  overlap: number;
  /** Seconds in which neither does. */
  silence: number;
}

/**
 * What happens between two sides.
 *
 * @param speech When each side speaks, in order. @param seconds The conversation's length.
 */
export function exchangeOf(speech: Record<Side, readonly Speech[]>, seconds: number): Exchange {
  const stretches = both((side) => joined(speech[side], brief));
  const spoken = both((side) => joined(speech[side], pause));
  const backchannels = sides.flatMap((side) =>
    stretches[side].filter((one) =>
      isBackchannel(one, stretches[otherSide(side)], spoken[otherSide(side)])
    ).map((one) => ({ ...one, side }))
  );
  const isAside = (side: Side, { from }: Speech) =>
    backchannels.some((one) => one.side === side && from >= one.from && from < one.to);
  const units = both((side) => spoken[side].filter((one) => !isAside(side, one)));
  const bargeIns = sides.flatMap((side) =>
    stretches[side].filter((one) => !isAside(side, one)).flatMap(({ from }): BargeIn[] => {
      const broken = unitAt(units[otherSide(side)], from);
      return broken ? [{ side, at: from, stopLatency: broken.to - from }] : [];
    })
  );
  const overlap = secondsOf(shared(speech.user, speech.agent));
  const talk = secondsOf(speech.user) + secondsOf(speech.agent) - overlap;
  const inTime = <T extends Speech>(list: T[]) => list.sort((a, b) => a.from - b.from);
  return {
    turns: turnsOf(units),
    bargeIns: bargeIns.sort((a, b) => a.at - b.at),
    backchannels: inTime(backchannels),
    overlap,
    silence: Math.max(0, seconds - talk),
  };
}

const both = <T>(of: (side: Side) => T): Record<Side, T> => ({
  user: of("user"),
  agent: of("agent"),
});

/** The unit that is under way at a moment, and has more than `pause` to go. */
const unitAt = (units: readonly Speech[], at: number) =>
  units.find(({ from, to }) => from < at && at < to - pause);

/** Brief speech inside the other side's, which goes on for as long again as `brief`. A unit of the other
 * side that ends meanwhile was interrupted. */
function isBackchannel(
  { from, to }: Speech,
  stretches: readonly Speech[],
  units: readonly Speech[],
): boolean {
  if (to - from > brief) return false;
  const goesOn = stretches.some((one) => one.from < from && to + brief <= one.to);
  return goesOn && (unitAt(units, from)?.to ?? to) >= to;
}

/** Units of both sides in the order in which they begin; those of a side that follow one another
 * without `patience` between them are a turn. */
function turnsOf(units: Record<Side, readonly Speech[]>): Turn[] {
  const all = sides.flatMap((side) => units[side].map((unit) => ({ ...unit, side })))
    .sort((a, b) => a.from - b.from || a.to - b.to);
  const turns: Turn[] = [];
  for (const { side, from, to } of all) {
    const last = turns.at(-1);
    if (last?.side === side && from - last.to < patience) {
      last.to = to;
      continue;
    }
    const offset = last === undefined || last.side === side ? null : from - last.to;
    // One that begins well before the other's end interrupts it; what it does isn't a response.
    const responds = offset !== null && offset >= -pause && offset < patience;
    turns.push({ side, from, to, latency: responds ? offset : null });
  }
  return turns;
}
