/** `adapters`: lists every adapter that can be reached, with the SPEC that selects it. */
import { driversUnloaded } from "../../kernels/gpu/adapter.ts";
import { runCommand } from "../cli/commands.ts";
import type { CommandSpec, Option } from "../cli/options.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { print } from "../system/terminal.ts";
import { InputError } from "../../engine/config/errors.ts";
import { type AdapterDescription, listAdapters } from "../../engine/mod.ts";

export const summary = "list the adapters that can be reached, and the SPEC that selects each";

const command = {
  name: "adapters",
  summary,
  usage: "[options]",
  options: {
    json: { kind: "flag", help: "print the list as JSON on stdout, with all limits" },
  },
  examples: ["wanstream adapters", "wanstream adapters --json"],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Limits that decide which checkpoints fit and how fast kernels can be. */
const shownLimits = [
  ["maxStorageBufferBindingSize", "storage binding"],
  ["maxBufferSize", "buffer"],
  ["maxComputeWorkgroupStorageSize", "workgroup storage"],
  ["maxComputeInvocationsPerWorkgroup", "invocations per workgroup"],
] as const;

/** Runs the command. @throws InputError when no adapter can be reached. */
export const run = (args: string[]) => runCommand(command, args, list);

async function list(
  { json }: { json: boolean },
  operands: string[],
  started: StartedRun,
): Promise<number> {
  if (operands[0] !== undefined) {
    throw new InputError(`adapters takes no arguments, but got '${operands[0]}'`);
  }
  const adapters = await listAdapters();
  await driversUnloaded();
  if (adapters.length === 0) {
    throw new InputError(
      "no adapter can be reached: install a Vulkan driver ('apt-get install mesa-vulkan-drivers' for a CPU driver) or run 'deno task setup'",
    );
  }
  if (json) await printResult("adapters/1", await provenanceOf(started), { adapters });
  else await print(adapters.map(describe).join("\n"));
  return 0;
}

function describe(adapter: AdapterDescription): string {
  const limits = shownLimits.map(([key, label]) => {
    const value = adapter.limits[key] ?? 0;
    return `${label} ${value >= 1 << 20 ? `${Math.floor(value / (1 << 20))} MiB` : value}`;
  });
  const useful = ["shader-f16", "timestamp-query", "subgroups"].filter((feature) =>
    adapter.features.includes(feature)
  );
  return [
    `${adapter.spec}: ${adapter.name}${adapter.software ? " (runs on the CPU)" : ""}`,
    `  use it with    --thinker ${adapter.spec}  or  --performer ${adapter.spec}`,
    `  driver file    ${adapter.driverFile ?? "chosen by WebGPU"}`,
    `  features       ${useful.join(", ") || "none of shader-f16, timestamp-query, subgroups"}`,
    `  limits         ${limits.join(", ")}`,
    "",
  ].join("\n");
}
