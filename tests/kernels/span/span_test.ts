/** Layers in whole and with a launch each, against the plain float64 Transformer. */
import { assertEquals } from "@std/assert";
import type { ModelConfig } from "../../../engine/config/config.ts";
import { longHistory } from "../../../kernels/attention/attention.ts";
import { rotaryTurns } from "../../../kernels/attention/qk_rotary.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import type { Step } from "../../../kernels/gpu/plan.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import {
  makeTensor,
  reshape,
  rows,
  scratchTensor,
  type Tensor,
  tensorFrom,
} from "../../../kernels/gpu/tensor.ts";
import { packWeight } from "../../../kernels/matmul/matmul.ts";
import {
  type EndMatrices,
  type LayerMatrices,
  type SpanArguments,
  type SpanEnds,
  spanLaunches,
  type SpanSizes,
  spanVariants,
  spanWhole,
} from "../../../kernels/span/span.ts";
import { packWhole } from "../../../kernels/span/whole.ts";
import { normal, random, roundToHalf } from "../../reference/random.ts";
import { product, rmsNorm, type Row, transformer } from "../../reference/transformer.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

type Dtype = "f32" | "f16";

interface Case {
  sizes: SpanSizes;
  dtype: Dtype;
  /** Of the span after a history of `past` rows. */
  rows: number;
  sets: number;
  wanted: { first: number; count: number };
  /** Channels of sound and pictures and the rows of sound, where the span is a solver's. */
  ends?: { channels: [number, number]; soundRows: number };
  headNorm?: false;
  /** Only the default of whole layers, and launches. */
  plain?: true;
}

const [layers, past, eps, slots] = [2, 14, 1e-5, 40];
/** A slot that no token has lies between history and the span's rows. */
const noisyStart = past + 3;

const small: SpanSizes = { hidden: 32, inner: 24, heads: 4, kvHeads: 2, headDim: 16 };
const odd: SpanSizes = { hidden: 40, inner: 56, heads: 6, kvHeads: 2, headDim: 24 };

/** Both spans' rows make workgroups of seven, so that few kernels are compiled. */
const cases: Case[] = [
  { sizes: small, dtype: "f32", rows: 13, sets: 1, wanted: { first: 12, count: 1 } },
  { sizes: odd, dtype: "f16", rows: 14, sets: 2, wanted: { first: 0, count: 14 }, plain: true },
  {
    sizes: small,
    dtype: "f32",
    rows: 14,
    sets: 2,
    wanted: { first: 0, count: 14 },
    ends: { channels: [8, 24], soundRows: 2 },
  },
  {
    sizes: odd,
    dtype: "f32",
    rows: 13,
    sets: 1,
    wanted: { first: 0, count: 13 },
    ends: { channels: [24, 16], soundRows: 5 },
    headNorm: false,
    plain: true,
  },
];

/** Random weights, as the reference names them and as the kernels take them. */
function weightsOf(next: () => number, { hidden, inner, heads, kvHeads, headDim }: SpanSizes) {
  const named = new Map<string, Float32Array>();
  const make = (name: string, outputs: number, inputs: number, mean = 0) => {
    const data = normal(next, outputs * inputs, mean === 0 ? 1 / Math.sqrt(inputs) : 0.2, mean);
    named.set(name, data);
    return data;
  };
  const matrices = Array.from({ length: layers }, (_, i): LayerMatrices => {
    const of = (name: string, outputs: number, inputs: number) =>
      make(`model.layers.${i}.${name}.weight`, outputs, inputs);
    const norm = (name: string, width: number) =>
      make(`model.layers.${i}.${name}.weight`, width, 1, 1);
    return {
      qkv: [
        of("self_attn.q_proj", heads * headDim, hidden),
        of("self_attn.k_proj", kvHeads * headDim, hidden),
        of("self_attn.v_proj", kvHeads * headDim, hidden),
      ],
      output: of("self_attn.o_proj", hidden, heads * headDim),
      gateUp: [of("mlp.gate_proj", inner, hidden), of("mlp.up_proj", inner, hidden)],
      down: of("mlp.down_proj", hidden, inner),
      inputNorm: norm("input_layernorm", hidden),
      postNorm: norm("post_attention_layernorm", hidden),
      qNorm: norm("self_attn.q_norm", headDim),
      kNorm: norm("self_attn.k_norm", headDim),
    };
  });
  return { named, matrices, finalNorm: make("model.norm.weight", hidden, 1, 1) };
}

