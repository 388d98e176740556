/** Random streams: histories in the middle of a stream, and the rows that a tick computes there. */
import {
  causalRank,
  cleanSight,
  emptyRank,
  type Group,
  noisySight,
  type Sight,
  type UnitLayout,
} from "../../engine/checkpoint/unit.ts";
import { HistoryWindow } from "../../engine/model/window.ts";
import { integer } from "./random.ts";

/** One row of a pass: the slot it writes and what it may see. */
export interface Row {
  slot: number;
  sight: Sight;
}

export interface Stream {
  window: HistoryWindow;
  /** Rows of one tick by pass. */
  prefill: Row[];
  pass: Row[];
  noisy: Row[];
}

/** A layout with 1 to 3 text slots of each side and up to `most` tokens of each other kind. */
export function randomLayout(next: () => number, most: number): UnitLayout {
  const [userText, agentText] = [integer(next, 1, 3), integer(next, 1, 3)];
  const [userAudio, userVideo] = [integer(next, 1, most), integer(next, 0, most)];
  const [agentAudio, agentVideo] = [integer(next, 1, most), integer(next, 1, most)];
  const observation = userText + userAudio + userVideo;
  const response = agentAudio + agentVideo;
  return {
    userText,
    userAudio,
    userVideo,
    agentText,
    agentAudio,
    agentVideo,
    observation,
    response,
    tokens: observation + agentText + response,
    userVideoGrid: [1, 1, userVideo],
    agentVideoGrid: [1, 1, agentVideo],
    frames: 4,
    userSamples: 1,
    agentSamples: 1,
  };
}

/** A stream that has come to a random unit: prompt and persona in prefill, some typed text, and
 * (when it is long) units that have left the window. */
export function randomStream(next: () => number, most = 6): Stream {
  const layout = randomLayout(next, most);
  const sinkUnits = integer(next, 0, 2);
  const historyUnits = sinkUnits + integer(next, 2, 5);
  const promptTokens = integer(next, 0, 7);
  const sizes = { promptTokens, personaTokens: integer(next, 0, 5), historyUnits, sinkUnits };
  const window = new HistoryWindow(layout, { ...sizes, noisySets: 2 });
  const prefill = Array.from({ length: window.prefillTokens }, (_, slot): Row => {
    const place = { unit: -1, group: "language", index: slot } as const;
    const rank = slot < promptTokens
      ? causalRank(place, promptTokens, layout.agentText)
      : causalRank({ unit: -1, group: "response", index: 0 }, promptTokens, layout.agentText);
    return { slot, sight: cleanSight(rank) };
  });
  const unit = integer(next, 0, 2 * historyUnits);
  let typed = 0;
  for (let k = 0; k <= unit; k++) window.advance(k, typed = integer(next, 0, layout.userText));
  const rows = (k: number, group: Group, count: number) =>
    Array.from({ length: count }, (_, index): Row => ({
      slot: window.slot(k, group, index),
      sight: cleanSight(window.rank(k, group, index)),
    }));
  const pass = [
    ...(unit > 0 ? rows(unit - 1, "response", layout.response) : []),
    ...rows(unit, "observation", layout.observation)
      .filter((_, i) => i < typed || i >= layout.userText),
    ...rows(unit, "language", layout.agentText),
  ];
  const noisy = [true, false].flatMap((conditional, set) =>
    Array.from({ length: layout.response }, (_, i): Row => ({
      slot: window.noisyStart + set * layout.response + i,
      sight: noisySight(unit, layout.agentText, conditional),
    }))
  );
  return { window, prefill, pass, noisy };
}

/** A long history without structure: ranks rise, some slots are empty. For sizes and speed. */
export function plainRanks(
  next: () => number,
  slots: number,
  empty = 0.1,
): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: slots }, (_, i) => next() < empty ? emptyRank : i >> 3);
}
