/** The floor under the kernels: devices, tensors, plans, readback. */
import { InputError } from "../../../kernels/gpu/errors.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { copy, dispatch, Plan, submit } from "../../../kernels/gpu/plan.ts";
import { Readback, readTensor } from "../../../kernels/gpu/readback.ts";
import { fill } from "../../../kernels/gpu/shader.ts";
import {
  makeTensor,
  reshape,
  rows,
  scratchTensor,
  tensorFrom,
} from "../../../kernels/gpu/tensor.ts";
import { UniformStruct } from "../../../kernels/gpu/uniform_struct.ts";
import { withGpu } from "../support.ts";

const struct = new UniformStruct("Constants", { u32: "count source target_at", f32: "factor" });
const scale = `${struct.wgsl}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < constants.count) {
    y[constants.target_at + id.x] = x[constants.source + id.x] * constants.factor;
  }
}`;

/** y = factor x over n elements. */
function scaled(gpu: Gpu, factor: number, n = 16) {
  const x = tensorFrom(gpu, "x", [n], Float32Array.from({ length: n }, (_, i) => i + 1));
  const y = makeTensor(gpu, "y", [n]);
  const constants = struct.bind(gpu, { count: n, source: x.offset, target_at: y.offset, factor });
  const pipeline = gpu.pipeline("scale", scale);
  const step = dispatch(gpu, "scale", pipeline, [constants, x, y], [Math.ceil(n / 8), 1, 1]);
  return { x, y, plan: new Plan([step]) };
}

withGpu("Readback at once gives what an awaited one gives, round after round", async (gpu) => {
  const { x, y, plan } = scaled(gpu, 3);
  const words = tensorFrom(gpu, "words", [3], Uint32Array.of(7, 8, 9));
  const tensors = [y, words, rows(x, 4, 2)] as const;
  const atOnce = new Readback(gpu, tensors, { skipsSleep: true });
  const awaited = new Readback(gpu, tensors, { skipsSleep: false });
  for (let round = 1; round <= 20; round++) {
    const values = Float32Array.from({ length: 16 }, (_, i) => i * round);
    gpu.device.queue.writeBuffer(x.buffer, 0, values);
    for (const readback of [atOnce, awaited]) {
      const [got, ids, part] = await readback.run(plan);
      assertEquals([...new Float32Array(got)], [...values].map((v) => 3 * v));
      assertEquals([...new Uint32Array(ids)], [7, 8, 9]);
      assertEquals([...new Float32Array(part)], [...values.slice(4, 6)]);
    }
  }
  atOnce.destroy();
  awaited.destroy();
});

withGpu("Plan encodes the same work recorded and anew", async (gpu) => {
  const { y, plan } = scaled(gpu, -2);
  submit(gpu, plan);
  const recorded = await readTensor(gpu, y);
  gpu.device.queue.writeBuffer(y.buffer, 0, new Float32Array(16).fill(NaN));
  submit(gpu, { encode: (encoder) => plan.encodeAnew(gpu, encoder) });
  assertEquals(await readTensor(gpu, y), recorded);
  assertEquals(recorded[15], -32);
});

withGpu("Plan runs copies between dispatches in order", async (gpu) => {
  const first = scaled(gpu, 2);
  const second = scaled(gpu, 5);
  const between = copy("y to x", first.y, second.x);
  submit(gpu, new Plan([...first.plan.steps, between, ...second.plan.steps]));
  assertEquals((await readTensor(gpu, second.y))[9], 10 * 2 * 5);
  assertThrows(() => copy("wrong", first.y, rows(second.x, 0, 4)), RangeError, "copy wrong");
});

withGpu(
  "constants() keeps every binding's own content, over several shared buffers",
  async (gpu) => {
    const wanted = [2, 0.5, -1, 7];
    const filler = Array.from(
      { length: 3000 },
      (_, i) => gpu.constants(Uint32Array.of(i, 0, 0, 0).buffer),
    );
    assert(new Set(filler.map(({ buffer }) => buffer)).size > 1);
    const all = wanted.map((factor) => scaled(gpu, factor));
    submit(gpu, ...all.map(({ plan }) => plan));
    for (const [i, factor] of wanted.entries()) {
      const y = all[i]?.y;
      assert(y);
      assertEquals((await readTensor(gpu, y))[2], 3 * factor);
    }
  },
);

withGpu("a kernel that doesn't compile is named, with the line", async (gpu) => {
  gpu.pipeline("broken", "@compute @workgroup_size(1) fn main() { let a: u32 = 1.5f; }");
  const error = await assertRejects(() => gpu.check(), Error, "kernel broken");
  assert(error.message.includes("1.5f"), error.message);
});

