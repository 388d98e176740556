/** Where two runs of the same stream part, unit by unit, and by what. */
import type { RunData, UnitData } from "./run_data.ts";

/** What may differ in a unit, in the order in which one thing leads to the next. */
const kinds: Record<string, (unit: UnitData) => unknown> = {
  "what it was given": ({ input }) => input,
  "whether that reached it": ({ event }) => event.observation,
  "probability of speaking": ({ inside }) => inside ? 1 - inside.filler : undefined,
  "words": ({ event }) => event.tokens.join(" "),
  "latents": ({ event }) => event.digest,
  "sound's level": ({ level }) => level.agent,
  "who is heard": ({ active, event }) => `${active.user} ${active.agent} ${event.heard}`,
};

/** Both runs in the first unit in which a kind of thing differs. */
export interface FirstDifference {
  what: string;
  unit: number;
  /** How it is in each, for people. */
  of: [string, string];
}

export interface Differences {
  /** The first unit in which each kind differs; those that never do are left out. */
  first: FirstDifference[];
  /** Every unit in which something differs, with the kinds. */
  units: [unit: number, kinds: string[]][];
  /** Units that both runs have. */
  common: number;
}

/** Whether a kind of thing differs; where one run doesn't tell it, it does not. */
function differ(kind: string, a: UnitData, b: UnitData): boolean {
  const [one, two] = [kinds[kind]?.(a), kinds[kind]?.(b)];
  return one !== undefined && two !== undefined && one !== two;
}

/** Compares the units that both runs have, by their numbers. */
export function differences(one: RunData, two: RunData): Differences {
  const others = new Map(two.units.map((unit) => [unit.unit, unit]));
  const pairs = one.units.flatMap((unit) => {
    const other = others.get(unit.unit);
    return other ? [[unit, other] as const] : [];
  });
  const units = pairs.map(([a, b]): [number, string[]] => [
    a.unit,
    Object.keys(kinds).filter((kind) => differ(kind, a, b)),
  ]).filter(([, found]) => found.length > 0);
  const first = Object.keys(kinds).flatMap((what): FirstDifference[] => {
    const pair = pairs.find(([a, b]) => differ(what, a, b));
    return pair
      ? [{ what, unit: pair[0].unit, of: [text(what, pair[0]), text(what, pair[1])] }]
      : [];
  });
  return { first: first.sort((a, b) => a.unit - b.unit), units, common: pairs.length };
}

/** Where two runs part, in one line for people. */
export function partingText([one, two]: readonly [RunData, RunData]): string {
  const { first, common } = differences(one, two);
  const [earliest] = first;
  if (common === 0) return "the runs have no unit in common";
  if (earliest === undefined) return `the ${common} units that both runs have are the same`;
  const { unit } = earliest;
  const what = first.filter((other) => other.unit === unit).map(({ what }) => what).join(", ");
  return `the runs part in unit ${unit}: ${what}`;
}

/** One kind of thing in a unit, for people. */
function text(what: string, unit: UnitData): string {
  const { event, inside, level, active } = unit;
  switch (what) {
    case "what it was given":
      return `${unit.input.slice(0, 8)}${unit.typed === "" ? "" : `, typed '${unit.typed}'`}`;
    case "whether that reached it":
      return event.observation;
    case "probability of speaking":
      return inside ? (1 - inside.filler).toFixed(4) : "not told";
    case "words":
      return `'${event.text}' (token ${event.tokens.join(", ")})`;
    case "latents":
      return event.digest.slice(0, 8);
    case "sound's level":
      return level.agent === null ? "silence" : `${level.agent.toFixed(1)} dB`;
    default:
      return (["user", "agent"] as const).filter((side) => active[side]).join(" and ") || "neither";
  }
}