function launched(gpu: Gpu, sizes: SpanSizes, dtype: Dtype, matrices: readonly LayerMatrices[]) {
  const { hidden, inner, heads, kvHeads, headDim } = sizes;
  const qkv = (heads + 2 * kvHeads) * headDim;
  return matrices.map((m) => ({
    qkv: packWeight(gpu, "qkv", m.qkv, qkv, hidden, dtype, { scale: m.inputNorm }),
    bias: null,
    qNorm: tensorFrom(gpu, "q norm", [headDim], m.qNorm),
    kNorm: tensorFrom(gpu, "k norm", [headDim], m.kNorm),
    output: packWeight(gpu, "output", m.output, hidden, heads * headDim, dtype),
    gateUp: packWeight(gpu, "gate up", m.gateUp, 2 * inner, hidden, dtype, {
      scale: m.postNorm,
      gated: true,
    }),
    down: packWeight(gpu, "down", m.down, hidden, inner, dtype),
  }));
}

for (const [index, one] of cases.entries()) {
  const { sizes, dtype, sets, wanted, ends } = one;
  const { hidden, inner, heads, kvHeads, headDim } = sizes;
  const name = `${sets} x ${one.rows / sets} rows of ${hidden}, ${dtype}${
    ends ? ", with ends" : ""
  }`;
  withGpu(`layers equal the float64 Transformer: ${name}`, async (gpu) => {
    const next = random(70 + index);
    const stored = (data: Float32Array) => dtype === "f16" ? roundToHalf(data) : data;
    const { named, matrices, finalNorm } = weightsOf(next, sizes);
    // Where heads aren't normed they have no weights.
    if (one.headNorm === false) { for (const m of matrices) m.qNorm.fill(1), m.kNorm.fill(1); }
    const headEps = one.headNorm === false ? null : eps;
    const config = {
      head_dim: headDim,
      num_attention_heads: heads,
      num_key_value_heads: kvHeads,
      num_hidden_layers: layers,
      rms_norm_eps: eps,
      rope_theta: 100,
      rope_scaling: { mrope_section: [4, 2, 2], mrope_interleaved: true },
      qk_norm: one.headNorm,
    } as unknown as ModelConfig;
    const response = one.rows / sets;
    const [sound = 8, pictures = 8] = ends?.channels ?? [];
    const soundRows = ends?.soundRows ?? 0;
    const length = soundRows * sound + (response - soundRows) * pictures;
    const projection = (count: number) => normal(next, hidden * count, 1 / Math.sqrt(count));
    const matricesOfEnds: EndMatrices = {
      channels: [sound, pictures],
      inputs: [projection(sound), projection(pictures)],
      outputs: [projection(sound), projection(pictures)],
      outputBiases: [normal(next, sound), normal(next, pictures)],
      finalNorm,
    };
    const latents = normal(next, length);
    const biases = normal(next, 3 * hidden);
    const biasRows = [2, 1] as const;
    /** A row's medium, and its part of the latents. */
    const partOf = (row: number) => {
      const at = row % response;
      const isSound = at < soundRows;
      const start = Math.min(at, soundRows) * sound + Math.max(0, at - soundRows) * pictures;
      return { medium: isSound ? 0 : 1, start, end: start + (isSound ? sound : pictures) };
    };
    const given = Array.from({ length: past + one.rows }, (_, i) => {
      if (!ends || i < past) return [...normal(next, hidden)];
      const { medium, start, end } = partOf(i - past);
      const bias = biases.subarray((biasRows[medium] ?? 0) * hidden).subarray(0, hidden);
      const weight = stored(matricesOfEnds.inputs[medium] ?? new Float32Array());
      return product(weight, [...latents.subarray(start, end)], bias);
    });
    const rowList = given.map((x, i): Row => {
      const isPast = i < past;
      const set = Math.floor((i - past) / response);
      const rank = isPast ? i : 100 + set;
      return {
        x,
        rank,
        sight: isPast ? { limit: i, own: i } : { limit: past - 2, own: rank },
        position: [i % 7, i % 3, i % 5],
        tick: 0,
        leaves: 1,
      };
    });
    // The weights that hold a norm's are rounded with it.
    const folded = (weight: Float32Array, norm: Float32Array) =>
      stored(weight.map((value, k) => value * (norm[k % norm.length] ?? 1)))
        .map((value, k) => value / (norm[k % norm.length] ?? 1));
    const rounded = new Map([...named].map(([key, data]) => {
      const layer = key.replace(/(self_attn|mlp).*/, "");
      const norm = /[qkv]_proj/.test(key)
        ? `${layer}input_layernorm.weight`
        : /gate|up_proj/.test(key)
        ? `${layer}post_attention_layernorm.weight`
        : null;
      const isNorm = key.includes("norm");
      const scale = norm ? named.get(norm) : undefined;
      return [key, isNorm ? data : scale ? folded(data, scale) : stored(data)];
    }));
    const expected = transformer(config, (key) => rounded.get(key) ?? [], rowList).slice(past);

    const { turns, axes } = rotaryTurns(headDim, 100, [4, 2, 2]);
    const slotOf = (i: number) => i < past ? i : noisyStart + i - past;
    const table = new Int32Array(rowList.length * 8);
    const ranks = new Int32Array(slots).fill(2 ** 30);
    rowList.forEach(({ sight, position, rank }, i) => {
      table.set([slotOf(i), sight.limit, sight.own, ...position], i * 8);
      ranks[slotOf(i)] = rank;
    });
    const whole = packWhole(gpu, sizes, dtype, matrices, matricesOfEnds);
    const apart = launched(gpu, sizes, dtype, matrices);
    const tokens = tensorFrom(gpu, "tokens", [rowList.length, 8], table);
    const shape = { ...sizes, rows: one.rows, sets, layers, slots, dtype, storage: dtype };
    // Those of a long history too, which has attention in launches of its own.
    const variants = new Map(
      [slots, longHistory].flatMap((slots) => [
        ...spanVariants(gpu, { ...shape, slots, whole: true }),
      ]),
    );
    for (const [variantName, variant] of variants) {
      const other = variant.form === "whole" && (variant.inStep || variant.rows < 8);
      if ((ends && variant.form === "launches") || (one.plain && other)) continue;
      // Nothing that isn't written may be used: neither memory between launches nor empty slots.
      const cache = (label: string) =>
        poisoned(gpu, label, [layers, slots, kvHeads * headDim], { dtype, offset: 8 });
      const stacked = { keys: cache("keys"), values: cache("values") };
      const layer = (tensor: Tensor, i: number) =>
        reshape(rows(tensor, i, 1), [slots, kvHeads * headDim]);
      const held = (count: number, end: number) =>
        tensorFrom(gpu, "held", [4], Int32Array.of(count, noisyStart, end, 0));
      const common = {
        label: "test",
        sizes,
        caches: Array.from({ length: layers }, (_, i) => ({
          keys: layer(stacked.keys, i),
          values: layer(stacked.values, i),
        })),
        stacked,
        ranks: tensorFrom(gpu, "ranks", [slots], ranks),
        turns: tensorFrom(gpu, "turns", [headDim / 2], turns),
        axes: tensorFrom(gpu, "axes", [headDim / 2], axes),
        eps,
        headEps,
      };
      const looked: Tensor[] = [];
      const steps = (args: Omit<SpanArguments, keyof typeof common>, of?: SpanEnds): Step[] => {
        const [count = 0] = args.x.shape;
        const scratch = (label: string, width: number) =>
          poisoned(gpu, label, [count, width], { room: 4096 });
        return variant.form === "whole"
          ? spanWhole(gpu, { ...common, ...args, ...(of ? { ends: of } : {}) }, whole, variant)
          : spanLaunches(gpu, { ...common, ...args }, apart, {
            qkv: scratch("qkv", (heads + 2 * kvHeads) * headDim),
            q: scratch("q", heads * headDim),
            heads: scratch("heads", heads * headDim),
            act: scratch("act", inner),
          });
      };
      const work = scratchTensor(gpu, "whole layers", [1 << 14]);
      const poison = new Uint32Array(1 << 14).fill(0xffffffff);
      gpu.device.queue.writeBuffer(work.buffer, 0, poison);
      const flat = (list: readonly (readonly number[])[]) => Float32Array.from(list.flat());
      const before = surrounded(gpu, "past", [past, hidden], flat(given.slice(0, past)));
      const x = surrounded(gpu, "x", [one.rows, hidden], flat(given.slice(past)), { room: 4096 });
      run(
        gpu,
        ...steps({
          x: before,
          tokenTable: rows(tokens, 0, past),
          wanted: { first: 0, count: 0 },
          held: held(past, noisyStart),
        }),
      );
      const z = surrounded(gpu, "z", [length], latents);
      const velocities = poisoned(gpu, "velocities", [sets, length]);
      const look = {
        ...wanted,
        steps: (_: number, q: Tensor) => {
          const kept = makeTensor(gpu, "looked at", q.shape);
          looked.push(kept);
          return [{
            kind: "copy" as const,
            label: "q",
            source: q.buffer,
            sourceOffset: q.offset * 4,
            target: kept.buffer,
            targetOffset: 0,
            bytes: 4 * wanted.count * heads * headDim,
          }];
        },
      };
      const of = {
        z,
        velocities,
        soundRows,
        biases: surrounded(gpu, "biases", [3, hidden], biases),
        biasRows,
      };
      const main = {
        x,
        tokenTable: rows(tokens, past, one.rows),
        wanted,
        sets,
        held: held(past, noisyStart + one.rows),
      };
      run(gpu, ...steps(main, ends ? of : undefined));
      const tolerance = dtype === "f16" ? { absolute: 2e-2, relative: 2e-2 } : { absolute: 2e-4 };
      const result = async () => await readTensor(gpu, ends ? velocities : x) as Float32Array;
      const actual = await result();
      await gpu.check();
      if (ends) {
        const wantedVelocities = expected.flatMap((normed, row) => {
          const { medium } = partOf(row);
          const weight = matricesOfEnds.outputs[medium] ?? new Float32Array();
          const scaled = folded(weight, finalNorm);
          return product(scaled, normed, matricesOfEnds.outputBiases[medium]);
        });
        assertClose(actual, wantedVelocities, tolerance);
      } else {
        for (let row = wanted.first; row < wanted.first + wanted.count; row++) {
          const own = [...actual.subarray(row * hidden, (row + 1) * hidden)];
          assertClose(rmsNorm(own, finalNorm, eps), expected[row] ?? [], tolerance);
        }
      }
      // Looking on changes nothing.
      const again = surrounded(gpu, "x", [one.rows, hidden], flat(given.slice(past)), {
        room: 4096,
      });
      run(gpu, ...steps({ ...main, x: again, look }, ends ? of : undefined));
      const seen = await readTensor(gpu, ends ? velocities : again) as Float32Array;
      const part = (data: Float32Array) =>
        ends ? data : data.subarray(wanted.first * hidden).subarray(0, wanted.count * hidden);
      assertEquals(part(seen), part(actual), variantName);
      assertEquals(looked.length, layers);
      for (const q of looked) {
        const queries = await readTensor(gpu, q) as Float32Array;
        assertEquals(queries.every((value) => Number.isFinite(value) && value !== 0), true);
      }
    }
  });
}