withGpu("what is too large for the adapter is refused with both numbers", (gpu) => {
  const { maxBufferSize, maxComputeWorkgroupsPerDimension: most } = gpu.device.limits;
  assertThrows(
    () => gpu.buffer("huge", maxBufferSize + 4),
    InputError,
    `limit of ${maxBufferSize}`,
  );
  const { x, y } = scaled(gpu, 1);
  const pipeline = gpu.pipeline("scale", scale);
  const constants = struct.bind(gpu, { count: 1, source: 0, target_at: 0, factor: 1 });
  for (const groups of [0, 1.5, most + 1]) {
    assertThrows(
      () => dispatch(gpu, "wide", pipeline, [constants, x, y], [groups, 1, 1]),
      RangeError,
      `1 to ${most}`,
    );
  }
});

withGpu("buffers are counted, and freed once", (gpu) => {
  const before = gpu.allocatedBytes;
  const buffer = gpu.buffer("counted", 4096);
  assertEquals(gpu.allocatedBytes, before + 4096);
  gpu.free(buffer);
  gpu.free(buffer);
  assertEquals(gpu.allocatedBytes, before);
});

withGpu("buffers are whole vectors, and scratch is made once for each size class", (gpu) => {
  const odd = makeTensor(gpu, "odd", [5]);
  assertEquals(odd.buffer.size, 32);
  const first = scratchTensor(gpu, "shared", [3, 4]);
  assert(scratchTensor(gpu, "shared", [16000], "u32").buffer === first.buffer);
  assert(scratchTensor(gpu, "shared", [20000]).buffer !== first.buffer);
  assert(scratchTensor(gpu, "other", [3, 4]).buffer !== first.buffer);
});

withGpu("f16 tensors round to the nearest half", async (gpu) => {
  const values = Float32Array.of(1, 1.0004, -2.5, 65504, 1e-8, 3.14159);
  const tensor = tensorFrom(gpu, "halves", [6], values, "f16");
  assertEquals([...await readTensor(gpu, tensor)], [...Float16Array.from(values)]);
});

withGpu("rows() and reshape() are views that must fit", async (gpu) => {
  const tensor = tensorFrom(gpu, "t", [4, 3], Float32Array.from({ length: 12 }, (_, i) => i));
  assertEquals([...await readTensor(gpu, rows(tensor, 1, 2))], [3, 4, 5, 6, 7, 8]);
  assertEquals(reshape(rows(tensor, 2, 2), [6]).offset, 6);
  assertThrows(() => rows(tensor, 3, 2), RangeError, "rows 3..5");
  assertThrows(() => reshape(tensor, [5]), RangeError, "can't be reshaped");
  assertThrows(() => tensorFrom(gpu, "t", [5], new Float32Array(4)), RangeError, "4 values");
});

const mixed = new UniformStruct("Mixed", {
  f32: "scale",
  vec2u: "key",
  u32: "on",
  vec3i: "place",
  i32: "lead",
  vec4f: "weights",
});

withGpu("UniformStruct puts every field where its WGSL reads it", async (gpu) => {
  const code = fill(
    `{{struct}}
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main() {
  y[0] = mixed.scale; y[1] = f32(mixed.key.x); y[2] = f32(mixed.key.y); y[3] = f32(mixed.on);
  for (var i = 0; i < 3; i++) { y[4 + i] = f32(mixed.place[i]); }
  y[7] = f32(mixed.lead);
  for (var i = 0; i < 4; i++) { y[8 + i] = mixed.weights[i]; }
}`,
    { struct: mixed },
  );
  const constants = mixed.bind(gpu, {
    scale: 0.5,
    key: [1, 2],
    on: true,
    place: [-3, 4, 5],
    lead: -6,
    weights: [7, 8, 9, 10],
  });
  const y = makeTensor(gpu, "y", [12]);
  submit(
    gpu,
    new Plan([
      dispatch(gpu, "mixed", gpu.pipeline("mixed", code), [constants, y], [1, 1, 1]),
    ]),
  );
  assertEquals([...await readTensor(gpu, y)], [0.5, 1, 2, 1, -3, 4, 5, -6, 7, 8, 9, 10]);
});

Deno.test("UniformStruct refuses a value that its field can't hold, by name", () => {
  const sizes = new UniformStruct("Sizes", { u32: "rows", vec2u: "key" });
  assertThrows(
    () => sizes.bytes({ rows: -1, key: [0, 0] }),
    RangeError,
    "Sizes.rows: -1 is no u32",
  );
  assertThrows(() => sizes.bytes({ rows: 1.5, key: [0, 0] }), RangeError, "1.5 is no u32");
  assertThrows(() => sizes.bytes({ rows: 1, key: [0] }), RangeError, "Sizes.key: 0 is no vec2u");
});

Deno.test("fill() wants a text for every name and a name for every text", () => {
  assertEquals(fill("a {{x}} b {{x}}", { x: 3 }), "a 3 b 3");
  assertThrows(() => fill("{{x}}", {}), RangeError, "{{x}} has no text");
  assertThrows(() => fill("", { x: 1 }), RangeError, "no {{x}}");
});
