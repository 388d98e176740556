/** Started by `bench start`: does what `stream` does up to its second unit, and tells how long each
 * part took, as JSON. */
import "../commands/stream.ts";
import { openCheckpoint } from "../../engine/checkpoint.ts";
import { resolveSettings } from "../../engine/settings.ts";
import { TickBench } from "../../engine/tick_bench.ts";
import { tuneDevice } from "../../engine/tuning.ts";
import { Gpu } from "../../kernels/device.ts";
import { defaultTuneCache, readTuneCache } from "../tune_cache.ts";
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
let weights = choices;
const bench = await TickBench.create(gpu, checkpointFile, settings, () => weights = now());
await gpu.check();
const model = now();
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
  first,
  second,
  adapterName: gpu.name,
};
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(marks)));
gpu.destroy();
Deno.exit(0);
