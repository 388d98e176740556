/** The options that pace and limit a run, the same for every command that answers a stream. */
import { InputError } from "../../engine/config/errors.ts";
import { type Network, parseNetwork } from "./network.ts";
import type { Option, Parsed } from "../cli/options.ts";
import type { Late, Pace } from "./pace.ts";

/** The options' declarations. */
export const paceOptions = {
  pace: {
    onResume: "kept",
    kind: "choice",
    choices: ["live", "max"],
    help: "units as they would be captured, or as fast as possible (max)",
  },
  late: {
    onResume: "fixed",
    kind: "choice",
    choices: ["wait", "skip"],
    help: "units the machine is late for: answer later, or unheard, which saves encoding (wait)",
  },
  network: {
    onResume: "fixed",
    kind: "text",
    value: "DELAY",
    help: "round trip between the ends, e.g. 350ms±80ms,loss=1%,seed=7 (none)",
  },
  units: { onResume: "kept", kind: "whole", min: 1, help: "answer the first N units only" },
} as const satisfies Record<string, Option>;

/** What was asked for. */
export interface PaceChoice {
  pace: Pace;
  late: Late;
  network: Network | null;
}

/** Reads the options. @throws InputError */
export function choosePace(
  options: Partial<Omit<Parsed<typeof paceOptions>["options"], "units">>,
): PaceChoice {
  const { pace = "max", late = "wait", network } = options;
  if (late === "skip" && pace === "max") {
    throw new InputError("--late skip: without --pace live no unit is late: add it");
  }
  return { pace, late, network: network === undefined ? null : parseNetwork(network) };
}
