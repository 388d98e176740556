/** What the page draws: Vega-Lite specifications whose data the page's script sets, unit by unit. */
import { attentionAxes } from "../../engine/checkpoint/unit.ts";
import { palette, type Plot } from "../reports/plots.ts";

/** Pixels left of the lanes, for names and axes. */
export const gutter = 120;
/** Pixels right of them. */
export const margin = 16;

export const colours = { user: palette[0], agent: palette[1], warning: "#d0453e" };
const [, , , , , grey] = palette;

const x = (field: string) => ({
  field,
  type: "quantitative",
  axis: null,
  scale: { domain: [{ expr: "from" }, { expr: "to" }], nice: false, zero: false },
});

interface Axis {
  domain: unknown[];
  values?: number[];
  format?: string;
  title?: string;
}

const y = (field: string, { domain, values, format = "~g" }: Axis) => ({
  field,
  type: "quantitative",
  title: null,
  scale: { domain, nice: false },
  axis: { format, tickCount: 3, ...(values ? { values } : {}), grid: false },
});

/** A plot over stream time that stands in line with the others; its time goes from `from` to `to`, in
 * units, and `top` is the end of its own axis. */
const lane = (height: number, layer: object[]) => ({
  width: 600,
  height,
  autosize: { type: "none" },
  padding: { left: gutter, right: margin, top: 5, bottom: 5 },
  data: { name: "values" },
  params: [{ name: "from", value: 0 }, { name: "to", value: 1 }, { name: "top", value: 1 }],
  layer,
});

const span = { x: x("from"), x2: { field: "to" } };
const named = (domain: readonly string[], range: readonly (string | undefined)[]) => ({
  scale: { domain, range },
  legend: null,
});
const tooltip = { field: "tip" };
const rule = (at: unknown) => ({
  mark: { type: "rule", strokeDash: [5, 4], color: grey },
  encoding: { y: { datum: at, type: "quantitative" } },
});

const wave = (color: string | undefined, height: number) =>
  lane(height, [{
    mark: { type: "area", color, clip: true, interpolate: "linear" },
    encoding: {
      x: x("at"),
      y: { ...y("low", { domain: [{ expr: "-top" }, { expr: "top" }] }), axis: null },
      y2: { field: "high" },
    },
  }]);

/** The stages in the order in which they run, each with its role and its colour; a cascade's modules. */
export const stages:
  readonly (readonly [name: string, role: string, colour: string | undefined])[] = [
    ["encode", "thinker", palette[0]],
    ["pass", "thinker", palette[1]],
    ["sendSlice", "performer", "#a9b4bd"],
    ["solve", "performer", palette[2]],
    ["sendLatents", "performer", "#a9b4bd"],
    ["decode", "thinker", palette[3]],
    ["write", "thinker", palette[4]],
    ["activity", "module", palette[0]],
    ["endOfTurn", "module", palette[5]],
    ["read", "module", palette[1]],
    ["look", "module", palette[3]],
    ["answer", "module", palette[4]],
    ["speak", "module", palette[2]],
  ];

const lanes = {
  wave_user: wave(colours.user, 44),
  wave_agent: wave(colours.agent, 44),
  speak: lane(56, [{
    mark: { type: "rect", clip: true },
    encoding: {
      ...span,
      y: y("speak", { domain: [0, 1], values: [0, 0.5, 1] }),
      y2: { datum: 0 },
      color: { field: "said", type: "nominal", ...named(["word", "none"], [palette[1], grey]) },
      tooltip,
    },
  }, rule(0.5)]),
  entropy: lane(40, [{
    mark: { type: "rect", clip: true, color: palette[3] },
    encoding: {
      ...span,
      y: y("entropy", { domain: [0, { expr: "top" }] }),
      y2: { datum: 0 },
      tooltip,
    },
  }]),
  active: lane(30, [{
    mark: { type: "rect", clip: true },
    encoding: {
      ...span,
      y: { field: "side", type: "nominal", title: null, scale: { domain: ["user", "agent"] } },
      color: {
        field: "side",
        type: "nominal",
        ...named(["user", "agent"], [colours.user, colours.agent]),
      },
    },
  }]),
  stages: lane(76, [{
    mark: { type: "rect", clip: true },
    encoding: {
      ...span,
      y: y("low", { domain: [0, { expr: "top" }], format: "d" }),
      y2: { field: "high" },
      color: {
        field: "stage",
        type: "nominal",
        ...named(stages.map(([name]) => name), stages.map(([, , colour]) => colour)),
      },
      tooltip,
    },
  }, rule({ expr: "deadline" })]),
};
lanes.stages.params.push({ name: "deadline", value: 160 });

