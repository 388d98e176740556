/** What of an earlier run's file can be used: results are never put together that rest on other things. */
import { InputError } from "../../engine/config/errors.ts";
import { say } from "../system/terminal.ts";
import { difference, type SharedBasis } from "./figures/basis.ts";
import type { EvalFile } from "./figures/events_file.ts";
import type { RecordingResult } from "./figures/recording_result.ts";
import type { Job } from "./jobs.ts";

export interface Usable {
  /** Results of what is asked for now: it isn't run again. */
  asked: RecordingResult[];
  /** Results of other recordings and seeds, which stay in the file and count for nothing now. */
  others: RecordingResult[];
}

/**
 * Sorts a file's results, and says which recordings have changed since and are run again.
 *
 * @param settings The settings now, for the message. @param elsewhere What else may be given, for it.
 * @throws InputError that says what differs, where the results can't stand in one file.
 */
export function usable(
  { path, results, header }: EvalFile,
  jobs: readonly Job[],
  noiseSeeds: readonly number[],
  basis: Omit<SharedBasis, "generator">,
  settings: object,
  elsewhere = "another file to --events",
): Usable {
  const byName = new Map(jobs.map((job) => [job.name, job]));
  const generator = jobs[0]?.generator ?? null;
  const found: Usable = { asked: [], others: [] };
  for (const result of results) {
    const { name, noiseSeed, basis: { recording, truth, ...shared } } = result;
    const other = difference(shared, { ...basis, generator });
    if (other !== null) {
      const which = shared.settings === basis.settings
        ? ""
        : changes(header.runs.at(-1)?.settings ?? {}, settings);
      throw new InputError(
        `${path}: ${name} rests on ${other}${which}: give the same again, or ${elsewhere}`,
      );
    }
    const job = byName.get(name);
    const { digests } = job ?? {};
    if (!job || !noiseSeeds.includes(noiseSeed)) found.others.push(result);
    else if (!digests || (digests.recording === recording && digests.truth === truth)) {
      found.asked.push(result);
    } else {
      const what = digests.recording === recording ? "truth record" : "recording";
      say(`${path}: ${name} is run again: its ${what} has changed since`);
    }
  }
  const others = found.others.length;
  if (others > 0) {
    const [are, they] = others === 1 ? ["is", "it stays"] : ["are", "they stay"];
    say(
      `${path}: ${others} of its results ${are} of other recordings or seeds: ${they} in the file ` +
        `and ${others === 1 ? "doesn't" : "don't"} count for these figures`,
    );
  }
  return found;
}

/** The settings that differ, in words. */
function changes(before: object, now: object): string {
  const [old, own] = [before, now].map((settings) => new Map(leaves(settings)));
  const keys = [...own?.keys() ?? []];
  const differing = keys.filter((key) => old?.get(key) !== own?.get(key));
  const listed = differing.map((key) => `${key} ${old?.get(key)}, now ${own?.get(key)}`);
  return listed.length === 0 ? "" : ` (${listed.join("; ")})`;
}

/** Plain values of nested objects by their paths. */
function leaves(value: object, path = ""): [string, unknown][] {
  return Object.entries(value).flatMap(([key, inner]): [string, unknown][] =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? leaves(inner, `${path}${key}.`)
      : [[`${path}${key}`, JSON.stringify(inner)]]
  );
}
