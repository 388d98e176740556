/**
 * Finding adapters. `requestAdapter` gives one adapter per wgpu instance, every Worker makes its own
 * instance at its first request, and the Vulkan loader reads VK_DRIVER_FILES at that moment: so a
 * Worker that sets the variable first reaches the driver of its choice.
 */
import { InputError } from "./errors.ts";

/** Which adapter: "default" (the one WebGPU prefers), the path of a Vulkan driver file (.json), or
 * a part of such a file's name, as `adapters` lists them ("lvp", "swiftshader", "nvidia"). */
export type AdapterSpec = string;

/** Where Vulkan driver files lie; Chromium brings SwiftShader's, a second CPU driver. */
const driverFolders = [
  "/etc/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
  "/usr/share/vulkan/icd.d",
  "/usr/local/nvidia/share/vulkan/icd.d",
  "/usr/lib/chromium",
];

/** The Vulkan driver files of this machine, or just those that VK_DRIVER_FILES names (Linux;
 * elsewhere there are none and WebGPU chooses). */
export function driverFiles(): string[] {
  if (Deno.build.os !== "linux") return [];
  const [given] = variablesBefore().filter((value) => value !== undefined);
  if (given) return given.split(":").filter((file) => file !== "");
  const files = new Set<string>();
  for (const folder of driverFolders) {
    try {
      for (const entry of Deno.readDirSync(folder)) {
        if (isDriver(folder, entry.name)) files.add(`${folder}/${entry.name}`);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return [...files].sort();
}

function isDriver(folder: string, name: string): boolean {
  if (!name.endsWith(".json") || !(folder.endsWith("icd.d") || name.includes("icd"))) return false;
  // Mesa's hardware drivers complain on stderr where the kernel shows no graphics device.
  return !/^(intel|radeon|nouveau|asahi|freedreno|panfrost|broadcom|virtio|powervr)/.test(name) ||
    facts("/dev/dri")?.isDirectory === true;
}

/** The driver file that a spec names; undefined for "default".
 *
 * @throws InputError when no file, or more than one, matches. */
export function driverFile(spec: AdapterSpec): string | undefined {
  if (spec === "default") return undefined;
  if (spec.includes("/") && facts(spec)?.isFile) return spec;
  const files = driverFiles();
  const matches = files.filter((file) => stem(file).toLowerCase().includes(spec.toLowerCase()));
  const match = matches.find((file) => stem(file) === spec) ?? matches[0];
  if (match && (matches.length === 1 || stem(match) === spec)) return match;
  const known = ["default", ...files.map(stem)].join(", ");
  throw new InputError(
    match
      ? `adapter '${spec}' fits ${matches.map(stem).join(" and ")}: give one of these names`
      : `adapter '${spec}' matches nothing: it may be ${known}, or a driver file's path`,
  );
}

/** The short name of a driver file: what a spec needs to say. */
export function stem(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1).replace(/\.json$/, "");
}

/**
 * Requests the adapter of a spec. Only a thread's first request chooses the driver, so a thread that
 * needs another one is a new Worker. Threads of a process request in turn.
 *
 * @throws InputError when the spec matches nothing or its driver gives no adapter.
 */
export async function requestAdapter(spec: AdapterSpec = "default"): Promise<GPUAdapter> {
  const adapter = await alone(async () => {
    const file = driverFile(spec);
    if (Deno.build.os === "linux") setEnvironment(file);
    try {
      return await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
    } finally {
      restoreVariables();
    }
  });
  if (adapter) return adapter;
  throw new InputError(
    spec === "default"
      ? "no Vulkan driver gives a WebGPU adapter: install one (for CPUs the package " +
        "mesa-vulkan-drivers), or run this program's setup"
      : `adapter '${spec}': its driver gives no WebGPU adapter on this machine: choose another`,
  );
}

/** The Vulkan loader's variable, and its name in older loaders. */
const driverVariables = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/** What the loader and Mesa read at a thread's first request. The driver variables belong to the
 * process, so they keep what they were before as an entry that the loader doesn't find: other threads
 * read that, and restore it where the thread that set them was ended meanwhile. */
function setEnvironment(file: string | undefined): void {
  // Without a Vulkan driver Deno would fall back to a GL adapter silently.
  if (!Deno.env.get("DENO_WEBGPU_BACKEND")) Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
  // Mesa prints an error on stderr unless this names a folder.
  if (!Deno.env.get("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  if (!file) return;
  for (const name of driverVariables) {
    const before = Deno.env.get(name);
    Deno.env.set(name, `${file}:${keptMark}${before === undefined ? "" : encode(before)}`);
  }
}

const keptMark = "/dev/null/wanstream-before";
/** A path's part that has no colon. */
const encode = (value: string) => `/${encodeURIComponent(value)}`;

/** The driver variables, as they are when no thread chooses its driver. */
function variablesBefore(): (string | undefined)[] {
  return driverVariables.map((name) => {
    const value = Deno.env.get(name);
    const kept = value?.split(`:${keptMark}`)[1];
    return kept === undefined ? value : kept === "" ? undefined : decodeURIComponent(kept.slice(1));
  });
}

function restoreVariables(): void {
  if (Deno.build.os !== "linux") return;
  variablesBefore().forEach((value, i) => {
    const name = driverVariables[i] ?? "";
    if (value === undefined) Deno.env.delete(name);
    else if (value !== Deno.env.get(name)) Deno.env.set(name, value);
  });
}

/** Runs this while no other thread of the process does the same. */
function alone<T>(work: () => Promise<T>): Promise<T> {
  // TypeScript's library for Deno lacks it.
  const { locks } = navigator as unknown as {
    locks: { request(name: string, work: () => Promise<T>): Promise<T> };
  };
  return locks.request("wanstream: choice of a driver", () => {
    restoreVariables();
    return work();
  });
}

/**
 * Waits for the drivers of Workers that were just terminated to be unloaded, which their threads do by
 * themselves within milliseconds. A process that exits meanwhile runs exit handlers that are no longer
 * there, and dies of a segmentation fault; on a loaded machine that happens after this wait too (docs/log
 * has figures). Nothing tells when such a thread has ended: a program that leaves by `Deno.exit()` does
 * better to let its last Workers stay (`untilExit`).
 */
export async function driversUnloaded(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 100));
  // One of them may have been ended while it chose.
  await alone(() => Promise.resolve());
}

function facts(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined;
  }
}

/** What kind of adapter this is, as far as kernels choose their shape by it. */
export interface Traits {
  /** The adapter runs on the CPU: a few cores, barriers and workgroup memory are slow. */
  readonly cpu: boolean;
  /** Invocations of a workgroup that does much in each of them: 8 on a CPU, one SIMD register (of
   * AVX-512 too, so that all CPUs add in the same order); 64 on a GPU, one or two subgroups. */
  readonly lanes: number;
  /** Kernels that read much read faster from textures than from storage buffers. llvmpipe gathers
   * from storage buffers lane by lane, 20 times slower (texture.ts has the figures); SwiftShader reads
   * them five times slower. */
  readonly texturesFaster: boolean;
  /** Lanes of the smallest subgroup that the device may run; 0 where it has no subgroup operations. */
  readonly subgroup: number;
  /** It has a barrier for subgroups. */
  readonly subgroupBarrier: boolean;
  /** Kernels may compute in half precision. */
  readonly halves: boolean;
  /** Kernels may read words of 64 bits. */
  readonly wide: boolean;
}

/** The traits that an adapter's own description tells. */
export function traitsOf(
  { isFallbackAdapter: cpu }: { isFallbackAdapter: boolean },
  subgroup = 0,
  subgroupBarrier = false,
  halves = false,
  wide = false,
): Traits {
  const lanes = cpu ? 8 : 64;
  return { cpu, lanes, texturesFaster: cpu, subgroup, subgroupBarrier, halves, wide };
}

/** The choice by which measuring overrules `texturesFaster`: "textures" or "buffers". */
export const operandsKey = "operands";
