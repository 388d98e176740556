/** `bench` without a name: a short run of what most people want to know. */
import type { CommandSpec, Option } from "../cli/options.ts";
import { print } from "../system/terminal.ts";
import { benchKernels } from "./kernels.ts";
import { benchLatency } from "./latency.ts";
import { benchModelOptions, openBenchGpu, openBenchModel } from "./model.ts";
import { outputOptions, runBench } from "./output.ts";
import { benchStart, type StartPrograms } from "./start.ts";
import { benchTick } from "./tick.ts";

const spec = {
  name: "bench",
  summary: "a short run of 'tick', 'kernels', 'latency' and 'start'",
  usage: "[NAME] [options]",
  options: { ...benchModelOptions, ...outputOptions },
  examples: [
    "wanstream bench",
    "wanstream bench --report out/bench.html",
    "wanstream bench latency --help",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Units of the short latency run. */
const latencyUnits = 40;

/** Runs the command; `list` gives the lines of all benches for `--help`. */
export async function run(
  args: string[],
  programs: StartPrograms,
  list: () => Promise<string>,
): Promise<number> {
  const isHelp = args.some((arg) => arg === "--help" || arg === "-h");
  const code = await runBench(spec, args, async (options, status) => {
    const model = await openBenchModel(options, status);
    const tick = await benchTick(model, options, status);
    const gpu = await openBenchGpu(model, options.adapter);
    const kernels = await benchKernels(gpu, model, status, options.adapter);
    gpu.destroy();
    const latency = await benchLatency(
      model,
      { adapter: options.adapter, schedule: "eager", network: "none", units: latencyUnits },
      status,
    );
    const start = options.preset === undefined
      ? [await benchStart(programs, { ...options, rounds: 1 }, status)]
      : [];
    return [tick, kernels, latency, ...start];
  });
  if (isHelp) {
    await print(`\nMeasurements, each with --help:\n${await list()}`);
  }
  return code;
}
