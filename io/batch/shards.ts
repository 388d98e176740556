/** Which items of a batch a process takes, and the shards that have to be run again. */
import { InputError } from "../../engine/config/errors.ts";
import type { Option } from "../cli/options.ts";

/** The options' declarations. */
export const shardOptions = {
  shard: { kind: "text", value: "I/N", help: "every Nth item, from item I on (from 0 on)" },
  shards: {
    kind: "whole",
    min: 1,
    max: 1e6,
    help: `the same, I from the job's array: Slurm, Kubernetes, AWS Batch`,
  },
} as const satisfies Record<string, Option>;

/** Items whose place in the manifest is `index` modulo `of`. */
export interface Shard {
  index: number;
  of: number;
}

/** Where array jobs find the index of theirs. */
export const indexVariables = [
  "SLURM_ARRAY_TASK_ID",
  "JOB_COMPLETION_INDEX",
  "AWS_BATCH_JOB_ARRAY_INDEX",
] as const;

/**
 * The shard that the options ask for; all items where they ask for none.
 *
 * @param variable An environment variable's value.
 * @throws InputError
 */
export function chooseShard(
  { shard, shards }: { shard?: string | undefined; shards?: number | undefined },
  variable: (name: string) => string | undefined = (name) => Deno.env.get(name),
): Shard {
  if (shard !== undefined && shards !== undefined) {
    throw new InputError("--shard and --shards: give one of them");
  }
  if (shard !== undefined) {
    const [, index, of] = /^(\d{1,7})\/(\d{1,7})$/.exec(shard) ?? [];
    return checked({ index: Number(index), of: Number(of) }, `--shard ${shard}`);
  }
  if (shards === undefined) return { index: 0, of: 1 };
  const given = indexVariables.flatMap((name) => {
    const value = variable(name);
    return value === undefined || value === "" ? [] : [{ name, value }];
  });
  const [first, other] = given.filter(({ value }, i) =>
    given.findIndex((one) => one.value === value) === i
  );
  if (!first) {
    throw new InputError(
      `--shards ${shards}: none of ${
        indexVariables.join(", ")
      } is set: run it in an array job, or ` +
        "give --shard I/N",
    );
  }
  if (other) {
    throw new InputError(
      `--shards: ${first.name} is ${first.value} and ${other.name} is ${other.value}: give --shard I/N`,
    );
  }
  const index = /^\d{1,7}$/.test(first.value) ? Number(first.value) : NaN;
  return checked({ index, of: shards }, `--shards ${shards}: ${first.name} is ${first.value}`);
}

function checked(shard: Shard, what: string): Shard {
  const { index, of } = shard;
  if (index < of && of <= shardOptions.shards.max) return shard;
  throw new InputError(
    `${what}: the shard should be a whole number from 0 to one less than how many there are` +
      (of > 0 ? `, 0 to ${of - 1}` : ""),
  );
}

/** Whether a shard has the item at a place in the manifest. */
export const has = ({ index, of }: Shard, place: number): boolean => place % of === index;

/** Whole numbers as array jobs take them, e.g. "0,3-5". */
export function arrayExpression(indices: Iterable<number>): string {
  const runs: [first: number, last: number][] = [];
  for (const index of [...new Set(indices)].sort((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run && run[1] === index - 1) run[1] = index;
    else runs.push([index, index]);
  }
  return runs.map(([first, last]) => first === last ? `${first}` : `${first}-${last}`).join(",");
}
