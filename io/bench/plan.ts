/** `bench plan`: what a tick would cost on a machine that isn't here, and how well such a plan fits the
 * machine that is. */
import { openConfig } from "../../engine/checkpoint.ts";
import type { ModelConfig } from "../../engine/config.ts";
import { historyTokens, weightBytes } from "../../engine/costs.ts";
import { InputError } from "../../engine/errors.ts";
import {
  type Ceiling,
  ceilingFraction,
  type KernelTime,
  kernelTimes,
  measureCeiling,
} from "../../engine/kernel_bench.ts";
import { type Precision, precisions } from "../../engine/mod.ts";
import { preset, presetNames } from "../../engine/models/presets.ts";
import {
  type Machine,
  planPlacement,
  type StageTime,
  stageTimes,
  type Storages,
  tickWork,
  transfers,
  weightSize,
  type WorkKind,
  workKinds,
} from "../../engine/roofline.ts";
import { TickBench, type TickTimes } from "../../engine/tick_bench.ts";
import { type TickStage, tickStages } from "../../engine/tick_stages.ts";
import { ownModel } from "../model_options.ts";
import type { CommandSpec, Option, Parsed } from "../options.ts";
import { percentile } from "../statistics.ts";
import { ceilingTable } from "./kernels.ts";
import { checkChoice, openBenchGpu, openBenchModel } from "./model.ts";
import { type Bench, modelFacts, outputOptions, runBench, type Status } from "./output.ts";
import { bytesText, figure, percent, type Table } from "./table.ts";

export const summary = "what a tick would cost on a machine that isn't here";

