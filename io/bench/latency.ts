/**
 * `bench latency`: from signal to signal, paced like a call: from the moment when the last sample of a
 * unit was captured to the moment when the first bytes of its answer are there, through the same path
 * as `stream --pace live`, with a simulated network or none.
 */
import type { Schedule } from "../../engine/mod.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { Event } from "../pace/events.ts";
import { MatroskaMuxer } from "../media/matroska_muxer.ts";
import { type Percentiles, percentilesOf } from "../pace/statistics.ts";
import { warmUnits } from "../pace/totals.ts";
import { parseNetwork } from "../pace/network.ts";
import { modelOptions } from "../cli/model_options.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { type Places, startRun } from "../provenance/provenance.ts";
import { rawMedia } from "../ends/raw_input.ts";
import { median, quantile } from "../../kernels/measure/quantile.ts";
import { LiveEnds, liveReader } from "../ends/live_ends.ts";
import { run as runEnds } from "../run/run.ts";
import { type StreamShape, streamShapes } from "../media/stream_shape.ts";
import type { StreamOutput } from "../ends/stream_output.ts";
import {
  type BenchModel,
  benchModelOptions,
  madeFrom,
  observations,
  openBenchModel,
  openBenchSession,
} from "./model.ts";
import { outputOptions, runBench, type Status } from "./output.ts";
import type { Bench } from "../reports/report.ts";
import { latencyPlot } from "../reports/plots.ts";
import { figure, type Table, tableOf } from "../reports/table.ts";

export const summary = "signal to signal, paced live, with and without a network (minutes)";