/** The axes of attention as people read them: "userAudio" as "user audio". */
export const axes = {
  ...attentionAxes,
  groups: attentionAxes.groups.map((group) =>
    group.replace(/[A-Z]/, (letter) => ` ${letter.toLowerCase()}`)
  ),
};
const { groups, ages, queries } = axes;
const [oldest, middle, newest] = ["#9db8d3", "#5f93c4", "#1f5f9e"];
const percent = { format: ".0%" };
const header = { labelOrient: "top", labelAnchor: "start", labelPadding: 4, title: null };

const dashes = {
  field: "what",
  type: "nominal",
  scale: { domain: ["velocity", "guidance"], range: [[1, 0], [5, 4]] },
  legend: { orient: "top", title: null, symbolType: "stroke", symbolSize: 300 },
};

/** Plots of one opened unit. */
const opened = {
  shares: {
    data: { name: "values" },
    facet: { column: { field: "query", type: "nominal", sort: queries, header } },
    spec: {
      width: 210,
      height: { step: 20 },
      mark: { type: "bar", height: { band: 0.7 } },
      encoding: {
        y: { field: "group", type: "nominal", sort: groups, title: null },
        x: {
          field: "share",
          aggregate: "sum",
          type: "quantitative",
          title: "share of attention, mean of layers",
          axis: { ...percent, tickCount: 5 },
        },
        color: {
          field: "age",
          type: "nominal",
          sort: ages,
          scale: { domain: ages, range: [newest, middle, oldest] },
          legend: { orient: "top", title: null },
        },
        order: { field: "order", type: "quantitative" },
        tooltip,
      },
    },
  },
  layers: {
    data: { name: "values" },
    facet: {
      row: {
        field: "query",
        type: "nominal",
        sort: queries,
        header: { title: null, labelOrient: "left", labelAngle: -90, labelPadding: 4 },
      },
      column: { field: "age", type: "nominal", sort: ages, header },
    },
    spec: {
      width: 160,
      height: { step: 18 },
      mark: { type: "rect" },
      encoding: {
        x: {
          field: "group",
          type: "nominal",
          sort: groups,
          title: null,
          axis: { labelAngle: -40 },
        },
        y: { field: "layer", type: "ordinal", title: "layer", axis: { labelOverlap: true } },
        color: {
          field: "share",
          type: "quantitative",
          scale: { scheme: "blues", domainMin: 0 },
          legend: { title: "share", format: ".0%", gradientLength: 100 },
        },
        tooltip,
      },
    },
  },
  path: {
    data: { name: "values" },
    width: 380,
    height: 170,
    layer: [
      { mark: { type: "line", strokeWidth: 2 }, encoding: { strokeDash: dashes } },
      { mark: { type: "circle", size: 50, opacity: 1 }, encoding: { tooltip } },
    ],
    encoding: {
      x: {
        field: "evaluation",
        type: "ordinal",
        title: "evaluation of the network",
        axis: { labelAngle: 0 },
      },
      y: { field: "rms", type: "quantitative", title: "RMS", scale: { zero: true } },
      color: {
        field: "medium",
        type: "nominal",
        scale: { domain: ["audio", "video"], range: [palette[2], palette[3]] },
        legend: { orient: "top", title: null, symbolType: "circle" },
      },
      detail: { field: "what" },
    },
  },
};

/** Every specification by name. */
export const specs: Record<string, Plot["spec"]> = { ...lanes, ...opened };
