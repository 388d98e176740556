/**
 * Silero VAD v6 on WebAssembly: the probability of speech in each window of 512 samples at 16 kHz.
 *
 *     deno run --no-config --lock deno.lock --frozen --allow-read silero.ts [SMART_TURN.onnx]
 *
 * A program of its own: its packages (140 MB) are downloaded only when something is scored. It writes a
 * byte when it is ready. Standard input then has, as often as one likes, two numbers (u32), and what
 * follows by the first one; standard output has the answers in the same order. Samples and scores are f32.
 *
 * - 0, n: n sounds, of each first its number of samples (u32), then their samples. Answer: the scores of
 *   one after the other, the last window of each filled up with silence.
 * - 1, n: the next samples of stream n, first their number (u32). Answer: the number of windows that are
 *   whole now and weren't before (u32), and their scores.
 * - 2, n: stream n is over. No answer.
 * - 3, n: n features for the network whose file is the program's argument. Answer: its first output.
 * - 4, 0: Answer (two f64): processor seconds of this program so far, and bytes that it holds.
 *
 * It ends with standard input, also where it is at work.
 *
 * Source: Silero Team, Silero VAD (2021-2025), MIT; the ONNX file as npm's `@ricky0123/vad-web` ships it.
 * As in the authors' own wrapper each window is preceded by the 64 samples before it.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { cpuUsage } from "node:process";

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
  inputNames: string[];
  outputNames: string[];
  run(inputs: Record<string, Tensor>): Promise<Record<string, Tensor | undefined>>;
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
const open = async (path: string) =>
  await ort.InferenceSession.create(await Deno.readFile(path), {});
const network = await open(join(dirname(loaded ?? ""), "silero_vad_v6.onnx"));
const [turnPath] = Deno.args;
const turns = turnPath === undefined ? null : await open(turnPath);

const size = context + windowSamples;
const sr = new ort.Tensor("int64", BigInt64Array.of(16000n), []);
const firstState = (count: number) =>
  new ort.Tensor("float32", new Float32Array(2 * count * 128), [2, count, 128]);

/** The next window of `count` sounds. @param seen [count, size] */
async function step(seen: Float32Array, state: Tensor, count: number) {
  const input = new ort.Tensor("float32", seen, [count, size]);
  const { output, stateN } = await network.run({ input, state, sr });
  if (!output || !stateN) throw new Error("the network has no output");
  return { scores: output.data, state: stateN };
}

/** A sound that comes in pieces. */
interface Stream {
  state: Tensor;
  /** The context of the next window, and its samples so far. */
  seen: Float32Array;
  held: number;
}
const streams = new Map<number, Stream>();

/** Scores what is whole of a stream with its next samples. */
async function go(id: number, samples: Float32Array): Promise<Float32Array> {
  const stream = streams.get(id) ??
    { state: firstState(1), seen: new Float32Array(size), held: context };
  streams.set(id, stream);
  const all: number[] = [];
  for (let at = 0; at < samples.length;) {
    const part = samples.subarray(at, at + size - stream.held);
    stream.seen.set(part, stream.held);
    at += part.length;
    stream.held += part.length;
    if (stream.held < size) break;
    const { scores, state } = await step(stream.seen, stream.state, 1);
    all.push(scores[0] ?? 0);
    const seen = new Float32Array(size);
    seen.set(stream.seen.subarray(windowSamples));
    Object.assign(stream, { state, seen, held: context });
  }
  return Float32Array.from(all);
}

/** What the other network makes of features. */
async function judge(features: Float32Array): Promise<Float32Array> {
  if (!turns) throw new Error("no network for turns was given");
  const [inputName = "", outputName = ""] = [turns.inputNames[0], turns.outputNames[0]];
  const input = new ort.Tensor("float32", features, [1, 80, features.length / 80]);
  const output = (await turns.run({ [inputName]: input }))[outputName];
  return Float32Array.of(output?.data[0] ?? NaN);
}

/** Scores sounds together, which is quicker, and changes no bit of any. */
async function score(sounds: readonly Float32Array[]): Promise<Float32Array[]> {
  const count = sounds.length;
  const scores = sounds.map(({ length }) => new Float32Array(Math.ceil(length / windowSamples)));
  const windows = Math.max(0, ...scores.map(({ length }) => length));
  let state = firstState(count);
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
    const next = await step(seen, state, count);
    scores.forEach((list, row) => {
      if (i < list.length) list[i] = next.scores[row] ?? 0;
    });
    state = next.state;
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

const numbers = async (count: number) => {
  const bytes = await read(4 * count);
  return bytes && new Uint32Array(bytes.buffer);
};
const samplesOf = async (count: number) => {
  const bytes = await read(4 * count);
  return new Float32Array(bytes?.buffer ?? new ArrayBuffer(0));
};
const say = (list: Float32Array | Float64Array | Uint32Array<ArrayBuffer>) =>
  write(new Uint8Array(list.buffer, list.byteOffset, list.byteLength));

await write(Uint8Array.of(1));
for (let next = numbers(2);;) {
  const [what, n = 0] = await next ?? [];
  if (what === undefined) break;
  if (what === 2) {
    streams.delete(n);
    next = numbers(2);
    continue;
  }
  if (what === 4) {
    const { user, system } = cpuUsage();
    await say(Float64Array.of((user + system) / 1e6, Deno.memoryUsage().rss));
    next = numbers(2);
    continue;
  }
  const lengths = what === 3 ? [n] : await numbers(what === 0 ? n : 1) ?? [];
  const sounds: Float32Array[] = [];
  for (const length of lengths) sounds.push(await samplesOf(length));
  next = numbers(2);
  next.then((head) => head ?? Deno.exit());
  const [sound = new Float32Array(0)] = sounds;
  if (what === 0) { for (const scores of await score(sounds)) await say(scores); }
  else if (what === 1) {
    const scores = await go(n, sound);
    await say(Uint32Array.of(scores.length));
    await say(scores);
  } else await say(await judge(sound));
}
