/** What the steps do, each in a process of its own: an adapter's features, which forms of kernels are right
 * on it, its ceilings, the forms' times at a model's shapes, ticks. */
import { kernelTimes, measureCeiling } from "../../../engine/bench/kernel_bench.ts";
import { TickBench } from "../../../engine/bench/tick_bench.ts";
import { paperCheckpoint } from "../../../engine/checkpoint/paper.ts";
import { parameterCount } from "../../../engine/checkpoint/tensors.ts";
import { resolveSettings } from "../../../engine/model/settings.ts";
import { preset, type PresetName } from "../../../engine/models/presets.ts";
import { randomCheckpoint } from "../../../engine/models/random_checkpoint.ts";
import { tickShapes, tuneDevice } from "../../../engine/roles/tuning.ts";
import { requestAdapter } from "../../../kernels/gpu/adapter.ts";
import { Gpu } from "../../../kernels/gpu/device.ts";
import {
  adapterKey,
  checkVariants,
  choose,
  type Problem,
  variantName,
  withoutVariants,
} from "../../../kernels/measure/tune.ts";
import { attentionProblem } from "../../../kernels/measure/tune_attention.ts";
import { convProblem } from "../../../kernels/measure/tune_conv.ts";
import { productProblem } from "../../../kernels/measure/tune_matmul.ts";
import { spanProblem } from "../../../kernels/measure/tune_span.ts";
import type { Message } from "./steps.ts";

/** How weights are stored. */
export type StorageOption = "f32" | "f16" | "int8" | "int4";

/** What a step's process is to do. */
export interface Task {
  step: string;
  /** Seconds that it has. */
  seconds: number;
  adapter: string;
  precision: StorageOption;
  /** Presets whose shapes are measured. */
  presets: PresetName[];
  /** Items that are known already. */
  known: string[];
  /** Variants of kernels that are wrong on this adapter. */
  wrong: string[];
}

/** The messages of a task's step. @param known Items that are left out. */
export async function* workOf(
  task: Task,
  known: ReadonlySet<string>,
): AsyncGenerator<Message> {
  const { step, adapter, precision, presets } = task;
  if (step === "features") return yield* features(adapter, known);
  const gpu = await Gpu.open(adapter);
  if (step === "adapter") yield { item: "adapter", value: { key: adapterKey(gpu) } };
  else if (step === "forms") yield* forms(gpu, await formProblems(gpu), known);
  else if (step === "ceilings") yield* ceilings(gpu);
  else if (step === "shapes") yield* shapes(gpu, presets, precision, task.wrong, known);
  else yield* ticks(gpu, step.replace("ticks ", "") as PresetName, task);
}

/** Features that kernels may use; some are granted though the adapter doesn't list them. */
const featureNames = [
  ...["shader-f16", "subgroups", "wgpu-subgroup-barrier", "wgpu-subgroup-vertex"],
  ...["timestamp-query", "timestamp-query-inside-passes", "pipeline-statistics-query"],
  ...["shader-f64", "shader-i16", "shader-int64", "shader-int64-atomic-all-ops"],
  ...["shader-float32-atomic", "experimental-cooperative-matrix", "push-constants"],
  ...["mappable-primary-buffers", "buffer-binding-array", "clear-texture"],
] as GPUFeatureName[];

/** What the adapter is, has and grants. */
async function* features(
  spec: string,
  known: ReadonlySet<string>,
): AsyncGenerator<Message> {
  yield { begin: "adapter" };
  const { traits } = await Gpu.open(spec);
  const adapter = await requestAdapter(spec);
  const { vendor, architecture, device, description } = adapter.info;
  const { subgroupMinSize, subgroupMaxSize } = adapter.info;
  const described = { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize };
  const limits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value: unknown = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") limits[name] = value;
  }
  const listed = [...adapter.features].sort();
  const facts = { ...described, traits, limits, listed };
  if (!known.has("adapter")) yield { item: "adapter", value: facts };
  for (const name of new Set([...featureNames, ...listed as GPUFeatureName[]])) {
    if (known.has(name)) continue;
    yield { begin: name };
    let answer = "granted";
    try {
      const opened = await (await requestAdapter(spec)).requestDevice({ requiredFeatures: [name] });
      if (!opened.features.has(name)) answer = "granted, not listed by the device";
      opened.destroy();
    } catch (error) {
      // A name that Deno doesn't know is a TypeError of its bindings.
      answer = /enum|variant/i.test(String(error)) ? "unknown" : "refused";
    }
    yield { item: name, value: { answer, listed: adapter.features.has(name) } };
  }
}

