/** Started by `bench start`: does what `stream` does up to its second unit, and tells how long each
 * part took, as JSON. */
import "../commands/stream.ts";
import { openCheckpoint } from "../../engine/checkpoint/checkpoint.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { TickBench } from "../../engine/bench/tick_bench.ts";
import { tuneDevice } from "../../engine/model/tuning.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { defaultTuneCache, readTuneCache } from "../cli/tune_cache.ts";
import type { ChildMarks } from "./start.ts";

const now = () => performance.timeOrigin + performance.now();

const modules = now();
const checkpointFile = await openCheckpoint(Deno.args[0] ?? "");
const settings = resolveSettings(checkpointFile, {});
const checkpoint = now();
const gpu = await Gpu.open();
const adapter = now();
const cache = Deno.args.includes("--no-tune") ? null : defaultTuneCache();
if (cache !== null) {
  const record = await readTuneCache(cache, () => {});
  await tuneDevice(gpu, checkpointFile.config, settings, { record, budgetMs: 0 }, () => {});
}
const choices = now();
/** Milliseconds in which shaders were translated and pipelines made, so far. */
let pipelines = 0;
for (const name of ["createShaderModule", "createComputePipeline"] as const) {
  const make = gpu.device[name].bind(gpu.device) as (descriptor: unknown) => unknown;
  Object.defineProperty(gpu.device, name, {
    value: (descriptor: unknown) => {
      const start = performance.now();
      const made = make(descriptor);
      pipelines += performance.now() - start;
      return made;
    },
  });
}
let weights = choices;
let weightPipelines = 0;
const bench = await TickBench.create(gpu, checkpointFile, settings, () => {
  weights = now();
  weightPipelines = pipelines;
});
await gpu.check();
const model = now();
const planPipelines = pipelines - weightPipelines;
const [first, second] = await bench.run(2);
if (!first || !second) throw new Error("two ticks should have run");
const marks: ChildMarks = {
  origin: performance.timeOrigin,
  modules,
  checkpoint,
  adapter,
  choices,
  weights,
  model,
  weightPipelines,
  planPipelines,
  first,
  second,
  adapterName: gpu.name,
};
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(marks)));
gpu.destroy();
Deno.exit(0);
