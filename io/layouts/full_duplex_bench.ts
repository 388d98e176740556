/**
 * Full-Duplex-Bench v1.0 and v1.5 (arXiv 2503.04721, 2507.23159) as folders: each sample has a folder
 * with `input.wav` and what its task knows of it, and each system writes `output.wav` and
 * `output.json` beside them. In v1.5 there is `clean_input.wav` too, without the overlap.
 */
import { basename, dirname, join, relative, resolve } from "node:path";
import { InputError } from "../../engine/config/errors.ts";
import { Fields } from "../../engine/config/config_fields.ts";
import { Resampler } from "../media/resample.ts";
import { WavWriter } from "../media/wav.ts";
import { ifThere, readError } from "../system/errors.ts";
import { Outputs } from "../system/output_file.ts";
import { program } from "../system/program.ts";
import type { Layout, LayoutAnswer, LayoutItem, SpokenWord } from "./layout.ts";

/** Samples per second of `output.wav`. */
export const outputRate = 16000;

/** What a sample is about: v1.0's four tasks, and v1.5's talk that overlaps the agent's. */
export type Task =
  | "pause_handling"
  | "backchannel"
  | "smooth_turn_taking"
  | "user_interruption"
  | "overlap";

/** The file that says so, and that nothing else has. */
const annotations: Record<string, Task> = {
  "pause.json": "pause_handling",
  "turn_taking.json": "smooth_turn_taking",
  "interrupt.json": "user_interruption",
  "metadata.json": "overlap",
};

/** A sample's folder. */
export interface Sample {
  folder: string;
  /** Its own name, e.g. "12". */
  name: string;
  /** The name of the folder in which it lies with its like, e.g. "candor_pause_handling". */
  set: string;
  task: Task;
  /** There is a recording without the overlap. */
  hasClean: boolean;
}

/** Folders are looked into this far below the one that is given. */
const deepest = 4;
const most = 100_000;

/** Finds all samples under a folder, in the order of their paths. @throws InputError */
export async function findSamples(root: string): Promise<Sample[]> {
  const samples: Sample[] = [];
  let looked = 0;
  const look = async (folder: string, above: readonly string[]) => {
    if (++looked > most) throw new InputError(`${root}: has more than ${most} folders`);
    // A link may lead back to where it was found.
    const place = await Deno.realPath(folder);
    if (above.includes(place)) return;
    const names = new Map<string, boolean>();
    for await (const entry of Deno.readDir(folder)) {
      if (entry.name.startsWith(".")) continue;
      const info = entry.isSymlink ? await ifThere(Deno.stat(join(folder, entry.name))) : entry;
      if (info) names.set(entry.name, info.isDirectory);
    }
    if (names.get("input.wav") === false) {
      samples.push(sampleOf(folder, [...names.keys()]));
    } else if (above.length < deepest) {
      const folders = [...names].flatMap(([name, isFolder]) => isFolder ? [name] : []);
      for (const name of folders.sort(inOrder)) await look(join(folder, name), [...above, place]);
    }
  };
  await look(root, []).catch((error) => {
    throw error instanceof InputError ? error : readError(root, error);
  });
  if (samples.length === 0) {
    throw new InputError(
      `${root}: no folder in it has an input.wav: give Full-Duplex-Bench's folder, or a task's`,
    );
  }
  return samples;
}

/** Numbers in names count as numbers. */
const inOrder = new Intl.Collator("en", { numeric: true }).compare;

function sampleOf(folder: string, names: string[]): Sample {
  const set = basename(dirname(resolve(folder)));
  const found = Object.keys(annotations).filter((name) => names.includes(name));
  const task = found.length === 0 && /backchannel/.test(set)
    ? "backchannel"
    : annotations[found[0] ?? ""];
  if (task === undefined || found.length > 1) {
    throw new InputError(
      `${folder}: ${
        found.length > 1 ? `has ${found.join(" and ")}` : "has no annotation"
      }: a sample ` +
        `has one of ${Object.keys(annotations).join(", ")}, or lies in a folder named backchannel`,
    );
  }
  const hasClean = names.includes("clean_input.wav");
  return { folder, name: basename(folder), set, task, hasClean };
}

