/** `bench tick`: a tick by stage, over history's length, and in every placement and schedule. */
import type { Placement, Schedule } from "../../engine/mod.ts";
import {
  encodingCost,
  type GrowthPoint,
  TickBench,
  tickGrowth,
  type TickTimes,
} from "../../engine/bench/tick_bench.ts";
import { allLaunches, type StagePlans, tickStages } from "../../engine/roles/tick_plan.ts";
import type { Response } from "../../engine/checkpoint/unit.ts";
import { sleepCost } from "../../kernels/measure/ceilings.ts";
import { modelOptions } from "../cli/model_options.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { median, quantile } from "../../kernels/measure/quantile.ts";
import { fitLine, type Line } from "../reports/line.ts";
import {
  type BenchModel,
  benchModelOptions,
  madeFrom,
  observations,
  openBenchGpu,
  openBenchModel,
  openBenchSession,
  performerBytes,
  placesOf,
  timed,
} from "./model.ts";
import { fewestFor } from "../pace/statistics.ts";
import { wanderingDoubts } from "./doubts.ts";
import { outputOptions, runBench, type Status } from "./output.ts";
import type { Bench } from "../reports/report.ts";
import { growthPlot, type Plot, stagePlot } from "../reports/plots.ts";
import { bytesText, figure, range, type Table, tableOf } from "../reports/table.ts";

export const summary = "a tick by stage, over history's length, by placement and schedule";

