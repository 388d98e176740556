/** Makes conversations by the world's generator (a Python package) when they are needed. */
import { basename, dirname } from "node:path";
import type { Option } from "../cli/options.ts";
import { InputError } from "../../engine/config/errors.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { ifThere, RunError } from "../system/errors.ts";
import { openRecording, type Recording } from "./recordings.ts";
import type { Swap } from "./measures/truth.ts";

const python = "/usr/bin/python3";
const remedy =
  "'apt-get install python3-numpy espeak-ng ffmpeg', or leave --seeds out: the small set needs no Python";

/** The options of commands that make conversations. */
export const madeOptions = {
  seeds: {
    kind: "text",
    value: "FIRST..LAST",
    help: "conversations of these seeds, made when needed (needs Python)",
  },
  world: { kind: "choice", choices: ["1", "2"], help: "the world that they are made in (1)" },
  seconds: { kind: "number", value: "N", min: 10, max: 3600, help: "their length (24)" },
  keep: { kind: "text", value: "DIR", help: "keep them here, and use those that are there" },
} as const satisfies Record<string, Option>;

/** The folder of a world's generator. @param first That of world 1. */
export const worldFolder = (first: string, world: "1" | "2" | undefined): string =>
  world === "2" ? `${first}2` : first;

/** The packages of which a generator is made: world 2 builds on world 1. */
export const worldPackages = (folder: string): string[] =>
  folder.endsWith("2") ? [folder.slice(0, -1), folder] : [folder];

/** Their length in seconds where it isn't given. */
export const defaultSeconds = 24;

/** The last seed of the world. */
const lastSeed = 199_999;

/** Seeds of `FIRST..LAST`, both included, or of one number. @throws InputError */
export function parseSeeds(text: string): number[] {
  const [, first, last = first] = /^(\d{1,6})(?:\.\.(\d{1,6}))?$/.exec(text) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (first === undefined || from > to || to > lastSeed) {
    throw new InputError(
      `--seeds: ${valueText(text)} should be FIRST..LAST of 0 to ${lastSeed}, e.g. 100000..100199`,
    );
  }
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** What may be harder in made conversations; quiet: nothing. scripts/world/conditions.py has them. */
export const conditions = [
  "quiet",
  "noisy",
  "voices",
  "neural-voices",
  "classic-voices",
  "microphones",
  "pauses",
  "overlap",
] as const;
/** Those of world 2 alone (scripts/world2/conditions.py). */
export const newConditions = ["espeak-voices", "prompts", "characters"] as const;
export type Condition = (typeof conditions | typeof newConditions)[number];

export interface Wanted {
  seed: number;
  condition: Condition;
  seconds: number;
  swap: Swap["kind"] | null;
}

/** The name of its folder. */
export function nameOf({ seed, condition, swap }: Wanted): string {
  return [seed, ...condition === "quiet" ? [] : [condition], ...swap === null ? [] : [swap]].join(
    "-",
  );
}

/**
 * Makes a conversation's recording, in a folder inside `keep`, where it stays and is found again, or
 * in a temporary one that `dispose` removes.
 *
 * @param world The generator: the folder of its Python package.
 * @param generator Digest of the generator, with the length and the condition.
 * @throws InputError when Python, numpy, espeak-ng or FFmpeg is missing; RunError when they fail.
 */
export async function generate(
  world: string,
  wanted: Wanted,
  keep: string | null,
  generator: string,
): Promise<Recording> {
  if (keep !== null) {
    const folder = `${keep}/${nameOf(wanted)}`;
    const kept = await keptRecording(wanted, keep, generator);
    if (kept) return kept;
    await renderWhole(world, wanted, folder);
    await Deno.writeTextFile(`${folder}/${generatorName}`, generator);
    return await openRecording(folder);
  }
  const temporary = await Deno.makeTempDir({ prefix: "wanstream-eval-" });
  const dispose = () => Deno.remove(temporary, { recursive: true });
  try {
    const folder = `${temporary}/${nameOf(wanted)}`;
    await render(world, wanted, folder);
    return await openRecording(folder, dispose);
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Renders beside the folder and puts whole files into it: other processes may make, or read, the same. */
async function renderWhole(world: string, wanted: Wanted, folder: string): Promise<void> {
  const making = `${folder}.${crypto.randomUUID().slice(0, 8)}`;
  try {
    await render(world, wanted, making);
    await Deno.mkdir(folder, { recursive: true });
    await ifThere(Deno.remove(`${folder}/${generatorName}`));
    for await (const { name } of Deno.readDir(making)) {
      await Deno.rename(`${making}/${name}`, `${folder}/${name}`);
    }
  } finally {
    await ifThere(Deno.remove(making, { recursive: true }));
  }
}

/** In a kept conversation's folder: the digest of the generator that made it. */
const generatorName = "generator.txt";

/** A conversation that was made before by the same generator, of this length; null: it isn't there. Its
 * digest is written last: where it is, the rest is too. */
export async function keptRecording(
  wanted: Wanted,
  keep: string | null,
  generator: string,
): Promise<Recording | null> {
  const folder = `${keep}/${nameOf(wanted)}`;
  if (keep === null) return null;
  const made = await ifThere(Deno.readTextFile(`${folder}/${generatorName}`));
  return made === generator ? await openRecording(folder) : null;
}

async function render(
  world: string,
  { seed, seconds, condition, swap }: Wanted,
  folder: string,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const args = ["-m", `${basename(world)}.render`, `${seed}`, "--seconds", `${seconds}`];
  args.push("--out", await Deno.realPath(folder), "--form", "lossless", "--condition", condition);
  if (swap !== null) args.push("--swap", swap);
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command(python, {
      args,
      cwd: dirname(world),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new InputError(
        `--seeds: ${python} isn't there, or may not be started (Deno's --allow-run): ${remedy}`,
      );
    }
    throw new InputError(`--seeds: there is no ${python}: ${remedy}`);
  }
  if (output.success) return;
  const lines = new TextDecoder().decode(output.stderr).trim().split("\n");
  const said = lines.at(-1) ?? "";
  if (/No module named|No such file or directory: '(espeak-ng|ffmpeg)'/.test(said)) {
    throw new InputError(`--seeds: what makes conversations lacks something (${said}): ${remedy}`);
  }
  if (said.startsWith("--condition")) throw new InputError(said);
  throw new RunError(`making the conversation of seed ${seed} failed: ${said}`);
}
