/** `bench plan --check`: how well a plan fits the machine that is here. */
import { classEfficiency, kernelTimes, measureCeiling } from "../../engine/bench/kernel_bench.ts";
import { type Machine, stageTimes, workKinds } from "../../engine/bench/roofline.ts";
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
import { wanderingDoubts } from "./doubts.ts";
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
    const classes = workKinds.filter((kind) => kernels.some((kernel) => kernel.kind === kind));
    const verdict = judge(tick.ratio, classes.map((kind) => [kind, efficiency[kind]]));
    return {
      name: "plan",
      schema: "bench-plan-check/1",
      headline:
        `plan of ${model.name} in ${settings.weights} for ${gpu.name}, beside the tick it has`,
      figures: {
        machine,
        ceiling,
        efficiency: workKinds.map((kind) => ({ kind, part: efficiency[kind] ?? null })),
        stages: [...checked, tick],
        ...verdict,
      },
      tables: [
        ceilingTable(ceiling),
        tableOf(
          "What classes of kernels reached of the ceilings, launched alone",
          classes,
          [["class", (kind) => kind], ["part", (kind) => percent(efficiency[kind])]],
        ),
        tableOf("Predicted and measured (ms per tick, history full)", [...checked, tick], [
          ["stage", ({ stage }) => stage],
          ["predicted", ({ predictedMs }) => figure(predictedMs)],
          ["kernels one by one", ({ kernelsMs }) => figure(kernelsMs)],
          ["measured", ({ measuredMs }) => figure(measuredMs)],
          ["ratio", ({ ratio }) => figure(ratio)],
        ], [
          `The check ${verdict.passes ? "passes" : "FAILS"}: ${verdict.reason}.`,
          "Predicted: the operations and bytes of the tick's launches under this run's ceilings, by " +
          "the part of them that each class of kernels reached on average when launched alone in " +
          "this run. The tick itself is not used.",
        ]),
      ],
      main: { "ratio of the tick": tick.ratio },
      doubts: wanderingDoubts(
        "the time of a tick's kernels",
        kernels.map((one) => ({ ...one, weight: one.ms * one.launches })),
      ),
      failed: !verdict.passes,
      plots: [],
      ...madeFrom(model, placesOf(gpu, options.adapter)),
    };
  } finally {
    gpu.destroy();
  }
}

/**
 * Whether a plan fits: the tick is predicted within 30 %, by efficiencies that can be. One above 100 %
 * says that ceilings or kernels were measured wrong, whatever the prediction.
 */
export function judge(
  ratio: number,
  efficiencies: readonly (readonly [kind: string, part: number | undefined])[],
): { passes: boolean; reason: string } {
  const wrong = efficiencies.find(([, part]) => !(part !== undefined && part > 0 && part <= 1));
  if (wrong) {
    const [kind, part] = wrong;
    const what = part === undefined ? "no part" : percent(part);
    return { passes: false, reason: `kernels of class '${kind}' reached ${what} of the ceilings` };
  }
  const passes = Math.abs(ratio - 1) <= 0.3;
  return { passes, reason: `the tick is predicted ${passes ? "" : "NOT "}within 30 %` };
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
