/**
 * Silero VAD v6 on WebAssembly: the probability of speech in each window of 32 ms.
 *
 * Source: Silero Team, Silero VAD (2021-2025), MIT; the ONNX file as npm's `@ricky0123/vad-web` ships it. As in
 * the authors' own wrapper each window is preceded by the 64 samples before it.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { errorText } from "../../engine/config/error_text.ts";
import { RunError } from "../system/errors.ts";
import { windowSamples } from "./activity.ts";

/** What reports call it. */
export const sileroVersion = "Silero VAD v6 (@ricky0123/vad-web 0.0.31, onnxruntime-web 1.30.0)";

const runtime = "onnxruntime-web@1.30.0/wasm";
/** Its smallest module, and the model beside it. */
const beside = "@ricky0123/vad-web@0.0.31/dist/asset-path.js";
const model = "silero_vad_v6.onnx";

/** Samples before a window that the model sees with it. */
const context = 64;

/** What is used of onnxruntime-web. */
interface Runtime {
  env: { logLevel: string; wasm: { numThreads: number } };
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Network> };
  Tensor: new (type: string, data: Float32Array | BigInt64Array, dims: number[]) => Tensor;
}
interface Tensor {
  data: Float32Array;
}
interface Network {
  run(inputs: Record<string, Tensor>): Promise<{ output: Tensor; stateN: Tensor }>;
  release(): Promise<void>;
}

/** Scores sound with one copy of the model. */
export class Silero {
  readonly #runtime: Runtime;
  readonly #network: Network;

  private constructor(runtime: Runtime, network: Network) {
    this.#runtime = runtime;
    this.#network = network;
  }

  /** Opens the model. @throws RunError when npm's packages can't be had. */
  static async open(): Promise<Silero> {
    try {
      // In templates, so that Deno fetches the packages when they are first needed.
      const found: Runtime & { default?: Runtime } = await import(`npm:/${runtime}`);
      await import(`npm:/${beside}`);
      // A package tells where its files lie by the modules that were loaded of it.
      const path = Object.keys(createRequire(import.meta.url).cache)
        .find((path) => path.replaceAll("\\", "/").endsWith("vad-web/0.0.31/dist/asset-path.js"));
      const bytes = await Deno.readFile(join(dirname(path ?? ""), model));
      const ort = found.default ?? found;
      ort.env.logLevel = "error";
      ort.env.wasm.numThreads = 1;
      return new Silero(ort, await ort.InferenceSession.create(bytes, {}));
    } catch (error) {
      throw new RunError(
        `Silero VAD can't be opened (${errorText(error)}): is npm's registry reachable?`,
      );
    }
  }

  /**
   * The probability of speech in each window of several sounds, the last one filled up with silence.
   * Sounds are scored together, which is quicker, and none changes another's scores.
   *
   * @param sounds Mono samples at 16 kHz.
   * @returns For each [ceil(samples / 512)], 0 to 1
   */
  async scores(sounds: readonly Float32Array[]): Promise<Float32Array[]> {
    const { Tensor } = this.#runtime;
    const count = sounds.length;
    const scores = sounds.map(({ length }) => new Float32Array(Math.ceil(length / windowSamples)));
    const windows = Math.max(0, ...scores.map(({ length }) => length));
    const sr = new Tensor("int64", BigInt64Array.of(16000n), []);
    let state = new Tensor("float32", new Float32Array(2 * count * 128), [2, count, 128]);
    for (let i = 0; i < windows; i++) {
      const seen = new Float32Array(count * (context + windowSamples));
      const from = i * windowSamples - context;
      sounds.forEach((sound, row) => {
        const piece = sound.subarray(Math.max(0, from), from + context + windowSamples);
        seen.set(piece, row * (context + windowSamples) + Math.max(0, -from));
      });
      const input = new Tensor("float32", seen, [count, context + windowSamples]);
      const { output, stateN } = await this.#network.run({ input, state, sr });
      scores.forEach((list, row) => {
        if (i < list.length) list[i] = output.data[row] ?? 0;
      });
      state = stateN;
    }
    return scores;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#network.release();
  }
}
