/**
 * What made a result: one block in every `--json`, events file and page, made here alone. It has the
 * same keys everywhere; what doesn't apply or can't be had is null.
 */
import { createHash } from "node:crypto";
import { cpus, release } from "node:os";
import type { Choices } from "../../kernels/gpu/device.ts";
import { version } from "../system/program.ts";
import { type Driver, driverOf } from "./driver.ts";
import { type Load, LoadMeter, mayAsk } from "./load.ts";
import { revisionOf } from "./repository.ts";

/** A run of a command, from its beginning on. */
export interface StartedRun {
  /** As it was typed, e.g. ["bench", "tick", "--units", "8"]. */
  command: readonly string[];
  date: Date;
  load: LoadMeter;
}

/** Begins the clock and the load's measurement. */
export function startRun(...command: string[]): StartedRun {
  return { command, date: new Date(), load: new LoadMeter() };
}

/** One role, or both, on an adapter. */
export interface RoleOrigin {
  role: "thinker" | "performer" | "both";
  adapter: string;
  /** Null: WebGPU chose among several driver files, or there are none on this system. */
  driver: Driver | null;
  /** The variants of kernels that were chosen by measurement: how many, and the digest that the same
   * choices have. 0: built-in defaults. */
  kernels: { chosen: number; digest: string };
}

export interface Provenance {
  program: string;
  version: string;
  commit: string | null;
  /** Tracked files differ from the commit. */
  dirty: boolean | null;
  deno: string;
  command: string;
  /** Every setting that the figures depend on as it was in force, defaults included. */
  settings: Record<string, unknown> | null;
  seeds: { noise: number | null; recordings: string | null; network: number | null };
  checkpoint:
    | { path: string | null; digest: string | null; randomWeightsSeed: number | null }
    | null;
  roles: RoleOrigin[] | null;
  machine: {
    cpu: string | null;
    cores: number;
    memoryBytes: number | null;
    os: string;
  };
  /** What differs from run to run. */
  run: RunFacts;
}

/** What differs from run to run. */
export interface RunFacts {
  /** When it began (ISO 8601). */
  date: string;
  /** Wall seconds so far. */
  seconds: number;
  /** How busy the machine was. */
  load: Load;
}

/** What a session or a device tells about where it runs. */
export interface Places {
  placement: "split" | "fused";
  thinker: { adapter: string; spec: string; kernels: Choices };
  performers: readonly { adapter: string; spec: string; kernels: Choices }[];
}

/** What only the command knows. */
export interface Origin {
  settings?: Record<string, unknown>;
  seeds?: Partial<Provenance["seeds"]>;
  checkpoint?: Provenance["checkpoint"];
  places?: Places | null | undefined;
}

/** The block of a run up to now. */
export async function provenanceOf(run: StartedRun, origin: Origin = {}): Promise<Provenance> {
  const { settings = null, seeds, checkpoint = null, places } = origin;
  return {
    program: "wanstream",
    version,
    ...await revisionOf(),
    deno: Deno.version.deno,
    command: ["wanstream", ...run.command].map(quoted).join(" "),
    settings,
    seeds: { noise: null, recordings: null, network: null, ...seeds },
    checkpoint,
    roles: places ? rolesOf(places) : null,
    machine: machine(),
    run: runFacts(run),
  };
}

/** What differs from run to run, up to now. */
export function runFacts({ date, load }: StartedRun): RunFacts {
  return {
    date: date.toISOString(),
    seconds: (Date.now() - date.getTime()) / 1000,
    load: load.read(),
  };
}

function rolesOf({ placement, thinker, performers }: Places): RoleOrigin[] {
  const origin = (role: RoleOrigin["role"], { adapter, spec, kernels }: Places["thinker"]) => ({
    role,
    adapter,
    driver: driverOf(spec, adapter),
    kernels: kernelsOf(kernels),
  });
  if (placement === "fused") return [origin("both", thinker)];
  return [origin("thinker", thinker), ...performers.map((one) => origin("performer", one))];
}

function kernelsOf(choices: Choices): RoleOrigin["kernels"] {
  const sorted = Object.entries(choices).sort(([a], [b]) => a < b ? -1 : 1);
  return {
    chosen: sorted.length,
    digest: createHash("sha256").update(JSON.stringify(sorted)).digest("hex"),
  };
}

function machine(): Provenance["machine"] {
  const { os, arch } = Deno.build;
  return {
    cpu: mayAsk("cpus") ? cpus()[0]?.model.trim() ?? null : null,
    cores: navigator.hardwareConcurrency,
    memoryBytes: mayAsk("systemMemoryInfo") ? Deno.systemMemoryInfo().total : null,
    os: [os, mayAsk("osRelease") ? release() : null, arch].filter((part) => part).join(" "),
  };
}

/** An argument as a shell takes it. */
export function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
