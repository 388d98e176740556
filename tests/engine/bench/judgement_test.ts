import { assert, assertEquals } from "@std/assert";
import { historyTraffic, judge } from "../../../engine/bench/judgement.ts";
import { preset } from "../../../engine/models/presets.ts";
import { allLaunches, tickOnPaper } from "../../../engine/roles/tick_plan.ts";
import { settingsFor } from "../support.ts";

Deno.test("attention of v0.1-0.6b in f16 reads at most 65 GB of K and V a tick", async () => {
  const config = preset("v0.1-0.6b");
  const settings = settingsFor(config, { storage: "f16", weights: "f16" });
  const { model, stages } = await tickOnPaper(config, settings);
  const all = allLaunches(stages);
  const { least, plain, taken } = historyTraffic(model.gpu, all);
  assert(taken <= 65e9, `${taken}`);
  assert(least < taken && taken < plain);
  const kernels = judge(all);
  const sum = kernels.reduce((bytes, { historyBytes }) => bytes + (historyBytes ?? 0), 0);
  assertEquals(sum, taken);
});
