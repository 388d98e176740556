/** Figures and differences as plots: a dot for the value, a line for its interval. */
import { intervalPlot, type IntervalPoint, type Plot } from "../../reports/plots.ts";
import type { Row } from "./bars.ts";
import type { Difference } from "./compare.ts";

/** Figures that are no rates and no correlations: each has an axis of its own. */
const ownAxis =
  /^(last30s)?(questions|longRecordings|delay|stopDelay|logMel|lipsLag|picture|solver|level)/i;

const note =
  "A dot is the figure, the line around it holds it in 95 % of the bootstrap's draws of " +
  "conversations. Figures that rest on too few events are left out.";

/** The figures with their intervals; those that reach their bar, or have none, in colour. */
export function figurePlots(rows: readonly Row[]): Plot[] {
  const named = withNames(rows).map(({ name, row }) => ({
    ...{ key: row.key, name, value: row.value, interval: row.interval },
    stands: row.bar?.met !== false,
  }));
  return plots(named, "figures", "grey where the bar is missed", false);
}

/** Differences with their intervals; those that are some in colour. */
export function differencePlots(differences: readonly Difference[]): Plot[] {
  const named = withNames(differences).map(({ name, row }) => ({
    ...{ key: row.key, name, value: row.difference, interval: row.interval },
    stands: row.isDifference === true,
  }));
  return plots(named, "differences", "in colour where the interval doesn't hold 0", true);
}

interface Named {
  key: string;
  name: string;
  value: number | null;
  interval: readonly [number, number] | null;
  stands: boolean;
}

function plots(all: readonly Named[], id: string, colours: string, zero: boolean): Plot[] {
  const points = (own: boolean) =>
    all.flatMap(({ key, name, value, interval, stands }): IntervalPoint[] => {
      if (value === null || interval === null || ownAxis.test(key) !== own) return [];
      return [{ name, value, low: interval[0], high: interval[1], stands }];
    });
  const [rates, others] = [points(false), points(true)];
  const shown = (title: string, points: IntervalPoint[], shared: boolean) =>
    points.length === 0 ? [] : [intervalPlot(points, {
      ...{
        id: `${id}-${shared ? "rates" : "others"}`,
        title,
        note: `${note} Dots are ${colours}.`,
      },
      ...{ shared, zero },
    })];
  return [
    ...shown("Rates and correlations", rates, true),
    ...shown("Delays, distances and times", others, false),
  ];
}

/** Rows with names that stand for themselves: a label that is set in follows the one above it. */
function withNames<T extends { label: string }>(rows: readonly T[]): { name: string; row: T }[] {
  let above = "";
  return rows.map((row) => {
    const isIn = row.label.startsWith(" ");
    if (!isIn) above = row.label;
    return { name: isIn ? `${above}: ${row.label.trim()}` : row.label, row };
  });
}
