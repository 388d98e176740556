/**
 * What a real graphics card does with the presets at the paper's scale, in one command: a tick by stage,
 * each kernel's part of the card's ceiling, and latency where the card keeps up.
 *
 *     deno task bench-gpu [-o FOLDER]
 *
 * Needs Deno (a single file), the Vulkan loader and the card's driver; weights are random and made in
 * memory. Prints tables and writes every figure to FOLDER/PRESET.json. At its first start Deno fetches
 * npm packages; without a network, copy a DENO_DIR that has them.
 */
import { InputError } from "../engine/config/errors.ts";
import { type PresetName, presetNames } from "../engine/models/presets.ts";
import { benchKernels } from "../io/bench/kernels.ts";
import { benchLatency } from "../io/bench/latency.ts";
import { openBenchGpu, openBenchModel } from "../io/bench/model.ts";
import type { Bench } from "../io/reports/report.ts";
import { tableText } from "../io/reports/table.ts";
import { benchTick } from "../io/bench/tick.ts";
import { type CommandSpec, helpText, type Option, parseOptions } from "../io/cli/options.ts";
import { provenanceOf, startRun } from "../io/provenance/provenance.ts";
import { resultText } from "../io/provenance/result.ts";
import { print, say, showStatus } from "../io/system/terminal.ts";
import { listAdapters } from "../kernels/gpu/probe.ts";
import { fileURLToPath } from "node:url";
import { goWhereCalled } from "../io/cli/where_called.ts";

const spec = {
  name: "bench-gpu",
  summary: "what a graphics card does with the presets at the paper's scale",
  usage: "[options]",
  options: {
    preset: { kind: "choice", choices: presetNames, help: "only this one (v0.1-0.6b, v0.2-0.6b)" },
    precision: { kind: "choice", choices: ["f32", "f16", "int8", "int4"], help: "storage (f16)" },
    adapter: { kind: "text", value: "SPEC", help: "adapter, as 'adapters' lists them (default)" },
    output: { kind: "text", value: "FOLDER", short: "o", help: "of the figures (out/bench-gpu)" },
    units: { kind: "whole", min: 1, help: "units of the latency run (200)" },
    "no-tune": { kind: "flag", help: "take each kernel's default, measure no variants" },
  },
  examples: ["deno task bench-gpu", "deno task bench-gpu --preset nano -o out/try"],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Runs the script. @returns The exit code. */
async function main(args: string[]): Promise<number> {
  const started = startRun("bench-gpu", ...args);
  const { options, operands, help } = parseOptions(spec, args);
  if (help) {
    await print(helpText(spec));
    return 0;
  }
  if (operands[0] !== undefined) throw new InputError(`bench-gpu takes no '${operands[0]}'`);
  const { preset, adapter, output = "out/bench-gpu", units = 200 } = options;
  const cards = (await listAdapters()).filter(({ software }) => !software);
  if (cards.length === 0 && preset === undefined && adapter === undefined) {
    throw new InputError(
      "no graphics card is found ('adapters' lists what is): install its Vulkan driver, or try the " +
        "script itself on the CPU with --preset nano",
    );
  }
  await Deno.mkdir(output, { recursive: true });
  const presets: readonly PresetName[] = preset ? [preset] : ["v0.1-0.6b", "v0.2-0.6b"];
  for (const name of presets) {
    const { precision = "f16", "no-tune": noTune } = options;
    const choice = { preset: name, adapter, precision, "no-tune": noTune };
    const model = await openBenchModel(choice, showStatus);
    const benches: Bench[] = [];
    const show = async (bench: Bench) => {
      benches.push(bench);
      showStatus("");
      await print([`${bench.headline}\n`, ...bench.tables.map(tableText), ""].join("\n"));
    };
    const tick = await benchTick(model, { adapter, units: 16 }, showStatus);
    await show(tick);
    const gpu = await openBenchGpu(model, adapter);
    await show(await benchKernels(gpu, model, showStatus));
    gpu.destroy();
    const factor = best(tick.figures as { runs: { realTimeFactor: number }[] });
    if (factor < 1) {
      await show(await benchLatency(model, { adapter, network: "none", units }, showStatus));
    } else {
      await print(
        `${name} does not hold real time here (a unit takes ${
          factor.toFixed(2)
        } units): latency would only grow, so it is not measured\n\n`,
      );
    }
    const figures = Object.fromEntries(benches.map((bench) => [bench.name, bench.figures]));
    const file = `${output}/${name}.json`;
    const { model: facts, origin } = tick;
    const provenance = await provenanceOf(started, origin);
    await Deno.writeTextFile(
      file,
      resultText("bench-gpu/1", provenance, { model: facts, ...figures }),
    );
    await print(`every figure is in ${file}\n\n`);
  }
  return 0;
}

/** The best placement's and schedule's real-time factor. */
function best({ runs }: { runs: readonly { realTimeFactor: number }[] }): number {
  return Math.min(...runs.map(({ realTimeFactor }) => realTimeFactor));
}

if (import.meta.main) {
  goWhereCalled(fileURLToPath(new URL("..", import.meta.url)));
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    say(`bench-gpu: ${error.message}`);
    Deno.exit(2);
  }
}
