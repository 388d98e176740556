/** Where kernel measurements are kept between runs: one JSON file of the user's. */
import { join } from "node:path";
import { parseTuneRecord, type TuneRecord, type TuningRequest } from "../../engine/mod.ts";
import { osReason } from "../system/errors.ts";
import { writeOutput } from "../system/output_file.ts";

/** More than any search writes; a larger file is not read. */
const mostBytes = 16 << 20;

/** Where the cache lies: in the user's cache folder; null when it has none. */
export function defaultTuneCache(): string | null {
  const get = (name: string) => {
    try {
      return Deno.env.get(name) || null;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) return null;
      throw error;
    }
  };
  const windows = Deno.build.os === "windows";
  const caches = get("XDG_CACHE_HOME") ?? (windows ? get("LOCALAPPDATA") : null);
  if (caches !== null) return join(caches, "wanstream", "tune.json");
  const home = get(windows ? "USERPROFILE" : "HOME");
  return home === null ? null : join(home, ".cache", "wanstream", "tune.json");
}

/** What earlier runs measured. A file that can't be read or has another content counts as empty, and `say`
 * gets a line about it. */
export async function readTuneCache(
  path: string,
  say: (line: string) => void,
): Promise<TuneRecord> {
  try {
    const { size } = await Deno.stat(path);
    if (size > mostBytes) throw new TypeError(`${size} bytes`);
    return parseTuneRecord(JSON.parse(await Deno.readTextFile(path)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    say(`${path}: is no cache of kernel measurements (${osReason(error)}): measured anew`);
    return {};
  }
}

/** Adds measurements to the file: replaced whole, so that no reader sees half of it. What other runs
 * added meanwhile stays. */
export async function writeTuneCache(path: string, record: TuneRecord): Promise<void> {
  const merged = await readTuneCache(path, () => {});
  for (const [adapter, entries] of Object.entries(record)) {
    const both = { ...(Object.hasOwn(merged, adapter) ? merged[adapter] : {}), ...entries };
    Object.defineProperty(merged, adapter, { value: both, enumerable: true, configurable: true });
  }
  await writeOutput(path, `${JSON.stringify(merged, null, 1)}\n`);
}

/** A request to tune kernels, and what keeps its measurements in the cache. */
export interface CachedTuning {
  request: TuningRequest;
  keep(): Promise<void>;
}

/**
 * What a session needs to tune its kernels with the cache in a file. Measurements are kept when
 * `keep` is called; a file that can't be written costs a line, not the run.
 */
export async function cachedTuning(
  path: string,
  say: (line: string) => void,
): Promise<CachedTuning> {
  let found: TuneRecord | null = null;
  const request: TuningRequest = {
    record: await readTuneCache(path, say),
    begin: (adapter) => say(`measuring kernels on ${adapter} (once; --no-tune leaves it out)`),
    end: (adapter, { record, measured, skipped, ms }) => {
      // The next device that is tuned takes what this one measured.
      request.record = record;
      if (measured + skipped === 0) return;
      found = record;
      const seconds = (ms / 1000).toFixed(1);
      say(`chose among ${measured} kernels' variants on ${adapter} in ${seconds} s`);
      if (skipped > 0) {
        say(`${skipped} more keep their default, no time was left: remove ${path} to measure anew`);
      }
    },
  };
  const keep = async () => {
    if (found === null) return;
    try {
      await writeTuneCache(path, found);
    } catch (error) {
      say(`${path}: can't be written (${osReason(error)}): the next run measures again`);
    }
  };
  return { request, keep };
}
