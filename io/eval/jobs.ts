/** Which recordings are run, in order, and how each is had. */
import { generate, nameOf, parseSeeds, type Wanted } from "./generate.ts";
import { openRecording, type Recording, recordingFolders } from "./recordings.ts";
import { firstEvaluationSeed } from "./measures/truth.ts";

export interface Job {
  name: string;
  /** Seconds of stream that it will take, as far as is known. */
  seconds: number;
  open(): Promise<Recording>;
}

export interface Choice {
  /** A folder of recordings, for when no seeds are given. */
  folder: string;
  /** FIRST..LAST */
  seeds: string | undefined;
  /** Length of made conversations. */
  seconds: number;
  /** How many of the made ones are run with cards and questions swapped as well. */
  swaps: number | undefined;
  /** Most recordings, their swapped variants aside. */
  limit: number | undefined;
  keep: string | undefined;
  /** The generator of conversations: the folder of its Python package. */
  world: string;
}

/** Lists what will be run. @throws InputError */
export async function chooseJobs(choice: Choice, unitMs: number): Promise<Job[]> {
  const limit = choice.limit ?? Infinity;
  if (choice.seeds !== undefined) {
    const seeds = parseSeeds(choice.seeds).slice(0, limit);
    const swaps = choice.swaps ?? Math.ceil(seeds.length / 3);
    return seeds.flatMap((seed, i) => {
      const variants = i < swaps ? [null, "card", "question"] as const : [null];
      return variants.map((swap): Job => {
        const wanted: Wanted = { seed, seconds: choice.seconds, swap };
        return {
          name: nameOf(wanted),
          seconds: choice.seconds,
          open: () => generate(choice.world, wanted, choice.keep ?? null),
        };
      });
    });
  }
  const recordings = await Promise.all(
    (await recordingFolders(choice.folder)).map((folder) => openRecording(folder)),
  );
  const kept = recordings.filter(({ truth }) => truth.swap === null).slice(0, limit);
  const names = new Set(kept.map(({ name }) => name));
  return recordings
    .filter(({ name, truth: { swap } }) => names.has(swap?.of ?? name))
    .map((recording): Job => ({
      name: recording.name,
      seconds: (recording.truth.units * unitMs) / 1000,
      open: () => Promise.resolve(recording),
    }));
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

/** What the seeds are, in words; null: none of the recordings is of the world. */
export function seedRange(seeds: readonly (number | null)[]): string | null {
  const known = seeds.filter((seed) => seed !== null);
  if (known.length === 0) return null;
  const [first, last] = [Math.min(...known), Math.max(...known)];
  const span = first === last ? `seed ${first}` : `seeds ${first} to ${last}`;
  if (first >= firstEvaluationSeed) return `evaluation ${span}`;
  return `training range: ${span}: no evaluation`;
}
