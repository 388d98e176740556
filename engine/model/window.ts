/**
 * Which slot of history a token has: full history up to a capacity, then a window with sinks.
 *
 * Slots: prefill | blocks of units, each [observation, agent text, response] | noisy rows | one
 * spare row. Prefill and the first `sinkUnits` never leave; the other blocks form a ring. Nothing is
 * ever moved: a token leaves when its block is opened for a newer unit, and keeps its rotary angle
 * until then.
 */
import {
  causalRank,
  emptyRank,
  type Group,
  noisyRank,
  type UnitLayout,
} from "../checkpoint/unit.ts";
import type { Settings } from "./settings.ts";

export interface WindowSizes {
  /** Tokens of prefill: prompt, then persona latents. */
  promptTokens: number;
  personaTokens: number;
  /** Units kept, sinks among them; at least `sinkUnits` + 2. */
  historyUnits: number;
  sinkUnits: number;
  /** Rows of one noisy set (the response's tokens); there are two sets with guidance. */
  noisySets: 1 | 2;
}

/** Units that a window of this size holds after unit `last`, oldest first: the sinks, then the
 * newest. */
export function keptUnits(last: number, historyUnits: number, sinkUnits: number): number[] {
  const newest = Math.max(0, last + 1 - (historyUnits - sinkUnits));
  const units = Array.from({ length: Math.min(sinkUnits, newest) }, (_, unit) => unit);
  for (let unit = newest; unit <= last; unit++) units.push(unit);
  return units;
}

export class HistoryWindow {
  readonly layout: UnitLayout;
  readonly sizes: WindowSizes;
  /** Rank of the token in each slot. */
  readonly ranks: Int32Array<ArrayBuffer>;
  /** Slots [0, used) may hold tokens; the rest of history was never written. */
  used: number;
  /** First of the noisy rows, and the end of the last. */
  readonly noisyStart: number;
  readonly noisyEnd: number;
  /** A row that takes what must be written but never seen. */
  readonly spareSlot: number;
  /** All slots, noisy and spare rows included. */
  readonly slots: number;
  readonly prefillTokens: number;

  constructor(layout: UnitLayout, sizes: WindowSizes) {
    this.layout = layout;
    this.sizes = sizes;
    const { promptTokens, personaTokens, historyUnits, sinkUnits, noisySets } = sizes;
    if (historyUnits < sinkUnits + 2) {
      throw new RangeError(`history of ${historyUnits} units: ${sinkUnits + 2} or more`);
    }
    this.prefillTokens = promptTokens + personaTokens;
    this.noisyStart = this.prefillTokens + historyUnits * layout.tokens;
    this.noisyEnd = this.noisyStart + noisySets * layout.response;
    this.spareSlot = this.noisyEnd;
    this.slots = this.noisyEnd + 1;
    this.ranks = new Int32Array(this.slots).fill(emptyRank);
    const place = { unit: -1, index: 0 };
    for (let i = 0; i < promptTokens; i++) {
      this.ranks[i] = causalRank(
        { ...place, group: "language", index: i },
        promptTokens,
        layout.agentText,
      );
    }
    const persona = causalRank({ ...place, group: "response" }, promptTokens, layout.agentText);
    this.ranks.fill(persona, promptTokens, this.prefillTokens);
    const first = this.noisyStart + layout.response;
    this.ranks.fill(noisyRank.conditional, this.noisyStart, first);
    this.ranks.fill(noisyRank.unconditional, first, this.noisyEnd);
    this.used = this.prefillTokens;
  }

  /** Empties all blocks of units: what a new session with the same prefill begins with. */
  rewind(): void {
    this.ranks.fill(emptyRank, this.prefillTokens, this.noisyStart);
    this.used = this.prefillTokens;
  }

  /** First slot of a unit's block. */
  block(unit: number): number {
    const { historyUnits, sinkUnits } = this.sizes;
    const index = unit < historyUnits
      ? unit
      : sinkUnits + ((unit - sinkUnits) % (historyUnits - sinkUnits));
    return this.prefillTokens + index * this.layout.tokens;
  }

