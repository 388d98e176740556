/** The Vulkan driver behind an adapter: on a CPU driver its version decides speed and rounding. */
import { basename, dirname, isAbsolute, join } from "node:path";
import { driverFile, driverFiles } from "../../kernels/gpu/adapter.ts";

export interface Driver {
  /** The driver file's path. */
  file: string;
  /** As its library says, e.g. "Mesa 22.3.6", or as the library's name ends, e.g. "535.104.05"; null:
   * it doesn't tell. */
  version: string | null;
}

/** Where libraries lie that a driver file names without a path. */
const libraryFolders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"];

/** What an adapter is called, and what its driver file is. */
const families: [adapter: RegExp, file: RegExp][] = [
  [/llvmpipe/i, /lvp/],
  [/swiftshader/i, /swiftshader/],
  [/nvidia/i, /nvidia/],
  [/amd|radeon|radv/i, /amd|radeon/],
  [/intel/i, /intel/],
];

/**
 * The driver that a spec chooses; where WebGPU chose among several, the one of the adapter's family.
 * Null: that isn't known, or there is no driver file.
 */
export function driverOf(spec: string, adapter: string): Driver | null {
  try {
    const [, name] = families.find(([known]) => known.test(adapter)) ?? [];
    const all = driverFiles();
    const files = all.length === 1 ? all : all.filter((file) => name?.test(basename(file)));
    const file = driverFile(spec) ?? (files.length === 1 ? files[0] : undefined);
    return file === undefined ? null : { file, version: versionOf(file) };
  } catch {
    return null;
  }
}

function versionOf(file: string): string | null {
  const { ICD: { library_path: named } } = JSON.parse(Deno.readTextFileSync(file));
  const folders = named.startsWith(".") ? [dirname(file)] : libraryFolders;
  for (const path of isAbsolute(named) ? [named] : folders.map((at) => join(at, named))) {
    try {
      const ending = /\.so\.(\d+\.\d[\d.]*)$/.exec(basename(Deno.realPathSync(path)))?.[1];
      const text = new TextDecoder("latin1").decode(Deno.readFileSync(path));
      return /Mesa \d+\.\d+[\w.-]*/.exec(text)?.[0] ?? ending ?? null;
    } catch {
      // It lies elsewhere.
    }
  }
  return null;
}
