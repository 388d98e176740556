/** Which recordings are run, in order, and how each is had. */
import { InputError } from "../../engine/config/errors.ts";
import { valueText } from "../../engine/config/error_text.ts";
import {
  type Condition,
  generate,
  keptRecording,
  nameOf,
  parseSeeds,
  type Wanted,
  worldPackages,
} from "./generate.ts";
import { type Digests, openRecording, type Recording, recordingFolders } from "./recordings.ts";
import { say } from "../system/terminal.ts";
import { sourceDigest, valueDigest } from "../provenance/digests.ts";

export interface Job {
  name: string;
  /** Seconds of stream that it will take, as far as is known. */
  seconds: number;
  /** Digest of the generator that makes it, with length and condition asked for; null: it comes from a folder. */
  generator: string | null;
  /** Of the recording, where it is there already. */
  digests: Digests | null;
  open(): Promise<Recording>;
}

export interface Choice {
  /** A folder of recordings, for when no seeds are given. */
  folder: string;
  /** FIRST..LAST */
  seeds: string | undefined;
  /** Length of made conversations. */
  seconds: number;
  /** Of made conversations ("quiet"). */
  condition?: Condition | undefined;
  /** How many of the made ones are run with cards and questions swapped as well; 0: a folder's swapped
   * ones are left out too. */
  swaps: number | undefined;
  /** Most recordings, their swapped variants aside. */
  limit: number | undefined;
  keep: string | undefined;
  /** The generator of conversations: the folder of its Python package. */
  world: string;
  /** Says nothing of what is left out. */
  quiet?: boolean;
}

/** Lists what will be run. @throws InputError */
export async function chooseJobs(choice: Choice, unitMs: number): Promise<Job[]> {
  const limit = choice.limit ?? Infinity;
  if (choice.seeds !== undefined) {
    const seeds = parseSeeds(choice.seeds).slice(0, limit);
    const swaps = choice.swaps ?? Math.ceil(seeds.length / 3);
    const { world, seconds, condition = "quiet", keep = null } = choice;
    const sources = await sourceDigest(worldPackages(world), /\.py$/);
    const generator = valueDigest({ sources, seconds, condition });
    const wanted = seeds.flatMap((seed, i): Wanted[] => {
      const variants = i < swaps ? [null, "card", "question"] as const : [null];
      return variants.map((swap) => ({ seed, seconds, condition, swap }));
    });
    return await Promise.all(wanted.map(async (one): Promise<Job> => ({
      name: nameOf(one),
      seconds,
      generator,
      digests: (await keptRecording(one, keep, generator))?.digests ?? null,
      open: () => generate(world, one, keep, generator),
    })));
  }
  const { folders, without } = await recordingFolders(choice.folder);
  const recordings = await Promise.all(folders.map((folder) => openRecording(folder)));
  if (!choice.quiet) { for (const line of leftOut(recordings, without)) say(line); }
  const kept = recordings.filter(({ truth }) => truth.swap === null).slice(0, limit);
  const names = new Set(kept.map(({ name }) => name));
  return recordings
    .filter(({ name, truth: { swap } }) =>
      choice.swaps === 0 ? names.has(name) : names.has(swap?.of ?? name)
    )
    .map((recording): Job => ({
      name: recording.name,
      seconds: (recording.truth.units * unitMs) / 1000,
      generator: null,
      digests: recording.digests,
      open: () => Promise.resolve(recording),
    }));
}

/** Seeds of the noise: one number, or FIRST..LAST, both included. @throws InputError */
export function parseNoiseSeeds(text: string): number[] {
  const [, first, last = first] = /^(\d{1,16})(?:\.\.(\d{1,16}))?$/.exec(text) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (first === undefined || from > to || to - from >= 100 || !Number.isSafeInteger(to)) {
    throw new InputError(
      `--seed: ${
        valueText(text)
      } should be a whole number from 0 to 2^53 - 1, or FIRST..LAST of at ` +
        "most 100, e.g. 0..4",
    );
  }
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** What a folder holds that isn't measured, in words. */
export function leftOut(recordings: readonly Recording[], without: readonly string[]): string[] {
  const names = new Set(recordings.map(({ name }) => name));
  return [
    ...without.map((folder) => `${folder}: is left out: it has no truth.json`),
    ...recordings.flatMap(({ name, truth: { swap, otherTypes } }) => [
      ...(swap && !names.has(swap.of)
        ? [`${name}: is left out: the recording that it is a swap of, ${swap.of}, isn't there`]
        : []),
      ...(otherTypes.length > 0
        ? [`${name}: nothing is measured of its events of type ${otherTypes.join(", ")}`]
        : []),
    ]),
  ];
}

/** Opens jobs one after the other, the next while one is being worked on. */
export async function* opened(jobs: readonly Job[]): AsyncGenerator<Recording> {
  const ahead: Promise<Recording>[] = [];
  const start = (job: Job | undefined) => {
    if (!job) return;
    const opening = job.open();
    // Its error is thrown when it is its turn.
    opening.catch(() => {});
    ahead.push(opening);
  };
  start(jobs[0]);
  try {
    for (let i = 0; i < jobs.length; i++) {
      const recording = await ahead[0];
      ahead.shift();
      start(jobs[i + 1]);
      if (!recording) return;
      try {
        yield recording;
      } finally {
        await recording.dispose();
      }
    }
  } finally {
    for (const opening of ahead) await opening.then((one) => one.dispose(), () => {});
  }
}
