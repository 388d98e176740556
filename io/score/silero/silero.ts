/**
 * Silero VAD v6 on WebAssembly: the probability of speech in each window of 512 samples at 16 kHz.
 *
 *     deno run --no-config --lock deno.lock --frozen --allow-read silero.ts
 *
 * A program of its own: its packages (140 MB) are downloaded only when something is scored. It writes a
 * byte when it is ready. Standard input then has, as often as one likes, the number of sounds and of each
 * sound its number of samples (u32), and the samples (f32) of one after the other; standard output has
 * the scores (f32) in the same order. It ends with standard input, also where it is at work.
 *
 * Source: Silero Team, Silero VAD (2021-2025), MIT; the ONNX file as npm's `@ricky0123/vad-web` ships it.
 * As in the authors' own wrapper each window is preceded by the 64 samples before it.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const windowSamples = 512;
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
}

// In variables, so that checking types of the whole repository fetches nothing.
const runtime = "onnxruntime-web@1.30.0/wasm";
const beside = "@ricky0123/vad-web@0.0.31/dist/asset-path.js";
const found: Runtime & { default?: Runtime } = await import(`npm:/${runtime}`);
const ort = found.default ?? found;
await import(`npm:/${beside}`);
// A package tells where its files lie by the modules that were loaded of it.
const loaded = Object.keys(createRequire(import.meta.url).cache)
  .find((path) => /vad-web[/\\]0\.0\.31[/\\]dist[/\\]asset-path\.js$/.test(path));
ort.env.logLevel = "error";
ort.env.wasm.numThreads = 1;
const network = await ort.InferenceSession.create(
  await Deno.readFile(join(dirname(loaded ?? ""), "silero_vad_v6.onnx")),
  {},
);

/** Scores sounds together, which is quicker, and changes no bit of any. */
async function score(sounds: readonly Float32Array[]): Promise<Float32Array[]> {
  const count = sounds.length;
  const scores = sounds.map(({ length }) => new Float32Array(Math.ceil(length / windowSamples)));
  const windows = Math.max(0, ...scores.map(({ length }) => length));
  const sr = new ort.Tensor("int64", BigInt64Array.of(16000n), []);
  let state = new ort.Tensor("float32", new Float32Array(2 * count * 128), [2, count, 128]);
  const size = context + windowSamples;
  for (let i = 0; i < windows; i++) {
    // Lets the end of standard input be seen: who asked has gone, perhaps killed.
    if (i % 64 === 63) await new Promise((resolve) => setTimeout(resolve));
    const seen = new Float32Array(count * size);
    const from = i * windowSamples - context;
    sounds.forEach((sound, row) =>
      seen.set(
        sound.subarray(Math.max(0, from), Math.max(0, from + size)),
        row * size + Math.max(0, -from),
      )
    );
    const input = new ort.Tensor("float32", seen, [count, size]);
    const { output, stateN } = await network.run({ input, state, sr });
    scores.forEach((list, row) => {
      if (i < list.length) list[i] = output.data[row] ?? 0;
    });
    state = stateN;
  }
  return scores;
}

/** So many bytes of standard input; null: it has ended. */
async function read(bytes: number): Promise<Uint8Array<ArrayBuffer> | null> {
  const all = new Uint8Array(bytes);
  for (let at = 0; at < bytes;) {
    const count = await Deno.stdin.read(all.subarray(at));
    if (count === null) return null;
    at += count;
  }
  return all;
}

async function write(bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
}

await write(Uint8Array.of(1));
for (let next = read(4);;) {
  const count = await next;
  const lengths = count && await read(4 * (new Uint32Array(count.buffer)[0] ?? 0));
  if (lengths === null) break;
  const sounds: Float32Array[] = [];
  for (const length of new Uint32Array(lengths.buffer)) {
    const samples = await read(4 * length);
    if (samples) sounds.push(new Float32Array(samples.buffer));
  }
  next = read(4);
  next.then((count) => count ?? Deno.exit());
  for (const scores of await score(sounds)) await write(new Uint8Array(scores.buffer));
}
