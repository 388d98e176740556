/** Lists every adapter that can be reached: each driver file is tried in a Worker of its own. */
import { type AdapterSpec, driverFiles, stem } from "./adapter.ts";
import type { AdapterFacts } from "./probe_worker.ts";

/** An adapter and how to reach it. */
export interface AdapterDescription extends AdapterFacts {
  /** The spec that selects it. */
  spec: AdapterSpec;
  /** The Vulkan driver file; null: the default adapter's, which isn't known. */
  driverFile: string | null;
}

/** Probes the default adapter and every driver file, one after the other (the driver variables
 * belong to the process). Drivers that give no adapter are left out. */
export async function listAdapters(): Promise<AdapterDescription[]> {
  const found: AdapterDescription[] = [];
  const files = driverFiles();
  for (const file of files.length > 0 ? files : [null]) {
    const reply = await probe(file ?? "default");
    const spec = file === null ? "default" : shortest(file, files);
    if (reply) found.push({ spec, driverFile: file, ...reply });
  }
  return found;
}

function shortest(file: string, files: readonly string[]): AdapterSpec {
  const name = stem(file);
  return files.filter((other) => stem(other).includes(name)).length > 1 ? file : name;
}

function probe(spec: AdapterSpec): Promise<AdapterFacts | null> {
  const worker = new Worker(new URL("./probe_worker.ts", import.meta.url), { type: "module" });
  return new Promise<AdapterFacts | null>((resolve) => {
    worker.onmessage = ({ data }: MessageEvent<AdapterFacts | null>) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      resolve(null);
    };
    worker.postMessage(spec);
  }).finally(() => worker.terminate());
}
