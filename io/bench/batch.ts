/** `bench batch`: what an item of a batch costs beside its ticks, and what a second worker brings. */
import { cpuUsage } from "node:process";
import { openSharedModel } from "../run/open_model.ts";
import { inMemory } from "../saved/saving_options.ts";
import { runBatch } from "../batch/batch.ts";
import { BatchFolder } from "../batch/folder.ts";
import type { Item } from "../batch/manifest.ts";
import type { ModelOpener } from "../batch/workers.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { needsFfmpeg, responseExtensions } from "../ends/response_file.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { streamShapes } from "../media/stream_shape.ts";
import { WavWriter } from "../media/wav.ts";
import type { Places } from "../provenance/provenance.ts";
import type { Bench } from "../reports/report.ts";
import { bytesText, figure, type Table, tableOf } from "../reports/table.ts";
import { RunError } from "../system/errors.ts";
import {
  type BenchModel,
  benchModelOptions,
  madeFrom,
  observations,
  openBenchModel,
} from "./model.ts";
import { median } from "../../kernels/measure/quantile.ts";
import { outputOptions, runBench, type Status } from "./output.ts";

export const summary = "items of a batch: overhead beside the ticks, one worker and two (a minute)";

const spec = {
  name: "bench batch",
  summary,
  usage: "[options]",
  options: {
    ...benchModelOptions,
    items: { kind: "whole", min: 2, help: "recordings for each worker (12)" },
    units: { kind: "whole", min: 2, help: "units of each recording (20)" },
    rounds: { kind: "whole", min: 1, help: "rounds in which overhead is measured (5)" },
    workers: { kind: "whole", min: 1, max: 64, help: "the largest number of workers (2)" },
    format: {
      kind: "choice",
      choices: responseExtensions.map((extension) => extension.slice(1)),
      help: "of responses; all but wav and y4m need FFmpeg (wav)",
    },
    ...outputOptions,
  },
  examples: [
    "wanstream bench batch",
    "wanstream bench batch --format mkv --items 24 --json",
    "wanstream bench batch --workers 4 --preset v0.1-0.6b",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

type Options = Partial<Parsed<typeof spec.options>["options"]>;

export function run(args: string[]): Promise<number> {
  return runBench(
    spec,
    args,
    async (options, status) =>
      await benchBatch(await openBenchModel(options, status), options, status),
  );
}

/** What so many workers gave. */
interface WorkerRun {
  workers: number;
  items: number;
  wallSeconds: number;
  streamSecondsPerSecond: number;
  /** Of the process, at the end. */
  rssBytes: number;
}

async function benchBatch(model: BenchModel, options: Options, status: Status): Promise<Bench> {
  const { checkpoint, name } = model;
  const { config } = checkpoint;
  const { items: perWorker = 12, units = 20, workers: most = 2, rounds = 5 } = options;
  const { format = "wav" } = options;
  const at = await Deno.makeTempDir({ prefix: "wanstream-bench-" });
  const opened: { places: Places; bytes: number }[] = [];
  const shared: Awaited<ReturnType<typeof openSharedModel>>[] = [];
  let asked = 0;
  // Models stay open from run to run, as they do from item to item.
  const opener: ModelOpener = {
    checkpoint: () => Promise.resolve(checkpoint),
    async open(_, given) {
      const place = asked++;
      shared[place] ??= await openSharedModel(checkpoint, given, inMemory);
      const own = shared[place];
      return {
        async open(sessionOptions, references) {
          const session = await own.open(sessionOptions, references);
          const { placement, thinker, performers } = session.info;
          if (thinker && performers) {
            opened[place] = {
              places: { placement, thinker, performers },
              bytes: thinker.allocatedBytes,
            };
          }
          return session;
        },
        close: () => Promise.resolve(),
      };
    },
  };
  const before = Deno.memoryUsage().rss;
  try {
    const { model: _, preset: __, adapter, ...settings } = options;
    const own = ["seed", "steps", "solver", "guidance", "shift", "precision", "history-units"];
    const given: Item["options"] = {
      ...Object.fromEntries(
        Object.entries(settings).filter(([key, value]) => own.includes(key) && value !== undefined),
      ),
      ...(adapter === undefined ? {} : { thinker: adapter }),
      "no-tune": options["no-tune"] ?? false,
      "tune-cache": options["tune-cache"],
    };
    const recording = `${at}/user.wav`;
    const { user } = streamShapes(config);
    const wav = await WavWriter.create(recording, user.sampleRate);
    for (const { audio } of observations(config, units)) if (audio) await wav.write(audio);
    await wav.close();
    const folder = new BatchFolder(at);
    let label = 0;
    /** Runs so many items of so many units. */
    const batch = async (workers: number, count: number, units: number) => {
      asked = 0;
      const name = label++;
      const items = Array.from({ length: count }, (_, i): Item => ({
        ...{ id: `${name}-${i}`, input: recording, options: { ...given, units } },
      }));
      const result = await runBatch({
        ...{ folder, items, workers, opener, program: "", quiet: true, untilExit: true },
        ...{ form: { format: `.${format}`, layout: null }, shard: { index: 0, of: 1 } },
        ...{ ffmpeg, signal },
      });
      const [problem] = [...result.again, ...result.badInput];
      if (problem) throw new RunError(`bench batch: ${problem.message}`);
      return result;
    };
    const signal = new AbortController().signal;
    const ffmpeg = ffmpegFinder(undefined);
    const runs: WorkerRun[] = [];
    status("opening");
    await batch(1, 2, 2);
    const overheads: Overhead[] = [];
    for (let round = 1; round <= rounds; round++) {
      status(`overhead, round ${round} of ${rounds}`);
      overheads.push(await overheadOf(batch));
    }
    for (let workers = 1; workers <= most; workers *= 2) {
      status(`${workers} workers: ${perWorker} items each`);
      await batch(workers, 2 * workers, 2);
      const count = perWorker * workers;
      const { wallSeconds, seconds } = await batch(workers, count, units);
      runs.push({
        ...{ workers, items: count, wallSeconds },
        streamSecondsPerSecond: seconds / wallSeconds,
        rssBytes: Deno.memoryUsage().rss,
      });
    }
    const [one] = runs;
    const [first] = opened;
    if (!one || !first) throw new RunError("bench batch: nothing was measured");
    const last = runs.at(-1) ?? one;
    const spread = (key: keyof Overhead) => {
      const values = overheads.map((one) => one[key]);
      return { median: median(values), least: Math.min(...values), values };
    };
    const [overheadMs, overheadCpuMs] = [spread("wallMs"), spread("cpuMs")];
    const rssPerWorker = runs.length > 1
      ? (last.rssBytes - one.rssBytes) / (last.workers - one.workers)
      : null;
    return {
      name: "batch",
      headline: `${name}: items of ${units} units, responses as ${format}, on ` +
        `${first.places.thinker.adapter}`,
      figures: {
        ...{ overheadMs, overheadCpuMs },
        ...{ units, format, runs, adapterBytesPerWorker: first.bytes },
        ...{ rssBytesBefore: before, rssBytesPerWorker: rssPerWorker },
      },
      main: {
        "overhead per item in ms": overheadMs.median,
        "processor time of it in ms": overheadCpuMs.median,
        ...Object.fromEntries(
          runs.map(({ workers, streamSecondsPerSecond }) => [
            `stream-seconds per second, ${workers} workers`,
            streamSecondsPerSecond,
          ]),
        ),
      },
      tables: [
        tableOf(
          "An item beside its ticks",
          [
            ["overhead in ms", overheadMs],
            ["processor time in ms", overheadCpuMs],
          ] as const,
          [
            ["", ([what]) => what],
            ["median", ([, { median }]) => figure(median)],
            ["least", ([, { least }]) => figure(least)],
            ["most", ([, { values }]) => figure(Math.max(...values))],
          ],
          [`Of ${rounds} rounds.`],
        ),
        runsTable(runs, first.bytes, rssPerWorker),
      ],
      plots: [],
      startsPrograms: needsFfmpeg(`response.${format}`),
      ...madeFrom(model, first.places, { items: perWorker, units, workers: most, format }),
    };
  } finally {
    await Promise.all(shared.map((one) => one.close()));
    await Deno.remove(at, { recursive: true });
  }
}

/** Units and items of a round that measures overhead: short, so that little of it is ticks. */
const [shortUnits, shortItems] = [4, 10];

/** What an item takes beside its ticks, in milliseconds. */
interface Overhead {
  wallMs: number;
  /** Processor time of this process; on a CPU driver the adapter's too. */
  cpuMs: number;
}

/** Twice the time of short items is that of items twice as long, but for what each item takes once. */
async function overheadOf(
  batch: (workers: number, items: number, units: number) => Promise<{ wallSeconds: number }>,
): Promise<Overhead> {
  const run = async (units: number): Promise<Overhead> => {
    const before = cpuUsage();
    const { wallSeconds } = await batch(1, shortItems, units);
    const { user, system } = cpuUsage(before);
    return { wallMs: 1000 * wallSeconds, cpuMs: (user + system) / 1000 };
  };
  const [short, long] = [await run(shortUnits), await run(2 * shortUnits)];
  const each = (key: keyof Overhead) => (2 * short[key] - long[key]) / shortItems;
  return { wallMs: each("wallMs"), cpuMs: each("cpuMs") };
}

function runsTable(
  runs: readonly WorkerRun[],
  adapterBytes: number,
  rssPerWorker: number | null,
): Table {
  return tableOf("Workers", runs, [
    ["workers", ({ workers }) => `${workers}`],
    ["items", ({ items }) => `${items}`],
    ["wall s", ({ wallSeconds }) => figure(wallSeconds)],
    ["stream-s per s", ({ streamSecondsPerSecond }) => figure(streamSecondsPerSecond)],
    ["memory", ({ rssBytes }) => bytesText(rssBytes)],
  ], [
    `A worker allocates ${bytesText(adapterBytes)} on its adapter` +
    (rssPerWorker === null
      ? "."
      : `; the process grew by ${bytesText(Math.max(0, rssPerWorker))} a further worker.`),
  ]);
}
