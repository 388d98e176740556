/** The backbone against PyTorch's numbers (tests/data/README.md). */
import { assert, assertEquals } from "@std/assert";
import { Weights } from "../../../engine/weights/weights.ts";
import { Backbone } from "../../../engine/model/backbone.ts";
import type { Checkpoint } from "../../../engine/checkpoint/checkpoint.ts";
import type { ModelConfig } from "../../../engine/config/config.ts";
import { History } from "../../../engine/model/history.ts";
import {
  causalRank,
  cleanSight,
  emptyRank,
  type Group,
  type Place,
  type Position,
  visible,
} from "../../../engine/checkpoint/unit.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { Plan, submit } from "../../../kernels/gpu/plan.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { makeTensor, rows, tensorFrom } from "../../../kernels/gpu/tensor.ts";
import { assertClose, withGpu } from "../../kernels/support.ts";
import { golden, readGoldens } from "../../reference/golden_file.ts";
import { transformer } from "../../reference/transformer.ts";

const goldens = await readGoldens("backbone/goldens.safetensors");
const stored = await readGoldens("backbone/model.safetensors");
const hf = JSON.parse(
  await Deno.readTextFile(new URL("../../data/backbone/config.json", import.meta.url)),
);
const sections = [...golden(goldens, "stream.mrope_section").data] as [number, number, number];

/** The tiny Qwen3 folder as a checkpoint: its config's keys and its weights are Hugging Face's. */
function checkpointWith(mrope: boolean): Checkpoint {
  const config = { ...hf } as ModelConfig;
  if (mrope) config.rope_scaling = { mrope_section: sections, mrope_interleaved: true };
  const tensors: Checkpoint["tensors"] = new Map();
  for (const [name, { shape, data }] of stored) {
    const bytes = new Uint8Array(new SharedArrayBuffer(data.length * 4));
    bytes.set(new Uint8Array(data.buffer));
    tensors.set(name, { dtype: "F32", shape, bytes });
  }
  return { config, tensors, tokenizer: null, digest: "" };
}

interface Token {
  rank: number;
  position: Position;
}

/** Runs spans [first, end) one after the other over a KV cache; gives all final-normed rows. */
async function runSpans(
  gpu: Gpu,
  checkpoint: Checkpoint,
  storage: "f32" | "f16",
  input: Float32Array,
  tokens: readonly Token[],
  spans: readonly [number, number][],
): Promise<Float32Array> {
  const D = checkpoint.config.hidden_size;
  const count = tokens.length;
  const window = {
    slots: count + 3,
    ranks: new Int32Array(count + 3).fill(emptyRank),
    used: 0,
    noisyStart: count + 1,
    noisyEnd: count + 1,
  };
  const history = new History(gpu, checkpoint.config, window, storage);
  const backbone = new Backbone(gpu, checkpoint.config, Weights.of(checkpoint.tensors), storage);
  const x = tensorFrom(gpu, "x", [count, D], input);
  const normed = makeTensor(gpu, "normed", [count, D]);
  for (const [first, end] of spans) {
    const words = new Int32Array((end - first) * 8);
    for (let i = first; i < end; i++) {
      const { rank, position } = tokens[i] ?? { rank: 0, position: [0, 0, 0] };
      const { limit, own } = cleanSight(rank);
      words.set([i, limit, own, ...position], (i - first) * 8);
      window.ranks[i] = rank;
    }
    window.used = end;
    history.writeWindow();
    const part = rows(x, first, end - first);
    submit(
      gpu,
      new Plan([
        ...backbone.span(history, {
          label: "span",
          x: part,
          tokenTable: tensorFrom(gpu, "tokens", [end - first, 8], words),
          wanted: { first: 0, count: end - first },
        }),
        backbone.finalNorm("span", part, rows(normed, first, end - first)),
      ]),
    );
  }
  return await readTensor(gpu, normed) as Float32Array;
}

const finalHidden = (name: string) => {
  const { shape, data } = golden(goldens, `${name}.hidden`);
  const [states = 0, count = 0, width = 0] = shape;
  return data.slice((states - 1) * count * width) as Float32Array;
};

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += ((actual[i] ?? NaN) - (expected[i] ?? NaN)) ** 2;
    size += (expected[i] ?? NaN) ** 2;
  }
  return Math.sqrt(difference / size);
}

for (const [storage, tolerance] of [["f32", 1e-3], ["f16", 2e-2]] as const) {
  withGpu(`the backbone equals PyTorch's Qwen3 on causal text, ${storage}`, async (gpu) => {
    const checkpoint = checkpointWith(false);
    const embeddings = golden(goldens, "causal.hidden");
    const count = embeddings.shape[1] ?? 0;
    const input = embeddings.data.slice(0, count * 64) as Float32Array;
    const tokens = Array.from({ length: count }, (_, i): Token => ({
      rank: i,
      position: [i, i, i],
    }));
    const spans: [number, number][] = [[0, 5], [5, 6], [6, count]];
    const actual = await runSpans(gpu, checkpoint, storage, input, tokens, spans);
    const error = relativeError(actual, finalHidden("causal"));
    assert(error < tolerance, `relative error ${error}`);
    assertClose(actual, finalHidden("causal"), { absolute: 5 * tolerance });
  });

  withGpu(`the backbone equals PyTorch on a block-causal stream, ${storage}`, async (gpu) => {
    const { places, tokens, input } = stream();
    // A span per group of each unit, agent text token by token: as a stream runs.
    const spans: [number, number][] = [];
    places.forEach(({ unit, group }, i) => {
      const before = places[i - 1];
      const joins = before?.unit === unit && before.group === group && group !== "language";
      const last = spans.at(-1);
      if (joins && last) last[1] = i + 1;
      else spans.push([i, i + 1]);
    });
    const actual = await runSpans(gpu, checkpointWith(true), storage, input, tokens, spans);
    const error = relativeError(actual, finalHidden("stream"));
    assert(error < tolerance, `relative error ${error}`);
  });
}

function stream(): { places: Place[]; tokens: Token[]; input: Float32Array } {
  const read = (name: string) => golden(goldens, `stream.${name}`).data;
  const groups: Group[] = ["observation", "language", "response"];
  const places = [...read("units")].map((unit, i): Place => ({
    unit,
    group: groups[read("groups")[i] ?? 0] ?? "observation",
    index: read("indices")[i] ?? 0,
  }));
  const tokens = places.map((place, i): Token => ({
    rank: causalRank(place, 2, 2),
    position: [...read("positions").slice(3 * i, 3 * i + 3)] as Position,
  }));
  return { places, tokens, input: read("input") as Float32Array };
}

Deno.test("PyTorch's mask is the one visibility function's", () => {
  const { tokens } = stream();
  const mask = golden(goldens, "stream.mask").data;
  tokens.forEach((query, i) =>
    tokens.forEach((key, j) => {
      assertEquals(visible(cleanSight(query.rank), key.rank), mask[i * tokens.length + j] === 1);
    })
  );
});

Deno.test("the float64 reference of the backbone equals PyTorch", () => {
  const { tokens, input } = stream();
  const weights = (name: string) => golden(stored, name).data as Float32Array;
  const out = transformer(
    checkpointWith(true).config,
    weights,
    tokens.map(({ rank, position }, i) => ({
      x: [...input.slice(i * 64, (i + 1) * 64)],
      sight: cleanSight(rank),
      rank,
      position,
      tick: 0,
      leaves: Infinity,
    })),
  );
  assert(relativeError(out.flat(), finalHidden("stream")) < 1e-5);
});
