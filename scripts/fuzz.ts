/**
 * Damages recordings and checkpoints at random and reads them: `deno task fuzz --count 5000 --seed 1`.
 *
 * A damaged file may be refused (InputError, RunError) or read. It may not bring another exception,
 * ten seconds without an end, a stray file, an FFmpeg that lives on, or memory that grows. Seed and
 * number tell a case, so that `--first N --count 1` repeats it; a case that fails is kept in out/fuzz.
 */
import { parseArgs } from "node:util";
import { openCheckpoint } from "../engine/checkpoint/checkpoint.ts";
import { InputError } from "../engine/config/errors.ts";
import { openTokenizer } from "../engine/checkpoint/tokenizer.ts";
import { RunError } from "../io/system/errors.ts";
import { say } from "../io/system/terminal.ts";
import { type Ffmpeg, findFfmpeg } from "../io/ffmpeg/ffmpeg.ts";
import { openSource } from "../io/ends/endpoints.ts";
import { openInput } from "../io/ends/observe.ts";
import { ObservationReader } from "../io/media/observation_reader.ts";
import { keptOptions, readProgress, type SavedProgress } from "../io/saved/saved_progress.ts";
import { concat } from "../io/system/bytes.ts";
import { SessionFolder } from "../io/system/session_folder.ts";
import { awaitHead, decodeStream } from "../io/ends/stream_decode.ts";
import type { StreamShape } from "../io/media/stream_shape.ts";
import { readTuneCache } from "../io/cli/tune_cache.ts";
import { snapshotAfter } from "../tests/io/session_saver.ts";
import { tinyConfig, withCheckpoint } from "../tests/engine/tiny_checkpoint.ts";
import { random } from "../tests/reference/random.ts";
import { mutateBytes, mutateJson, mutateText } from "./mutate.ts";

/** Longest time that a case may take, in ms. */
const longestMs = 10_000;
/** Units that are read of a case; a damaged clock may make any number. */
const maxUnits = 100;
/** How much this process may grow over all cases. */
const maxGrowth = 600e6;

const shape: StreamShape = {
  ...{ unitMs: 160, fps: 25, frames: 4, width: 32, height: 24 },
  ...{ sampleRate: 8000, samples: 1280 },
};

/** What is damaged: one of these per case, in turn. Few need FFmpeg, whose two starts take time. */
const kinds = [
  ...["mp4", "wav", "y4m", "config.json", "mkv", "wav", "y4m", "model.safetensors"],
  ...["nut", "wav", "y4m", "tokenizer.json", "ogg", "wav", "y4m", "index.json"],
  // Through a pipe; a saved run; kernels' measurements.
  ...["stream.nut", "session.json", "stream.mkv", "tune.json"],
];
const media = ["mp4", "mkv", "nut", "ogg", "wav", "y4m", "stream.nut", "stream.mkv"];
const weights = "model.safetensors";
const index = "model.safetensors.index.json";

/** Files that are whole, by kind. */
export type Corpus = Map<string, Uint8Array<ArrayBuffer>>;

/** What a run of the fuzzer found. */
export interface FuzzResult {
  cases: number;
  read: number;
  refused: number;
  /** Left out, because there is no FFmpeg. */
  skipped: number;
  /** Of the slowest case, in ms. */
  slowest: number;
  failures: string[];
}