  /** Slot of a unit's token. */
  slot(unit: number, group: Group, index: number): number {
    const { observation, agentText } = this.layout;
    const start = { observation: 0, language: observation, response: observation + agentText };
    return this.block(unit) + start[group] + index;
  }

  /** Opens the unit's block: the unit that held it, if any, leaves history. */
  open(unit: number): void {
    const start = this.block(unit);
    this.ranks.fill(emptyRank, start, start + this.layout.tokens);
    this.used = Math.max(this.used, start + this.layout.tokens);
  }

  /** Makes tokens [from, to) of a group of a unit visible, by their rank. */
  admit(unit: number, group: Group, from: number, to: number): void {
    for (let index = from; index < to; index++) {
      this.ranks[this.slot(unit, group, index)] = this.rank(unit, group, index);
    }
  }

  /** Moves on to unit k: opens its block, admits y_{k-1}, u_k (with `typed` user text tokens; the
   * slots of untyped ones stay empty) and the agent text of k. */
  advance(unit: number, typed: number): void {
    this.open(unit);
    if (unit > 0) this.admit(unit - 1, "response", 0, this.layout.response);
    this.#admitInput(unit, typed);
  }

  #admitInput(unit: number, typed: number): void {
    const { userText, observation, agentText } = this.layout;
    this.admit(unit, "observation", 0, typed);
    this.admit(unit, "observation", userText, observation);
    this.admit(unit, "language", 0, agentText);
  }

  /** Units that have a block once unit `last` was opened, oldest first. */
  unitsAfter(last: number): number[] {
    return keptUnits(last, this.sizes.historyUnits, this.sizes.sinkUnits);
  }

  /** User text tokens that were typed in a unit that has a block. */
  typedIn(unit: number): number {
    const start = this.block(unit);
    const slots = this.ranks.subarray(start, start + this.layout.userText);
    return slots.filter((rank) => rank !== emptyRank).length;
  }

  /** Makes a new window the one that has advanced to unit `last`, with `typed` user text tokens in
   * each of `unitsAfter(last)`. */
  restore(last: number, typed: readonly number[]): void {
    this.unitsAfter(last).forEach((unit, i) => {
      this.open(unit);
      this.#admitInput(unit, typed[i] ?? 0);
      if (unit < last) this.admit(unit, "response", 0, this.layout.response);
    });
  }

  /** Rank of a unit's token. */
  rank(unit: number, group: Group, index: number): number {
    return causalRank({ unit, group, index }, this.layout.agentText, this.layout.agentText);
  }

  /** Tokens that the solver sees once history is full, the user text that nobody typed left out: the
   * response of the unit under way isn't there yet. */
  get most(): number {
    const { historyUnits } = this.sizes;
    const { tokens, response, userText } = this.layout;
    return this.prefillTokens + historyUnits * (tokens - userText) - response;
  }

  /** Tokens of history that a token of this rank limit sees. */
  visibleTokens(limit: number): number {
    let count = 0;
    for (let slot = 0; slot < this.used; slot++) {
      if ((this.ranks[slot] ?? emptyRank) <= limit) count++;
    }
    return count;
  }
}

/** The window of a new session with these settings. */
export function historyWindow(layout: UnitLayout, settings: Settings): HistoryWindow {
  return new HistoryWindow(layout, {
    promptTokens: settings.promptIds.length,
    personaTokens: voiceUnits(layout, settings) * layout.agentAudio +
      (settings.personaFrame ? layout.agentVideo : 0),
    historyUnits: settings.historyUnits,
    sinkUnits: settings.sinkUnits,
    noisySets: settings.solver.guidance === 1 ? 1 : 2,
  });
}

/** Units of reference voice in prefill. */
export function voiceUnits(layout: UnitLayout, { voice }: Settings): number {
  return (voice?.length ?? 0) / layout.agentSamples;
}
