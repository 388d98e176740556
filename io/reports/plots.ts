/** What a page draws: Vega-Lite specifications, data included. */

export interface Plot {
  /** Names the figure in the page. */
  id: string;
  title: string;
  /** What to see in it; empty: nothing is said. */
  note: string;
  /** What stands below it, as HTML whose texts went through `escape`. */
  html?: string;
  /** A Vega-Lite specification (vega.github.io/vega-lite); draw/ turns it into SVG. */
  spec: Record<string, unknown>;
}

const width = 640;
/** Middle tones that hold on light and dark ground alike. */
export const palette = ["#3b82c4", "#e0772f", "#2f9e77", "#b35fb0", "#c0a02c", "#7c8a97"];
const legend = { orient: "top", title: null };

/** The colours of a field's values. */
const colors = (field: string) => ({ scale: { range: palette }, field, type: "nominal", legend });

/** A row for each value of a field. */
const rowsOf = (field: string, sort: object | null) => ({
  y: { field, type: "nominal", title: null, sort },
});

/** Where numbers stand along an axis. */
const numbers = (field: string, title?: string | null, more: object = {}) => ({
  field,
  type: "quantitative",
  ...(title === undefined ? {} : { title }),
  ...more,
});

/** The same with an axis of powers of ten. */
function logarithmic(field: string, title: string, [low, high]: [number, number], more = {}) {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const values = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
  const scale = { type: "log", nice: false, ...more };
  return numbers(field, title, { scale, axis: { format: "~g", values } });
}

/** Marks of data; several of them are the layers of one plot. */
const marks = (values: readonly object[], mark: object, encoding: object) => ({
  data: { values },
  mark,
  encoding,
});

/** One kernel at one shape: what a launch takes, and how often a tick launches it. */
interface MeasuredKernel {
  kind: string;
  label: string;
  flops: number;
  bytes: number;
  gigaflops: number;
  ms: number;
  launches: number;
}

/** Kernels against the adapter's roof. */
export function rooflinePlot(
  kernels: readonly MeasuredKernel[],
  { gigaflops, gigabytes }: { gigaflops: number; gigabytes: number },
): Plot {
  const points = kernels.filter(({ flops, bytes }) => flops > 0 && bytes > 0).map((k) => ({
    kind: k.kind,
    label: k.label,
    intensity: k.flops / k.bytes,
    gigaflops: k.gigaflops,
    msPerTick: k.ms * k.launches,
  }));
  const intensities = points.map(({ intensity }) => intensity);
  const ridge = gigaflops / gigabytes;
  const low = Math.min(ridge / 4, ...intensities) / 1.5;
  const high = Math.max(ridge * 4, ...intensities) * 1.5;
  const roof = [low, ridge, high].map((intensity) => ({
    intensity,
    gigaflops: Math.min(gigaflops, intensity * gigabytes),
  }));
  const least = Math.min(...points.map((point) => point.gigaflops));
  const axes = {
    x: logarithmic("intensity", "operations per byte", [low, high], { domain: [low, high] }),
    y: logarithmic("gigaflops", "GFLOP/s", [least, gigaflops]),
  };
  return {
    id: "roofline",
    title: "Roofline",
    note:
      `Each disc is a kernel at one shape, as large as its part of the tick. The line is what ` +
      `this adapter allowed in the same run: ${gigabytes.toFixed(1)} GB/s of copies up to ` +
      `${gigaflops.toFixed(0)} GFLOP/s of multiply-adds.`,
    spec: {
      width,
      height: 340,
      layer: [
        marks(roof, { type: "line", strokeWidth: 2, color: palette[5] }, axes),
        marks(points, { type: "circle", opacity: 0.75 }, {
          ...axes,
          color: colors("kind"),
          size: { ...numbers("msPerTick"), scale: { range: [12, 500] }, legend: null },
          tooltip: { field: "label" },
        }),
      ],
    },
  };
}

/** Tick time over history's length. */
export function growthPlot(
  points: readonly { series: string; units: number; tokens: number; ms: number }[],
): Plot {
  return {
    id: "growth",
    title: "Tick over history",
    note: "Expected: without a window a straight line, by the bytes of history that attention " +
      "reads; with the window a flat line once it is full.",
    spec: {
      width,
      height: 280,
      ...marks(points, { type: "line", point: { size: 40 }, strokeWidth: 2 }, {
        x: numbers("units", "units before the tick"),
        y: numbers("ms", "ms per tick", { scale: { zero: true } }),
        color: colors("series"),
      }),
    },
  };
}

const stages = ["encode", "pass", "sendSlice", "solve", "sendLatents", "decode"] as const;

/** Median milliseconds of each stage in one placement and schedule. */
interface StagesRun {
  placement: string;
  schedule: string;
  stages: Record<typeof stages[number], number>;
}

/** Stages of each placement and schedule. */
export function stagePlot(runs: readonly StagesRun[], unitMs: number): Plot {
  const nameOf = (stage: string) => stage.replace(/[A-Z]/, (letter) => ` ${letter.toLowerCase()}`);
  const values = runs.flatMap(({ placement, schedule, stages: ms }) =>
    stages.map((stage, order) => ({
      run: `${placement}, ${schedule}`,
      stage: nameOf(stage),
      order,
      ms: ms[stage],
    }))
  );
  const scale = { domain: stages.map(nameOf), range: palette };
  return {
    id: "stages",
    title: "Stages by placement and schedule",
    note:
      `Medians of each stage; those of the two roles overlap where they are split. The dashed ` +
      `line is one unit, ${unitMs} ms.`,
    spec: {
      width,
      height: 40 * Math.max(2, runs.length),
      layer: [
        marks(values, { type: "bar", height: { band: 0.65 } }, {
          ...rowsOf("run", null),
          x: numbers("ms", "ms", { stack: "zero" }),
          color: { ...colors("stage"), scale },
          order: numbers("order"),
        }),
        marks([{ at: unitMs }], { type: "rule", strokeDash: [5, 4], color: palette[5] }, {
          x: numbers("at"),
        }),
      ],
    },
  };
}

