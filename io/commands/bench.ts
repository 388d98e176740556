/** `bench`: how fast this machine runs a model; each measurement is a command of its own. */
import { InputError } from "../../engine/config/errors.ts";
import { nearest } from "../cli/options.ts";
import * as overall from "../bench/overall.ts";

export const summary = "measure ticks, kernels, latency and more on this machine";

interface SubCommand {
  summary: string;
  run(args: string[]): Promise<number>;
}

const benches: Record<string, () => Promise<SubCommand>> = {
  kernels: () => import("../bench/kernels.ts"),
  tick: () => import("../bench/tick.ts"),
  latency: () => import("../bench/latency.ts"),
  start: () => import("../bench/start.ts"),
  long: () => import("../bench/long.ts"),
  plan: () => import("../bench/plan.ts"),
  peers: () => import("../bench/peers.ts"),
};

/** Runs the command: `bench NAME ...`, or without a name a short run of the first four. */
export async function run(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name.startsWith("-")) {
    const lines = Object.entries(benches).map(async ([name, load]) =>
      `  bench ${name.padEnd(9)}${(await load()).summary}`
    );
    return await overall.run(args, () => Promise.all(lines));
  }
  const load = Object.hasOwn(benches, name) ? benches[name] : undefined;
  if (load === undefined) {
    const near = nearest(name, Object.keys(benches));
    throw new InputError(
      `bench ${name}: ${
        near ? `did you mean ${near}?` : `it may be ${Object.keys(benches).join(", ")}`
      }`,
    );
  }
  return await (await load()).run(rest);
}
