/**
 * A Mimi in this engine beside transformers' (scripts/reference/mimi.py made the folder), unit by unit:
 * relative errors, and what a unit costs.
 *
 *     deno run -A scripts/reference/mimi.ts DIR [f32|f16]
 */
import process from "node:process";
import { openCodec } from "../../engine/families/codec.ts";
import type { Coder } from "../../engine/layers/coder.ts";
import { StreamingCoder } from "../../engine/layers/streaming_coder.ts";
import { Weights } from "../../engine/weights/weights.ts";
import { WeightFiles } from "../../engine/weights/weight_files.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { Plan } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { tell } from "../../io/system/terminal.ts";
import { elements, upload } from "../../kernels/gpu/tensor.ts";

/** Of this process, whatever else the machine does. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

const say = (text: string) => tell(`${text}\n`);

const [folder = "", storage = "f32"] = Deno.args;
if (folder === "" || (storage !== "f32" && storage !== "f16")) {
  say("usage: deno run -A scripts/reference/mimi.ts DIR [f32|f16]");
  Deno.exit(2);
}
const stream = { unitMs: 160, fps: 25, width: 1, height: 1 };
using goldens = await WeightFiles.open(`${folder}/goldens.safetensors`);
const gpu = await Gpu.open();
say(`${gpu.name}, weights in ${storage}`);

async function numbers(name: string): Promise<Float32Array> {
  const { stored, length } = goldens.entry(name);
  const bytes = new Uint8Array(length);
  await goldens.read(name, 0, bytes);
  return stored === "I32"
    ? Float32Array.from(new Int32Array(bytes.buffer))
    : new Float32Array(bytes.buffer);
}

/** Runs golden `x` through a coder unit by unit. */
async function run(coder: Coder, weights: Weights, x: string): Promise<Float32Array> {
  const made = new StreamingCoder(gpu, coder, weights, storage as "f32" | "f16");
  const readback = new Readback(gpu, [made.output]);
  const plan = new Plan(made.steps);
  const input = await numbers(x);
  const [size, width] = [elements(coder.input), elements(made.output.shape)];
  const units = Math.floor(input.length / size);
  const output = new Float32Array(units * width);
  const times: number[] = [];
  let used = cpuSeconds();
  for (let unit = 0; unit < units; unit++) {
    const begin = performance.now();
    upload(gpu, made.input, input.subarray(unit * size, (unit + 1) * size));
    const [part = new ArrayBuffer(0)] = await readback.run(plan);
    times.push(performance.now() - begin);
    // The first unit compiles kernels.
    if (unit === 0) used = cpuSeconds();
    output.set(new Float32Array(part), unit * width);
  }
  used = cpuSeconds() - used;
  await gpu.check();
  const sorted = times.slice(1).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]?.toFixed(1);
  const dispatches = made.steps.filter((step) => step.kind === "dispatch");
  const flops = dispatches.reduce((sum, { flops }) => sum + flops, 0);
  say(
    `${coder.name} of ${x}: ${units} units; a unit takes ${
      ((1000 * used) / (units - 1)).toFixed(1)
    } ` +
      `ms of processor time, ${at(0.5)} ms (median; from ${at(0)}); ` +
      `${dispatches.length} launches, ${(flops / 1e9).toFixed(2)} GFLOP, ` +
      `state ${(made.stateBytes / 1e6).toFixed(2)} MB`,
  );
  made.destroy();
  return output;
}

async function compare(actual: Float32Array, name: string): Promise<void> {
  const expected = await numbers(name);
  let [difference, size, most, equal] = [0, 0, 0, 0];
  const width = goldens.entry(name).shape[1] ?? 1;
  const wrong = new Set<number>();
  actual.forEach((value, i) => {
    const wanted = expected[i] ?? NaN;
    difference += (value - wanted) ** 2;
    size += wanted ** 2;
    most = Math.max(most, Math.abs(value - wanted));
    equal += Number(value === wanted);
    if (value !== wanted) wrong.add(Math.floor(i / width));
  });
  say(
    name === "codes"
      ? `  codes: ${equal} of ${actual.length} are transformers', in all but ${wrong.size} latents all`
      : `  ${name}: relative error ${Math.sqrt(difference / size).toExponential(1)}, ` +
        `largest difference ${most.toExponential(1)}`,
  );
}

for (const codes of [false, true]) {
  const codec = await openCodec(folder, "audio", stream, codes);
  const weights = Weights.of(codec.tensors);
  await compare(await run(codec.encoder, weights, "sound"), codes ? "codes" : "latents");
  const [x, y] = codes ? ["codes", "decoded_codes"] : ["latents", "decoded"];
  await compare(await run(codec.decoder, weights, x), y);
}
gpu.destroy();