/** What stands in `interrupt.json`, `turn_taking.json`: seconds of the first event. @throws InputError */
export async function eventTimes({ folder, task }: Sample): Promise<[from: number, to: number]> {
  const name = Object.entries(annotations).find(([, of]) => of === task)?.[0] ?? "";
  const path = join(folder, name);
  const value = await readJson(path);
  const fields = Array.isArray(value)
    ? new Fields(value[0], `${path}: entry 1`)
    : new Fields(value, path);
  const key = fields.has("timestamps") ? "timestamps" : "timestamp";
  const [from, to] = fields.list(key, [2, 2]);
  if (
    typeof from !== "number" || typeof to !== "number" ||
    !(from >= 0 && to >= from && to < Infinity)
  ) {
    throw fields.error(key, "two times in seconds, in order");
  }
  return [from, to];
}

const maxBytes = 16 << 20;

/** A file of JSON. @throws InputError */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    const { size, isFile } = await Deno.stat(path);
    // A pipe would be waited for.
    if (!isFile) throw new InputError(`${path}: is no file: save its content to one`);
    if (size > maxBytes) throw new InputError(`${path}: is larger than ${maxBytes} bytes`);
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw error instanceof InputError ? error : readError(path, error);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`${path}: is no JSON: write it again`);
  }
}

async function items(root: string): Promise<LayoutItem[]> {
  const found = (await findSamples(root)).flatMap((sample) =>
    ["", ...sample.hasClean ? ["clean_"] : []].map((prefix) => ({ ...sample, prefix }))
  );
  const byId = new Map<string, LayoutItem>();
  for (const { folder, name, prefix } of found) {
    const path = relative(root, folder) || name;
    const id = `${path.replace(/[^\w.-]+/g, "-")}${prefix && "-clean"}`;
    const other = byId.get(id);
    if (other) throw new InputError(`${folder} and ${other.folder}: both are called ${id}`);
    const outputs = ["wav", "json"].map((kind) => join(folder, `${prefix}output.${kind}`));
    await checkOurs(outputs);
    byId.set(id, { id, input: join(folder, `${prefix}input.wav`), folder, outputs });
  }
  return [...byId.values()];
}

/** Refuses to replace what another system answered. @throws InputError */
async function checkOurs(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (await ifThere(Deno.stat(path)) === null) continue;
    const json = path.replace(/\.wav$/, ".json");
    const said = await readJson(json).then((value) => new Fields(value, json)).catch(() => null);
    if (/^wanstream /.test(`${said?.get("made_by")}`)) continue;
    throw new InputError(
      `${path}: is another system's answer: move it, or answer a copy of the folder without it`,
    );
  }
}

async function write(item: LayoutItem, answer: LayoutAnswer): Promise<void> {
  const [wav = "", json = ""] = item.outputs;
  const outputs = new Outputs([item.input], true);
  try {
    // Files get their names in this order: the sound never stands without the mark of who made it.
    const text = await outputs.claim(json);
    const sound = await outputs.claim(wav);
    const writer = await WavWriter.create(sound.temporary, outputRate);
    await writer.write(inTime(answer)).finally(() => writer.close());
    const chunks = (await heardWords(item, answer)).map(({ text, from, to }) => ({
      text,
      timestamp: [from, to].map((at) => Number(at.toFixed(3))),
    }));
    const written = {
      text: chunks.map(({ text }) => text).join(" "),
      chunks,
      made_by: program,
    };
    await Deno.writeTextFile(text.temporary, `${JSON.stringify(written, null, 2)}\n`);
    await outputs.commit();
  } finally {
    await outputs.discard();
  }
}

/** The answer's sound on the recording's clock: as late as it can be heard, as long as the recording. */
export function inTime({ samples, sampleRate, seconds, delay }: LayoutAnswer): Float32Array {
  const resampler = new Resampler(sampleRate, outputRate);
  const given = [resampler.push(samples), resampler.flush()];
  const sound = new Float32Array(Math.round(seconds * outputRate));
  let at = Math.round(delay * outputRate);
  for (const part of given) {
    if (at < sound.length) sound.set(part.subarray(0, sound.length - at), at);
    at += part.length;
  }
  return sound;
}

/**
 * The words that are heard before the recording ends. After an interruption (v1.0) only what begins
 * after it counts: the task's own recognizer hears nothing else.
 */
async function heardWords(
  { folder }: LayoutItem,
  { words, seconds, delay }: LayoutAnswer,
): Promise<SpokenWord[]> {
  const sample = sampleOf(folder, await namesIn(folder));
  const first = sample.task === "user_interruption" ? (await eventTimes(sample))[1] : 0;
  return words.map(({ text, from, to }) => ({
    text,
    from: from + delay,
    to: Math.min(to + delay, seconds),
  })).filter(({ from }) => from >= first && from < seconds);
}

async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}

/** Full-Duplex-Bench, both versions. */
export const fullDuplexBench: Layout = { name: "full-duplex-bench", items, write };
