/** `bench`: how fast this machine runs a model; each measurement is a command of its own. */
import { fileURLToPath } from "node:url";
import * as overall from "../bench/overall.ts";
import type { PeerPrograms } from "../bench/peers/peers.ts";
import type { StartPrograms } from "../bench/start.ts";
import { commandList, type Commands, findCommand } from "../cli/commands.ts";

export const summary = "measure ticks, kernels, latency and more on this machine";

/** What measurements start. */
type Programs = StartPrograms & PeerPrograms;

const benches: Commands<[Programs]> = {
  kernels: () => import("../bench/kernels.ts"),
  tick: () => import("../bench/tick.ts"),
  latency: () => import("../bench/latency.ts"),
  start: () => import("../bench/start.ts"),
  long: () => import("../bench/long.ts"),
  plan: () => import("../bench/plan.ts"),
  batch: () => import("../bench/batch.ts"),
  peers: () => import("../bench/peers/peers.ts"),
};

/**
 * Runs the command: `bench NAME ...`, or without a name a short run of the first four.
 *
 * @param programs What stands outside of io.
 */
export async function run(
  args: string[],
  programs: Omit<Programs, "stream">,
): Promise<number> {
  const all = { ...programs, stream: fileURLToPath(new URL("./stream.ts", import.meta.url)) };
  const [name, ...rest] = args;
  if (name === undefined || name.startsWith("-")) {
    return await overall.run(args, all, () => commandList(benches, "bench "));
  }
  return await (await findCommand(benches, name, "bench")).run(rest, all);
}
