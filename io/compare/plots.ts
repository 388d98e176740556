/** The plots of a comparison. */
import { enoughEvents } from "../eval/measures/outcomes.ts";
import type { Plot } from "../reports/plots.ts";
import { counted, percent } from "../reports/table.ts";
import type { SweepPoint } from "./sweep.ts";

const [width, height] = [640, 380];
const grey = "#7c8a97";

/** What the two kinds of points are called. */
const kinds = { decisions: "turn logic alone", full: "an agent's own answers" };

/** Response delay against pauses broken: the picture that shows what settings can and can't have. */
export function sweepPlot(points: readonly SweepPoint[]): Plot {
  const known = points.flatMap((point) => {
    const { delay, brokenPauses, missed, silence } = point;
    if (delay.value === null || brokenPauses.value === null) return [];
    return [{
      ...{ isAgent: point.kind === "full", onCurve: silence !== null, silence },
      ...{ kind: kinds[point.kind], delay: delay.value, broken: brokenPauses.value },
      ...{ missed: missed.value ?? 0, events: brokenPauses.events },
      ...{ low: brokenPauses.interval?.[0], high: brokenPauses.interval?.[1] },
      ...{ early: delay.interval?.[0], late: delay.interval?.[1] },
      name: silence === null
        ? shortName(point.name)
        : Math.round(silence * 10) % 2 === 1
        ? `${silence} s`
        : "",
    }];
  });
  const most = (values: number[], least: number) => 1.05 * Math.max(...values, least);
  const right = most(known.flatMap(({ delay, late }) => [delay, late ?? 0]), 1);
  const top = Math.min(1.02, most(known.flatMap(({ broken, high }) => [broken, high ?? 0]), 0.1));
  const placed = placeLabels(known.map(({ name, delay, broken, isAgent, onCurve }) => ({
    ...{ name, x: (delay / right) * width, y: height - (broken / top) * height },
    rank: isAgent ? 0 : onCurve ? 2 : 1,
  })));
  const values = known.map((one, i) => {
    const { x, y, linkX, linkY, align = "left", isMoved = false } = placed[i] ?? {};
    const back = (x = 0, y = 0) => ({ x: (x / width) * right, y: ((height - y) / height) * top });
    const [label, link] = [back(x, y), back(linkX, linkY)];
    return {
      ...{ ...one, align, isMoved, labelled: placed[i] !== null },
      ...{ labelX: label.x, labelY: label.y, linkX: link.x, linkY: link.y },
    };
  });
  const x = (field: string) => ({
    ...{ field, type: "quantitative", title: "response delay, mean, ms" },
    scale: { domain: [0, right], nice: false },
  });
  const y = (field: string) => ({
    ...{ field, type: "quantitative", title: "pauses in which the agent begins to speak" },
    ...{ axis: { format: ".0%" }, scale: { domain: [0, top], nice: false } },
  });
  const missed = values.map((one) => one.missed);
  const isOne = new Set(missed).size < 2;
  const color = isOne ? { value: "#3b82c4" } : {
    ...{ field: "missed", type: "quantitative", title: "questions missed" },
    scale: { scheme: "viridis", domainMin: 0 },
    legend: { format: ".0%", orient: "right" },
  };
  const shape = {
    ...{ field: "kind", type: "nominal", title: null },
    scale: { domain: Object.values(kinds), range: ["circle", "diamond"] },
    legend: { symbolFillColor: grey, symbolStrokeColor: grey, symbolSize: 110 },
  };
  const only = (test: string) => [{ filter: test }];
  const at = { x: x("delay"), y: y("broken") };
  const rule = (test: string, encoding: object, more: object = {}) => ({
    transform: only(test),
    mark: { type: "rule", color: grey, strokeWidth: 1, ...more },
    encoding: { ...at, ...encoding },
  });
  const markers = (test: string, size: object, more: object = {}) => ({
    transform: only(test),
    mark: { type: "point", filled: true, opacity: 1, ...more },
    encoding: { ...at, color, shape, ...size },
  });
  const fewest = Math.min(...values.map(({ events }) => events));
  return {
    id: "sweep",
    title: "Response delay against pauses broken",
    note:
      "The line is a timer of silence, from 0.1 to 1.5 s, on Silero's scores. Circles are turn " +
      "logic alone: what it decides over the same recordings, whatever the agent would find to say. " +
      "Diamonds are agents that answered every recording in full. Lines at points hold 95 % of draws " +
      "of conversations." +
      (isOne ? ` Each misses ${percent(missed[0])} of the questions.` : "") +
      (fewest < enoughEvents ? ` It rests on ${counted(fewest, "pause")}: that is too few.` : ""),
    spec: {
      ...{ width, height, data: { values } },
      layer: [
        {
          transform: only("datum.onCurve"),
          mark: { type: "line", color: grey, strokeWidth: 1.5 },
          encoding: { ...at, order: { field: "silence" } },
        },
        rule("!datum.onCurve", { y: y("low"), y2: { field: "high" } }),
        rule("!datum.onCurve", { x: x("early"), x2: { field: "late" } }),
        rule("datum.isMoved", { x2: { field: "linkX" }, y2: { field: "linkY" } }, {
          ...{ color: "currentColor", strokeWidth: 0.7 },
        }),
        markers("!datum.isAgent", {
          size: { condition: { test: "datum.onCurve", value: 40 }, value: 130 },
        }),
        markers("datum.isAgent", { size: { value: 260 }, stroke: { value: "currentColor" } }, {
          strokeWidth: 1.8,
        }),
        {
          transform: only("datum.labelled"),
          mark: {
            ...{ type: "text", baseline: "middle", fontSize: 11 },
            ...{ align: { expr: "datum.align" }, fontWeight: { expr: boldNames } },
          },
          encoding: {
            ...{ x: x("labelX"), y: y("labelY"), text: { field: "name" } },
            color: { value: "currentColor" },
          },
        },
      ],
    },
  };
}

