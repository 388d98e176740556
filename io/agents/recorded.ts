/** An agent that plays answers which others made: DIR/NAME/agent.* for the recording NAME, or a replay. */
import { join } from "node:path";
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import type { Response, StreamShape } from "../../engine/checkpoint/unit.ts";
import { openInput } from "../ends/observe.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { findConversations } from "../layouts/conversations.ts";
import { findSamples } from "../layouts/full_duplex_bench.ts";
import type { SpokenWord } from "../layouts/layout.ts";
import { frameBytes, streamShapes } from "../media/stream_shape.ts";
import { sourceDigest } from "../provenance/digests.ts";
import { readWords } from "../score/full_duplex_bench/samples.ts";
import { ifThere, readError } from "../system/errors.ts";
import { type AgentSession, noTimes, type OpenedAgent } from "./agent.ts";

/** Files that answers are made of. */
const answerFile = /(^|\/)((agent|output|response)\.[^/]*|[^/]*\.jsonl)$/;

/** Largest file of words, in bytes. */
const largestWords = 2 ** 24;

/**
 * Opens a folder of answers, a folder in it for each recording, of the recording's name: with `agent.*`
 * or `output.*` (picture and sound, or sound) and, where the words are known, `words.jsonl` with lines
 * {"text": ..., "from": seconds, "to": seconds}; or with a replay, as `batch` writes it.
 *
 * @param text The agent's name. @param delay Seconds by which answers are heard later than their files
 * say; null: of a replay one unit, of others none.
 * @param config Whose shapes observations and responses have.
 * @throws InputError when there is no folder in it.
 */
export async function openRecorded(
  { text, folder, delay }: { text: string; folder: string; delay: number | null },
  config: ModelConfig,
  ffmpeg: FfmpegFinder,
): Promise<OpenedAgent> {
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch((error) => {
    throw readError(folder, error);
  });
  const names = entries.filter(({ name, isDirectory }) => isDirectory && !name.startsWith("."))
    .map(({ name }) => name).sort();
  if (names.length === 0) {
    throw new InputError(
      `${folder}: is no agent: it holds neither config.json (a checkpoint) nor folders of answers`,
    );
  }
  /** Of a recording; of a sample of Full-Duplex-Bench where it lies in its set. */
  const folderOf = async (name: string): Promise<string> => {
    if (names.includes(name)) return join(folder, name);
    const samples = await findSamples(folder).catch(() => []);
    const sample = samples.find((one) => `${one.set}-${one.name}` === name);
    if (sample) return sample.folder;
    throw new InputError(`${folder}: has no folder ${name}: it holds no answer to that recording`);
  };
  return {
    name: text,
    line: `answers in ${folder}`,
    settings: { kind: "recorded", delay },
    checkpointDigest: await sourceDigest([folder], answerFile),
    config,
    async open({ name }) {
      const answer = await answerIn(await folderOf(name), ffmpeg, config.unit_ms / 1000);
      return new RecordedSession(
        { ...answer, delay: delay ?? answer.delay },
        streamShapes(config).agent,
        ffmpeg,
      );
    },
    close: () => Promise.resolve(),
    programs: () => Promise.resolve([]),
  };
}

interface Recorded {
  path: string;
  /** Null: they aren't known. */
  words: readonly SpokenWord[] | null;
  /** Seconds by which it is heard later than the file says. */
  delay: number;
}

/** The answer in a recording's folder. @throws InputError when there is none. */
async function answerIn(folder: string, ffmpeg: FfmpegFinder, unit: number): Promise<Recorded> {
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch((error) => {
    throw readError(folder, error);
  });
  const files = entries.filter(({ isFile, name }) => isFile && /^(agent|output)\./.test(name))
    .map(({ name }) => name).filter((name) => !/\.(jsonl?|vtt|srt|txt)$/.test(name)).sort();
  // The one with a picture.
  const file = files.find((name) => !/\.wav$/i.test(name)) ?? files[0];
  if (file !== undefined) {
    return { path: join(folder, file), words: await wordsIn(folder), delay: 0 };
  }
  const { conversations } = await findConversations(folder, ffmpeg);
  const replay = conversations.find(({ kind }) => kind === "replay");
  if (!replay) {
    throw new InputError(`${folder}: holds no answer: no agent.*, no output.* and no replay`);
  }
  return { path: replay.agent.path, words: replay.words ?? null, delay: replay.delay || unit };
}

/** Words that stand beside an answer: `words.jsonl`, or Full-Duplex-Bench's `output.json`. */
async function wordsIn(folder: string): Promise<SpokenWord[] | null> {
  for (const name of ["words.jsonl", "output.json"]) {
    const path = join(folder, name);
    const info = await ifThere(Deno.stat(path));
    if (info === null) continue;
    if (info.size > largestWords) throw new InputError(`${path}: has ${info.size} bytes: too many`);
    const text = await Deno.readTextFile(path);
    return name === "output.json" ? readWords(parsed(text, path), path) : wordLines(text, path);
  }
  return null;
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`${where}: this is not JSON: docs/agents.md has the form`);
  }
}

