/**
 * The token rows of a tick: for every row of a span where its K and V go, what it sees, and where
 * it stands. Both roles derive the same rows from the same window.
 */
import type { ModelConfig } from "../config/config.ts";
import {
  cleanSight,
  gridPositions,
  type Group,
  linePositions,
  noisySight,
  type Position,
  type Sight,
  type UnitLayout,
} from "../checkpoint/unit.ts";
import type { HistoryWindow } from "./window.ts";

/** Words per row: {slot, limit, own, time, height, width, 0, 0}. */
export const tokenWords = 8;

type Row = [slot: number, sight: Sight, position: Position];

function pack(rowList: readonly Row[]): Int32Array<ArrayBuffer> {
  const words = new Int32Array(rowList.length * tokenWords);
  rowList.forEach(([slot, { limit, own }, position], i) => {
    words.set([slot, limit, own, ...position, 0, 0], i * tokenWords);
  });
  return words;
}

export class TickTokens {
  private readonly config: Pick<ModelConfig, "positions_per_unit">;
  private readonly layout: UnitLayout;
  private readonly window: HistoryWindow;
  /** Units of reference voice in prefill; the reference image stands at the last one's time. */
  private readonly voiceUnits: number;

  constructor(
    config: Pick<ModelConfig, "positions_per_unit">,
    layout: UnitLayout,
    window: HistoryWindow,
    voiceUnits: number,
  ) {
    this.config = config;
    this.layout = layout;
    this.window = window;
    this.voiceUnits = voiceUnits;
  }

  /** Rows of the language/state pass of unit k: [y_{k-1} | u_k | agent text of k]. */
  pass(unit: number): Int32Array<ArrayBuffer> {
    const { layout, window } = this;
    const start = this.#unitStart(unit);
    const perUnit = this.config.positions_per_unit;
    const previous = unit === 0
      // There is no response before unit 0: its rows are computed and never seen.
      ? Array.from({ length: layout.response }, (): Row => [
        window.spareSlot,
        cleanSight(window.rank(0, "observation", 0)),
        [start, start, start],
      ])
      : this.#rows(unit - 1, "response", this.#responsePositions(this.#unitStart(unit - 1)));
    return pack([
      ...previous,
      ...this.#rows(unit, "observation", [
        ...linePositions(start, perUnit, layout.userText),
        ...linePositions(start, perUnit, layout.userAudio),
        ...gridPositions(start, perUnit, layout.userVideoGrid),
      ]),
      ...this.#rows(unit, "language", linePositions(start, perUnit, layout.agentText)),
    ]);
  }

  /** Rows of the solver for unit k: the conditional set, then with guidance the unconditional one. */
  noisy(unit: number): Int32Array<ArrayBuffer> {
    const { layout, window } = this;
    const positions = this.#responsePositions(this.#unitStart(unit));
    const list: Row[] = [];
    for (let set = 0; set < window.sizes.noisySets; set++) {
      const sight = noisySight(unit, layout.agentText, set === 0);
      positions.forEach((position, i) => {
        list.push([window.noisyStart + set * layout.response + i, sight, position]);
      });
    }
    return pack(list);
  }

  /** Rows of prefill: the prompt's tokens, then the persona's latents (voice, then picture). */
  prefill(): Int32Array<ArrayBuffer> {
    const { layout, window, voiceUnits } = this;
    const { promptTokens, personaTokens } = window.sizes;
    const perUnit = this.config.positions_per_unit;
    const positions: Position[] = linePositions(0, promptTokens, promptTokens);
    for (let v = 0; v < voiceUnits; v++) {
      positions.push(...linePositions(promptTokens + v * perUnit, perUnit, layout.agentAudio));
    }
    if (personaTokens > voiceUnits * layout.agentAudio) {
      const start = promptTokens + Math.max(0, voiceUnits - 1) * perUnit;
      positions.push(...gridPositions(start, perUnit, layout.agentVideoGrid));
    }
    return pack(positions.map((position, slot): Row => [
      slot,
      cleanSight(window.ranks[slot] ?? 0),
      position,
    ]));
  }

  #rows(unit: number, group: Group, positions: Position[]): Row[] {
    return positions.map((position, index) => [
      this.window.slot(unit, group, index),
      cleanSight(this.window.rank(unit, group, index)),
      position,
    ]);
  }

  #responsePositions(start: number): Position[] {
    const { layout } = this;
    const perUnit = this.config.positions_per_unit;
    return [
      ...linePositions(start, perUnit, layout.agentAudio),
      ...gridPositions(start, perUnit, layout.agentVideoGrid),
    ];
  }

  /** First position of a unit: prefill comes before unit 0. */
  #unitStart(unit: number): number {
    const { promptTokens, personaTokens } = this.window.sizes;
    const persona = personaTokens > 0 ? Math.max(1, this.voiceUnits) : 0;
    return promptTokens + (persona + unit) * this.config.positions_per_unit;
  }
}
