/** `bench kernels`: every kernel of a tick at a model's shapes, beside this adapter's ceilings. */
import {
  type Ceiling,
  ceilingFraction,
  type KernelTime,
  kernelTimes,
  measureCeiling,
} from "../../engine/bench/kernel_bench.ts";
import { TickBench } from "../../engine/bench/tick_bench.ts";
import { type MatmulFigure, matmulFigures } from "../../kernels/measure/ceilings.ts";
import type { Choices, Gpu } from "../../kernels/gpu/device.ts";
import { adapterKey, type TuneEntry } from "../../kernels/measure/tune.ts";
import type { CommandSpec, Option } from "../cli/options.ts";
import {
  type BenchModel,
  benchModelOptions,
  madeFrom,
  openBenchGpu,
  openBenchModel,
  placesOf,
} from "./model.ts";
import { shareDoubts, wanderingDoubts } from "./doubts.ts";
import { outputOptions, runBench, type Status } from "./output.ts";
import type { Bench } from "../reports/report.ts";
import { rooflinePlot } from "../reports/plots.ts";
import { figure, percent, range, type Table, tableOf } from "../reports/table.ts";

export const summary = "every kernel at a model's shapes, and what part of the adapter it uses";

const spec = {
  name: "bench kernels",
  summary,
  usage: "[options]",
  options: { ...benchModelOptions, ...outputOptions },
  examples: ["wanstream bench kernels", "wanstream bench kernels --preset nano --precision f16"],
} as const satisfies CommandSpec<Record<string, Option>>;

export function run(args: string[]): Promise<number> {
  return runBench(spec, args, async (options, status) => {
    const model = await openBenchModel(options, status);
    const gpu = await openBenchGpu(model, options.adapter);
    try {
      return await benchKernels(gpu, model, status, options.adapter);
    } finally {
      gpu.destroy();
    }
  });
}

/** What is known of one kernel at one shape. */
export type KernelFigure = Omit<KernelTime, "gpuMs"> & {
  gpuMs: number | null;
  gigaflops: number;
  gigabytes: number;
  /** Of what the ceilings allow: see `ceilingFraction`. */
  ceilingFraction: number;
};

/** Measures all kernels with the history full. @param spec Names the device in the provenance. */
export async function benchKernels(
  gpu: Gpu,
  model: BenchModel,
  status: Status,
  spec?: string,
): Promise<Bench> {
  status("first ticks");
  const bench = await TickBench.create(gpu, model.checkpoint, model.settings);
  bench.jump(model.settings.historyUnits);
  await bench.run(2);
  const times = await kernelTimes(gpu, bench.plans, status);
  status("this adapter's ceilings");
  const ceiling = await measureCeiling(gpu);
  status("matrix products");
  const products = await matmulFigures(gpu);
  const kernels = times.map((time) => ({
    ...time,
    gpuMs: time.gpuMs ?? null,
    gigaflops: time.flops / time.ms / 1e6,
    gigabytes: time.bytes / time.ms / 1e6,
    ceilingFraction: ceilingFraction(time, ceiling),
  }));
  const variants = chosenVariants(model.tuning?.request.record[adapterKey(gpu)] ?? {}, gpu.choices);
  const tickMs = times.reduce((sum, { ms, launches }) => sum + ms * launches, 0);
  return {
    name: "kernels",
    headline: `kernels of ${model.name} in ${model.settings.weights}, history full, on ${gpu.name}`,
    figures: {
      clock: gpu.device.features.has("timestamp-query")
        ? "batches on the host's clock; gpuMs between timestamps where the driver's agree"
        : "batches on the host's clock",
      variants,
      ceiling,
      kernels,
      products: products.map((one) => ({ ...one, gpuMs: one.gpuMs ?? null })),
      tickMs,
    },
    main: {
      "kernels of a tick, ms": tickMs,
      "multiply-adds, GFLOP/s": ceiling.gigaflops,
      "copies, GB/s": ceiling.gigabytes,
    },
    doubts: kernelDoubts(kernels),
    tables: [
      ceilingTable(ceiling),
      kernelTable(kernels, tickMs),
      productTable(products, ceiling),
      ...(variants.length > 0 ? [variantTable(variants)] : []),
    ],
    plots: [rooflinePlot(kernels, ceiling)],
    ...madeFrom(model, placesOf(gpu, spec)),
  };
}

/** What the kernels' own figures say against themselves. */
export function kernelDoubts(
  kernels: readonly Pick<KernelFigure, "ms" | "quartiles" | "launches" | "ceilingFraction">[],
): string[] {
  const weighted = kernels.map((one) => ({ ...one, weight: one.ms * one.launches }));
  return [
    ...wanderingDoubts("the time of a tick's kernels", weighted),
    ...shareDoubts("kernels", kernels.map(({ ceilingFraction }) => ceilingFraction)),
  ];
}