function wordLines(text: string, path: string): SpokenWord[] {
  return text.split("\n").flatMap((line, i): SpokenWord[] => {
    if (line.trim() === "") return [];
    const where = `${path}, line ${i + 1}`;
    const word = new Fields(parsed(line, where), where);
    const text = word.get("text");
    if (typeof text !== "string") throw word.error("text", "text");
    const from = word.number("from", [0, 1e6]);
    return [{ text: text.trim(), from, to: word.number("to", [from, 1e6]) }];
  });
}

/**
 * Plays a file: the response to a unit is what is heard while the next one comes in, as of every
 * session. Before the file begins and after its end there is silence under a black or the last picture.
 */
class RecordedSession implements AgentSession {
  readonly lacks: { words: boolean; picture: boolean };
  readonly #recorded: Recorded;
  readonly #shape: StreamShape;
  readonly #ffmpeg: FfmpegFinder;
  #pushed = 0;
  #hasEnded = false;
  #wake = () => {};
  #close: (() => Promise<void>) | null = null;

  constructor(recorded: Recorded, shape: StreamShape, ffmpeg: FfmpegFinder) {
    this.#recorded = recorded;
    this.lacks = { words: recorded.words === null, picture: false };
    this.#shape = shape;
    this.#ffmpeg = ffmpeg;
  }

  push(): Promise<void> {
    this.#pushed++;
    this.#wake();
    return Promise.resolve();
  }

  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  async close(): Promise<void> {
    this.end();
    await this.#close?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
    const { path, delay } = this.#recorded;
    const words = this.#recorded.words ?? [];
    const shape = this.#shape;
    const seconds = shape.unitMs / 1000;
    const { observations } = await openInput(path, shape, this.#ffmpeg);
    this.#close = () => observations.close();
    const units = observations[Symbol.asyncIterator]();
    const [samples, frames] = [
      new Held(4 * shape.samples),
      new Held(shape.frames * frameBytes(shape)),
    ];
    // The first response is heard one unit after the stream began.
    const skip = seconds - delay;
    samples.skip(4 * Math.round(skip * shape.sampleRate));
    frames.skip(frameBytes(shape) * Math.round(skip * shape.fps));
    for (let unit = 0;; unit++) {
      while (unit >= this.#pushed && !this.#hasEnded) {
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
      if (unit >= this.#pushed) return;
      while (!samples.isWhole || !frames.isWhole) {
        const { value, done } = await units.next();
        if (done) break;
        const { audio, frames: pictures } = value;
        if (!pictures) this.lacks.picture = true;
        const sound = audio ?? new Float32Array(shape.samples);
        samples.add(new Uint8Array(sound.slice().buffer));
        frames.add(pictures ?? new Uint8Array(frames.size));
      }
      const heard = ({ from }: SpokenWord) =>
        Math.max(0, Math.floor((from + delay) / seconds + 1e-9) - 1);
      yield {
        unit,
        text: words.filter((word) => heard(word) === unit).map(({ text }) => ` ${text}`).join(""),
        tokens: [],
        audio: new Float32Array(samples.take().buffer),
        frames: frames.take(frameBytes(shape)),
        ...{ digest: "", historyTokens: 0, stages: { ...noTimes } },
      };
    }
  }
}

/** Bytes that come and go unit by unit, shifted in time. */
class Held {
  /** Bytes of a unit. */
  readonly size: number;
  #bytes = new Uint8Array(0);
  #skip = 0;
  #last = new Uint8Array(0);

  constructor(size: number) {
    this.size = size;
  }

  /** Leaves out so many bytes; below 0: so many zeros come first. */
  skip(bytes: number): void {
    if (bytes < 0) this.#bytes = new Uint8Array(-bytes);
    else this.#skip = bytes;
  }

  get isWhole(): boolean {
    return this.#bytes.length >= this.size;
  }

  add(bytes: Uint8Array): void {
    const left = bytes.subarray(Math.min(this.#skip, bytes.length));
    this.#skip -= bytes.length - left.length;
    const all = new Uint8Array(this.#bytes.length + left.length);
    all.set(this.#bytes);
    all.set(left, this.#bytes.length);
    this.#bytes = all;
  }

  /** A unit; where it isn't whole it is filled up with zeros, or with the last `repeated` bytes. */
  take(repeated = 0): Uint8Array<ArrayBuffer> {
    const unit = new Uint8Array(this.size);
    const here = this.#bytes.subarray(0, this.size);
    unit.set(here);
    this.#bytes = this.#bytes.slice(here.length);
    if (repeated === 0) return unit;
    for (let at = here.length; at < unit.length; at += repeated) {
      unit.set(at === 0 ? this.#last : unit.subarray(at - repeated, at), at);
    }
    this.#last = unit.slice(-repeated);
    return unit;
  }
}