const boldNames = "datum.onCurve ? 400 : datum.isAgent ? 700 : 500";

/** An agent's name without its folders. */
const shortName = (name: string) => name.replace(/^(cascade:|)(?:[^ ,]*\/)(?=[^ ,/])/, "$1");

/** Where a label stands, in pixels, and the end of the line that leads to it. */
interface Placed {
  x: number;
  y: number;
  align: "left" | "right";
  linkX: number;
  linkY: number;
  isMoved: boolean;
}

/** Pixels from a marker's middle to its label, of a letter, and of a line of text. */
const [gap, letter, line] = [13, 6.6, 13];

/**
 * Puts each label beside its marker, or as near as it neither covers a marker nor another label; null:
 * it has no name, or is of the last rank and has no room nearby.
 *
 * @param markers In pixels from the top left. @param markers.rank Lower ones choose first.
 */
export function placeLabels(
  markers: readonly { name: string; x: number; y: number; rank: number }[],
): (Placed | null)[] {
  interface Box {
    left: number;
    right: number;
    top: number;
    bottom: number;
  }
  const taken: Box[] = markers.map(({ x, y, rank }) => {
    const size = rank < 2 ? 8 : 4;
    return { left: x - size, right: x + size, top: y - size, bottom: y + size };
  });
  const isFree = (box: Box) =>
    box.left >= 2 && box.top >= 0 && box.bottom <= height - 1 && box.right <= width + 60 &&
    !taken.some((other) =>
      box.left < other.right && other.left < box.right && box.top < other.bottom &&
      other.top < box.bottom
    );
  const result: (Placed | null)[] = markers.map(() => null);
  const inTurn = markers.map((marker, i) => ({ ...marker, i }))
    .sort((a, b) => a.rank - b.rank || a.x - b.x);
  for (const { name, x, y, rank, i } of inTurn) {
    if (name === "") continue;
    const long = letter * name.length;
    // Beside the lines of its interval, then on them, then farther off; up before down.
    const tries = [0.7, 0, 1, 2, 3, 4, 5, 6, 8, 10, 12].flatMap((rise) =>
      [-1, 1].flatMap((way) =>
        (["left", "right"] as const).flatMap((align) =>
          (rise < 1 ? [gap] : [0.4 * gap, gap + 6 * rise]).map((aside) => ({
            ...{ align, rise },
            x: x + (align === "left" ? aside : -aside),
            y: y + way * rise * line,
          }))
        )
      )
    );
    const boxOf = ({ align, ...at }: (typeof tries)[number]): Box => ({
      ...{ left: align === "left" ? at.x : at.x - long, top: at.y - line / 2 },
      ...{ right: align === "left" ? at.x + long : at.x, bottom: at.y + line / 2 },
    });
    const found = tries.find((one) => (rank < 2 || one.rise < 2) && isFree(boxOf(one)));
    if (!found) continue;
    taken.push(boxOf(found));
    const { align, rise } = found;
    const below = found.y > y;
    result[i] = {
      ...{ x: found.x, y: found.y, align, isMoved: rise > 1 },
      ...{ linkX: found.x, linkY: found.y + (below ? -line / 2 : line / 2) },
    };
  }
  return result;
}

/** What part of all turns had been answered after a time: turns without an answer never are.
 * @param isFirst Of those in a section: it says what the lines are. */
export function waitPlot(
  id: string,
  title: string,
  sides: readonly { name: string; ms: readonly (number | null)[] }[],
  isFirst: boolean,
): Plot {
  const values = sides.flatMap(({ name, ms }) => {
    const known = ms.filter((value) => value !== null).sort((a, b) => a - b);
    return known.map((value, i) => ({ name, ms: value, part: (i + 1) / ms.length }));
  });
  return {
    ...{ id, title },
    note: isFirst
      ? "The part of all spoken turns whose answer was heard so long after the turn's last sample. " +
        "Answers that began before the turn was over, and turns without one, are missing from the " +
        "lines' ends."
      : "",
    spec: {
      ...{ width, height: 260, data: { values } },
      mark: { type: "line", interpolate: "step-after", strokeWidth: 2 },
      encoding: {
        x: { field: "ms", type: "quantitative", title: "ms", scale: { zero: true } },
        y: {
          ...{ field: "part", type: "quantitative", title: "turns answered" },
          ...{ axis: { format: ".0%" }, scale: { domain: [0, 1] } },
        },
        color: {
          ...{ field: "name", type: "nominal", legend: { orient: "top", title: null } },
          scale: { range: ["#3b82c4", "#e0772f"] },
        },
      },
    },
  };
}
