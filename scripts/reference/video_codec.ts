/**
 * A published codec of pictures beside what its own implementation made of a recording: relative errors,
 * and what a unit costs. reference/wan_vae.py --full calls it.
 *
 *     deno run -A scripts/reference/video_codec.ts FOLDER|FILE GOLDENS.safetensors
 *
 * GOLDENS holds `frames` [1 + hop k, height, width, 3] u8, and what was made of them: `latents`
 * [1 + k, h, w, channels] and `pictures` as the frames, in [-1, 1].
 */
import { cpuUsage } from "node:process";
import { openCodec } from "../../engine/families/codec.ts";
import { StreamingCoder } from "../../engine/layers/streaming_coder.ts";
import { Weights } from "../../engine/weights/weights.ts";
import { WeightFiles } from "../../engine/weights/weight_files.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { Plan, type Step } from "../../kernels/gpu/plan.ts";
import { readTensor } from "../../kernels/gpu/readback.ts";
import { type Tensor, upload } from "../../kernels/gpu/tensor.ts";

const print = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));

const [path = "", told = ""] = Deno.args;
const goldens = await WeightFiles.open(told);

async function read(name: string): Promise<{ bytes: Uint8Array<ArrayBuffer>; shape: number[] }> {
  const { length, shape } = goldens.entry(name);
  const bytes = new Uint8Array(length);
  await goldens.read(name, 0, bytes);
  return { bytes, shape: [...shape] };
}

const frames = await read("frames");
const [count = 1, height = 1, width = 1] = frames.shape;
const fps = 25;
const codec = await openCodec(path, "video", { unitMs: 160, fps, width, height });
const x = Float32Array.from(frames.bytes, (byte) => byte / 127.5 - 1);
const latents = new Float32Array((await read("latents")).bytes.buffer);
const pictures = new Float32Array((await read("pictures")).bytes.buffer);

const gpu = await Gpu.open();
const weights = Weights.of(codec.tensors);
print(`${codec.family} on ${gpu.name}, ${width} x ${height}, ${count} frames`);

/** Distance of a to b, relative to b's length. */
function distance(a: Float32Array, b: Float32Array): number {
  let [difference, length] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] ?? NaN) - (b[i] ?? NaN)) ** 2;
    length += (b[i] ?? NaN) ** 2;
  }
  return Math.sqrt(difference / length);
}

const operations = (steps: readonly Step[]) =>
  steps.reduce((sum, step) => sum + (step.kind === "dispatch" ? step.flops : 0), 0);

for (const side of ["encoder", "decoder"] as const) {
  const [given, expected] = side === "encoder" ? [x, latents] : [latents, pictures];
  const coder = new StreamingCoder(gpu, codec[side], weights, "f32");
  const result: number[] = [];
  let at = 0;
  let processor = Infinity;
  const span = async (input: Tensor, output: Tensor, steps: readonly Step[]) => {
    const size = input.shape.reduce((a, b) => a * b);
    upload(gpu, input, given.subarray(at, at += size));
    const begin = performance.now();
    const { user, system } = cpuUsage();
    const made = await readTensor(gpu, output, new Plan(steps));
    const took = performance.now() - begin;
    // The driver's threads included; what else runs on the machine isn't.
    const used = cpuUsage();
    processor = Math.min(processor, (used.user - user + used.system - system) / 1000);
    for (const value of made) result.push(Math.max(-1e3, Math.min(1e3, value)));
    return took;
  };
  if (coder.first) await span(coder.first.input, coder.first.output, coder.first.steps);
  const times: number[] = [];
  while (at < given.length) times.push(await span(coder.input, coder.output, coder.steps));
  await gpu.check();
  const made = Float32Array.from(
    result,
    (v) => side === "encoder" ? v : Math.max(-1, Math.min(1, v)),
  );
  const flops = operations(coder.steps);
  const least = Math.min(...times);
  print(
    `${side}: relative error ${distance(made, expected).toExponential(2)}; ` +
      `a unit ${least.toFixed(0)} ms (${times.map((t) => t.toFixed(0)).join(", ")}) and ` +
      `${processor.toFixed(0)} ms of processor time, ` +
      `${(flops / 1e9).toFixed(1)} GFLOP (${
        (flops / processor / 1e6).toFixed(1)
      } a second of it), ` +
      `${coder.steps.filter(({ kind }) => kind === "dispatch").length} launches, ` +
      `${(coder.stateBytes / 1e6).toFixed(1)} MB of state`,
  );
  coder.destroy();
}
gpu.destroy();
goldens.close();
