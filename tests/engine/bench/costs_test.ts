import { assert, assertEquals } from "@std/assert";
import {
  coderOperations,
  historyTokens,
  tokenHistoryBytes,
  unitCosts,
  weightBytes,
} from "../../../engine/bench/costs.ts";
import type { LayerConfig, ModelConfig } from "../../../engine/config/config.ts";
import type { Shape4 } from "../../../engine/layers/layer.ts";
import { conv, residual, shuffle } from "../../../engine/models/layers.ts";
import { preset } from "../../../engine/models/presets.ts";

function operations(layers: LayerConfig[], input: Shape4): number {
  return coderOperations({ name: "coder", layers, input, sampleRate: 16000 });
}

Deno.test("coderOperations() counts two operations per weight and output position", () => {
  const halving = conv(5, [2, 4, 4], [1, 2, 2]);
  // outputs x inputs x kernel x positions
  assertEquals(operations([halving], [3, 4, 6, 7]), 2 * 5 * 7 * 32 * (3 * 2 * 3));
  assertEquals(
    operations([conv(8), shuffle(2, 1, 1), conv(3)], [1, 1, 1, 2]),
    2 * 16 + 2 * 24,
  );
  assertEquals(operations([residual([3, 1, 1])], [10, 1, 1, 4]), 2 * 10 * (48 + 16));
});

const unguided = (config: ModelConfig) => ({
  ...config,
  solver: { ...config.solver, guidance: 1 },
});

Deno.test("unitCosts() of nano's pass is two operations per backbone weight and token, and more", () => {
  const config = unguided(preset("nano"));
  const { pass, evaluation, step, solve } = unitCosts(config);
  const layer = 192 * (192 + 64 + 64) + 192 * 192 + 3 * 192 * 512;
  const attention = 4 * 192 * 560;
  const tokens = 14 * 4 * (2 * layer + attention);
  const latents = 2 * 192 * (2 * 32 + 4 * 32);
  assertEquals(pass, tokens + latents + 2 * 192 * 384);
  assertEquals(evaluation, 6 * 4 * (2 * layer + attention + 4 * 192 * 6) + 2 * latents);
  assertEquals([step, solve], [evaluation, 4 * evaluation]);
});

Deno.test("unitCosts() counts both row sets of guidance and every evaluation of a step", () => {
  const config = unguided(preset("nano"));
  const { evaluation } = unitCosts(config);
  const guided = unitCosts({ ...config, solver: { ...config.solver, name: "heun", guidance: 3 } });
  assertEquals(guided.evaluation, 2 * evaluation);
  assertEquals(guided.solve, 4 * 2 * 2 * evaluation);
});

Deno.test("nano's history and weights fit where they should", () => {
  const config = preset("nano");
  assertEquals(historyTokens(config), 40 * 14);
  assertEquals(tokenHistoryBytes(config, "f32"), 2 * 4 * 64 * 4);
  assertEquals(weightBytes(config, "f32"), 2 * weightBytes(config, "f16"));
  assert(weightBytes(config, "f16") < 16e6);
});
