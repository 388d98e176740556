/** The Vulkan driver behind an adapter: on a CPU driver its version decides speed and rounding. */
import { basename, isAbsolute, join } from "node:path";
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

/** The driver that a spec chooses; null: WebGPU chose among several, or there is no driver file. */
export function driverOf(spec: string): Driver | null {
  try {
    const files = driverFiles();
    const file = driverFile(spec) ?? (files.length === 1 ? files[0] : undefined);
    return file === undefined ? null : { file, version: versionOf(file) };
  } catch {
    return null;
  }
}

function versionOf(file: string): string | null {
  const { ICD: { library_path: named } } = JSON.parse(Deno.readTextFileSync(file));
  for (const path of isAbsolute(named) ? [named] : libraryFolders.map((at) => join(at, named))) {
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