const spec = {
  name: "bench plan",
  summary,
  usage: "--flops X --bandwidth Y [--link Z] [options], or --check",
  options: {
    model: { kind: "text", value: "DIR", help: "checkpoint (engine/models/nano)" },
    preset: { kind: "choice", choices: presetNames, help: "a preset instead of --model" },
    precision: { kind: "choice", choices: precisions, help: "storage (auto)" },
    "no-tune": { kind: "flag", help: "with --check: take each kernel's default" },
    "tune-cache": {
      kind: "text",
      value: "FILE",
      help: "with --check: variants that were measured",
    },
    flops: { kind: "text", value: "X", help: "multiply-adds per second x 2, as 67T" },
    bandwidth: { kind: "text", value: "Y", help: "bytes per second of memory, as 3.35T" },
    link: { kind: "text", value: "Z", help: "bytes per second between adapters (25G)" },
    efficiency: {
      kind: "number",
      value: "E",
      min: 0.001,
      max: 1,
      help: "part of these rates that kernels reach (1: the roof)",
    },
    "launch-us": { kind: "number", value: "N", min: 0, help: "microseconds of a launch (0)" },
    "history-units": { kind: "whole", min: 1, help: "units of history (a full one)" },
    check: {
      kind: "flag",
      help: "plan for this machine, with its own ceilings, and compare with the tick it has",
    },
    adapter: { kind: "text", value: "SPEC", help: "with --check: the adapter (default)" },
    ...outputOptions,
  },
  examples: [
    "deno task bench plan --preset v0.1-0.6b --flops 67T --bandwidth 3.35T --link 50G",
    "deno task bench plan --check",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

type Options = Parsed<typeof spec.options>["options"];

/** Runs the command. */
export function run(args: string[]): Promise<number> {
  return runBench(spec, args, async (options, status) => {
    const { flops, bandwidth, check } = options;
    checkChoice(options);
    if (check) {
      const excluded = (["flops", "bandwidth", "link", "efficiency"] as const).find((name) =>
        options[name] !== undefined
      );
      if (excluded !== undefined) {
        throw new InputError(`--check measures this machine: leave --${excluded} out`);
      }
      return [await benchPlanCheck(options, status)];
    }
    if (flops === undefined || bandwidth === undefined) {
      throw new InputError(
        "bench plan needs --flops and --bandwidth of the machine, as 67T and 3.35T; or --check",
      );
    }
    const machine: Machine = {
      flops: parseRate("flops", flops),
      bytesPerSecond: parseRate("bandwidth", bandwidth),
      linkBytesPerSecond: parseRate("link", options.link ?? "25G"),
      launchSeconds: (options["launch-us"] ?? 0) / 1e6,
    };
    const { efficiency } = options;
    if (efficiency !== undefined) {
      machine.efficiency = Object.fromEntries(workKinds.map((kind) => [kind, efficiency]));
    }
    const config = options.preset === undefined
      ? await openConfig(options.model ?? await ownModel())
      : preset(options.preset);
    return [plan(options.preset ?? options.model ?? "nano", config, machine, options)];
  });
}

const steps = ["", "k", "M", "G", "T", "P"];

/** Reads a rate: `67T`, `3.35T`, `5e10`. @throws InputError */
export function parseRate(name: string, text: string): number {
  const [, number = "", step = ""] = /^(\d+(?:\.\d+)?(?:e\d+)?)([kMGTP]?)$/.exec(text) ?? [];
  const rate = Number(number) * 1000 ** steps.indexOf(step);
  if (number === "" || !(rate > 0)) {
    throw new InputError(
      `--${name}: '${text}' is no rate: a number with k, M, G, T or P, as 3.35T`,
    );
  }
  return rate;
}

/** A model's tick on a machine that isn't here. */
export function plan(
  name: string,
  config: ModelConfig,
  machine: Machine,
  options: Pick<Options, "precision" | "history-units">,
): Bench {
  const storages = storagesOf(config, options.precision ?? "auto");
  const { storage, weights } = storages;
  const units = options["history-units"] ?? config.history_units;
  const full: ModelConfig = { ...config, history_units: units };
  const stages = stageTimes(tickWork(full, storages), machine);
  const moved = transfers(full, storage);
  const link = machine.linkBytesPerSecond;
  const unitSeconds = config.unit_ms / 1000;
  const placement = planPlacement(stages, moved, link, unitSeconds);
  const memory = {
    weightBytes: weightBytes(config, storage),
    historyBytes: moved.historyBytes,
  };
  const transferSeconds = {
    history: moved.historyBytes / link,
    slice: moved.sliceBytes / link,
    latents: moved.latentBytes / link,
  };
  return {
    name: "plan",
    headline: `${name} in ${weights}, ${units} units of history (${
      historyTokens(full)
    } tokens), at ${rate(machine.flops)}FLOP/s, ${rate(machine.bytesPerSecond)}B/s, link ${
      rate(link)
    }B/s`,
    figures: { ...storages, machine, stages, transfers: moved, transferSeconds, placement, memory },
    tables: [planTable(stages), {
      title: "Real time",
      columns: ["", "", "ms", "of a unit"],
      rows: [
        [
          "both roles on one adapter",
          null,
          ms(placement.fusedSeconds),
          percent(placement.fusedSeconds / unitSeconds),
        ],
        [
          "thinker",
          null,
          ms(placement.thinkerSeconds),
          percent(placement.thinkerSeconds / unitSeconds),
        ],
        [
          "performer, transfers included",
          null,
          ms(placement.performerSeconds),
          percent(placement.performerSeconds / unitSeconds),
        ],
        [
          "  slice to the performer",
          bytesText(moved.sliceBytes),
          ms(transferSeconds.slice),
          percent(transferSeconds.slice / unitSeconds),
        ],
        [
          "  latents to the thinker",
          bytesText(moved.latentBytes),
          ms(transferSeconds.latents),
          percent(transferSeconds.latents / unitSeconds),
        ],
        ["a whole history, once", bytesText(moved.historyBytes), ms(transferSeconds.history), null],
        ["weights on each adapter", bytesText(memory.weightBytes), null, null],
      ],
      notes: [adaptersNote(placement.adapters)],
    }],
    plots: [],
    model: { model: name, ...storages, config },
  };
}

/** As sessions resolve a precision, from the config alone. */
function storagesOf(config: ModelConfig, precision: Precision): Storages {
  if (precision === "int8" || precision === "int4") return { storage: "f16", weights: precision };
  const storage = precision !== "auto"
    ? precision
    : weightBytes(config, "f32") < 200e6
    ? "f32"
    : "f16";
  return { storage, weights: storage };
}

function adaptersNote(adapters: number): string {
  if (adapters === 1) return "Adapters needed for real time: 1.";
  if (adapters === 2) return "Adapters needed for real time: 2, one for each role.";
  return `Adapters needed for real time: ${adapters} at least, the roles parted further than this ` +
    "engine parts them.";
}

function rate(value: number): string {
  const step = Math.min(5, Math.floor(Math.log10(value) / 3));
  return `${figure(value / 1000 ** step)} ${steps[step]}`;
}

const ms = (seconds: number) => figure(1000 * seconds);

function planTable(stages: readonly StageTime[]): Table {
  const total = (of: (stage: StageTime) => number) => stages.reduce((sum, one) => sum + of(one), 0);
  return {
    title: "Stages",
    columns: ["stage", "GFLOP", "GB", "launches", "operations, ms", "bytes, ms", "ms", "bound by"],
    rows: [
      ...stages.map((one) => [
        one.stage,
        figure(one.flops / 1e9),
        figure(one.bytes / 1e9),
        `${one.launches}`,
        ms(one.computeSeconds),
        ms(one.memorySeconds),
        ms(one.seconds),
        one.bound,
      ]),
      [
        "tick",
        figure(total(({ flops }) => flops) / 1e9),
        figure(total(({ bytes }) => bytes) / 1e9),
        `${total(({ launches }) => launches)}`,
        ms(total(({ computeSeconds }) => computeSeconds)),
        ms(total(({ memorySeconds }) => memorySeconds)),
        ms(total(({ seconds }) => seconds)),
        null,
      ],
    ],
    notes: [
      "ms: the sum over kernels of the greater of both. Norms, rotary positions, shuffles and " +
      "sampling are not in it (under a hundredth of the operations).",
    ],
  };
}

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

/** Plans for this machine and compares. */
async function benchPlanCheck(options: Options, status: Status): Promise<Bench> {
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
      const measuredMs = percentile(ticks.map((tick) => tick[stage]), 0.5);
      const ratio = predictedMs / measuredMs;
      return { stage, predictedMs, otherMs, kernelsMs, measuredMs, ratio };
    });
    const sum = (of: "predictedMs" | "otherMs" | "kernelsMs") =>
      checked.reduce((all, one) => all + one[of], 0);
    const measuredMs = percentile(ticks.map(({ tick }) => tick), 0.5);
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