/** A choice among variants, as it was measured when the adapter was first used. */
export interface Variant {
  problem: string;
  chosen: string;
  /** Best milliseconds of every candidate, or what was wrong with it. */
  times: Record<string, number | string>;
  /** The fastest candidate's time over the chosen one's: 1 when the fastest was chosen. */
  ofBest: number | null;
}

/** The measurements behind this device's choices. */
export function chosenVariants(
  entries: Readonly<Record<string, TuneEntry>>,
  choices: Choices,
): Variant[] {
  return Object.keys(choices).flatMap((problem) => {
    const entry = entries[problem];
    if (!entry) return [];
    const { chosen, times } = entry;
    const own = times[chosen];
    const best = Math.min(...Object.values(times).filter((time) => typeof time === "number"));
    return [{ problem, chosen, times, ofBest: typeof own === "number" ? best / own : null }];
  });
}

function variantTable(variants: readonly Variant[]): Table {
  const all = ({ times }: Variant) => Object.values(times);
  const ms = ({ times, chosen }: Variant) => {
    const found = times[chosen];
    return typeof found === "number" ? found : null;
  };
  return tableOf("Variants, as measured when this adapter was first used", variants, [
    ["kernel and shape", ({ problem }) => problem],
    ["chosen", ({ chosen }) => chosen],
    ["ms", (one) => figure(ms(one))],
    ["candidates", (one) => `${all(one).length}`],
    ["wrong", (one) => `${all(one).filter((time) => typeof time === "string").length}`],
    ["best / chosen", ({ ofBest }) => percent(ofBest)],
  ]);
}

/** What the adapter can do at most. */
export function ceilingTable({ gigaflops, gigabytes, launchMs }: Ceiling): Table {
  return {
    title: "Ceilings of this adapter, measured in this run",
    columns: ["", "at most"],
    rows: [
      ["multiply-adds in registers", `${figure(gigaflops)} GFLOP/s`],
      ["copies between buffers, read and written", `${figure(gigabytes)} GB/s`],
      ["a launch that does next to nothing", `${figure(1000 * launchMs)} us`],
    ],
  };
}

/** A kernel at one shape, or all the shapes that cost next to nothing. */
type KernelRow = Partial<KernelFigure> & { name: string; launches: number; tickMs: number };

function kernelTable(kernels: readonly KernelFigure[], tickMs: number): Table {
  const rows = kernels.map((one): KernelRow => ({
    ...one,
    name: `${one.stage}: ${one.label}`,
    tickMs: one.ms * one.launches,
  }));
  const shown = rows.filter((row) => row.tickMs >= 0.005 * tickMs);
  const others = rows.slice(shown.length);
  const sum = (key: "launches" | "tickMs") => others.reduce((all, row) => all + row[key], 0);
  const rest: KernelRow = {
    name: `${others.length} smaller shapes`,
    launches: sum("launches"),
    tickMs: sum("tickMs"),
  };
  return tableOf("Kernels", others.length === 0 ? shown : [...shown, rest], [
    ["stage: kernel, first launch of the shape", ({ name }) => name],
    ["launches", ({ launches }) => `${launches}`],
    ["ms each", ({ ms }) => figure(ms)],
    ["quartiles", ({ quartiles }) => quartiles ? range(quartiles) : null],
    ...(kernels.some(({ gpuMs }) => gpuMs !== null)
      ? [["GPU ms", ({ gpuMs }: KernelRow) => figure(gpuMs)] as const]
      : []),
    ["ms/tick", (row) => figure(row.tickMs)],
    ["GFLOP/s", ({ flops = 0, gigaflops }) => flops > 0 ? figure(gigaflops) : null],
    ["GB/s", ({ bytes = 0, gigabytes }) => bytes > 0 ? figure(gigabytes) : null],
    [
      "of ceiling",
      ({ flops = 0, bytes = 0, ceilingFraction }) =>
        flops + bytes > 0 ? percent(ceilingFraction) : null,
    ],
  ], [
    `A tick's kernels, launched one by one, take ${figure(tickMs)} ms.`,
    "of ceiling: time of the work at this adapter's ceilings, of the time it took; small data " +
    "that stays in caches can pass 100 %.",
  ]);
}

function productTable(products: readonly MatmulFigure[], ceiling: Ceiling): Table {
  return tableOf("Matrix products", products, [
    ["rows x outputs x inputs", (one) => `${one.rows} x ${one.outputs} x ${one.inputs}`],
    ["storage", ({ dtype }) => dtype],
    ["ms each", ({ ms }) => figure(ms)],
    ["quartiles", ({ quartiles }) => range(quartiles)],
    ["GFLOP/s", ({ gigaflops }) => figure(gigaflops)],
    ["of ceiling", ({ gigaflops }) => percent(gigaflops / ceiling.gigaflops)],
  ]);
}
