/** Plans on paper: they are the device's, without one. */
import { assert, assertEquals } from "@std/assert";
import { paperCheckpoint } from "../../../engine/checkpoint/paper.ts";
import type { ModelConfig } from "../../../engine/config/config.ts";
import { preset } from "../../../engine/models/presets.ts";
import { Model } from "../../../engine/model/model.ts";
import { Performer } from "../../../engine/roles/performer.ts";
import { computePrefill } from "../../../engine/roles/prefill.ts";
import { Thinker } from "../../../engine/roles/thinker.ts";
import {
  launches,
  type StagePlans,
  stagePlans,
  tickOnPaper,
  type TickStage,
  tickStages,
} from "../../../engine/roles/tick_plan.ts";
import { Gpu } from "../../../kernels/gpu/device.ts";
import { withGpu } from "../../kernels/support.ts";
import { randomCheckpoint, settingsFor, tinyConfig } from "../support.ts";

/** A stage's steps, as far as they can be compared. */
function stepsOf(stages: StagePlans, stage: TickStage) {
  return stages[stage].flatMap(({ steps }) => steps).map((step) =>
    step.kind === "dispatch"
      ? [step.label, step.groups, step.flops, step.bytes, step.bindings.length]
      : [step.kind, step.label, step.bytes]
  );
}

withGpu("a tick on paper has the steps and the memory that it has on the device", async (gpu) => {
  const config = tinyConfig({ solver: { name: "heun", steps: 2, shift: 1, guidance: 2 } });
  const settings = settingsFor(config, { weights: "int8", storage: "f16" });
  const model = new Model(gpu, await randomCheckpoint(config, 3), settings);
  const real = stagePlans(await Thinker.create(model, false), await Performer.create(model, false));
  const paper = await tickOnPaper(config, settings, Gpu.onPaper(gpu));
  for (const stage of tickStages) {
    assertEquals(stepsOf(paper.stages, stage), stepsOf(real, stage), stage);
  }
  assertEquals(paper.model.gpu.allocatedBytes, gpu.allocatedBytes);
});

Deno.test("an inspected tick has the steps of a plain one, and its own between them", async () => {
  const { num_hidden_layers: layers, ...config } = preset("nano");
  const stages = async (inspect: boolean) => {
    const whole = {
      ...config,
      num_hidden_layers: layers,
      solver: { ...config.solver, guidance: 1.5 },
    };
    const model = new Model(Gpu.onPaper(), paperCheckpoint(whole), settingsFor(whole));
    const thinker = await Thinker.create(model, false, { inspect });
    return stagePlans(thinker, await Performer.create(model, false, inspect));
  };
  const [plain, inspected] = [await stages(false), await stages(true)];
  for (const stage of tickStages) {
    const added: string[] = [];
    const rest = stepsOf(inspected, stage).filter(([first, second]) => {
      const own = /^attention_shares|path$|^logits$/.test(`${first === "copy" ? second : first}`);
      if (own) added.push(first === "copy" ? "copies" : "launches");
      return !own;
    });
    assertEquals(rest, stepsOf(plain, stage), stage);
    const counts = ["launches", "copies"].map((kind) => added.filter((one) => one === kind).length);
    // Three launches a layer for the first word's row, and for the latents in the last of four
    // evaluations, each of which makes its velocity once more, without a step, and keeps it and that of
    // the conditional set.
    const expected = {
      encode: [0, 0],
      pass: [3 * layers, 1],
      solve: [3 * layers + 4, 8],
      decode: [0, 0],
    };
    assertEquals(counts, expected[stage], stage);
  }
});

Deno.test("prefill is built on paper like a tick, its slices of the right size", async () => {
  const config = tinyConfig();
  const { width, height } = config.response.video;
  const personaFrame = new Uint8Array(width * height * 3);
  const settings = settingsFor(config, { promptIds: [1, 2, 3], personaFrame });
  const model = new Model(Gpu.onPaper(), paperCheckpoint(config), settings);
  const slices = await computePrefill(model, true);
  const [prompt, persona] = [3, model.layout.agentVideo].map((n) => model.history.sliceBytes(n));
  assertEquals(slices.map(({ byteLength }) => byteLength), [prompt, persona]);
});

/** Operations of a stage's launches of this kernel. */
async function flops(config: ModelConfig, stage: TickStage, kernel: string): Promise<number> {
  const { stages } = await tickOnPaper(config, settingsFor(config));
  return launches(stages[stage]).filter(({ label }) => label.startsWith(`${kernel} `))
    .reduce((sum, launch) => sum + launch.flops, 0);
}

Deno.test("nano's products are two operations per weight and row that is wanted", async () => {
  const config = preset("nano");
  const solver = { ...config.solver, guidance: 1 };
  const D = 192;
  const layer = D * (D + 128) + D * D + 3 * D * 512;
  const latents = D * (2 * 32 + 4 * 32);
  // Thirteen rows and the text token; of the last layer one row's output, and of the text's none.
  const pass = 14 * 4 * layer - (12 + 1) * (D * D + 3 * D * 512) + D * 384 + latents;
  assertEquals(await flops({ ...config, solver }, "pass", "matmul"), 2 * pass);
  const evaluation = 2 * (6 * 4 * layer + 2 * latents);
  assertEquals(await flops({ ...config, solver }, "solve", "matmul"), 4 * evaluation);
  // Both row sets of guidance, and both evaluations of a step.
  const guided = { ...config, solver: { ...solver, guidance: 3, name: "heun" } } as const;
  assertEquals(await flops(guided, "solve", "matmul"), 4 * 2 * 2 * evaluation);
});

Deno.test("a tick at the paper's scale is counted in little memory", async () => {
  const before = Deno.memoryUsage().rss;
  const config = preset("v0.2-0.6b");
  const { model } = await tickOnPaper(config, settingsFor(config));
  assert(model.gpu.allocatedBytes > 9e9);
  assert(Deno.memoryUsage().rss - before < 1e9);
});