const spec = {
  name: "bench latency",
  summary,
  usage: "[options]",
  options: {
    ...benchModelOptions,
    performer: modelOptions.performer,
    placement: modelOptions.placement,
    schedule: {
      kind: "choice",
      choices: ["paper", "eager", "both"],
      help: "when y_k leaves (both, one after the other)",
    },
    network: {
      kind: "text",
      value: "DELAY",
      help: "round trip of the runs with a network, or 'none' to leave them out (350ms)",
    },
    units: { kind: "whole", min: 1, help: "units that count in each run (200)" },
    ...outputOptions,
  },
  examples: [
    "wanstream bench latency",
    "wanstream bench latency --schedule paper --network 350ms±80ms,loss=1%",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

export type LatencyOptions = Partial<Parsed<typeof spec.options>["options"]>;

export function run(args: string[]): Promise<number> {
  return runBench(spec, args, async (options, status) => {
    const { network } = options;
    if (network !== undefined && network !== "none") parseNetwork(network);
    return await benchLatency(await openBenchModel(options, status), options, status);
  });
}

export interface LatencyRun extends Percentiles {
  schedule: Schedule;
  placement: "split" | "fused";
  /** As `--network` takes it; null: none. */
  network: string | null;
  units: number;
  /** Units whose answer the network lost; they have no latency. */
  lost: number;
  max: number;
  /** The last units waited much longer than the first: the machine did not keep up. */
  growing: boolean;
  /** Every unit's, in order. */
  ms: number[];
}

export async function benchLatency(
  model: BenchModel,
  options: LatencyOptions,
  status: Status,
): Promise<Bench> {
  const { schedule = "both", network = "350ms" } = options;
  const networks = network === "none" ? [null] : [null, network];
  const schedules = schedule === "both" ? ["paper", "eager"] as const : [schedule];
  const runs: LatencyRun[] = [];
  let places: Places | undefined;
  for (const one of schedules) {
    for (const net of networks) {
      status(runName({ schedule: one, network: net }));
      const { run, on } = await live(model, one, net, options);
      places = on;
      runs.push(run);
    }
  }
  const { unit_ms: unitMs } = model.checkpoint.config;
  if (!places) throw new Error("a latency bench needs a run");
  return {
    name: "latency",
    headline: `latency of ${model.name} on ${places.thinker.adapter}, paced live, ${
      options.units ?? 200
    } units of ${unitMs} ms`,
    figures: {
      from: "the unit's last sample is captured",
      to: "the first bytes of its answer are there, decoded and muxed",
      warmUnits,
      runs,
    },
    main: Object.fromEntries(runs.map((run) => [`${runName(run)}, p50`, run.p50 ?? NaN])),
    doubts: runs.filter(({ growing }) => growing).map((run) =>
      `${runName(run)}: latency grew through the run: this machine did not keep up`
    ),
    tables: [latencyTable(runs)],
    plots: [latencyPlot(runs.map((run) => ({ name: runName(run), ms: run.ms })))],
    ...madeFrom(model, places, { units: options.units ?? 200, schedule, network, late: "wait" }),
  };
}

function runName({ schedule, network }: Pick<LatencyRun, "schedule" | "network">): string {
  return `${schedule}, ${network === null ? "no network" : `network ${network}`}`;
}

/** One run through the path of `stream --pace live`, its input and output in memory. */
async function live(
  model: BenchModel,
  schedule: Schedule,
  network: string | null,
  { adapter = "default", performer = adapter, placement = "auto", units: counted = 200 }:
    LatencyOptions,
): Promise<{ run: LatencyRun; on: Places }> {
  const { name, checkpoint: { config, digest } } = model;
  const { user, agent } = streamShapes(config);
  const units = warmUnits + counted;
  const events: Event[] = [];
  let on: Places | undefined;
  let placed: "split" | "fused" = "fused";
  const request = {
    run: startRun("bench", "latency"),
    model: name,
    config,
    schedule,
    pacing: {
      pace: "live",
      late: "wait",
      network: network === null ? null : parseNetwork(network),
    },
    saved: null,
    onlooker: null,
    options: { quiet: true, units },
  } as const;
  const { signal } = new AbortController();
  const ends = new LiveEnds(
    {
      input: () =>
        Promise.resolve({
          reader: liveReader(noise(config, units, user), user),
          facts: {
            path: "noise",
            reader: "raw",
            bytes: null,
            sha256: null,
            seconds: null,
            tracks: { video: null, audio: null },
            video: true,
            audio: true,
          },
        }),
      output: memoryOutput(agent),
      files: {
        text: null,
        events: {
          name: "memory",
          write(line) {
            events.push(JSON.parse(new TextDecoder().decode(line)));
            return Promise.resolve(performance.now());
          },
          close: () => Promise.resolve(),
        },
      },
      ffmpeg: () => Promise.reject(new InputError("a latency bench needs no FFmpeg")),
    },
    user.unitMs,
    signal,
  );
  const { summary } = await runEnds(
    request,
    ends,
    async () => {
      const session = await openBenchSession(model, {
        schedule,
        placement,
        thinker: adapter,
        ...(placement === "fused" ? {} : { performer }),
      });
      const { info } = session;
      on = info;
      placed = info.placement;
      return { session, info, line: "", checkpointDigest: digest };
    },
    signal,
  );
  if (summary?.units !== units || !on) {
    throw new Error(`the stream ended after ${summary?.units ?? 0} of ${units} units`);
  }
  const answered = events.flatMap((event) => event.type === "unit" ? [event] : []).slice(warmUnits);
  const ms = answered.flatMap(({ interactionMs }) => interactionMs === null ? [] : [interactionMs]);
  return {
    run: {
      schedule,
      placement: placed,
      network,
      units: counted,
      lost: answered.length - ms.length,
      ...percentilesOf(ms.length, (p) => quantile(ms, p)),
      max: Math.max(...ms),
      growing: grows(ms, config.unit_ms),
      ms,
    },
    on,
  };
}

/** Whether the last quarter waited over a unit longer than the first, at the median. */
export function grows(ms: readonly number[], unitMs: number): boolean {
  const quarter = Math.ceil(ms.length / 4);
  return median(ms.slice(-quarter)) > median(ms.slice(0, quarter)) + unitMs;
}

/** Pictures and samples of noise, a unit at a time; pacing decides when they count as captured. */
function noise(config: BenchModel["checkpoint"]["config"], units: number, shape: StreamShape) {
  async function* chunks(medium: "audio" | "frames"): AsyncGenerator<Uint8Array> {
    for (const observation of observations(config, units)) {
      const data = observation[medium];
      if (data) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    }
  }
  const source = (medium: "audio" | "frames") => ({
    name: "noise",
    chunks: chunks(medium),
    close: () => Promise.resolve(),
  });
  return rawMedia(source("frames"), source("audio"), shape);
}

/** Muxes each answer and lets go of it. */
function memoryOutput(shape: StreamShape): StreamOutput {
  const muxer = new MatroskaMuxer(shape);
  const taken = (_: Uint8Array) => Promise.resolve(performance.now());
  return {
    names: {},
    tag: () => {},
    start: () => taken(muxer.start()),
    write: (response) => taken(muxer.unit(response)),
    end: () => taken(new Uint8Array()),
  };
}

function latencyTable(runs: readonly LatencyRun[]): Table {
  return tableOf("From a unit's last sample to the first bytes of its answer (ms)", runs, [
    ["schedule, network", runName],
    ["placement", ({ placement }) => placement],
    ["p50", ({ p50 }) => figure(p50) ?? "too few"],
    ["p95", ({ p95 }) => figure(p95) ?? "too few"],
    ["p99", ({ p99 }) => figure(p99) ?? "too few"],
    ["max", ({ max }) => figure(max)],
    ["units", ({ units }) => `${units}`],
    ["lost", ({ lost }) => `${lost}`],
  ], [
    `The first ${warmUnits} units of each run don't count. The design's paper gives about 200 ms ` +
    "for its own model and schedule, and 350 ms of network.",
  ]);
}
