/** `bench plan --check`: how well a plan fits the machine that is here. */
import {
  type Ceiling,
  ceilingFraction,
  type KernelTime,
  kernelTimes,
  measureCeiling,
} from "../../engine/bench/kernel_bench.ts";
import {
  type Machine,
  stageTimes,
  type Storages,
  tickWork,
  weightSize,
  type WorkKind,
  workKinds,
} from "../../engine/bench/roofline.ts";
import { TickBench, type TickTimes } from "../../engine/bench/tick_bench.ts";
import { type TickStage, tickStages } from "../../engine/roles/tick_stages.ts";
import { median } from "../../kernels/measure/quantile.ts";
import { ceilingTable } from "./kernels.ts";
import { type BenchModelOptions, modelFacts, openBenchGpu, openBenchModel } from "./model.ts";
import { type Status } from "./output.ts";
import type { Bench } from "../reports/report.ts";
import { figure, percent, type Table } from "../reports/table.ts";

/** What --check found of one stage. */
export interface CheckedStage {
  stage: TickStage | "tick";
  /** Milliseconds at the classes' efficiencies; what of it are other kernels, as measured; and the
   * stage itself in a tick. */
  predictedMs: number;
  otherMs: number;
  /** All kernels of the stage launched one by one. */
  kernelsMs: number;
  measuredMs: number;
  ratio: number;
}

/** Plans for this machine and compares with the tick it has. */
export async function benchPlanCheck(
  options: BenchModelOptions,
  status: Status,
): Promise<Bench> {
  const model = await openBenchModel(
    { ...options, precision: options.precision ?? "auto" },
    status,
  );
  const { config } = model.checkpoint;
  const { settings } = model;
  const gpu = await openBenchGpu(model, options.adapter);
  try {
    const bench = await TickBench.create(gpu, model.checkpoint, model.settings);
    bench.jump(model.settings.historyUnits);
    await bench.run(3, () => status("first ticks"));
    const ticks: TickTimes[] = [];
    // Between the kernels: what disturbs a machine that others use hits both.
    const kernels = await kernelTimes(gpu, bench.plans, status, async () => {
      ticks.push(...await bench.run(1));
    });
    const ceiling = await measureCeiling(gpu);
    const efficiency = classEfficiency(kernels, ceiling, settings);
    const machine: Machine = {
      flops: ceiling.gigaflops * 1e9,
      bytesPerSecond: ceiling.gigabytes * 1e9,
      linkBytesPerSecond: ceiling.gigabytes * 1e9,
      launchSeconds: ceiling.launchMs / 1000,
      efficiency,
    };
    const planned = stageTimes(tickWork(config, settings), machine);
    const checked: CheckedStage[] = tickStages.map((stage) => {
      const own = kernels.filter((kernel) => kernel.stage === stage);
      const took = (some: readonly KernelTime[]) =>
        some.reduce((sum, { ms, launches }) => sum + ms * launches, 0);
      const otherMs = took(own.filter((kernel) => kindOf(kernel, settings) === null));
      const kernelsMs = took(own);
      const seconds = planned.find((one) => one.stage === stage)?.seconds ?? 0;
      const predictedMs = 1000 * seconds + otherMs;
      const measuredMs = median(ticks.map((tick) => tick[stage]));
      const ratio = predictedMs / measuredMs;
      return { stage, predictedMs, otherMs, kernelsMs, measuredMs, ratio };
    });
    const sum = (of: "predictedMs" | "otherMs" | "kernelsMs") =>
      checked.reduce((all, one) => all + one[of], 0);
    const measuredMs = median(ticks.map(({ tick }) => tick));
    const tick: CheckedStage = {
      stage: "tick",
      predictedMs: sum("predictedMs"),
      otherMs: sum("otherMs"),
      kernelsMs: sum("kernelsMs"),
      measuredMs,
      ratio: sum("predictedMs") / measuredMs,
    };
    const within = Math.abs(tick.ratio - 1) <= 0.3;
    return {
      name: "plan",
      headline:
        `plan of ${model.name} in ${settings.weights} for ${gpu.name}, beside the tick it has`,
      figures: {
        machine,
        ceiling,
        efficiency,
        stages: [...checked, tick],
        within30Percent: within,
      },
      tables: [ceilingTable(ceiling), efficiencyTable(efficiency), {
        title: "Predicted and measured (ms per tick, history full)",
        columns: [
          "stage",
          "predicted",
          "of it other kernels",
          "kernels one by one",
          "measured",
          "ratio",
        ],
        rows: [...checked, tick].map((one) => [
          one.stage,
          figure(one.predictedMs),
          figure(one.otherMs),
          figure(one.kernelsMs),
          figure(one.measuredMs),
          figure(one.ratio),
        ]),
        notes: [
          `The tick is predicted ${within ? "within" : "NOT within"} 30 %.`,
          "Predicted: the config's operations and bytes under this run's ceilings, times what each " +
          "class of kernels reached on average when launched alone in this run; other kernels " +
          "(norms, rotary positions, shuffles, ...) as measured alone. The tick itself is not used.",
        ],
      }],
      plots: [],
      model: modelFacts(model, gpu.name),
    };
  } finally {
    gpu.destroy();
  }
}

/** The class of a measured kernel; null: one that plans don't count. */
export function kindOf(
  { kernel, flops, bytes }: Pick<KernelTime, "kernel" | "flops" | "bytes">,
  { weights }: Pick<Storages, "weights">,
): WorkKind | null {
  if (kernel === "attention" || kernel === "attention merge") return "attention";
  if (kernel === "conv") return "convolution";
  if (kernel !== "matmul") return null;
  // One row does two operations per weight and reads more than the weight.
  return flops * weightSize[weights] <= 2 * bytes ? "row product" : "product";
}

/** What part of the ceilings each class of kernels reached, launches taken off. */
export function classEfficiency(
  kernels: readonly KernelTime[],
  ceiling: Ceiling,
  storages: Pick<Storages, "weights">,
): Partial<Record<WorkKind, number>> {
  const result: Partial<Record<WorkKind, number>> = {};
  for (const kind of workKinds) {
    let [roof, took] = [0, 0];
    for (const kernel of kernels) {
      if (kindOf(kernel, storages) !== kind) continue;
      // Merging attention's splits is no work of its own.
      if (kernel.kernel !== "attention merge") {
        roof += kernel.launches * kernel.ms * ceilingFraction(kernel, ceiling);
      }
      took += kernel.launches * kernel.ms;
      if (kernel.kernel !== "attention merge") took -= kernel.launches * ceiling.launchMs;
    }
    if (took > 0 && roof > 0) result[kind] = roof / took;
  }
  return result;
}

function efficiencyTable(efficiency: Partial<Record<WorkKind, number>>): Table {
  return {
    title: "What classes of kernels reached of the ceilings, launched alone",
    columns: ["class", "part"],
    rows: Object.entries(efficiency).map(([kind, part]) => [kind, percent(part)]),
  };
}
