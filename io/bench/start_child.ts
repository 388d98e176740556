/** `bench start` starts this: it does what `stream` does up to its second unit, and prints how long
 * each part took, as JSON. Its arguments are the module of the command `stream`, whose loading is
 * measured too, the checkpoint, what is asked of a session as JSON, and perhaps --no-tune. */
import { openCheckpoint } from "../../engine/checkpoint/checkpoint.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { TickBench } from "../../engine/bench/tick_bench.ts";
import { tuneDevice } from "../../engine/roles/tuning.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { defaultTuneCache, readTuneCache } from "../cli/tune_cache.ts";

/** What this prints: milliseconds since the epoch, and of stages. */
export interface ChildMarks {
  /** Deno's own clock begins; the first line of the program runs; ... */
  origin: number;
  modules: number;
  checkpoint: number;
  adapter: number;
  choices: number;
  weights: number;
  model: number;
  /** Milliseconds of making pipelines, in what came before `weights` and before `model`. */
  weightPipelines: number;
  planPipelines: number;
  /** Milliseconds of the first tick and of the second by stage. */
  first: Record<string, number>;
  second: Record<string, number>;
  adapterName: string;
  kernels: Record<string, string>;
}

const now = () => performance.timeOrigin + performance.now();

const [stream = "", folder = "", asked = "{}"] = Deno.args;
await import(stream);
const modules = now();
const checkpointFile = await openCheckpoint(folder);
const settings = resolveSettings(checkpointFile, JSON.parse(asked));
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
  kernels: gpu.choices,
};
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(marks)));
gpu.destroy();
Deno.exit(0);
