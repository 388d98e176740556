/** What a page draws: Vega-Lite specifications, data included. */

/** A Vega-Lite specification (vega.github.io/vega-lite); draw/ turns it into SVG. */
export type PlotSpec = Record<string, unknown>;

export interface Plot {
  /** Names the figure in the page. */
  id: string;
  title: string;
  /** What to see in it. */
  note: string;
  spec: PlotSpec;
}

const width = 640;
/** Middle tones that hold on light and dark ground alike. */
const palette = ["#3b82c4", "#e0772f", "#2f9e77", "#b35fb0", "#c0a02c", "#7c8a97"];
const legend = { orient: "top", title: null };

/** The colours of a field's values. */
const colors = (field: string) => ({ scale: { range: palette }, field, type: "nominal", legend });

/** A row for each value of a field. */
const rowsOf = (field: string, sort: object | null) => ({
  y: { field, type: "nominal", title: null, sort },
});

/** Where numbers stand along an axis. */
const numbers = (field: string, title: string | null, more: object = {}) => ({
  field,
  type: "quantitative",
  title,
  ...more,
});

/** The same with an axis of powers of ten. */
const logarithmic = (field: string, title: string, [low, high]: [number, number], more = {}) =>
  numbers(field, title, {
    scale: { type: "log", nice: false, ...more },
    axis: decades(low, high),
  });

/** An axis of powers of ten. */
function decades(low: number, high: number) {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  return {
    format: "~g",
    values: Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i)),
  };
}

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
  const [low, high] = [
    Math.min(ridge / 4, ...intensities) / 1.5,
    Math.max(ridge * 4, ...intensities) * 1.5,
  ];
  const roof = [low, ridge, high].map((intensity) => ({
    intensity,
    gigaflops: Math.min(gigaflops, intensity * gigabytes),
  }));
  const x = logarithmic("intensity", "operations per byte", [low, high], { domain: [low, high] });
  const least = Math.min(...points.map((point) => point.gigaflops));
  const y = logarithmic("gigaflops", "GFLOP/s", [least, gigaflops]);
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
        {
          data: { values: roof },
          mark: { type: "line", strokeWidth: 2, color: palette[5] },
          encoding: { x, y },
        },
        {
          data: { values: points },
          mark: { type: "circle", opacity: 0.75 },
          encoding: {
            x,
            y,
            color: colors("kind"),
            size: {
              field: "msPerTick",
              type: "quantitative",
              scale: { range: [12, 500] },
              legend: null,
            },
            tooltip: { field: "label" },
          },
        },
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
    note: "Without a window the tick grows in a straight line, by the bytes of history that " +
      "attention reads; with the window it is flat once the window is full.",
    spec: {
      width,
      height: 280,
      data: { values: points },
      mark: { type: "line", point: { size: 40 }, strokeWidth: 2 },
      encoding: {
        x: numbers("units", "units before the tick"),
        y: numbers("ms", "ms per tick", { scale: { zero: true } }),
        color: colors("series"),
      },
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
  const values = runs.flatMap(({ placement, schedule, stages: ms }) =>
    stages.map((stage, order) => ({
      run: `${placement}, ${schedule}`,
      stage: stage.replace(/[A-Z]/, (letter) => ` ${letter.toLowerCase()}`),
      order,
      ms: ms[stage],
    }))
  );
  const names = [...new Set(values.map(({ stage }) => stage))];
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
        {
          data: { values },
          mark: { type: "bar", height: { band: 0.65 } },
          encoding: {
            ...rowsOf("run", null),
            x: numbers("ms", "ms", { stack: "zero" }),
            color: { ...colors("stage"), scale: { domain: names, range: palette } },
            order: { field: "order", type: "quantitative" },
          },
        },
        {
          data: { values: [{ at: unitMs }] },
          mark: { type: "rule", strokeDash: [5, 4], color: palette[5] },
          encoding: { x: { field: "at", type: "quantitative" } },
        },
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
      data: { values },
      mark: { type: "line", interpolate: "step-after", strokeWidth: 2 },
      encoding: {
        x: numbers("ms", "ms from signal to signal"),
        y: numbers("part", "units answered", {
          axis: { format: ".0%" },
          scale: { domain: [0, 1] },
        }),
        color: colors("run"),
      },
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
  return {
    id: "peers",
    title: "Beside other libraries",
    note: "The same work on the same adapter in the same run: how many times as long as this " +
      "engine's kernels each takes.",
    spec: {
      width,
      height: { step: 26 },
      data: { values: rows },
      mark: { type: "circle", size: 90, opacity: 0.9 },
      encoding: {
        x: logarithmic("ratio", "times as long", [Math.min(1, ...ratios), Math.max(...ratios)]),
        ...rowsOf("work", null),
        color: colors("library"),
      },
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
      data: { values },
      mark: { type: "bar", color: palette[0] },
      encoding: {
        x: numbers("ms", "ms"),
        ...rowsOf("what", { field: "order" }),
      },
    },
  };
}
