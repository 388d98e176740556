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

/** The Vulkan driver files of this machine (Linux; elsewhere there are none and WebGPU chooses). */
export function driverFiles(): string[] {
  if (Deno.build.os !== "linux") return [];
  const given = Deno.env.get("VK_DRIVER_FILES") ?? Deno.env.get("VK_ICD_FILENAMES");
  const files = new Set(given?.split(":").filter((file) => file !== ""));
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
    hasGraphicsDevice();
}

function hasGraphicsDevice(): boolean {
  try {
    return Deno.statSync("/dev/dri").isDirectory;
  } catch {
    return false;
  }
}

/** The driver file that a spec names; undefined for "default".
 * Throws InputError when no file, or more than one, matches. */
export function driverFile(spec: AdapterSpec): string | undefined {
  if (spec === "default") return undefined;
  const files = driverFiles();
  const matches = spec.includes("/")
    ? files.filter((file) => file === spec)
    : files.filter((file) => stem(file).toLowerCase().includes(spec.toLowerCase()));
  const [match, second] = matches;
  if (match && (!second || stem(match) === spec)) return match;
  const known = ["default", ...files.map(stem)].join(", ");
  throw new InputError(
    match
      ? `adapter '${spec}' fits ${matches.map(stem).join(" and ")}: give one of these names`
      : `adapter '${spec}' matches nothing: it may be ${known} (see 'adapters'), or a driver file's path`,
  );
}

/** The short name of a driver file: what a spec needs to say. */
export function stem(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1).replace(/\.json$/, "");
}

/**
 * Requests the adapter of a spec. Only a thread's first request chooses the driver, so a thread that
 * needs another one is a new Worker.
 *
 * @throws InputError when the spec matches nothing or its driver gives no adapter.
 */
export async function requestAdapter(spec: AdapterSpec = "default"): Promise<GPUAdapter> {
  prepareEnvironment(driverFile(spec));
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (adapter) return adapter;
  throw new InputError(
    spec === "default"
      ? "no Vulkan driver gives a WebGPU adapter: install one ('apt-get install mesa-vulkan-drivers' for a CPU driver) or run 'deno task setup'"
      : `adapter '${spec}': its driver gives no WebGPU adapter on this machine: choose another (see 'adapters')`,
  );
}

function prepareEnvironment(file: string | undefined): void {
  if (Deno.build.os !== "linux") return;
  // Without a Vulkan driver Deno would fall back to a GL adapter silently.
  if (!Deno.env.get("DENO_WEBGPU_BACKEND")) Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
  // Mesa prints an error on stderr unless this names a folder.
  if (!Deno.env.get("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  if (file) {
    Deno.env.set("VK_DRIVER_FILES", file);
    Deno.env.set("VK_ICD_FILENAMES", file);
  }
}