const spec = {
  name: "bench tick",
  summary,
  usage: "[options]",
  options: {
    ...benchModelOptions,
    performer: modelOptions.performer,
    placement: {
      kind: "choice",
      choices: ["split", "fused", "both"],
      help: "roles on two adapters or one (both, one after the other)",
    },
    ticks: { kind: "whole", min: 1, max: 1000, help: "ticks at each length of history (5)" },
    units: { kind: "whole", min: 8, help: "units in each placement and schedule (24)" },
    "growth-units": {
      kind: "whole",
      min: 8,
      help: "longest history without a window (16,384 tokens, or twice the checkpoint's)",
    },
    ...outputOptions,
  },
  examples: [
    "wanstream bench tick",
    "wanstream bench tick --preset nano --units 100 --json > tick.json",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

export type TickOptions = Partial<Parsed<typeof spec.options>["options"]>;

/** History without a window grows to so many tokens: below some thousands the slope that attention
 * gives drowns in a tick's noise (r2 0.15 up to 1,100 on llvmpipe). */
const growthTokens = 16384;

export function run(args: string[]): Promise<number> {
  return runBench(
    spec,
    args,
    async (options, status) =>
      await benchTick(await openBenchModel(options, status), options, status),
  );
}

/** Milliseconds by stage, as one row of a table. */
type StageMs = Record<typeof tickStages[number] | "tick", number>;

/** A placement and a schedule, run through sessions as the commands open them. */
export interface PlacementRun {
  placement: "split" | "fused";
  schedule: Schedule;
  /** Median ms of each stage; sends are 0 where nothing is sent. */
  stages: Record<"encode" | "pass" | "sendSlice" | "solve" | "sendLatents" | "decode", number>;
  /** Wall milliseconds per unit, flat out: mean and 95th percentile; and the mean over the unit's
   * length. */
  tickMs: number;
  p95Ms: number | null;
  realTimeFactor: number;
  openingMs: number;
  /** Allocated on the adapters; one number where the roles share one. */
  thinkerBytes: number;
  performerBytes: number | null;
}

export async function benchTick(
  model: BenchModel,
  options: TickOptions,
  status: Status,
): Promise<Bench> {
  const { checkpoint, settings } = model;
  const { config } = checkpoint;
  const { historyUnits } = settings;
  const ticksEach = options.ticks ?? 5;

  // With the window: from nothing to well after it is full.
  let gpu = await openBenchGpu(model, options.adapter);
  const bench = await TickBench.create(gpu, checkpoint, settings);
  const longest = options["growth-units"] ??
    Math.max(2 * historyUnits, Math.ceil(growthTokens / bench.model.layout.tokens));
  const whole = lengths(historyUnits, 1.5);
  const reached = whole[whole.length - 1] ?? 0;
  const far = longest > reached ? [longest] : [];
  const withWindow = await tickGrowth(bench, [...whole, ...far], ticksEach, status);
  const encoding = encodingCost(gpu, bench.plans);
  const sleep = await sleepCost(gpu);
  const readbacks = bench.readbacks(sleep.skipped);
  const adapter = gpu.name;
  const places = placesOf(gpu, options.adapter);
  gpu.destroy();

  // Without: a window that is never full.
  gpu = await openBenchGpu(model, options.adapter);
  const endless = { ...settings, historyUnits: longest + ticksEach + 2 };
  const withoutWindow = await tickGrowth(
    await TickBench.create(gpu, checkpoint, endless),
    lengths(longest, 1),
    ticksEach,
    status,
  );
  gpu.destroy();
  const growth = describeGrowth(historyReads(bench.plans), withWindow, withoutWindow);

  const runs: PlacementRun[] = [];
  const { placement: asked = "both" } = options;
  for (const placement of asked === "both" ? ["fused", "split"] as const : [asked]) {
    for (const schedule of ["paper", "eager"] as const) {
      status(`${placement}, ${schedule}`);
      runs.push(await runPlacement(model, placement, schedule, options));
    }
  }

  const all = withWindow.flatMap(({ ticks }) => ticks);
  const at = (units: number) =>
    stageMs((withWindow.find((point) => point.units >= units) ?? withWindow[0])?.ticks ?? [], 0.5);
  const full = stageMs(
    withWindow.filter((p) => p.units >= historyUnits).flatMap((p) => p.ticks),
    0.5,
  );
  const stages = { p50: stageMs(all, 0.5), p95: stageMs(all, 0.95), unit10: at(10), full };
  const sleepMs = sleep.skipped ? 0 : readbacks * sleep.ms;
  const { unit_ms: unitMs } = config;
  const wandering = withWindow.map(({ ticks }) => ({
    ms: stageMs(ticks, 0.5).tick,
    quartiles: [stageMs(ticks, 0.25).tick, stageMs(ticks, 0.75).tick] as const,
  }));
  return {
    name: "tick",
    headline: `tick of ${model.name} in ${settings.weights} on ${adapter}, ${unitMs} ms of stream`,
    figures: {
      unitMs,
      ticks: all.length,
      stages,
      readback: {
        perTick: readbacks,
        skipsSleep: sleep.skipped,
        sleepMs: sleep.ms,
        paidMs: sleepMs,
      },
      encoding,
      realTimeFactor: stages.p50.tick / unitMs,
      fullToUnit10: full.tick / stages.unit10.tick,
      growth,
      runs,
    },
    main: {
      "tick, ms": stages.p50.tick,
      "tick with the window full, ms": full.tick,
      ...Object.fromEntries(runs.map(({ placement, schedule, tickMs }) => [
        `${placement}, ${schedule}, ms per unit`,
        tickMs,
      ])),
    },
    doubts: wanderingDoubts("the lengths of history", wandering),
    tables: [
      stageTable(stages, sleepMs, sleep, readbacks, encoding, unitMs),
      growthTable(growth),
      placementTable(runs, unitMs),
    ],
    plots: [growthPlots(growth), stagePlot(runs, unitMs)],
    ...madeFrom(model, places, {
      placement: asked,
      ticks: ticksEach,
      units: options.units ?? 24,
      growthUnits: longest,
    }),
  };
}

/** Lengths of history to measure at, in units: 0, 10, eighths of a whole, and beyond it. */
export function lengths(whole: number, beyond: number): number[] {
  const eighths = Array.from({ length: 8 * beyond + 1 }, (_, i) => Math.round((i * whole) / 8));
  return [...new Set([0, ...(whole > 10 ? [10] : []), ...eighths])].sort((a, b) => a - b);
}

function stageMs(ticks: readonly TickTimes[], p: number): StageMs {
  const of = (stage: keyof StageMs) => quantile(ticks.map((tick) => tick[stage]), p);
  return {
    encode: of("encode"),
    pass: of("pass"),
    solve: of("solve"),
    decode: of("decode"),
    tick: of("tick"),
  };
}

/** Tick time over history's length. */
export interface Growth {
  withWindow: GrowthFigure[];
  withoutWindow: GrowthFigure[];
  /** Through the points without a window: ms over tokens. */
  line: Line;
  /** Bytes that a token of history adds to a tick: its K and V, each time that they are read. */
  bytesPerToken: number;
  /** What the slope means: 10^9 bytes of history read per second. */
  gigabytesPerSecond: number;
}

interface GrowthFigure {
  units: number;
  tokens: number;
  /** Medians of the point's ticks, and the quartiles of whole ticks. */
  ms: StageMs;
  quartiles: [lower: number, upper: number];
}

/** Bytes of K and V that a tick's launches read for each token of history. */
function historyReads(stages: StagePlans): number {
  return allLaunches(stages).reduce((sum, { bytesPerToken = 0 }) => sum + bytesPerToken, 0);
}

function describeGrowth(
  bytesPerToken: number,
  withWindow: readonly GrowthPoint[],
  withoutWindow: readonly GrowthPoint[],
): Growth {
  const figures = (points: readonly GrowthPoint[]) =>
    points.map(({ units, tokens, ticks }): GrowthFigure => ({
      units,
      tokens,
      ms: stageMs(ticks, 0.5),
      quartiles: [stageMs(ticks, 0.25).tick, stageMs(ticks, 0.75).tick],
    }));
  const straight = figures(withoutWindow);
  const line = fitLine(straight.map(({ tokens, ms }) => [tokens, ms.tick]));
  return {
    withWindow: figures(withWindow),
    withoutWindow: straight,
    line,
    bytesPerToken,
    gigabytesPerSecond: bytesPerToken / line.slope / 1e6,
  };
}

/** Units that warm a session up and are not counted. */
const warmUnits = 4;

async function runPlacement(
  model: BenchModel,
  placement: Placement,
  schedule: Schedule,
  options: TickOptions,
): Promise<PlacementRun> {
  const units = options.units ?? 24;
  const start = performance.now();
  const thinker = options.adapter ?? "default";
  const performer = placement === "fused" ? thinker : options.performer ?? thinker;
  const { config } = model.checkpoint;
  await using session = await openBenchSession(model, { placement, schedule, thinker, performer });
  const openingMs = performance.now() - start;
  const answers = await Array.fromAsync(timed(session.respond(observations(config, units))));
  const warm = answers.slice(warmUnits);
  const of = (stage: keyof Response["stages"]) =>
    median(warm.map(({ response: { stages } }) => stages[stage]));
  const times = warm.map(({ ms }) => ms);
  const tickMs = times.reduce((sum, ms) => sum + ms, 0) / times.length;
  const { info } = session;
  return {
    placement: info.placement,
    schedule,
    stages: {
      encode: of("encode"),
      pass: of("pass"),
      sendSlice: of("sendSlice"),
      solve: of("solve"),
      sendLatents: of("sendLatents"),
      decode: of("decode"),
    },
    tickMs,
    p95Ms: times.length < fewestFor(0.95) ? null : quantile(times, 0.95),
    realTimeFactor: tickMs / config.unit_ms,
    openingMs,
    thinkerBytes: info.thinker.allocatedBytes,
    performerBytes: performerBytes(info),
  };
}

function stageTable(
  stages: Record<"p50" | "p95" | "unit10" | "full", StageMs>,
  sleepMs: number,
  sleep: { skipped: boolean; ms: number },
  readbacks: number,
  { recorded, anew, dispatches, copies }: {
    recorded: number;
    anew: number;
    dispatches: number;
    copies: number;
  },
  unitMs: number,
): Table {
  const columns = ["p50", "p95", "unit10", "full"] as const;
  return {
    title: "Stages, both roles on one device, one unit at a time (ms per tick)",
    columns: ["stage", "p50", "p95", "at unit 10", "window full"],
    rows: [
      ...[...tickStages, "tick" as const].map((stage) => [
        stage,
        ...columns.map((column) => figure(stages[column][stage])),
      ]),
      ["of which Deno's sleep after readbacks", ...columns.map(() => figure(sleepMs))],
      ["of which commands (host)", figure(recorded), null, null, null],
    ],
    notes: [
      `Real-time factor ${figure(stages.p50.tick / unitMs)}; window full / unit 10: ${
        figure(stages.full.tick / stages.unit10.tick)
      }`,
      sleep.skipped
        ? `A tick reads back ${readbacks} times; awaiting each as documented would add ${
          figure(sleep.ms)
        } ms of sleep, ${
          figure(readbacks * sleep.ms)
        } ms a tick (kernels/gpu/readback.ts skips it).`
        : `A tick reads back ${readbacks} times; Deno sleeps ${figure(sleep.ms)} ms after each.`,
      `${dispatches} dispatches and ${copies} copies a tick: ${
        figure(recorded)
      } ms to encode from recorded plans, ${figure(anew)} ms with bind groups made anew.`,
    ],
  };
}

function growthTable(
  { withWindow, withoutWindow, line, bytesPerToken, gigabytesPerSecond }: Growth,
): Table {
  const points = [
    ...withWindow.map((point) => ({ ...point, what: "window" })),
    ...withoutWindow.map((point) => ({ ...point, what: "no window" })),
  ];
  return tableOf("Growth with history (medians in ms)", points, [
    ["history", ({ what, units }) => `${what}, ${units} units`],
    ["tokens", ({ tokens }) => `${tokens}`],
    ["pass", ({ ms }) => figure(ms.pass)],
    ["solve", ({ ms }) => figure(ms.solve)],
    ["tick", ({ ms }) => figure(ms.tick)],
    ["quartiles", ({ quartiles }) => range(quartiles)],
  ], [
    `Without a window: ${figure(line.intercept)} ms + ${
      figure(1000 * line.slope)
    } us per token (r2 ${figure(line.r2)}); a token is ${
      bytesText(bytesPerToken)
    } of K and V read per tick, so history is read at ${figure(gigabytesPerSecond)} GB/s.`,
  ]);
}

function growthPlots(growth: Growth): Plot {
  const points = (name: "withWindow" | "withoutWindow", series: string) =>
    growth[name].map(({ units, tokens, ms }) => ({ series, units, tokens, ms: ms.tick }));
  return growthPlot([
    ...points("withoutWindow", "without a window"),
    ...points("withWindow", "with the checkpoint's window"),
  ]);
}

function placementTable(runs: readonly PlacementRun[], unitMs: number): Table {
  return tableOf("Placements and schedules, through sessions, flat out (medians in ms)", runs, [
    ["placement, schedule", ({ placement, schedule }) => `${placement}, ${schedule}`],
    ["encode", ({ stages }) => figure(stages.encode)],
    ["pass", ({ stages }) => figure(stages.pass)],
    ["solve", ({ stages }) => figure(stages.solve)],
    ["decode", ({ stages }) => figure(stages.decode)],
    ["sends", ({ stages }) => figure(stages.sendSlice + stages.sendLatents)],
    ["ms per unit", (run) => figure(run.tickMs)],
    ["p95", ({ p95Ms }) => figure(p95Ms) ?? "too few"],
    ["real-time factor", ({ realTimeFactor }) => figure(realTimeFactor)],
    [
      "memory",
      ({ thinkerBytes, performerBytes }) =>
        [thinkerBytes, performerBytes].filter((b) => b !== null).map(bytesText).join(" + "),
    ],
    ["opening", ({ openingMs }) => figure(openingMs)],
  ], [
    `ms per unit is wall time; below ${unitMs} it keeps up. Stages that overlap add up to more.`,
  ]);
}
