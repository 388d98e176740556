/** When a voice is active, unit by unit: the ground that the measures of turns stand on. */

/** Units [first, end) in which a voice is active without a break. */
export interface Run {
  first: number;
  end: number;
}

/** The run that holds `unit`, where breaks of up to `gap` units don't count; null: it is silent. */
export function runAt(active: readonly boolean[], unit: number, gap = 0): Run | null {
  if (!active[unit]) return null;
  let first = unit;
  for (let u = unit - 1; u >= 0 && first - u <= gap + 1; u--) if (active[u]) first = u;
  let last = unit;
  for (let u = unit + 1; u < active.length && u - last <= gap + 1; u++) if (active[u]) last = u;
  return { first, end: last + 1 };
}

/** The first unit in [from, to) in which a voice becomes active; null: none. */
export function onset(active: readonly boolean[], from: number, to: number): number | null {
  for (let u = Math.max(0, from); u < Math.min(to, active.length); u++) {
    if (active[u] && !active[u - 1]) return u;
  }
  return null;
}

/** Counts of units by whether agent and truth are active. */
export interface Overlap {
  both: number;
  agentOnly: number;
  truthOnly: number;
}

/** Compares two activities over units [from, to). */
export function overlap(
  agent: readonly boolean[],
  truth: readonly boolean[],
  from = 0,
  to = truth.length,
): Overlap {
  const counts = { both: 0, agentOnly: 0, truthOnly: 0 };
  for (let u = from; u < to; u++) {
    if (agent[u] && truth[u]) counts.both++;
    else if (agent[u]) counts.agentOnly++;
    else if (truth[u]) counts.truthOnly++;
  }
  return counts;
}

/** F1 of the agent's activity against the truth's; NaN when neither ever speaks. */
export function f1({ both, agentOnly, truthOnly }: Overlap): number {
  return (2 * both) / (2 * both + agentOnly + truthOnly);
}
