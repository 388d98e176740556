/** How busy the machine is, and who makes it so. */
import { cpus } from "node:os";
import { cpuUsage } from "node:process";

/** The machine's load around a run; null where the system doesn't tell. */
export interface Load {
  /** Mean number of processes that wanted a core, over the minute before (1-minute load average). */
  before: number | null;
  /** The same at the end: this run is in it. Null while the run goes on. */
  after: number | null;
  /** Cores that other programs kept busy during the run, on average; those that this one started count
   * as others. Null while the run goes on. */
  others: number | null;
}

/** Whether the program may ask the system this; it never asks its user for the permission. */
export function mayAsk(kind: NonNullable<Deno.SysPermissionDescriptor["kind"]>): boolean {
  return Deno.permissions.querySync({ name: "sys", kind }).state === "granted";
}

/** Measures the load from its making on. */
export class LoadMeter {
  readonly before = loadAverage();
  readonly #start = coreSeconds();

  /** The load up to now. */
  read(): Load {
    const now = coreSeconds();
    const others = now && this.#start ? othersOf(this.#start, now) : null;
    return { before: this.before, after: loadAverage(), others };
  }
}

/** CPU time since some moment in the past, in seconds of one core. */
interface CoreSeconds {
  /** Of all programs. */
  busy: number;
  /** Of this one. */
  own: number;
  /** `busy` and what was idle. */
  whole: number;
  cores: number;
}

/** Cores that other programs used between two moments; null when they are too near. */
export function othersOf(from: CoreSeconds, to: CoreSeconds): number | null {
  const wall = (to.whole - from.whole) / to.cores;
  if (wall < 0.05) return null;
  const others = (to.busy - from.busy) - (to.own - from.own);
  return Math.round((100 * Math.max(0, others)) / wall) / 100;
}

function coreSeconds(): CoreSeconds | null {
  if (!mayAsk("cpus")) return null;
  const times = cpus().map(({ times }) => times);
  const busy = times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0);
  const whole = busy + times.reduce((sum, { idle }) => sum + idle, 0);
  const { user, system } = cpuUsage();
  return {
    busy: busy / 1000,
    own: (user + system) / 1e6,
    whole: whole / 1000,
    cores: times.length,
  };
}

function loadAverage(): number | null {
  // Windows has none and Deno gives 0.
  if (Deno.build.os === "windows" || !mayAsk("loadavg")) return null;
  return Math.round(100 * (Deno.loadavg()[0] ?? 0)) / 100;
}
