/** `bench`: what a tick costs on this adapter, by stage and by kernel. */
import { type CommandSpec, helpText, type Option, parseOptions } from "../options.ts";
import { openCheckpoint } from "../../engine/checkpoint.ts";
import { InputError } from "../../engine/errors.ts";
import { Gpu } from "../../kernels/device.ts";
import { resolveSettings } from "../../engine/settings.ts";
import { benchTick, percentile, type TickBench } from "../../engine/tick_bench.ts";

export const summary = "measure a tick by stage and the kernels by shape on this machine";

const command = {
  name: "bench",
  summary,
  usage: "[options]",
  options: {
    model: { kind: "text", value: "DIR", help: "checkpoint (engine/models/nano)" },
    adapter: { kind: "text", value: "SPEC", help: "adapter, as 'adapters' lists them (default)" },
    units: { kind: "whole", min: 12, help: "ticks to run (the history's units + 16)" },
    precision: {
      kind: "choice",
      choices: ["auto", "f32", "f16"],
      help: "storage of weights and history (auto)",
    },
    json: { kind: "flag", help: "print every figure as JSON on stdout" },
  },
  examples: ["deno task bench", "deno task bench --units 100 --json > bench.json"],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Runs the command. */
export async function run(args: string[]): Promise<number> {
  const { options, operands, help } = parseOptions(command, args);
  const write = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(text));
  if (help) {
    write(helpText(command));
    return 0;
  }
  if (operands[0] !== undefined) {
    throw new InputError(`bench takes no arguments, but got '${operands[0]}'`);
  }
  const folder = options.model ?? new URL("../../engine/models/nano", import.meta.url);
  const checkpoint = await openCheckpoint(folder);
  const settings = resolveSettings(checkpoint, { precision: options.precision ?? "auto" });
  const units = options.units ?? settings.historyUnits + 16;
  const gpu = await Gpu.open(options.adapter ?? "default");
  const start = performance.now();
  const bench = await benchTick(gpu, checkpoint, settings, units, (what) => {
    if (!Deno.stderr.isTerminal()) return;
    Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${what}`));
  });
  if (Deno.stderr.isTerminal()) Deno.stderr.writeSync(new TextEncoder().encode("\r\x1b[K"));
  gpu.destroy();
  const { unit_ms: unitMs } = checkpoint.config;
  const facts = {
    checkpoint: checkpoint.digest,
    storage: settings.storage,
    solver: settings.solver,
    historyUnits: settings.historyUnits,
    unitMs,
    seconds: (performance.now() - start) / 1000,
  };
  write(
    options.json
      ? `${JSON.stringify({ ...facts, ...bench }, null, 2)}\n`
      : table(bench, facts.storage, settings.historyUnits, unitMs),
  );
  return 0;
}

function table(bench: TickBench, storage: string, historyUnits: number, unitMs: number): string {
  const ms = (value: number) => value.toFixed(value < 10 ? 2 : 1).padStart(8);
  const lines = [`${bench.adapter}, ${storage}, ${bench.units} units, fused`, ""];
  lines.push("ms per tick      p50      p95   unit 10   window full (median of the last 10)");
  for (const [name, all] of Object.entries(bench.stages)) {
    // The first ticks compile pipelines.
    const warm = all.slice(2);
    const full = bench.units > historyUnits ? ms(percentile(all.slice(-10), 0.5)) : "       -";
    lines.push(
      `${name.padEnd(10)} ${ms(percentile(warm, 0.5))} ${ms(percentile(warm, 0.95))}  ${
        ms(percentile(all.slice(8, 13), 0.5))
      }  ${full}`,
    );
  }
  const tick = percentile(bench.stages.tick.slice(2), 0.5);
  const { recorded, anew, dispatches } = bench.encoding;
  lines.push(
    "",
    `real-time factor ${(tick / unitMs).toFixed(2)} (${
      tick.toFixed(1)
    } ms of work for ${unitMs} ms)`,
    `encoding of a tick's ${dispatches} dispatches: ${
      recorded.toFixed(2)
    } ms from recorded plans, ${anew.toFixed(2)} ms with bind groups made anew`,
    "",
    `ceilings of this adapter: ${bench.ceiling.gigaflops.toFixed(0)} GFLOP/s of multiply-adds, ${
      bench.ceiling.gigabytes.toFixed(1)
    } GB/s of copies`,
    "",
    "kernel (first launch of the shape)            launches   ms each   ms/tick   GFLOP/s     GB/s",
  );
  // The many launches that cost next to nothing share a line.
  const shown = bench.kernels.filter((k) => k.ms * k.launches >= 0.005 * tick);
  const others = bench.kernels.slice(shown.length);
  for (const k of shown) {
    const rate = (amount: number) => amount > 0 ? (amount / k.ms / 1e6).toFixed(1) : "-";
    lines.push(
      `${k.label.slice(0, 44).padEnd(45)} ${String(k.launches).padStart(8)} ${
        k.ms.toFixed(3).padStart(9)
      } ${(k.ms * k.launches).toFixed(2).padStart(9)} ${rate(k.flops).padStart(9)} ${
        rate(k.bytes).padStart(8)
      }`,
    );
  }
  const rest = others.reduce((sum, k) => sum + k.ms * k.launches, 0);
  const launches = others.reduce((sum, k) => sum + k.launches, 0);
  lines.push(
    `${`${others.length} smaller shapes`.padEnd(45)} ${String(launches).padStart(8)} ${
      "".padStart(9)
    } ${rest.toFixed(2).padStart(9)}`,
  );
  lines.push("", "matrix product                storage   ms each   GFLOP/s   of the ceiling");
  for (const { rows, outputs, inputs, dtype, ms: each, gigaflops } of bench.products) {
    lines.push(
      `${`${rows} x ${outputs} x ${inputs}`.padEnd(30)} ${dtype.padStart(6)} ${
        each.toFixed(3).padStart(9)
      } ${gigaflops.toFixed(1).padStart(9)} ${
        `${(100 * gigaflops / bench.ceiling.gigaflops).toFixed(0)} %`.padStart(16)
      }`,
    );
  }
  return `${lines.join("\n")}\n`;
}
