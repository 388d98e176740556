/** Silero VAD in a child process, whose packages only those download who score (silero/silero.ts). */
import { fileURLToPath } from "node:url";
import { RunError } from "../system/errors.ts";
import { windowSamples } from "./activity.ts";

/** What reports call it. */
export const sileroVersion = "Silero VAD v6 (@ricky0123/vad-web 0.0.31, onnxruntime-web 1.30.0)";

const program = import.meta.resolve("./silero/silero.ts");
const lock = import.meta.resolve("./silero/deno.lock");

/** Sounds that are scored together, about. */
const mostRows = 8;

/** The work of a program so far. */
export interface ProgramWork {
  /** Of processors. */
  seconds: number;
  /** In memory now. */
  bytes: number;
}

/** What is asked of it: scores of sounds, or something of its own. */
interface Asked {
  sounds: readonly Float32Array[];
  own?: () => Promise<Float32Array>;
  resolve(answers: Float32Array[]): void;
  reject(error: unknown): void;
}

/** A sound that comes in pieces. */
export interface SileroStream {
  /** The scores of the windows that are whole with these samples, and weren't before. */
  push(samples: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}

/** A running model. */
export class Silero implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #stdout: ReadableStreamDefaultReader<Uint8Array>;
  readonly #said: Promise<string>;
  #rest = new Uint8Array();
  readonly #asked: Asked[] = [];
  #isWorking = false;
  #streams = 0;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#stdin = child.stdin.getWriter();
    this.#stdout = child.stdout.getReader();
    this.#said = new Response(child.stderr).text();
  }

  /**
   * Starts it.
   *
   * @param turns The file of a network that judges features (`judge`), where one is to be there.
   * @throws RunError when npm's packages can't be had.
   */
  static async open(turns?: string): Promise<Silero> {
    const isFile = program.startsWith("file:");
    const locked = isFile ? ["--lock", fileURLToPath(lock), "--frozen"] : ["--no-lock"];
    const silero = new Silero(
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-q", "--no-prompt", "--no-config", ...locked, "--allow-read", program]
          .concat(turns ?? []),
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn(),
    );
    try {
      await silero.#read(1);
      return silero;
    } catch (error) {
      await silero[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * The probability of speech in each window, the last one filled up with silence. Sounds are scored
   * together, which is quicker, and none changes another's scores.
   *
   * @param sounds Mono samples at 16 kHz.
   * @returns For each [ceil(samples / 512)], 0 to 1
   * @throws RunError when it has ended.
   */
  scores(sounds: readonly Float32Array[]): Promise<Float32Array[]> {
    return this.#ask({ sounds });
  }

  /** What the child has worked, and holds. @throws RunError when it has ended. */
  async work(): Promise<ProgramWork> {
    let [seconds, bytes]: Iterable<number | undefined> = [];
    await this.#own(async () => {
      this.#write(Uint32Array.of(4, 0));
      [seconds, bytes] = new Float64Array((await this.#read(16)).buffer);
      return new Float32Array();
    });
    return { seconds: seconds ?? 0, bytes: bytes ?? 0 };
  }

  /**
   * A sound that comes in pieces: any number of them at a time, each with its own state. The scores are
   * those of the whole sound, to the bit.
   */
  stream(): SileroStream {
    const id = this.#streams++;
    return {
      push: (samples) =>
        this.#own(async () => {
          this.#write(Uint32Array.of(1, id, samples.length), samples);
          const [count = 0] = new Uint32Array((await this.#read(4)).buffer);
          return new Float32Array((await this.#read(4 * count)).buffer);
        }),
      close: async () => {
        const forget = () => Promise.resolve(this.#write(Uint32Array.of(2, id)));
        // Of one that has ended there is nothing to forget.
        await this.#own(() => forget().then(() => new Float32Array())).catch(() => {});
      },
    };
  }

  /**
   * What the network for turns makes of features.
   *
   * @param features [80, frames] @throws RunError when it has ended.
   */
  async judge(features: Float32Array): Promise<number> {
    const [output = NaN] = await this.#own(async () => {
      this.#write(Uint32Array.of(3, features.length), features);
      return new Float32Array((await this.#read(4)).buffer);
    });
    return output;
  }

  async #own(own: () => Promise<Float32Array>): Promise<Float32Array> {
    const [answer = new Float32Array()] = await this.#ask({ sounds: [], own });
    return answer;
  }

  #ask(asked: Pick<Asked, "sounds" | "own">): Promise<Float32Array[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Float32Array[]>();
    this.#asked.push({ ...asked, resolve, reject });
    if (!this.#isWorking) this.#work();
    return promise;
  }

  /** Answers what was asked, in order; sounds that came meanwhile are scored together. */
  async #work(): Promise<void> {
    this.#isWorking = true;
    for (let first = this.#asked.shift(); first; first = this.#asked.shift()) {
      const batch = [first];
      const sounds = [...first.sounds];
      while (!first.own && sounds.length < mostRows && this.#asked[0] && !this.#asked[0].own) {
        batch.push(...this.#asked.splice(0, 1));
        sounds.push(...batch.at(-1)?.sounds ?? []);
      }
      try {
        const answers = first.own ? [await first.own()] : await this.#scores(sounds);
        for (const { own, sounds, resolve } of batch) {
          resolve(answers.splice(0, own ? 1 : sounds.length));
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    // At once, so that nothing is asked between the last look and the end.
    this.#isWorking = false;
  }

  async #scores(sounds: readonly Float32Array[]): Promise<Float32Array[]> {
    this.#write(
      Uint32Array.of(0, sounds.length, ...sounds.map(({ length }) => length)),
      ...sounds,
    );
    const scores: Float32Array[] = [];
    for (const { length } of sounds) {
      const bytes = await this.#read(4 * Math.ceil(length / windowSamples));
      scores.push(new Float32Array(bytes.buffer));
    }
    return scores;
  }

  #write(...parts: readonly (Uint32Array | Float32Array)[]): void {
    const writing = (async () => {
      for (const { buffer, byteOffset, byteLength } of parts) {
        await this.#stdin.write(new Uint8Array(buffer, byteOffset, byteLength));
      }
    })();
    // What breaks the pipe shows in what is read.
    writing.catch(() => {});
  }

  async #read(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const all = new Uint8Array(bytes);
    for (let at = 0; at < bytes;) {
      if (this.#rest.length === 0) {
        const { value } = await this.#stdout.read();
        if (value === undefined) throw await this.#ended();
        this.#rest = new Uint8Array(value);
      }
      const part = this.#rest.subarray(0, bytes - at);
      all.set(part, at);
      at += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return all;
  }

  async #ended(): Promise<RunError> {
    const { signal } = await this.#child.status;
    if (signal !== null) {
      return new RunError(`Silero VAD was ended by ${signal}: give it more memory, or run again`);
    }
    const lines = (await this.#said).trimEnd().split("\n");
    const why = (lines.find((line) => /error/i.test(line)) ?? lines.at(-1)) || "no reason";
    return new RunError(`Silero VAD has ended (${why.trim()}): is npm's registry reachable?`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stdin.close().catch(() => {});
    await this.#stdout.cancel();
    await this.#child.status;
    await this.#said;
  }
}
