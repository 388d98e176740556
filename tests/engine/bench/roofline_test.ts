import { assert, assertEquals } from "@std/assert";
import { unitCosts } from "../../../engine/bench/costs.ts";
import { preset, presetNames } from "../../../engine/models/presets.ts";
import {
  planPlacement,
  type StageTime,
  stageTimes,
  tickWork,
  transfers,
  type Work,
  workSeconds,
} from "../../../engine/bench/roofline.ts";
import type { TickStage } from "../../../engine/roles/tick_stages.ts";

const f32 = { storage: "f32", weights: "f32" } as const;

Deno.test("tickWork() counts the operations that unitCosts() counts, less what nobody reads", () => {
  for (const name of presetNames) {
    const config = preset(name);
    const costs = unitCosts(config);
    const work = tickWork(config, f32);
    const flops = (stage: TickStage) =>
      work.filter((one) => one.stage === stage).reduce((sum, one) => sum + one.flops, 0);
    for (const stage of ["encode", "solve", "decode"] as const) {
      assert(Math.abs(flops(stage) / costs[stage] - 1) < 1e-3, `${name} ${stage}`);
    }
    // Of the pass's last layer one row is read, and of the last text token none.
    const { num_hidden_layers: layers } = config;
    assert(flops("pass") <= costs.pass && flops("pass") > costs.pass * (1 - 1.1 / layers), name);
  }
});

Deno.test("tickWork() counts bytes of weights by their storage, and history by its own", () => {
  const config = preset("nano");
  const bytes = (weights: "f32" | "int8", history?: number) =>
    tickWork(config, { storage: "f32", weights }, history)
      .filter(({ stage }) => stage === "solve").reduce((sum, one) => sum + one.bytes, 0);
  const layer = 192 * (192 + 128) + 192 * 192 + 3 * 192 * 512;
  assertEquals(bytes("f32") - bytes("int8"), 4 * 4 * layer * (4 - 1.0625));
  // Four evaluations read K and V of 64 in four layers for each token more.
  assertEquals(bytes("f32", 101) - bytes("f32", 100), 4 * 4 * 2 * 64 * 4);
});

Deno.test("a stage takes the greater of operations and bytes of each kernel, and its launches", () => {
  const work: Work[] = [
    { stage: "solve", kind: "product", launches: 2, flops: 100, bytes: 10 },
    { stage: "solve", kind: "attention", launches: 3, flops: 10, bytes: 50 },
    { stage: "decode", kind: "convolution", launches: 1, flops: 40, bytes: 2 },
  ];
  const machine = {
    flops: 20,
    bytesPerSecond: 10,
    linkBytesPerSecond: 1,
    launchSeconds: 0.25,
    efficiency: { product: 0.5 },
  };
  assertEquals(work.map((one) => workSeconds(one, machine)), [
    100 / 20 / 0.5 + 0.5,
    50 / 10 + 0.75,
    40 / 20 + 0.25,
  ]);
  const [encode, , solve, decode] = stageTimes(work, machine);
  assertEquals(encode?.seconds, 0);
  assertEquals(
    [solve?.seconds, solve?.computeSeconds, solve?.memorySeconds, solve?.launches, solve?.bound],
    [16.25, 5.5, 6, 5, "bytes"],
  );
  assertEquals([decode?.seconds, decode?.bound], [2.25, "operations"]);
});

Deno.test("planPlacement() takes as few adapters as hold real time", () => {
  const stage = (name: TickStage, seconds: number): StageTime => ({
    stage: name,
    seconds,
    ...{ flops: 0, bytes: 0, launches: 0, computeSeconds: 0, memorySeconds: 0 },
    bound: "operations",
  });
  const moved = { historyBytes: 0, sliceBytes: 30, latentBytes: 10 };
  const plan = (solve: number, pass: number) =>
    planPlacement(
      [stage("encode", 0.01), stage("pass", pass), stage("solve", solve)],
      moved,
      1000,
      0.16,
    );
  const one = plan(0.1, 0.04);
  assertEquals(one.adapters, 1);
  assert(
    Math.abs(one.performerSeconds - 0.14) < 1e-12 && Math.abs(one.fusedSeconds - 0.15) < 1e-12,
  );
  assertEquals(plan(0.11, 0.1).adapters, 2);
  // The solver takes two units and its transfers a bit more.
  assertEquals(plan(0.32, 0.1).adapters, 1 + 3);
});

Deno.test("transfers() of nano: K and V of a unit's 14 tokens, of 40 units, and latents", () => {
  const token = 2 * 4 * 64 * 4;
  assertEquals(transfers(preset("nano"), "f32"), {
    historyBytes: 40 * 14 * token,
    sliceBytes: 14 * token,
    latentBytes: 4 * (2 * 32 + 4 * 32),
  });
});
