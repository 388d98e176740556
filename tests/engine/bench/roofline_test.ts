import { assert, assertEquals } from "@std/assert";
import { classEfficiency } from "../../../engine/bench/kernel_bench.ts";
import {
  planPlacement,
  stageTimes,
  sumWork,
  transfers,
  type Work,
  workKind,
  workSeconds,
  workTime,
} from "../../../engine/bench/roofline.ts";
import { preset } from "../../../engine/models/presets.ts";
import { launches, tickOnPaper, type TickStage } from "../../../engine/roles/tick_plan.ts";
import { settingsFor } from "../support.ts";

const product = (rows: number) => ({ tuned: { kernel: "matmul", shape: { rows } } });

Deno.test("workKind() tells classes by kernel, and products of one row from others", () => {
  const work = { flops: 1, bytes: 1 };
  assertEquals(workKind({ ...work, label: "matmul x", ...product(1) }), "row product");
  assertEquals(workKind({ ...work, label: "matmul x", ...product(2) }), "product");
  assertEquals(workKind({ ...work, label: "attention merge x" }), "attention");
  assertEquals(workKind({ ...work, label: "conv x" }), "convolution");
  assertEquals(workKind({ ...work, label: "qk rotary x" }), "other");
});

Deno.test("a plan counts bytes of weights by their storage, and of history by its own", async () => {
  const config = preset("nano");
  const bytes = async (weights: "f32" | "int8", historyUnits: number) => {
    const settings = settingsFor(config, { weights, historyUnits });
    const { stages } = await tickOnPaper(config, settings);
    return sumWork(launches(stages.solve).filter(({ tuned }) => tuned !== undefined)).bytes;
  };
  const layer = 192 * (192 + 128) + 192 * 192 + 3 * 192 * 512;
  // A block of 32 weights has a scale of two bytes.
  const quantized = await bytes("int8", 40);
  assertEquals(await bytes("f32", 40) - quantized, 4 * 4 * layer * (4 - 1 - 2 / 32));
  // Four evaluations read K and V of 64 in four layers for each of a unit's 14 tokens more.
  assertEquals(await bytes("int8", 41) - quantized, 4 * 4 * 2 * 64 * 4 * 14);
});

Deno.test("launches take the greater of operations and bytes each, and a launch's time", () => {
  const work: Work[] = [
    { label: "matmul a", flops: 100, bytes: 10, ...product(3) },
    { label: "attention a", flops: 10, bytes: 50 },
    { label: "attention b", flops: 10, bytes: 50 },
  ];
  const machine = {
    flops: 20,
    bytesPerSecond: 10,
    linkBytesPerSecond: 1,
    launchSeconds: 0.25,
    efficiency: { product: 0.5 },
  };
  assertEquals(work.map((one) => workSeconds(one, machine)), [
    100 / 20 / 0.5 + 0.25,
    50 / 10 + 0.25,
    50 / 10 + 0.25,
  ]);
  assertEquals(workTime(work, machine), {
    flops: 120,
    bytes: 110,
    launches: 3,
    computeSeconds: 6,
    memorySeconds: 11,
    seconds: 20.75,
    bound: "bytes",
  });
  assertEquals(workTime(work.slice(0, 1), machine).bound, "operations");
  assertEquals(workTime(work, { ...machine, launchSeconds: 9 }).bound, "launches");
});

Deno.test("classEfficiency() is the roof's time over what launches took, their start taken off", () => {
  const kernel = (kind: "product" | "other", ms: number, flops: number) => ({
    ...{ kind, ms, flops, bytes: 0, launches: 2 },
  });
  const ceiling = { gigaflops: 1, gigabytes: 1, launchMs: 1 };
  const found = classEfficiency([
    kernel("product", 3, 1e6),
    kernel("product", 4, 1e6),
    kernel("other", 0.5, 1e3),
  ], ceiling);
  assertEquals(found, { product: 4 / 10 });
});

Deno.test("planPlacement() takes as few adapters as hold real time", () => {
  const stage = (name: TickStage, seconds: number) => ({ stage: name, seconds });
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

Deno.test("transfers() of nano: K and V of a unit's 14 tokens, of 40 units, and latents", async () => {
  const token = 2 * 4 * 64 * 4;
  const { model, stages } = await tickOnPaper(preset("nano"), settingsFor(preset("nano")));
  assertEquals(transfers(model), {
    historyBytes: 40 * 14 * token,
    sliceBytes: 14 * token,
    latentBytes: 4 * (2 * 32 + 4 * 32),
  });
  const machine = { flops: 1e9, bytesPerSecond: 1e9, linkBytesPerSecond: 1, launchSeconds: 0 };
  const times = stageTimes(stages, machine);
  assertEquals(times.map(({ stage }) => stage), ["encode", "pass", "solve", "decode"]);
  assert(times.every(({ seconds }) => seconds > 0));
});