/** Makes the files to be damaged: half a second of picture and tone, a checkpoint of a few kB. */
export async function makeCorpus(ffmpeg: Ffmpeg | null): Promise<Corpus> {
  const corpus: Corpus = new Map();
  await withCheckpoint(tinyConfig(), async (folder) => {
    for (const name of ["config.json", "tokenizer.json", weights]) {
      corpus.set(name, await Deno.readFile(`${folder}/${name}`));
    }
    const { tensors } = await openCheckpoint(folder);
    const weight_map = Object.fromEntries([...tensors.keys()].map((name) => [name, weights]));
    corpus.set("index.json", new TextEncoder().encode(JSON.stringify({ weight_map })));
    if (ffmpeg === null) return;
    const inputs = [
      ...["-f", "lavfi", "-i", "testsrc2=size=32x24:rate=25:duration=0.5"],
      ...["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=8000:duration=0.5"],
    ];
    const codings: Record<string, string[]> = {
      mp4: ["-c:v", "mpeg4", "-c:a", "aac"],
      mkv: ["-c:v", "mpeg4", "-c:a", "flac"],
      nut: ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"],
      ogg: ["-map", "1:a", "-c:a", "flac"],
    };
    for (const [kind, coding] of Object.entries(codings)) {
      const path = `${folder}/whole.${kind}`;
      const { success } = await new Deno.Command(ffmpeg.path, {
        args: ["-nostdin", "-loglevel", "error", ...inputs, ...coding, path],
        stdout: "null",
        stderr: "inherit",
      }).output();
      if (!success) throw new Error(`FFmpeg can't make a ${kind}`);
      corpus.set(kind, await Deno.readFile(path));
    }
  });
  await addSession(corpus);
  const chosen = { chosen: "registers", times: { registers: 1.5, tiles: "wrong: NaN" } };
  const record = { llvmpipe: { "matmul f32 64x192x448": chosen, "attention f16 14x560": chosen } };
  corpus.set("tune.json", new TextEncoder().encode(JSON.stringify(record)));
  for (const kind of ["nut", "mkv"]) {
    const whole = corpus.get(kind);
    if (whole) corpus.set(`stream.${kind}`, whole);
  }
  corpus.set("wav", wholeWav());
  corpus.set("y4m", wholeY4m());
  return corpus;
}

/** A saved session; its blobs are there by their files' names. */
async function addSession(corpus: Corpus): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "wanstream-fuzz-" });
  try {
    const progress: SavedProgress = {
      command: "replay",
      options: keptOptions({ network: "350ms", pace: "max", units: 9, "no-tune": true }),
      userText: null,
      input: { path: "talk.mp4", sha256: "0".repeat(64) },
      ...{ first: 0, units: 8, every: 4, lineBytes: 4000, wallMs: 900.5 },
    };
    await new SessionFolder(path).save(snapshotAfter(7), progress);
    corpus.set("session.json", await Deno.readFile(`${path}/session.json`));
    for await (const { name } of Deno.readDir(`${path}/blobs`)) {
      corpus.set(`blobs/${name}`, await Deno.readFile(`${path}/blobs/${name}`));
    }
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

function wholeWav(): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(44 + 8000));
  for (const [at, text] of [[0, "RIFF"], [8, "WAVE"], [12, "fmt "], [36, "data"]] as const) {
    new TextEncoder().encodeInto(text, new Uint8Array(view.buffer, at, 4));
  }
  for (const [at, value] of [[4, 8036], [16, 16], [24, 8000], [28, 16000], [40, 8000]] as const) {
    view.setUint32(at, value, true);
  }
  for (const [at, value] of [[20, 1], [22, 1], [32, 2], [34, 16]] as const) {
    view.setUint16(at, value, true);
  }
  return new Uint8Array(view.buffer);
}

function wholeY4m(): Uint8Array<ArrayBuffer> {
  const text = "YUV4MPEG2 W32 H24 F25:1 Ip A1:1 C420jpeg\n" +
    `FRAME\n${"a".repeat(32 * 24 * 3 / 2)}`.repeat(8);
  return new TextEncoder().encode(text);
}

/** The name and content of a case. */
export function makeCase(seed: number, number: number, corpus: Corpus) {
  const kind = kinds[number % kinds.length] ?? "wav";
  const whole = corpus.get(kind);
  const next = random(Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b));
  if (whole === undefined) return { kind, bytes: null };
  if (kind === weights && next() < 0.7) return { kind, bytes: mutateHeader(whole, next) };
  if (kind.endsWith("json") && next() < 0.7) return { kind, bytes: mutateJson(whole, next) };
  if (kind === "y4m" && next() < 0.6) {
    const end = whole.indexOf(10);
    const head = mutateText(whole.subarray(0, end), next);
    return { kind, bytes: concat([head, whole.subarray(end)]) };
  }
  return { kind, bytes: mutateBytes(whole, next) };
}

