/** This engine's kernels: as they are chosen for the adapter, and the plainest that do the same. */
import { attention, type AttentionShape } from "../../kernels/attention/attention.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { matmul, packWeight } from "../../kernels/matmul/matmul.ts";
import { dispatch, Plan, type Step } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { makeTensor, type Tensor, tensorFrom } from "../../kernels/gpu/tensor.ts";
import { tune } from "../../kernels/measure/tune.ts";
import { attentionProblem } from "../../kernels/measure/tune_attention.ts";
import { operandsProblem, productProblem } from "../../kernels/measure/tune_matmul.ts";
import {
  type Attention,
  type Library,
  type Operands,
  type Product,
  type Runner,
  works,
} from "./work.ts";

const none = new Float32Array(0);

/** The kernels as sessions run them: measured for these shapes on this adapter first, or their
 * defaults. */
export async function ours(gpu: Gpu, tuned = true): Promise<Library> {
  if (tuned) await choose(gpu);
  return {
    name: "wanstream",
    version: "this",
    async prepare(work, operands) {
      const [steps, out] = work.kind === "product"
        ? ourProduct(gpu, work, operands)
        : ourAttention(gpu, work, operands);
      return await runner(gpu, steps, out);
    },
  };
}

/** Chooses variants for all of the work. */
async function choose(gpu: Gpu): Promise<void> {
  const texture = () => gpu.traits.texturesFaster;
  const products = works.filter((work) => work.kind === "product");
  const shape = ({ rows, outputs, inputs }: Product) => (
    {
      rows,
      outputs,
      inputs,
      normed: false,
      gated: false,
      dtype: "f32",
    } as const
  );
  const [largest] = products;
  await tune(
    gpu,
    [
      () => largest ? [operandsProblem(gpu, shape(largest))] : [],
      () =>
        works.filter((work) => work.kind === "attention").map((work) =>
          attentionProblem(gpu, attentionShape(work))
        ),
      () =>
        products.map((product) => productProblem(gpu, { ...shape(product), texture: texture() })),
    ],
    {},
    60_000,
  );
}

/** One output per thread, everything in plain buffers: the floor. */
export function plain(gpu: Gpu): Library {
  return {
    name: "wanstream, plainest",
    version: "this",
    async prepare(work, operands) {
      const tensors = Object.entries(operands).map(([name, data]) =>
        tensorFrom(gpu, name, [data.length], data)
      );
      const sizes = work.kind === "product"
        ? [work.rows, work.outputs, work.inputs, 0]
        : [work.queries, work.keys, work.heads, work.dim];
      const length = work.kind === "product"
        ? work.rows * work.outputs
        : work.queries * work.heads * work.dim;
      const code = work.kind === "product" ? plainProduct : plainAttention(work.dim);
      const threads = work.kind === "product" ? length : work.queries * work.heads;
      const out = makeTensor(gpu, "plain", [length]);
      const pipeline = gpu.pipeline("plain", code);
      const bindings = [gpu.constants(Uint32Array.from(sizes).buffer), ...tensors, out];
      const grid = [Math.ceil(threads / 64), 1, 1] as const;
      return await runner(gpu, [
        dispatch(gpu, "plain", pipeline, bindings, grid),
      ], out);
    },
  };
}

async function runner(
  gpu: Gpu,
  steps: readonly Step[],
  out: Tensor,
): Promise<Runner> {
  const readback = await new Readback(gpu, [out]).prepare();
  return async (times) => {
    const all = Array.from({ length: times }, () => steps).flat();
    const [bytes] = await readback.run(new Plan(all));
    return new Float32Array(bytes);
  };
}

function ourProduct(
  gpu: Gpu,
  { rows, outputs, inputs }: Product,
  { x = none, w = none }: Operands,
): [Step[], Tensor] {
  const weight = packWeight(gpu, "w", w, outputs, inputs, "f32");
  const y = makeTensor(gpu, "y", [rows, outputs]);
  return [
    matmul(gpu, {
      label: "w",
      x: tensorFrom(gpu, "x", [rows, inputs], x),
      weight,
      y,
    }),
    y,
  ];
}

function attentionShape(
  { queries, keys, heads, dim }: Attention,
): AttentionShape {
  return {
    rows: queries,
    slots: keys,
    heads,
    kvHeads: heads,
    headDim: dim,
    dtype: "f32",
  };
}

function ourAttention(
  gpu: Gpu,
  { queries, keys, heads, dim }: Attention,
  { q = none, k = none, v = none }: Operands,
): [Step[], Tensor] {
  const ranks = new Int32Array(Math.ceil(keys / 4) * 4);
  const tokens = new Int32Array(queries * 8);
  const out = makeTensor(gpu, "out", [queries, heads * dim]);
  const steps = attention(gpu, {
    label: "peers",
    q: tensorFrom(gpu, "q", [queries, heads * dim], q),
    keys: tensorFrom(gpu, "k", [keys, heads * dim], k),
    values: tensorFrom(gpu, "v", [keys, heads * dim], v),
    // Every key has rank 0, and every query sees rank 0.
    ranks: {
      ...tensorFrom(gpu, "ranks", [ranks.length], ranks),
      shape: [keys],
    },
    tokenTable: tensorFrom(gpu, "tokens", [queries, 8], tokens),
    held: tensorFrom(gpu, "held", [4], Int32Array.of(keys, keys, keys, 0)),
    out,
    heads,
    kvHeads: heads,
    headDim: dim,
  });
  return [steps, out];
}

/** One thread makes one output. */
const plainProduct = `@group(0) @binding(0) var<uniform> sizes: vec4u;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= sizes.x * sizes.y) {
    return;
  }
  let row = (id.x / sizes.y) * sizes.z;
  let output = (id.x % sizes.y) * sizes.z;
  var sum = 0.0;
  for (var k = 0u; k < sizes.z; k++) {
    sum += x[row + k] * w[output + k];
  }
  y[id.x] = sum;
}`;

/** One thread makes one head of one query, over the keys once for their sum and once for values. */
const plainAttention = (dim: number) =>
  `@group(0) @binding(0) var<uniform> sizes: vec4u;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
fn score(query: u32, key: u32) -> f32 {
  var sum = 0.0;
  for (var d = 0u; d < ${dim}u; d++) {
    sum += q[query * ${dim}u + d] * k[key * ${dim}u + d];
  }
  return sum / sqrt(${dim}.0);
}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= sizes.x * sizes.z) {
    return;
  }
  let head = id.x % sizes.z;
  var most = -1e30;
  for (var key = 0u; key < sizes.y; key++) {
    most = max(most, score(id.x, key * sizes.z + head));
  }
  var total = 0.0;
  for (var d = 0u; d < ${dim}u; d++) {
    out[id.x * ${dim}u + d] = 0.0;
  }
  for (var key = 0u; key < sizes.y; key++) {
    let weight = exp(score(id.x, key * sizes.z + head) - most);
    total += weight;
    for (var d = 0u; d < ${dim}u; d++) {
      out[id.x * ${dim}u + d] += weight * v[(key * sizes.z + head) * ${dim}u + d];
    }
  }
  for (var d = 0u; d < ${dim}u; d++) {
    out[id.x * ${dim}u + d] /= total;
  }
}`;