/** Small problems that together have every form which tuning may choose, over odd sizes; those with many rows,
 * whose forms a card takes most, first. */
async function formProblems(gpu: Gpu): Promise<Problem[]> {
  const texture = gpu.traits.texturesFaster;
  const floats = ["f16", "f32"] as const;
  const attentions = (rows: number) =>
    floats.flatMap((dtype) =>
      [{ heads: 16, kvHeads: 8, headDim: 128 }, { heads: 6, kvHeads: 2, headDim: 32 }]
        .map((heads) => attentionProblem(gpu, { rows, slots: 1301, dtype, ...heads }))
    );
  const products = (rows: number) =>
    [...floats, "int8" as const, "int4" as const].flatMap((dtype) =>
      [false, true].map((gated) => {
        const outputs = gated ? 336 : 333;
        const more = { texture, gated, normed: gated };
        return productProblem(gpu, { rows, outputs, inputs: 228, dtype, ...more });
      })
    );
  const convs = floats.flatMap((dtype) =>
    ([
      { x: [2, 7, 11, 36], kernel: [2, 3, 3], stride: [1, 1, 1], upsample: [2, 1] },
      { x: [2, 24, 36, 3], kernel: [1, 4, 4], stride: [1, 2, 2] },
      { x: [12, 1, 1, 20], kernel: [8, 1, 1], stride: [4, 1, 1] },
    ] as const).map((shape) => {
      const [line, vector] = [shape.x[1] === 1, shape.x[3] % 4 === 0];
      return convProblem(gpu, { ...shape, dilation: 1, outputs: 76, dtype, line, vector });
    })
  );
  const spans = await Promise.all(
    floats.map((precision) => tickShapes(preset("nano"), settingsOf("nano", precision), gpu)),
  );
  return [
    ...attentions(319),
    ...products(129),
    ...attentions(67),
    ...products(36),
    ...attentions(18),
    ...products(7),
    ...attentions(1),
    ...products(1),
    ...convs,
    ...spans.flatMap(({ spans }) => spans.map((shape) => spanProblem(gpu, shape))),
  ];
}

/** Which forms are right, each against float64 sums on the host. */
export async function* forms(
  gpu: Gpu,
  problems: readonly Problem[],
  known: ReadonlySet<string>,
): AsyncGenerator<Message> {
  for (const problem of problems) {
    const itemOf = (variant: string) => `${problem.key}: ${variant}`;
    const variants = new Map([...problem.variants].filter(([name]) => !known.has(itemOf(name))));
    if (variants.size === 0) continue;
    const begun: string[] = [];
    const checks = checkVariants(gpu, { ...problem, variants }, (name) => begun.push(name));
    for (const name of variants.keys()) {
      // Said before it runs: when the process dies of it, it is known which one it was.
      yield { begin: itemOf(name) };
      const { value } = await checks.next();
      if (!value) break;
      const { variant, wrong } = value;
      yield {
        item: itemOf(variant),
        value: { form: variantName(problem, variant), right: wrong === null, wrong },
      };
    }
    await checks.return(undefined);
  }
}

async function* ceilings(gpu: Gpu): AsyncGenerator<Message> {
  yield { begin: "ceilings" };
  yield { item: "ceilings", value: { ...await measureCeiling(gpu) } };
}

const settingsOf = (name: PresetName, precision: StorageOption) =>
  resolveSettings(paperCheckpoint(preset(name)), { precision });