/** Safetensors with a changed header whose stated length fits, or mostly fits. */
function mutateHeader(whole: Uint8Array<ArrayBuffer>, next: () => number) {
  const length = Number(new DataView(whole.buffer).getBigUint64(0, true));
  const header = mutateJson(whole.subarray(8, 8 + length), next);
  const prefix = new DataView(new ArrayBuffer(8));
  const lie = next() < 0.1 ? BigInt(Math.floor(next() * 2 ** 40)) : 0n;
  prefix.setBigUint64(0, BigInt(header.length) + lie, true);
  return concat([new Uint8Array(prefix.buffer), header, whole.subarray(8 + length)]);
}

/** Writes a case into an empty folder. @returns What to open: a file, or the folder. */
export async function writeCase(
  folder: string,
  kind: string,
  bytes: Uint8Array<ArrayBuffer>,
  corpus: Corpus,
): Promise<string> {
  if (media.includes(kind) || kind === "tune.json") {
    await Deno.writeFile(`${folder}/case.${kind}`, bytes);
    return `${folder}/case.${kind}`;
  }
  if (kind === "session.json") {
    await Deno.mkdir(`${folder}/blobs`);
    await Deno.writeFile(`${folder}/session.json`, bytes);
    for (const [name, content] of corpus) {
      if (name.startsWith("blobs/")) await Deno.writeFile(`${folder}/${name}`, content);
    }
    return folder;
  }
  // A name of its own for the shard, so that the index is looked at.
  const shard = "shard.safetensors";
  const text = (data: Uint8Array) => new TextDecoder().decode(data).replaceAll(weights, shard);
  for (const name of ["config.json", "tokenizer.json", weights]) {
    const content = kind === name ? bytes : corpus.get(name) ?? bytes;
    const sharded = kind === "index.json" && name === weights;
    await Deno.writeFile(`${folder}/${sharded ? shard : name}`, content);
  }
  if (kind === "index.json") await Deno.writeTextFile(`${folder}/${index}`, text(bytes));
  return folder;
}

/** Reads a case as the program would. */
async function readCase(kind: string, path: string, ffmpeg: Ffmpeg | null): Promise<void> {
  if (kind === "tune.json") {
    const lines: string[] = [];
    await readTuneCache(path, (line) => lines.push(line));
    // It is never an error.
    if (lines.length > 0) throw new InputError(lines.join("\n"));
    return;
  }
  if (kind === "session.json") {
    const { snapshot, progress } = await new SessionFolder(path).load();
    readProgress(progress, snapshot, path);
    return;
  }
  if (/json|safetensors/.test(kind)) {
    const { config, tokenizer } = await openCheckpoint(path);
    const { encode, decode } = openTokenizer(tokenizer, config);
    decode(encode("Hello, 世界 <|im_end|>"));
    return;
  }
  const find = () =>
    ffmpeg ? Promise.resolve(ffmpeg) : Promise.reject(new InputError("no FFmpeg was found"));
  const observations = kind.startsWith("stream.")
    ? await openStream(path, find)
    : (await openInput(path, shape, find)).observations;
  let units = 0;
  for await (const { audio, frames } of observations) {
    if (audio && audio.length !== shape.samples) throw new Error(`${audio.length} samples`);
    if (frames && frames.length !== 4 * 32 * 24 * 3) throw new Error(`${frames.length} bytes`);
    if (audio?.some((sample) => !(Math.abs(sample) <= 1))) throw new Error("sound out of range");
    if (++units === maxUnits) break;
  }
}

