/** Does the answer follow what is shown and asked? Pairs of answers: as it was, and with one thing
 * swapped and everything else of the user's part the same. */
import type { Outcome } from "./outcomes.ts";
import type { Swap } from "./truth.ts";

/** Of a recording that was run: what this measure reads. */
interface Answers {
  name: string;
  swap: Swap | null;
  outcomes: readonly Outcome[];
}

/** Pairs whose right answers differ, counted. */
export interface Counterfactual {
  pairs: number;
  /** The answers differ, and the one after the swap is the right one there. */
  follows: number;
  /** The answers differ, right or not. */
  changes: number;
}

/** Compares recordings with a swap to those they come from, question by question. */
export function counterfactual(results: readonly Answers[], kind: Swap["kind"]): Counterfactual {
  const counts = { pairs: 0, follows: 0, changes: 0 };
  for (const swapped of results) {
    if (swapped.swap?.kind !== kind) continue;
    const original = results.find(({ name, swap }) => swap === null && name === swapped.swap?.of);
    for (const after of rights(swapped)) {
      const before = original && rights(original).find(({ unit }) => unit === after.unit);
      if (!before || before.wanted === after.wanted) continue;
      counts.pairs++;
      if (before.said === after.said) continue;
      counts.changes++;
      counts.follows += after.value;
    }
  }
  return counts;
}

const rights = ({ outcomes }: Answers) => outcomes.filter(({ measure }) => measure === "right");
