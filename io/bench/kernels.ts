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
  modelFacts,
  openBenchGpu,
  openBenchModel,
} from "./model.ts";
import { outputOptions, runBench, type Status } from "./output.ts";
import type { Bench } from "../reports/report.ts";
import { rooflinePlot } from "../reports/plots.ts";
import { figure, percent, type Table } from "../reports/table.ts";

export const summary = "every kernel at a model's shapes, and what part of the adapter it uses";

const spec = {
  name: "bench kernels",
  summary,
  usage: "[options]",
  options: { ...benchModelOptions, ...outputOptions },
  examples: ["wanstream bench kernels", "wanstream bench kernels --preset nano --precision f16"],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Runs the command. */
export function run(args: string[]): Promise<number> {
  return runBench(spec, args, async (options, status) => {
    const model = await openBenchModel(options, status);
    const gpu = await openBenchGpu(model, options.adapter);
    try {
      return [await benchKernels(gpu, model, status)];
    } finally {
      gpu.destroy();
    }
  });
}

/** What is known of one kernel at one shape. */
export type KernelFigure = KernelTime & {
  gigaflops: number;
  gigabytes: number;
  /** Of what the ceilings allow: see `ceilingFraction`. */
  ceilingFraction: number;
};

/** Measures all kernels with the history full. */
export async function benchKernels(
  gpu: Gpu,
  model: BenchModel,
  status: Status,
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
      products,
      tickMs,
    },
    tables: [
      ceilingTable(ceiling),
      kernelTable(kernels, tickMs),
      productTable(products, ceiling),
      ...(variants.length > 0 ? [variantTable(variants)] : []),
    ],
    plots: [rooflinePlot(kernels, ceiling)],
    model: modelFacts(model, gpu.name),
  };
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
  return {
    title: "Variants, as measured when this adapter was first used",
    columns: ["kernel and shape", "chosen", "ms", "candidates", "wrong", "best / chosen"],
    rows: variants.map(({ problem, chosen, times, ofBest }) => {
      const all = Object.values(times);
      const ms = times[chosen];
      return [
        problem,
        chosen,
        typeof ms === "number" ? figure(ms) : null,
        `${all.length}`,
        `${all.filter((time) => typeof time === "string").length}`,
        percent(ofBest),
      ];
    }),
  };
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

function kernelTable(kernels: readonly KernelFigure[], tickMs: number): Table {
  // The many launches that cost next to nothing share a line.
  const shown = kernels.filter(({ ms, launches }) => ms * launches >= 0.005 * tickMs);
  const others = kernels.slice(shown.length);
  const stamped = kernels.some(({ gpuMs }) => gpuMs !== undefined);
  const launches = others.reduce((sum, kernel) => sum + kernel.launches, 0);
  const rest = others.reduce((sum, { ms, launches }) => sum + ms * launches, 0);
  const columns = ["stage: kernel, first launch of the shape", "launches", "ms each", "quartiles"]
    .concat(stamped ? ["GPU ms"] : [], "ms/tick", "GFLOP/s", "GB/s", "of ceiling");
  return {
    title: "Kernels",
    columns,
    rows: [
      ...shown.map((k) => [
        `${k.stage}: ${k.label}`,
        `${k.launches}`,
        figure(k.ms),
        k.quartiles.map(figure).join(" - "),
        ...(stamped ? [figure(k.gpuMs)] : []),
        figure(k.ms * k.launches),
        k.flops > 0 ? figure(k.gigaflops) : null,
        k.bytes > 0 ? figure(k.gigabytes) : null,
        k.flops + k.bytes > 0 ? percent(k.ceilingFraction) : null,
      ]),
      ...(others.length === 0 ? [] : [[
        `${others.length} smaller shapes`,
        `${launches}`,
        ...Array(stamped ? 3 : 2).fill(null),
        figure(rest),
        null,
        null,
        null,
      ]]),
    ],
    notes: [
      `A tick's kernels, launched one by one, take ${figure(tickMs)} ms.`,
      "of ceiling: time of the work at this adapter's ceilings, of the time it took; small data " +
      "that stays in caches can pass 100 %.",
    ],
  };
}

function productTable(products: readonly MatmulFigure[], ceiling: Ceiling): Table {
  return {
    title: "Matrix products",
    columns: [
      "rows x outputs x inputs",
      "storage",
      "ms each",
      "quartiles",
      "GFLOP/s",
      "of ceiling",
    ],
    rows: products.map(({ rows, outputs, inputs, dtype, ms, quartiles, gigaflops }) => [
      `${rows} x ${outputs} x ${inputs}`,
      dtype,
      figure(ms),
      quartiles.map(figure).join(" - "),
      figure(gigaflops),
      percent(gigaflops / ceiling.gigaflops),
    ]),
  };
}
