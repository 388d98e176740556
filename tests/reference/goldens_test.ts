/** The plain references against PyTorch's numbers: what checks the kernels is checked itself. */
import { assert, assertEquals } from "@std/assert";
import type { LayerConfig, ModelConfig } from "../../engine/config/config.ts";
import { validateBackbone } from "../../engine/checkpoint/config_check.ts";
import { coderOutput, coderParameters } from "../../engine/layers/coder.ts";
import type { Shape4 } from "../../engine/layers/ops/layer.ts";
import { backboneTensors } from "../../engine/checkpoint/tensors.ts";
import {
  causalRank,
  cleanSight,
  type Group,
  type Position,
  visible,
} from "../../engine/checkpoint/unit.ts";
import { golden, readGoldens } from "./golden_file.ts";
import { product, type Row, transformer } from "./transformer.ts";

const groups: Group[] = ["observation", "language", "response"];

async function backbone() {
  const file = new URL("../data/backbone/config.json", import.meta.url);
  const config = validateBackbone(JSON.parse(await Deno.readTextFile(file)), "config.json");
  const weights = await readGoldens("backbone/model.safetensors");
  const goldens = await readGoldens("backbone/goldens.safetensors");
  return { config, weights, goldens };
}

function rowsOf(flat: ArrayLike<number>, width: number): number[][] {
  const rows = flat.length / width;
  return Array.from(
    { length: rows },
    (_, i) => Array.from({ length: width }, (_, j) => flat[i * width + j] ?? NaN),
  );
}

function assertNear(actual: number[][], expected: number[][], tolerance: number): void {
  assertEquals(actual.length, expected.length);
  actual.forEach((row, i) =>
    row.forEach((value, j) => {
      const want = expected[i]?.[j] ?? NaN;
      assert(
        Math.abs(value - want) <= tolerance * (1 + Math.abs(want)),
        `row ${i} column ${j}: ${value} instead of ${want}`,
      );
    })
  );
}

/** Runs the float64 reference and compares the last hidden states and the logits. */
async function compare(name: "causal" | "stream", rows: Row[], section?: number[]): Promise<void> {
  const { config, weights, goldens } = await backbone();
  const width = config.hidden_size;
  const [time = 0, height = 0, across = 0] = section ?? [];
  const rope: Pick<ModelConfig, "rope_scaling"> = section
    ? { rope_scaling: { mrope_section: [time, height, across], mrope_interleaved: true } }
    : {};
  const full = { ...config, ...rope } as ModelConfig;
  const out = transformer(full, (key) => golden(weights, key).data, rows);
  const hidden = golden(goldens, `${name}.hidden`);
  const last = hidden.data.slice(-rows.length * width);
  assertNear(out, rowsOf(last, width), 1e-5);
  const head = golden(weights, "model.embed_tokens.weight").data;
  const logits = golden(goldens, `${name}.logits`).data;
  assertNear(out.map((x) => product(head, x)), rowsOf(logits, config.vocab_size), 1e-5);
}

Deno.test("the golden backbone holds the tensors of a Qwen3 folder", async () => {
  const { config, weights } = await backbone();
  const shapes = new Map([...weights].map(([name, { shape }]) => [name, shape]));
  const expected = [...backboneTensors(config)].map(([name, { shape }]) => [name, shape] as const);
  assertEquals(shapes, new Map(expected));
});

Deno.test("transformer() equals PyTorch on a causal sequence of token ids", async () => {
  const { config, weights, goldens } = await backbone();
  const table = rowsOf(golden(weights, "model.embed_tokens.weight").data, config.hidden_size);
  const rows = [...golden(goldens, "causal.ids").data].map((id, i): Row => ({
    x: table[id] ?? [],
    sight: cleanSight(i),
    rank: i,
    position: [i, i, i],
    tick: 0,
    leaves: Infinity,
  }));
  await compare("causal", rows);
});

Deno.test("transformer() equals PyTorch on two units with interleaved positions", async () => {
  const { config, goldens } = await backbone();
  const units = golden(goldens, "stream.units").data;
  const inputs = rowsOf(golden(goldens, "stream.input").data, config.hidden_size);
  const positions = rowsOf(golden(goldens, "stream.positions").data, 3) as Position[];
  const ranks = [...units].map((unit, i) => {
    const group = groups[golden(goldens, "stream.groups").data[i] ?? 0] ?? "observation";
    const index = golden(goldens, "stream.indices").data[i] ?? 0;
    // The prompt's two tokens are as many as a unit's text slots.
    return causalRank({ unit, group, index }, 2, 2);
  });
  const mask = rowsOf(golden(goldens, "stream.mask").data, ranks.length);
  ranks.forEach((query, i) =>
    ranks.forEach((key, j) =>
      assertEquals(visible(cleanSight(query), key), mask[i]?.[j] === 1, `${i} sees ${j}`)
    )
  );
  const rows = ranks.map((rank, i): Row => ({
    x: inputs[i] ?? [],
    sight: cleanSight(rank),
    rank,
    position: positions[i] ?? [0, 0, 0],
    tick: 0,
    leaves: Infinity,
  }));
  await compare("stream", rows, [...golden(goldens, "stream.mrope_section").data]);
});

Deno.test("the golden encoders and decoders have the shapes and weights that the config's layers call for", async () => {
  const file = new URL("../data/stacks.json", import.meta.url);
  const cases: {
    name: string;
    prefix: string;
    units: number;
    input: Shape4;
    layers: LayerConfig[];
  }[] = JSON.parse(await Deno.readTextFile(file));
  const goldens = await readGoldens("stacks.safetensors");
  assert(cases.length > 10);
  for (const { name, prefix, units, input, layers } of cases) {
    const coder = { name: prefix, layers, input };
    const [t = 0, ...rest] = coderOutput(coder);
    assertEquals(golden(goldens, `${prefix}.output`).shape, [units * t, ...rest], name);
    for (const [key, { shape }] of Object.entries(coderParameters(coder).parameters)) {
      assertEquals(golden(goldens, key).shape, shape, `${name}: ${key}`);
    }
  }
});