/** How long users wait: the part of the units that were answered by a time. */
export function latencyPlot(runs: readonly { name: string; ms: readonly number[] }[]): Plot {
  const values = runs.flatMap(({ name, ms }) =>
    [...ms].sort((a, b) => a - b).map((value, i, all) => ({
      run: name,
      ms: value,
      part: (i + 1) / all.length,
    }))
  );
  return {
    id: "latency",
    title: "Latency",
    note: "The part of all units whose answer was there so long after the unit's last sample.",
    spec: {
      width,
      height: 280,
      ...marks(values, { type: "line", interpolate: "step-after", strokeWidth: 2 }, {
        x: numbers("ms", "ms from signal to signal"),
        y: numbers("part", "units answered", {
          axis: { format: ".0%" },
          scale: { domain: [0, 1] },
        }),
        color: colors("run"),
      }),
    },
  };
}

/** Memory and tick over minutes of stream. */
export function longPlot(
  minutes: readonly { minute: number; rssBytes: number; tickMs: number }[],
): Plot {
  const values = minutes.flatMap(({ minute, rssBytes, tickMs }) => [
    { minute, what: "memory of the process, MB", value: rssBytes / 1e6 },
    { minute, what: "ms per unit", value: tickMs },
  ]);
  return {
    id: "long",
    title: "A long stream",
    note: "Each point is one minute of stream.",
    spec: {
      data: { values },
      facet: { row: { field: "what", type: "nominal", title: null } },
      spec: {
        width,
        height: 150,
        mark: { type: "line", point: { size: 24 }, strokeWidth: 2, color: palette[0] },
        encoding: {
          x: numbers("minute", "minutes of stream"),
          y: numbers("value", null, { scale: { zero: true } }),
        },
      },
      resolve: { scale: { y: "independent" } },
    },
  };
}

/** How many times as long as this engine's kernels each library takes. */
export function peersPlot(
  rows: readonly { work: string; library: string; ratio: number }[],
): Plot {
  const ratios = rows.map(({ ratio }) => ratio);
  const ends: [number, number] = [Math.min(1, ...ratios), Math.max(...ratios)];
  return {
    id: "peers",
    title: "Beside other libraries",
    note: "The same work on the same adapter in the same run: how many times as long as this " +
      "engine's kernels each takes.",
    spec: {
      width,
      height: { step: 26 },
      ...marks(rows, { type: "circle", size: 90, opacity: 0.9 }, {
        x: logarithmic("ratio", "times as long", ends),
        ...rowsOf("work", null),
        color: colors("library"),
      }),
    },
  };
}

/** Where the time goes until the first answer. */
export function startPlot(parts: readonly { what: string; ms: number }[]): Plot {
  const values = parts.map((part, order) => ({ ...part, order }));
  return {
    id: "start",
    title: "Start",
    note: "From the command to the first unit's answer.",
    spec: {
      width,
      height: { step: 24 },
      ...marks(values, { type: "bar", color: palette[0] }, {
        x: numbers("ms", "ms"),
        ...rowsOf("what", { field: "order" }),
      }),
    },
  };
}

/** A value with the ends of its interval; null: there is none. */
export interface IntervalPoint {
  name: string;
  /** Tells points of one name apart, which then stand below each other on one axis. */
  row?: string;
  value: number;
  low: number | null;
  high: number | null;
  /** Drawn in a stronger colour. */
  stands: boolean;
}

/**
 * Values with intervals, one below the other.
 *
 * @param shared One axis for all; otherwise each name has its own, for all of its rows.
 * @param zero Draws a line at 0, which differences are held against.
 */
export function intervalPlot(
  points: readonly IntervalPoint[],
  { shared, zero, ...texts }: Omit<Plot, "spec"> & { shared: boolean; zero: boolean },
): Plot {
  const x = (field: string) => numbers(field, null, { scale: { zero }, axis: { format: "~g" } });
  const color = {
    field: "stands",
    type: "nominal",
    scale: { domain: [true, false], range: [palette[0], palette[5]] },
    legend: null,
  };
  const rows = [...new Set(points.flatMap(({ row }) => row ?? []))];
  const field = shared ? "name" : "row";
  const y = shared || rows.length > 0
    ? { y: { ...rowsOf(field, null).y, axis: { labelLimit: 600 } } }
    : {};
  const encoding = { ...y, color };
  const layer = [
    ...(zero
      ? [{
        mark: { type: "rule", strokeDash: [5, 4], color: palette[5] },
        encoding: { x: { datum: 0 } },
      }]
      : []),
    {
      mark: { type: "rule", strokeWidth: 2 },
      encoding: { ...encoding, x: x("low"), x2: { field: "high" } },
    },
    { mark: { type: "circle", size: 60, opacity: 1 }, encoding: { ...encoding, x: x("value") } },
  ];
  const data = { values: points };
  if (shared) return { ...texts, spec: { width, height: { step: 22 }, data, layer } };
  // Above its axis a name needs no room beside it, which could only be guessed here.
  const names = [...new Set(points.map(({ name }) => name))];
  const header = { labelOrient: "top", labelAnchor: "start", labelPadding: 4 };
  return {
    ...texts,
    spec: {
      data,
      facet: { row: { field: "name", type: "nominal", title: null, sort: names, header } },
      spec: { width, height: rows.length > 0 ? { step: 20 } : 20, layer },
      resolve: { scale: { x: "independent" } },
    },
  };
}
