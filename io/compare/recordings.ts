/** The recordings of a comparison: of a seed range, of a folder, of a benchmark's folders. */
import { InputError } from "../../engine/config/errors.ts";
import { nearest } from "../../engine/config/nearest.ts";
import { chooseJobs, type Job } from "../eval/jobs.ts";
import type { Truth } from "../eval/measures/truth.ts";
import type { Recording } from "../eval/recordings.ts";
import { wholeUnits } from "../eval/run.ts";
import { findSamples } from "../layouts/full_duplex_bench.ts";
import { readWavHeader } from "../media/wav.ts";
import { fileDigest } from "../provenance/digests.ts";
import type { Condition } from "./conditions.ts";

/** Where they come from. */
export interface Choice {
  /** A folder, where no seeds are given. */
  folder: string;
  /** The folder is Full-Duplex-Bench's. */
  isLayout: boolean;
  seeds: string | undefined;
  seconds: number;
  swaps: number;
  limit: number | undefined;
  /** The same for every condition but the first. */
  each: number | undefined;
  keep: string | undefined;
  /** The generator of conversations. */
  world: string;
  quiet: boolean;
}

/** What is run under a condition. @throws InputError */
export async function jobsOf(
  { isLayout, folder, each, ...choice }: Choice,
  condition: Condition,
  isFirst: boolean,
  unitMs: number,
): Promise<Job[]> {
  const limit = Math.min(choice.limit ?? Infinity, isFirst ? Infinity : each ?? Infinity);
  if (isLayout) return (await layoutJobs(folder, unitMs)).slice(0, limit);
  return await chooseJobs({
    ...{ ...choice, folder, condition: condition.recordings },
    limit: Number.isFinite(limit) ? limit : undefined,
    swaps: isFirst ? choice.swaps : 0,
  }, unitMs);
}

/** Names of the recordings that stand in the page. @param names By condition. @throws InputError */
export function shownOf(
  list: string | undefined,
  names: readonly (readonly string[])[],
): string[] {
  const shown = list?.split(",") ?? (names[0] ?? []).slice(0, 3);
  const all = names.flat();
  const unknown = shown.find((name) => !all.includes(name));
  if (unknown === undefined) return [...new Set(shown)];
  const near = nearest(unknown, all) ?? all.slice(0, 3).join(", ");
  throw new InputError(`--show: '${unknown}' is no recording of this run; it may be ${near}`);
}

/** The digest of a truth record that isn't there. */
export const noRecord = "none";

/** Recordings that have no truth record of ours: nothing of them is judged but what is heard. */
async function layoutJobs(folder: string, unitMs: number): Promise<Job[]> {
  const jobs: Job[] = [];
  for (const { folder: path, set, name } of await findSamples(folder)) {
    const user = `${path}/input.wav`;
    const format = await readWavHeader(user);
    if (!format) throw new InputError(`${user}: isn't PCM or float: convert it`);
    const seconds = format.length / format.frame / format.sampleRate;
    const units = wholeUnits(seconds, unitMs);
    const digests = { recording: await fileDigest(user), truth: noRecord };
    const recording: Recording = {
      ...{ name: `${set}-${name}`, truth: noTruth(units), user, agent: null, digests },
      dispose: () => Promise.resolve(),
    };
    const { name: id } = recording;
    jobs.push({
      ...{ name: id, seconds, generator: null, digests, open: () => Promise.resolve(recording) },
    });
  }
  return jobs;
}

const noTruth = (units: number): Truth => ({
  ...{ units, seed: null, events: [], swap: null, otherTypes: [], seconds: null },
  timeline: Array.from(
    { length: units },
    () => ({ user: false, agent: false, word: null, typed: null }),
  ),
});

/** Whether a truth record tells anything. */
export const isJudged = ({ events }: Truth) => events.length > 0;
