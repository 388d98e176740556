/** `bench long`: a long stream, flat out: memory and tick time, minute by minute. */
import { modelOptions } from "../cli/model_options.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { median, quantile } from "../../kernels/measure/quantile.ts";
import { fitLine } from "../reports/line.ts";
import {
  type BenchModel,
  benchModelOptions,
  madeFrom,
  observations,
  openBenchModel,
  openBenchSession,
  performerBytes,
  timed,
} from "./model.ts";
import { outputOptions, runBench, type Status } from "./output.ts";
import type { Bench } from "../reports/report.ts";
import { longPlot } from "../reports/plots.ts";
import { figure, type Table, tableOf } from "../reports/table.ts";

export const summary = "an hour of stream: memory and tick time per minute (half an hour)";

const spec = {
  name: "bench long",
  summary,
  usage: "[options]",
  options: {
    ...benchModelOptions,
    placement: modelOptions.placement,
    schedule: modelOptions.schedule,
    "minutes-of-stream": { kind: "number", value: "N", min: 0.01, help: "stream to answer (60)" },
    "budget-minutes": { kind: "number", value: "N", min: 0.01, help: "end after so long (30)" },
    ...outputOptions,
  },
  examples: [
    "wanstream bench long",
    "wanstream bench long --minutes-of-stream 10 --report long.html",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

type LongOptions = Partial<Parsed<typeof spec.options>["options"]>;

export function run(args: string[]): Promise<number> {
  return runBench(
    spec,
    args,
    async (options, status) =>
      await benchLong(await openBenchModel(options, status), options, status),
  );
}

/** One minute of stream; the last may be shorter. */
export interface Minute {
  /** Minutes of stream at its end. */
  minute: number;
  units: number;
  /** Wall milliseconds per unit: mean, median and 95th percentile. */
  tickMs: number;
  p50: number;
  p95: number;
  /** Memory of the whole process at its end. */
  rssBytes: number;
  heapBytes: number;
}

async function benchLong(
  model: BenchModel,
  options: LongOptions,
  status: Status,
): Promise<Bench> {
  const { name, checkpoint: { config } } = model;
  const wanted = options["minutes-of-stream"] ?? 60;
  const { schedule = "paper" } = options;
  const budget = options["budget-minutes"] ?? 30;
  const units = Math.max(1, Math.ceil((wanted * 60_000) / config.unit_ms));
  const perMinute = Math.max(1, Math.round(60_000 / config.unit_ms));
  await using session = await openBenchSession(model, {
    placement: options.placement ?? "auto",
    schedule,
    thinker: options.adapter ?? "default",
  });
  const minutes: Minute[] = [];
  let [done, wallMinutes] = [0, 0];
  let times: number[] = [];
  const streamed = () => (done * config.unit_ms) / 60_000;
  const close = () => {
    const { rss, heapUsed } = Deno.memoryUsage();
    minutes.push({
      minute: streamed(),
      units: times.length,
      tickMs: times.reduce((sum, ms) => sum + ms, 0) / times.length,
      p50: median(times),
      p95: quantile(times, 0.95),
      rssBytes: rss,
      heapBytes: heapUsed,
    });
    times = [];
  };
  function* withinBudget() {
    for (const observation of observations(config, units)) {
      if (wallMinutes >= budget) return;
      yield observation;
    }
  }
  for await (const { ms } of timed(session.respond(withinBudget()))) {
    times.push(ms);
    done++;
    wallMinutes += ms / 60_000;
    if (times.length === perMinute) close();
    status(
      `${streamed().toFixed(1)} of ${wanted} minutes of stream, ` +
        `${wallMinutes.toFixed(1)} of at most ${budget} of work`,
    );
  }
  if (times.length > 0) close();
  const { info } = session;
  const { placement } = info;
  // The first minute compiles and fills the window.
  const settled = minutes.slice(1).filter((minute) => minute.units === perMinute);
  const drift = settled.length < fewestMinutes ? null : describeDrift(settled);
  const minutesDone = streamed();
  return {
    name: "long",
    headline: `${minutesDone.toFixed(1)} minutes of stream in ${
      wallMinutes.toFixed(1)
    } minutes, ${name} on ${info.thinker.adapter}, ${info.placement}`,
    figures: {
      minutesOfStream: minutesDone,
      wallMinutes,
      realTimeFactor: wallMinutes / minutesDone,
      ended: done < units ? "the budget was used up" : "all of it was answered",
      units: done,
      adapterBytes: info.thinker.allocatedBytes + (performerBytes(info) ?? 0),
      drift,
      minutes,
    },
    main: {
      "real-time factor": wallMinutes / minutesDone,
      "ms per unit, median of minutes": median(minutes.map(({ p50 }) => p50)),
    },
    tables: [longTable(minutes, drift)],
    plots: [longPlot(minutes)],
    ...madeFrom(model, info, {
      minutesOfStream: wanted,
      budgetMinutes: budget,
      schedule,
      placement,
    }),
  };
}

/** Fewer make no trend. */
const fewestMinutes = 5;

/** How a long stream went after its first minute. */
export interface Drift {
  minutes: number;
  /** Least and most, and per minute of stream by a line through all. */
  rssBytes: [least: number, most: number];
  rssBytesPerMinute: number;
  p50: [least: number, most: number];
  msPerMinute: number;
}

export function describeDrift(minutes: readonly Minute[]): Drift {
  const range = (values: readonly number[]): [number, number] => [
    Math.min(...values),
    Math.max(...values),
  ];
  const slope = (of: (minute: Minute) => number) =>
    fitLine(minutes.map((minute) => [minute.minute, of(minute)])).slope;
  return {
    minutes: minutes.length,
    rssBytes: range(minutes.map(({ rssBytes }) => rssBytes)),
    rssBytesPerMinute: slope(({ rssBytes }) => rssBytes),
    p50: range(minutes.map(({ p50 }) => p50)),
    msPerMinute: slope(({ p50 }) => p50),
  };
}

/** At most so many rows are shown; JSON has them all. */
const shownRows = 20;

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

function longTable(minutes: readonly Minute[], drift: Drift | null): Table {
  const every = Math.ceil(minutes.length / shownRows);
  const shown = minutes.filter((_, i) => i % every === 0 || i === minutes.length - 1);
  return tableOf("Minute by minute", shown, [
    ["minute of stream", ({ minute }) => minute.toFixed(1)],
    ["ms per unit", ({ tickMs }) => figure(tickMs)],
    ["p50", ({ p50 }) => figure(p50)],
    ["p95", ({ p95 }) => figure(p95)],
    ["memory, MB", ({ rssBytes }) => megabytes(rssBytes)],
    ["JS heap, MB", ({ heapBytes }) => megabytes(heapBytes)],
  ], [
    drift === null
      ? `Too short for a trend: it takes ${fewestMinutes} whole minutes after the first.`
      : `The ${drift.minutes} minutes after the first: memory ${
        drift.rssBytes.map(megabytes).join(" to ")
      } MB, by a line ${(drift.rssBytesPerMinute / 1000).toFixed(1)} kB a minute; p50 ${
        drift.p50.map(figure).join(" to ")
      } ms, by a line ${drift.msPerMinute.toFixed(3)} ms a minute.`,
  ]);
}