/** A file as it would come through a pipe. */
async function openStream(path: string, find: () => Promise<Ffmpeg>): Promise<ObservationReader> {
  const source = await openSource(path, find);
  try {
    const media = decodeStream(await find(), source, await awaitHead(source), shape);
    return new ObservationReader(media, shape, undefined, 13);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Runs cases `first` .. `first + count - 1`; those that fail are kept in `keep`. */
export async function fuzz(
  { seed, first = 0, count, keep, limitMs = longestMs, say = () => {} }: {
    seed: number;
    first?: number;
    count: number;
    keep: string;
    /** Longest time that a case may take; a busy machine needs more. */
    limitMs?: number;
    say?: (line: string) => void;
  },
): Promise<FuzzResult> {
  const ffmpeg = await findFfmpeg().catch(() => null);
  const corpus = await makeCorpus(ffmpeg);
  const result: FuzzResult = {
    ...{ cases: 0, read: 0, refused: 0, skipped: 0, slowest: 0, failures: [] },
  };
  const root = await Deno.makeTempDir({ prefix: "wanstream-fuzz-" });
  const before = Deno.memoryUsage().rss;
  const children = watchChildren();
  try {
    for (let number = first; number < first + count && result.failures.length < 20; number++) {
      const { kind, bytes } = makeCase(seed, number, corpus);
      if (bytes === null) {
        result.skipped++;
        continue;
      }
      const folder = `${root}/${number}`;
      await Deno.mkdir(folder);
      const path = await writeCase(folder, kind, bytes, corpus);
      const names = list(folder);
      const start = performance.now();
      let failure = await outcome(readCase(kind, path, ffmpeg), result, limitMs);
      const took = performance.now() - start;
      result.slowest = Math.max(result.slowest, took);
      if (took > limitMs) failure ??= `took ${Math.round(took)} ms`;
      if (list(folder) !== names) failure ??= `left ${list(folder)} in its folder`;
      const alive = await children.alive();
      if (alive.length > 0) failure ??= `left processes ${alive.join(", ")}`;
      const growth = Deno.memoryUsage().rss - before;
      if (growth > maxGrowth) failure ??= `memory grew by ${Math.round(growth / 1e6)} MB`;
      result.cases++;
      if (failure !== null) {
        const kept = `${keep}/seed${seed}-case${number}-${kind}`;
        await Deno.mkdir(keep, { recursive: true });
        await Deno.writeFile(kept, bytes);
        const line = `seed ${seed} case ${number} (${kept}): ${failure}`;
        result.failures.push(line);
        say(line);
        if (growth > maxGrowth) break;
      }
      await Deno.remove(folder, { recursive: true });
    }
  } finally {
    children.stop();
    await Deno.remove(root, { recursive: true });
  }
  return result;
}

const list = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).join();

/** Waits for a case, up to its limit. @returns What is wrong with how it ended, or null. */
async function outcome(
  work: Promise<void>,
  result: FuzzResult,
  limitMs: number,
): Promise<string | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => timer = setTimeout(() => resolve("late"), limitMs));
  try {
    if (await Promise.race([work, late]) === "late") return `no end after ${limitMs} ms`;
    result.read++;
    return null;
  } catch (error) {
    const known = error instanceof InputError || error instanceof RunError;
    if (!known) return Deno.inspect(error);
    result.refused++;
    return error.message.includes("\n") ? `more than one line: ${error.message}` : null;
  } finally {
    clearTimeout(timer);
  }
}

/** Notes what this process starts, until `stop()`; `alive()` tells what is left a second later. */
function watchChildren() {
  const original = Deno.Command;
  const running = new Set<Deno.ChildProcess>();
  Deno.Command = class extends original {
    override spawn(): Deno.ChildProcess {
      const child = super.spawn();
      running.add(child);
      child.status.finally(() => running.delete(child));
      return child;
    }
  };
  return {
    async alive(): Promise<number[]> {
      for (let i = 0; running.size > 0 && i < 20; i++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const left = [...running].map(({ pid }) => pid);
      for (const child of running) child.kill("SIGKILL");
      return left;
    },
    stop(): void {
      Deno.Command = original;
    },
  };
}

if (import.meta.main) {
  const number = (text: string) => ({ type: "string", default: text }) as const;
  const { values: { seed, first, count } } = parseArgs({
    args: Deno.args,
    options: { seed: number("1"), first: number("0"), count: number("5000") },
  });
  const started = performance.now();
  const keep = "out/fuzz";
  const numbers = { seed: Number(seed), first: Number(first), count: Number(count) };
  const result = await fuzz({ ...numbers, keep, say });
  const seconds = Math.round((performance.now() - started) / 1000);
  say(
    `seed ${seed}: ${result.cases} cases, ${result.read} read, ${result.refused} refused, ` +
      `${result.skipped} left out, ${result.failures.length} failed; slowest ` +
      `${Math.round(result.slowest)} ms; ${seconds} s`,
  );
  Deno.exit(result.failures.length > 0 ? 1 : 0);
}
