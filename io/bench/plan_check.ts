/** `bench plan --check`: how well a plan fits the machine that is here. */
import { classEfficiency, kernelTimes, measureCeiling } from "../../engine/bench/kernel_bench.ts";
import { type Machine, stageTimes } from "../../engine/bench/roofline.ts";
import { TickBench, type TickTimes } from "../../engine/bench/tick_bench.ts";
import type { TickStage } from "../../engine/roles/tick_plan.ts";
import { median } from "../../kernels/measure/quantile.ts";
import { ceilingTable } from "./kernels.ts";
import {
  type BenchModelOptions,
  madeFrom,
  openBenchGpu,
  openBenchModel,
  placesOf,
} from "./model.ts";
import type { Status } from "./output.ts";
import type { Bench } from "../reports/report.ts";
import { figure, percent, tableOf } from "../reports/table.ts";

export interface CheckedStage {
  stage: TickStage | "tick";
  /** Milliseconds at the classes' efficiencies; of all kernels launched one by one; and of the stage
   * itself in a tick. */
  predictedMs: number;
  kernelsMs: number;
  measuredMs: number;
  ratio: number;
}

/** Plans for this machine and compares with the tick it has. */
export async function benchPlanCheck(
  options: BenchModelOptions,
  status: Status,
): Promise<Bench> {
  const model = await openBenchModel(options, status);
  const { settings } = model;
  const gpu = await openBenchGpu(model, options.adapter);
  try {
    const bench = await TickBench.create(gpu, model.checkpoint, settings);
    bench.jump(settings.historyUnits);
    await bench.run(3, () => status("first ticks"));
    const ticks: TickTimes[] = [];
    // Between the kernels: what disturbs a machine that others use hits both.
    const kernels = await kernelTimes(gpu, bench.plans, status, async () => {
      ticks.push(...await bench.run(1));
    });
    const ceiling = await measureCeiling(gpu);
    const efficiency = classEfficiency(kernels, ceiling);
    const machine: Machine = {
      flops: ceiling.gigaflops * 1e9,
      bytesPerSecond: ceiling.gigabytes * 1e9,
      linkBytesPerSecond: ceiling.gigabytes * 1e9,
      launchSeconds: ceiling.launchMs / 1000,
      efficiency,
    };
    const planned = stageTimes(bench.plans, machine);
    const checked = planned.map(({ stage, seconds }): CheckedStage => {
      const kernelsMs = kernels.filter((kernel) => kernel.stage === stage)
        .reduce((sum, { ms, launches }) => sum + ms * launches, 0);
      return compared(stage, 1000 * seconds, kernelsMs, ticks);
    });
    const sum = (of: "predictedMs" | "kernelsMs") => checked.reduce((all, one) => all + one[of], 0);
    const tick = compared("tick", sum("predictedMs"), sum("kernelsMs"), ticks);
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
      tables: [
        ceilingTable(ceiling),
        tableOf(
          "What classes of kernels reached of the ceilings, launched alone",
          Object.entries(efficiency),
          [["class", ([kind]) => kind], ["part", ([, part]) => percent(part)]],
        ),
        tableOf("Predicted and measured (ms per tick, history full)", [...checked, tick], [
          ["stage", ({ stage }) => stage],
          ["predicted", ({ predictedMs }) => figure(predictedMs)],
          ["kernels one by one", ({ kernelsMs }) => figure(kernelsMs)],
          ["measured", ({ measuredMs }) => figure(measuredMs)],
          ["ratio", ({ ratio }) => figure(ratio)],
        ], [
          `The tick is predicted ${within ? "within" : "NOT within"} 30 %.`,
          "Predicted: the operations and bytes of the tick's launches under this run's ceilings, by " +
          "the part of them that each class of kernels reached on average when launched alone in " +
          "this run. The tick itself is not used.",
        ]),
      ],
      plots: [],
      ...madeFrom(model, placesOf(gpu, options.adapter)),
    };
  } finally {
    gpu.destroy();
  }
}

function compared(
  stage: TickStage | "tick",
  predictedMs: number,
  kernelsMs: number,
  ticks: readonly TickTimes[],
): CheckedStage {
  const measuredMs = median(ticks.map((times) => times[stage]));
  return { stage, predictedMs, kernelsMs, measuredMs, ratio: predictedMs / measuredMs };
}
