/**
 * Streaming equals offline: ticks with the KV cache, on the GPU, against one pass over the whole
 * sequence under the mask, in float64. The offline side is fed the engine's own tokens and latents,
 * so that errors don't add up; positions and evictions are stated anew here.
 */
import { assert, assertEquals } from "@std/assert";
import { toF32 } from "../../engine/weights/weights.ts";
import type { WeightType } from "../../kernels/matmul/packed_weight.ts";
import type { SolverName } from "../../engine/config/solver.ts";
import { Model } from "../../engine/model/model.ts";
import { Performer } from "../../engine/roles/performer.ts";
import { computePrefill, personaLatents } from "../../engine/roles/prefill.ts";
import { solverProgram } from "../../engine/config/solver.ts";
import { Thinker } from "../../engine/roles/thinker.ts";
import {
  attentionAxes,
  causalRank,
  cleanSight,
  type Group,
  noisyRank,
  noisySight,
  type Position,
  TokenType,
} from "../../engine/checkpoint/unit.ts";
import { noise } from "../../kernels/flow/noise.ts";
import { Plan, submit } from "../../kernels/gpu/plan.ts";
import { dequantize, quantize } from "../../kernels/matmul/quantize.ts";
import { readTensor } from "../../kernels/gpu/readback.ts";
import { makeTensor, tensorFrom } from "../../kernels/gpu/tensor.ts";
import { assertClose, withGpu } from "../kernels/support.ts";
import { normal, random } from "../reference/random.ts";
import { runSolver } from "../reference/solver.ts";
import { product, type Row, transformer } from "../reference/transformer.ts";
import { randomCheckpoint, randomObservations, settingsFor, tinyConfig } from "./support.ts";

const never = Infinity;
const split = (flat: ArrayLike<number>, width: number) =>
  Array.from(
    { length: flat.length / width },
    (_, i) => Array.from({ length: width }, (_, j) => flat[i * width + j] ?? NaN),
  );
const plus = (...vectors: ArrayLike<number>[]) =>
  Array.from(
    { length: vectors[0]?.length ?? 0 },
    (_, i) => vectors.reduce((sum, v) => sum + (v[i] ?? NaN), 0),
  );

/** Group and unit of a row, as the shares of attention count it. */
interface Label {
  group: typeof attentionAxes.groups[number];
  unit: number;
}

/** Sums what rows from `first` on look at by layer, group and age, a mean over `count` rows and heads. */
function shareCounter(labels: readonly Label[], unit: number, first: number, count: number) {
  const { groups, ages } = attentionAxes;
  const shares = new Float64Array(2 * groups.length * ages.length);
  const look = (layer: number, row: number, seen: number, weight: number) => {
    if (row < first || row >= first + count) return;
    const { group, unit: of } = labels[seen] ?? { group: "userText", unit: NaN };
    const age = group === "prefill" || unit - of > 5
      ? "older"
      : of === unit
      ? "this unit"
      : "the last 5";
    const at = (layer * groups.length + groups.indexOf(group)) * ages.length + ages.indexOf(age);
    shares[at] = (shares[at] ?? NaN) + weight / (4 * count);
  };
  return { shares, look };
}

/** Rounds the layers' weights as the engine keeps them: with a norm's weight multiplied into their
 * columns, which is taken off again. */
function roundLayers(floats: Map<string, Float32Array>, dtype: "int8" | "int4"): void {
  for (const [name, weight] of floats) {
    const [, layer, projection = ""] =
      /^(model\.layers\.\d+)\..*\.(\w+)_proj\.weight$/.exec(name) ??
        [];
    if (!layer) continue;
    const norm = ["q", "k", "v"].includes(projection)
      ? "input_layernorm"
      : ["gate", "up"].includes(projection)
      ? "post_attention_layernorm"
      : null;
    const inputs = projection === "down" ? 48 : projection === "o" ? 64 : 32;
    const scale = norm
      ? floats.get(`${layer}.${norm}.weight`) ?? new Float32Array()
      : new Float32Array(inputs).fill(1);
    const columns = (f: (w: number, scale: number) => number) => (w: number, i: number) =>
      f(w, scale[i % inputs] ?? NaN);
    const kept = quantize(weight.map(columns((w, s) => w * s)), inputs, dtype);
    floats.set(name, dequantize(kept, inputs).map(columns((w, s) => w / s)));
  }
}

