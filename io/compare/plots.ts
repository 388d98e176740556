/** The plots of a comparison. */
import type { Plot } from "../reports/plots.ts";
import type { SweepPoint } from "./sweep.ts";

const [width, height] = [640, 380];
const grey = "#7c8a97";

/** Response delay against pauses broken: the picture that shows what settings can and can't have. */
export function sweepPlot(points: readonly SweepPoint[]): Plot {
  const values = points.flatMap(({ name, kind, silence, delay, brokenPauses, missed }) =>
    delay.value === null || brokenPauses.value === null ? [] : [{
      ...{ kind, onCurve: silence !== null, silence },
      name: silence === null ? shortName(name) : "",
      timer: silence !== null && Math.round(silence * 10) % 2 === 1 ? `${silence} s` : "",
      ...{ delay: delay.value, broken: brokenPauses.value, missed: missed.value ?? 0 },
      ...{ low: brokenPauses.interval?.[0], high: brokenPauses.interval?.[1] },
      ...{ early: delay.interval?.[0], late: delay.interval?.[1] },
      lift: 0,
    }]
  );
  spread(values);
  const x = (field: string) => ({
    ...{ field, type: "quantitative", title: "response delay, mean, ms" },
    scale: { zero: true },
  });
  const y = (field: string) => ({
    ...{ field, type: "quantitative", title: "pauses in which the agent begins to speak" },
    ...{ axis: { format: ".0%" }, scale: { domainMin: 0 } },
  });
  const color = {
    ...{ field: "missed", type: "quantitative", title: "questions missed" },
    scale: { scheme: "viridis", domainMin: 0 },
    legend: { format: ".0%", orient: "right" },
  };
  const only = (test: string) => [{ filter: test }];
  const label = (field: string, more: object) => ({
    mark: { type: "text", align: "left", dx: 9, fontSize: 11, ...more },
    encoding: { x: x("delay"), y: y("broken"), text: { field }, color: { value: "currentColor" } },
  });
  return {
    id: "sweep",
    title: "Response delay against pauses broken",
    note: "The line is a timer of silence, from 0.1 to 1.5 s, on Silero's scores. Circles are " +
      "decisions alone: turn logic over the same recordings, whatever the agent would find to say. " +
      "Diamonds are full runs of an agent. Lines at points hold 95 % of draws of conversations.",
    spec: {
      ...{ width, height, data: { values } },
      layer: [
        {
          transform: only("datum.onCurve"),
          mark: { type: "line", color: grey, strokeWidth: 1.5 },
          encoding: { x: x("delay"), y: y("broken"), order: { field: "silence" } },
        },
        {
          transform: only("!datum.onCurve"),
          mark: { type: "rule", color: grey, strokeWidth: 1 },
          encoding: { x: x("delay"), y: y("low"), y2: { field: "high" } },
        },
        {
          transform: only("!datum.onCurve"),
          mark: { type: "rule", color: grey, strokeWidth: 1 },
          encoding: { x: x("early"), x2: { field: "late" }, y: y("broken") },
        },
        {
          mark: { type: "point", filled: true, opacity: 1, strokeWidth: 1 },
          encoding: {
            ...{ x: x("delay"), y: y("broken"), color },
            size: {
              condition: { test: "datum.onCurve", value: 40 },
              value: 150,
            },
            shape: {
              ...{ field: "kind", type: "nominal", title: null },
              scale: { domain: ["decisions", "full"], range: ["circle", "diamond"] },
            },
          },
        },
        label("name", { fontWeight: 600, dy: { expr: "datum.lift" } }),
        label("timer", { dy: -8, dx: 4 }),
      ],
    },
  };
}

/** An agent's name without its folders. */
const shortName = (name: string) => name.replace(/^(cascade:|)(?:[^ ,]*\/)(?=[^ ,/])/, "$1");

/** Lifts labels until none lies on another. */
function spread(values: { name: string; delay: number; broken: number; lift: number }[]): void {
  const named = values.filter(({ name }) => name !== "").sort((a, b) => a.broken - b.broken);
  const [right, top] = [
    Math.max(...values.map(({ delay }) => delay), 1),
    Math.max(...values.map(({ broken }) => broken), 0.01),
  ];
  // Its left edge, its right one and its height above the axis, in pixels.
  const box = ({ name, delay, broken, lift }: (typeof named)[number]) => ({
    from: (delay / right) * width,
    to: (delay / right) * width + 20 + 6.5 * name.length,
    at: (broken / top) * height - lift,
  });
  for (const [i, value] of named.entries()) {
    // Along the axis stand the timers, with their labels.
    if (value.broken < 0.05 * top) value.lift = -20;
    const isTaken = () => {
      const own = box(value);
      return named.slice(0, i).map(box).some(({ from, to, at }) =>
        from < own.to && own.from < to && Math.abs(at - own.at) < 13
      );
    };
    while (isTaken()) value.lift -= 2;
  }
}

/** What part of all turns had been answered after a time: turns without an answer never are. */
export function waitPlot(
  id: string,
  title: string,
  sides: readonly { name: string; ms: readonly (number | null)[] }[],
): Plot {
  const values = sides.flatMap(({ name, ms }) => {
    const known = ms.filter((value) => value !== null).sort((a, b) => a - b);
    return known.map((value, i) => ({ name, ms: value, part: (i + 1) / ms.length }));
  });
  return {
    ...{ id, title },
    note: "The part of all spoken turns whose answer was heard so long after the turn's last " +
      "sample. Answers that began before the turn was over, and turns without one, are missing from " +
      "the lines' ends.",
    spec: {
      ...{ width, height: 260, data: { values } },
      mark: { type: "line", interpolate: "step-after", strokeWidth: 2 },
      encoding: {
        x: { field: "ms", type: "quantitative", title: "ms" },
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
