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

interface Asked {
  sounds: readonly Float32Array[];
  resolve(scores: Float32Array[]): void;
  reject(error: unknown): void;
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

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#stdin = child.stdin.getWriter();
    this.#stdout = child.stdout.getReader();
    this.#said = new Response(child.stderr).text();
  }

  /** Starts it. @throws RunError when npm's packages can't be had. */
  static async open(): Promise<Silero> {
    const isFile = program.startsWith("file:");
    const locked = isFile ? ["--lock", fileURLToPath(lock), "--frozen"] : ["--no-lock"];
    const silero = new Silero(
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-q", "--no-prompt", "--no-config", ...locked, "--allow-read", program],
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
    const { promise, resolve, reject } = Promise.withResolvers<Float32Array[]>();
    this.#asked.push({ sounds, resolve, reject });
    if (!this.#isWorking) this.#work();
    return promise;
  }

  /** Answers what was asked; what came meanwhile is scored together. */
  async #work(): Promise<void> {
    this.#isWorking = true;
    for (;;) {
      const batch: Asked[] = [];
      for (
        let rows = 0;
        this.#asked[0] && rows < mostRows;
        rows += batch.at(-1)?.sounds.length ?? 0
      ) {
        batch.push(...this.#asked.splice(0, 1));
      }
      // At once, so that nothing is asked between the last look and the end.
      if (batch.length === 0) {
        this.#isWorking = false;
        return;
      }
      try {
        const scores = await this.#scores(batch.flatMap(({ sounds }) => sounds));
        for (const { sounds, resolve } of batch) resolve(scores.splice(0, sounds.length));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  async #scores(sounds: readonly Float32Array[]): Promise<Float32Array[]> {
    const head = Uint32Array.of(sounds.length, ...sounds.map(({ length }) => length));
    const bytesOf = ({ buffer, byteOffset, byteLength }: Uint32Array | Float32Array) =>
      new Uint8Array(buffer, byteOffset, byteLength);
    const writing = (async () => {
      for (const part of [head, ...sounds]) await this.#stdin.write(bytesOf(part));
    })();
    // What breaks the pipe shows in what is read.
    writing.catch(() => {});
    const scores: Float32Array[] = [];
    for (const { length } of sounds) {
      const bytes = await this.#read(4 * Math.ceil(length / windowSamples));
      scores.push(new Float32Array(bytes.buffer));
    }
    return scores;
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