async function compare(
  gpu: Parameters<Parameters<typeof withGpu>[1]>[0],
  { guidance, storage, weights: stored = storage, solver = "heun", tolerance, inspect = false }: {
    guidance: number;
    storage: "f32" | "f16";
    weights?: WeightType;
    solver?: SolverName;
    tolerance: number;
    inspect?: boolean;
  },
): Promise<void> {
  const config = tinyConfig({
    // So that some of what is kept is older than the last 5.
    ...(inspect ? { history_units: 8 } : {}),
    solver: { name: solver, steps: 2, shift: 1.5, guidance },
  });
  const checkpoint = await randomCheckpoint(config, 11);
  const next = random(3);
  const settings = settingsFor(config, {
    storage,
    weights: stored,
    promptIds: [40, 41, 42, 43, 44],
    personaFrame: Uint8Array.from({ length: 16 * 16 * 3 }, () => 255 * next()),
    voice: normal(next, 2 * 2560, 0.1),
  });
  const model = new Model(gpu, checkpoint, settings);
  const thinker = await Thinker.create(model, false, { inspect });
  const performer = await Performer.create(model, false, inspect);
  await computePrefill(model, false);

  // The offline side.
  const D = config.hidden_size;
  const floats = new Map([...checkpoint.tensors].map(([name, t]) => [name, toF32(t)]));
  if (stored === "int8" || stored === "int4") roundLayers(floats, stored);
  const weights = (name: string): Float32Array => {
    const tensor = floats.get(name);
    assert(tensor, name);
    return tensor;
  };
  const table = split(weights("model.embed_tokens.weight"), D);
  const types = split(weights("type_embedding.weight"), D);
  const text = (id: number, type: number) => plus(table[id] ?? [], types[type] ?? []);
  const tauEmbedding = (tau: number) => {
    const angles = Array.from(
      { length: 128 },
      (_, i) => 1000 * tau * Math.exp(-Math.log(1e4) * i / 128),
    );
    const features = [...angles.map(Math.cos), ...angles.map(Math.sin)];
    const inner = product(
      weights("tau_embedding.linear1.weight"),
      features,
      weights("tau_embedding.linear1.bias"),
    )
      .map((v) => v / (1 + Math.exp(-v)));
    return product(
      weights("tau_embedding.linear2.weight"),
      inner,
      weights("tau_embedding.linear2.bias"),
    );
  };
  const latentX = (medium: "audio" | "video", z: readonly number[], tau: number) => {
    const name = `response.${medium}.input`;
    const type = medium === "audio" ? TokenType.agentAudio : TokenType.agentVideo;
    return plus(
      product(weights(`${name}.weight`), z, weights(`${name}.bias`)),
      types[type] ?? [],
      tauEmbedding(tau),
    );
  };
  const responseX = (z: ArrayLike<number>, tau: number) => {
    const flat = Array.from(z);
    return [
      ...split(flat.slice(0, 2 * 8), 8).map((row) => latentX("audio", row, tau)),
      ...split(flat.slice(2 * 8), 12).map((row) => latentX("video", row, tau)),
    ];
  };
  const slots = config.agent_text_slots;
  const { history_units: kept, sink_units: sinks } = config;
  const clean: Row[] = [];
  const labels: Label[] = [];
  const addRow = (
    place: { unit: number; group: Group; index: number },
    tick: number,
    x: number[],
    position: Position,
  ) => {
    const rank = causalRank(place, place.unit < 0 ? 5 : slots, slots);
    const leaves = place.unit < sinks ? never : place.unit + kept - sinks;
    clean.push({ x, rank, sight: cleanSight(rank), position, tick, leaves });
    const { group, index } = place;
    const of = {
      observation: index < 2 ? "userText" : index < 4 ? "userAudio" : "userVideo",
      language: "agentText",
      response: index < 2 ? "agentAudio" : "agentVideo",
    } as const;
    labels.push({ group: place.unit < 0 ? "prefill" : of[group], unit: place.unit });
  };
  const line = (t: number): Position => [t, t, t];
  const at = (start: number) => [
    line(start),
    line(start + 2),
    ...[[0, 0], [0, 1], [1, 0], [1, 1]].map((
      [h = 0, w = 0],
    ): Position => [start, start + h, start + w]),
  ];

  settings.promptIds.forEach((id, i) =>
    addRow({ unit: -1, group: "language", index: i }, -1, text(id, TokenType.prompt), line(i))
  );
  const persona = personaLatents(model);
  const voice = split(await readTensor(gpu, persona.audio), 8);
  const image = split(await readTensor(gpu, persona.video), 12);
  const personaX = [
    ...voice.map((z) => latentX("audio", z, 0)),
    ...image.map((z) => latentX("video", z, 0)),
  ];
  const personaAt = [line(5), line(7), line(9), line(11), ...at(9).slice(2)];
  assertEquals(personaX.length, personaAt.length);
  personaX.forEach((x, index) =>
    addRow({ unit: -1, group: "response", index }, -1, x, personaAt[index] ?? [0, 0, 0])
  );
  const unitStart = (unit: number) => 5 + 8 + 4 * unit;

  let previous: ArrayLike<number> | undefined;
  let units = 0;
  for (const observation of randomObservations(config, 9, 5)) {
    const unit = units++;
    const typed = unit % 3 === 1 ? [60 + unit] : unit % 3 === 2 ? [50, 51] : [];
    // Unit 4 has no sound, unit 6 no picture.
    if (unit === 4) observation.audio = null;
    if (unit === 6) observation.frames = null;
    thinker.encode(observation);
    const observed = split(await readTensor(gpu, thinker.observed), D);
    const { textIds: tokens, inspection: seen } = await thinker.pass(unit, typed);
    performer.solve(unit);
    const { latents, inspection } = await performer.read();
    assertEquals([!seen, !inspection], [!inspect, !inspect]);
    thinker.setLatents(performer.latents);

    const start = unitStart(unit);
    if (previous) {
      responseX(previous, 0).forEach((x, index) =>
        addRow(
          { unit: unit - 1, group: "response", index },
          unit,
          x,
          at(unitStart(unit - 1))[index] ?? [0, 0, 0],
        )
      );
    }
    typed.forEach((id, index) =>
      addRow(
        { unit, group: "observation", index },
        unit,
        text(id, TokenType.userText),
        line(start + 2 * index),
      )
    );
    observed.slice(2).forEach((x, i) =>
      addRow({ unit, group: "observation", index: 2 + i }, unit, x, at(start)[i] ?? [0, 0, 0])
    );
    if (unit === 4) {
      assertClose(
        observed[2] ?? [],
        plus(weights("no_sound_embedding"), types[TokenType.userAudio] ?? []),
        {
          absolute: 1e-6,
        },
      );
    }
    for (let slot = 0; slot < slots; slot++) {
      const counter = shareCounter(labels, unit, clean.length - 1, 1);
      const last = transformer(config, weights, clean, counter.look).at(-1) ?? [];
      if (slot === 0 && seen) {
        assertClose(seen.shares, counter.shares, { absolute: tolerance });
      }
      const logits = product(weights("model.embed_tokens.weight"), last);
      const order = logits.map((_, id) => id).sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0));
      const token = tokens[slot] ?? -1;
      const best = logits[order[0] ?? 0] ?? NaN;
      // The engine's choice is the best one, or as good within tolerance.
      assert(
        best - (logits[token] ?? -Infinity) <= tolerance * Math.abs(best),
        `unit ${unit} text`,
      );
      addRow(
        { unit, group: "language", index: slot },
        unit,
        text(token, TokenType.agentText),
        line(start + 2 * slot),
      );
    }

    const z = makeTensor(gpu, "z", [model.latents.length]);
    const unitTensor = tensorFrom(gpu, "unit", [1], Uint32Array.of(unit));
    submit(
      gpu,
      new Plan([noise(gpu, { label: "z", y: z, unit: unitTensor, seed: settings.seed })]),
    );
    const noisyLabels = Array.from({ length: 6 }, (_, i): Label => (
      { group: i < 2 ? "agentAudio" : "agentVideo", unit }
    ));
    let counter = shareCounter([], unit, 0, 0);
    const path: { tau: number; used: number[]; conditional: number[] }[] = [];
    const velocityOf = (point: readonly number[], tau: number, conditional: boolean) => {
      const sight = noisySight(unit, slots, conditional);
      const rank = conditional ? noisyRank.conditional : noisyRank.unconditional;
      const noisy = responseX(point, tau).map((x, i): Row => ({
        x,
        rank,
        sight,
        position: at(start)[i] ?? [0, 0, 0],
        tick: unit,
        leaves: never,
      }));
      if (conditional) counter = shareCounter([...labels, ...noisyLabels], unit, clean.length, 6);
      const look = conditional ? counter.look : undefined;
      const out = transformer(config, weights, [...clean, ...noisy], look).slice(clean.length);
      return out.flatMap((row, i) => {
        const name = `response.${i < 2 ? "audio" : "video"}.output`;
        return product(weights(`${name}.weight`), row, weights(`${name}.bias`));
      });
    };
    const expected = runSolver(
      solverProgram(settings.solver),
      Array.from(await readTensor(gpu, z)),
      (point, tau) => {
        const conditional = velocityOf(point, tau, true);
        const without = guidance === 1 ? conditional : velocityOf(point, tau, false);
        const used = conditional.map((v, i) =>
          (without[i] ?? NaN) + guidance * (v - (without[i] ?? NaN))
        );
        path.push({ tau, used, conditional });
        return used;
      },
    );
    if (inspection) {
      assertClose(inspection.shares, counter.shares, { absolute: tolerance });
      const rms = (values: number[]) =>
        Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
      assertEquals(inspection.path.map(({ tau }) => tau), path.map(({ tau }) => tau));
      inspection.path.forEach(({ audio, video }, step) => {
        const { used = [], conditional = [] } = path[step] ?? {};
        for (const [medium, from, to] of [[audio, 0, 16], [video, 16, 64]] as const) {
          const changed = used.map((v, i) => v - (conditional[i] ?? NaN)).slice(from, to);
          assertClose(
            [medium.velocity, medium.guidance ?? 0],
            [rms(used.slice(from, to)), rms(changed)],
            { relative: 5 * tolerance, absolute: 1e-6 },
          );
          assertEquals(medium.guidance === null, guidance === 1);
        }
      });
    }
    const scale = Math.sqrt(expected.reduce((sum, v) => sum + v * v, 0) / expected.length);
    assertClose(latents, expected, { absolute: tolerance * scale });
    previous = latents;
  }
  await gpu.check();
}

withGpu(
  "ticks equal one pass over the whole sequence, windowed, with a persona",
  (gpu) => compare(gpu, { guidance: 1, storage: "f32", tolerance: 1e-3 }),
);

withGpu(
  "ticks equal one pass over the whole sequence, with guidance",
  (gpu) => compare(gpu, { guidance: 1.7, storage: "f32", tolerance: 1e-3, inspect: true }),
);

withGpu(
  "ticks equal one pass over the whole sequence, f16 storage",
  (gpu) => compare(gpu, { guidance: 1, storage: "f16", tolerance: 2e-2 }),
);

for (const weights of ["int8", "int4"] as const) {
  withGpu(
    `ticks equal one pass over the whole sequence, layers in ${weights}, Euler's step in the head`,
    (gpu) =>
      compare(gpu, {
        ...{ guidance: 1, storage: "f16", weights, solver: "euler", tolerance: 2e-2 },
        inspect: weights === "int8",
      }),
  );
}