/** The two heaviest products, the heaviest attention, or the layers, and the heaviest convolution of each
 * preset's tick: every form's time. */
async function* shapes(
  gpu: Gpu,
  presets: readonly PresetName[],
  precision: StorageOption,
  wrong: readonly string[],
  known: ReadonlySet<string>,
): AsyncGenerator<Message> {
  for (const name of presets) {
    const { products, attentions, convs, spans } = await tickShapes(
      preset(name),
      settingsOf(name, precision),
      gpu,
    );
    const texture = gpu.traits.texturesFaster;
    const problems = [
      ...products.slice(0, 2).map((shape) => productProblem(gpu, { ...shape, texture })),
      // A tick in whole layers has no attention of its own.
      ...(attentions.length > 0
        ? attentions.slice(0, 1).map((shape) => attentionProblem(gpu, shape))
        : spans.slice(0, 1).map((shape) => spanProblem(gpu, shape))),
      ...convs.slice(0, 1).map((shape) => convProblem(gpu, shape)),
    ];
    for (const problem of problems) {
      const item = `${name}: ${problem.key}`;
      if (known.has(item)) continue;
      yield { begin: item };
      yield { item, value: await timesOf(gpu, problem, wrong) };
    }
  }
}

/** Every variant's time at a shape, or why it has none; work as it was measured. */
export async function timesOf(gpu: Gpu, problem: Problem, wrong: readonly string[]) {
  const right = withoutVariants(problem, (form) => wrong.includes(form));
  const trial = right.open();
  const [first] = right.variants.values();
  const launches = trial.steps(first).filter((step) => step.kind === "dispatch");
  const sum = (of: "flops" | "bytes") => launches.reduce((all, launch) => all + launch[of], 0);
  const work = { flops: sum("flops"), bytes: sum("bytes") };
  const { chosen, times } = await choose(gpu, { ...right, open: () => trial });
  const best = times[chosen];
  return { chosen, ms: typeof best === "number" ? best : null, ...work, times };
}

/** Seconds that choosing kernels may take, and the part of the step's; and ticks that are timed. */
const tuning = { seconds: 45, part: 0.3 };
export const tickCount = 12;

/** A preset's ticks over a full history, then its kernels one by one. */
async function* ticks(
  gpu: Gpu,
  name: PresetName,
  { precision, wrong, seconds: all }: Task,
): AsyncGenerator<Message> {
  let start = performance.now();
  const seconds = () => {
    const now = performance.now();
    const took = (now - start) / 1000;
    start = now;
    return took;
  };
  yield { begin: "weights" };
  const checkpoint = await randomCheckpoint(name, 0, precision === "f32" ? "F32" : "F16");
  const parameters = parameterCount(checkpoint.config);
  yield { item: "weights", value: { seconds: seconds(), parameters } };
  yield { begin: "choice of kernels" };
  const settings = resolveSettings(checkpoint, { precision });
  const { measured, skipped } = await tuneDevice(
    gpu,
    checkpoint.config,
    settings,
    { record: {}, budgetMs: 1000 * Math.min(tuning.seconds, tuning.part * all) },
    () => {},
    (form) => wrong.includes(form),
  );
  yield { item: "choice of kernels", value: { seconds: seconds(), measured, skipped } };
  yield { begin: "first ticks" };
  const bench = await TickBench.create(gpu, checkpoint, settings);
  bench.jump(settings.historyUnits);
  await bench.run(2);
  yield {
    item: "first ticks",
    value: { seconds: seconds(), deviceBytes: gpu.allocatedBytes, choices: gpu.choices },
  };
  for (let i = 1; i <= tickCount; i++) {
    yield { begin: `tick ${i}` };
    const [times] = await bench.run(1);
    yield { item: `tick ${i}`, value: { ...times } };
  }
  yield { begin: "kernels" };
  const kernels = (await kernelTimes(gpu, bench.plans, () => {}))
    .map((one) => ({ ...one, gpuMs: one.gpuMs ?? null }));
  yield { item: "kernels", value: { kernels } };
}
