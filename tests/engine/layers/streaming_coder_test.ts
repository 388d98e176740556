/** The streaming contract, on coders of every kind of layer, on nano's, and against PyTorch. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { allCoders } from "../../../engine/checkpoint/coders.ts";
import type { LayerConfig } from "../../../engine/config/config.ts";
import { InputError } from "../../../engine/config/errors.ts";
import {
  conv,
  overlapAdd,
  residual,
  shuffle,
  silu,
  unshuffle,
} from "../../../engine/models/layers.ts";
import { preset } from "../../../engine/models/presets.ts";
import { coderOutput } from "../../../engine/layers/coder.ts";
import type { Shape4 } from "../../../engine/layers/ops/layer.ts";
import type { CheckpointTensor } from "../../../engine/weights/weights.ts";
import { elements } from "../../../kernels/gpu/tensor.ts";
import { assertClose, withGpu } from "../../kernels/support.ts";
import { golden, readGoldens } from "../../reference/golden_file.ts";
import { integer, random, roundToHalf } from "../../reference/random.ts";
import {
  coder,
  inSpans,
  type Model,
  model,
  recording,
  reference,
  run,
  toTensor,
} from "./support.ts";

const config = preset("nano");

const codebooks = { codebooks: 5, semantic: 2, codebook_size: 36, codebook_dim: 8 };

/** Small coders that hold every kind of layer and of state between them. */
const small: Model[] = [
  model("sound encoder", [
    unshuffle(4, 1, 1),
    conv(12, [2, 1, 1]),
    residual([3, 1, 1], 3),
    silu,
    conv(10, [4, 1, 1], [2, 1, 1]),
    { op: "rmsnorm" },
    silu,
    conv(5),
  ], [16, 1, 1, 1]),
  model("sound decoder", [
    conv(16, [7, 1, 1]),
    shuffle(4, 1, 1),
    { op: "residual", kernel: [3, 1, 1], channels: 6 },
    conv(10),
    overlapAdd(5),
  ], [2, 1, 1, 5]),
  model("observation.audio.encoder", [
    { op: "logmel", window: 24, fft: 32, hop: 10, mels: 6 },
    conv(8, [4, 1, 1], [4, 1, 1]),
    silu,
  ], [40, 1, 1, 1]),
  model("replicating encoder", [
    conv(6, [7, 1, 1]),
    {
      op: "skip",
      layers: [
        { op: "elu" },
        { op: "conv", channels: 3, kernel: [3, 1, 1], padding: "replicate" },
        { op: "elu" },
        conv(6),
      ],
    },
    { op: "elu" },
    { op: "conv", channels: 8, kernel: [5, 1, 1], stride: [2, 1, 1], bias: false },
    { op: "conv", channels: 5, kernel: [4, 1, 1], stride: [2, 1, 1], padding: "replicate" },
  ], [8, 1, 1, 1]),
  model("transposing decoder", [
    { op: "conv_transpose", channels: 6, kernel: 4, stride: 2, groups: 3, bias: false },
    { op: "gelu" },
    { op: "conv_transpose", channels: 5, kernel: 7, stride: 3 },
    {
      op: "skip",
      layers: [{ op: "elu" }, { op: "conv", channels: 5, kernel: [3, 1, 1], dilation: 2 }],
      shortcut: conv(5),
    },
    { op: "conv_transpose", channels: 4, kernel: 5, stride: 1 },
    { op: "elu" },
  ], [2, 1, 1, 6]),
  model("sound transformer", [
    {
      op: "transformer",
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 8,
      intermediate_size: 20,
      sliding_window: 5,
      rope_theta: 1e4,
      norm_eps: 1e-5,
    },
    conv(5),
  ], [2, 1, 1, 12]),
  model("quantizing coder", [
    conv(12, [2, 1, 1]),
    { op: "quantize", ...codebooks },
    { op: "dequantize", channels: 16, ...codebooks },
    { op: "quantize", ...codebooks, codebook_dim: 16 },
    { op: "dequantize", channels: 8, ...codebooks },
  ], [2, 1, 1, 5]),
  model("picture encoder", [
    unshuffle(2, 2, 2),
    residual([2, 3, 3]),
    conv(9, [1, 4, 4], [1, 2, 2]),
    silu,
    { op: "rmsnorm" },
    conv(6, [3, 1, 1]),
  ], [4, 8, 12, 3]),
  model("learned resampling down", [
    { op: "normalize", mean: [0.1, -0.2, 0.3], deviation: [2, 0.5, 1] },
    conv(6, [3, 3, 3]),
    {
      op: "skip",
      layers: [
        { op: "rmsnorm", eps: 1e-24 },
        silu,
        conv(8, [3, 3, 3]),
        { op: "rmsnorm" },
        silu,
        conv(8, [2, 3, 3]),
      ],
      shortcut: conv(8),
    },
    { op: "conv", channels: 8, kernel: [1, 3, 3], stride: [1, 2, 2], odd_zero: "after" },
    { op: "halve_time" },
    { op: "skip", layers: [{ op: "rmsnorm" }, conv(24), { op: "frame_attention" }, conv(8)] },
    { op: "conv", channels: 8, kernel: [1, 3, 3], stride: [1, 2, 2], odd_zero: "before" },
    { op: "halve_time" },
    conv(6, [3, 1, 1]),
    { op: "normalize", mean: [0.1, -0.2, 0.3, 0], deviation: [2, 0.5, 1, 1] },
  ], [4, 4, 12, 3]),
  model("learned resampling up", [
    { op: "normalize", mean: [0.1, -0.2, 0.3, 0], deviation: [2, 0.5, 1, 1], inverse: true },
    { op: "soft_clamp" },
    conv(6, [1, 3, 3]),
    { op: "relu" },
    {
      op: "skip",
      layers: [
        conv(8, [2, 3, 3]),
        { op: "relu" },
        { op: "conv", channels: 6, kernel: [1, 3, 3], bias: false },
      ],
    },
    { op: "relu" },
    { op: "double_time" },
    { op: "conv", channels: 5, kernel: [1, 3, 3], upsample: [1, 2, 2] },
    { op: "double_time" },
    conv(3, [1, 3, 3]),
  ], [1, 3, 5, 4]),
  model("picture decoder", [
    residual([2, 1, 1]),
    conv(24, [3, 3, 3]),
    silu,
    shuffle(1, 2, 2),
    conv(12),
    shuffle(2, 1, 2),
  ], [1, 3, 5, 4]),
];

const tolerance = { absolute: 2e-4, relative: 1e-4 };

withGpu("StreamingCoder over a whole recording equals the float64 reference", async (gpu) => {
  for (const each of small) {
    const units = 3;
    const x = recording(each, units);
    const expected = reference(each, x, units);
    const made = coder(gpu, each, { units });
    assertClose(await run(gpu, made, x), expected.data, { ...tolerance, shape: expected.shape });
    made.destroy();
  }
});

withGpu(
  "StreamingCoder cut anywhere into spans equals the whole recording at once",
  async (gpu) => {
    const next = random(11);
    for (const each of small) {
      const units = 6;
      const x = recording(each, units);
      const whole = await inSpans(gpu, each, x, [units]);
      const cuts = [Array<number>(units).fill(1)];
      for (let i = 0; i < 3; i++) {
        const spans: number[] = [];
        for (let left = units; left > 0; left -= spans.at(-1) ?? 0) {
          spans.push(
            integer(next, 1, left),
          );
        }
        cuts.push(spans);
      }
      for (const spans of cuts) {
        assertClose(await inSpans(gpu, each, x, spans), whole, { absolute: 1e-5, relative: 1e-5 });
      }
    }
  },
);

withGpu("StreamingCoder leaves the past bit-identical when the future changes", async (gpu) => {
  const next = random(12);
  for (const each of small) {
    const units = 4;
    const x = recording(each, units);
    const before = await inSpans(gpu, each, x, [units]);
    const frames = units * each.input[0];
    const output = coderOutput({ ...each, name: each.prefix });
    for (let unit = 0; unit < units; unit++) {
      const size = elements(each.input);
      const at = integer(next, unit * size, (unit + 1) * size - 1);
      const changed = x.slice();
      changed[at] = 3;
      const after = await inSpans(gpu, each, changed, [units]);
      // The first output frame whose block of input frames holds the changed one.
      const frame = Math.floor((Math.floor(at * frames / x.length) * output[0]) / each.input[0]);
      const first = frame * elements(output.slice(1));
      assertEquals(after.slice(0, first), before.slice(0, first));
      assert(
        after.some((value, i) => i >= first && value !== before[i]),
        `${each.prefix}: a sample of unit ${unit} changed nothing`,
      );
    }
  }
});

withGpu("StreamingCoder.reset() starts a stream as if it were new", async (gpu) => {
  for (const each of small) {
    const made = coder(gpu, each);
    const x = recording(each, 1);
    const first = await run(gpu, made, x);
    const second = await run(gpu, made, x);
    assert(second.some((v, i) => v !== first[i]), `${each.prefix} has no memory`);
    made.reset();
    assertEquals([...await run(gpu, made, x)], [...first]);
    made.destroy();
  }
});

withGpu("StreamingCoder goes on from an exported state bit for bit", async (gpu) => {
  for (const each of small) {
    const size = elements(each.input);
    const x = recording(each, 4);
    const made = coder(gpu, each);
    await run(gpu, made, x.subarray(0, size));
    await run(gpu, made, x.subarray(size, 2 * size));
    const state = await made.exportState();
    assertEquals(state.length, made.stateBytes);
    const expected = await run(gpu, made, x.subarray(2 * size, 3 * size));
    await run(gpu, made, x.subarray(3 * size));
    made.importState(state);
    assertEquals([...await run(gpu, made, x.subarray(2 * size, 3 * size))], [...expected]);
    assertThrows(() => made.importState(state.subarray(4)), InputError, each.prefix);
    made.destroy();
  }
});

withGpu("StreamingCoder's states have their layers' names, children included", (gpu) => {
  const made = coder(gpu, small[1] as Model);
  const names = ["0.past", "2.conv1.past", "4.tail"].map((name) => `sound decoder.${name}`);
  assertEquals([...made.states.keys()], names);
  made.destroy();
});

withGpu("StreamingCoder with f16 weights equals one with the rounded weights", async (gpu) => {
  for (const each of small) {
    const x = recording(each, 1);
    const half = coder(gpu, each, { storage: "f16" });
    const tensors = new Map<string, CheckpointTensor>();
    for (const [name, { shape, bytes }] of each.tensors) {
      const data = new Float32Array(bytes.buffer);
      tensors.set(
        name,
        toTensor(shape, shape.length === 1 || name.includes("codebook") ? data : roundToHalf(data)),
      );
    }
    const rounded = coder(gpu, { ...each, tensors });
    assertClose(await run(gpu, half, x), await run(gpu, rounded, x), tolerance);
    for (const made of [half, rounded]) made.destroy();
  }
});

withGpu("StreamingCoder.destroy() frees all that it allocated", async (gpu) => {
  const [each] = small;
  assert(each);
  // What all kernels and coders share is there after the first.
  coder(gpu, each).destroy();
  const before = gpu.allocatedBytes;
  const made = coder(gpu, each);
  await run(gpu, made, recording(each, 1));
  assert(gpu.allocatedBytes > before);
  made.destroy();
  assertEquals(gpu.allocatedBytes, before);
});

withGpu("StreamingCoder names a missing tensor", (gpu) => {
  const each = { ...small[0] as Model, tensors: new Map() };
  assertThrows(() => coder(gpu, each), InputError, `${each.prefix}.1.weight`);
});

withGpu("nano's encoders and decoders run unit by unit as they do at once", async (gpu) => {
  for (const { name, layers, input: [t, h, w, c] } of allCoders(config)) {
    const each = model(name, [...layers], [t, h, w, c]);
    const x = recording(each, 3);
    const whole = await inSpans(gpu, each, x, [3]);
    const units = await inSpans(gpu, each, x, [1, 1, 1]);
    assert(whole.every(Number.isFinite) && whole.some((v) => v !== 0), each.prefix);
    assertClose(units, whole, { absolute: 1e-5, relative: 1e-5 });
  }
});

/** A random coder that ends in nothing degenerate, for sound or pictures. */
function randomCoder(seed: number): Model {
  const next = random(seed);
  const pick = <T>(...choices: T[]): T => choices[integer(next, 0, choices.length - 1)] as T;
  const sound = seed % 2 === 0;
  const input: Shape4 = sound
    ? [pick(8, 16), 1, 1, pick(1, 3, 8)]
    : [pick(2, 4), 2 * integer(next, 1, 3), 2 * integer(next, 1, 4), pick(3, 4, 6)];
  const k = sound ? 1 : pick(1, 3);
  const layers: LayerConfig[] = [];
  let shape = input;
  for (let i = 0; i < 5; i++) {
    const [t, h, w, c] = shape;
    const even = h % 2 === 0 && w % 2 === 0 && !sound;
    const layer: LayerConfig = pick<() => LayerConfig>(
      () => ({ op: "conv", channels: integer(next, 1, 20), kernel: [pick(1, 2, 3), k, k] }),
      () => ({ op: "conv", channels: 4, kernel: [3, 1, 1], dilation: pick(2, 5) }),
      () =>
        t % 2 === 0
          ? { op: "conv", channels: 6, kernel: [pick(2, 3, 5), 1, 1], stride: [2, 1, 1] }
          : silu,
      () => even ? conv(8, [1, 4, 4], [1, 2, 2]) : silu,
      () => residual([pick(1, 2, 4), k, k], pick(1, 3)),
      () => ({ op: "rmsnorm" }),
      () => t % 2 === 0 ? unshuffle(2, 1, 1) : silu,
      () => c % 4 === 0 ? (sound ? shuffle(4, 1, 1) : shuffle(1, 2, 2)) : silu,
    )();
    layers.push(layer);
    shape = coderOutput({ name: "random", layers: [layer], input: shape });
  }
  // Something to carry.
  layers.push({ op: "residual", kernel: [2, 1, 1] });
  return model(`random ${seed}`, layers, input);
}

withGpu("random coders cut at random equal the float64 reference", async (gpu) => {
  const next = random(13);
  for (let seed = 0; seed < 24; seed++) {
    const each = randomCoder(seed);
    const units = integer(next, 2, 4);
    const x = recording(each, units);
    const first = integer(next, 1, units - 1);
    const expected = reference(each, x, units);
    assertClose(await inSpans(gpu, each, x, [first, units - first]), expected.data, {
      ...tolerance,
      shape: expected.shape,
    });
  }
});

interface GoldenCase {
  name: string;
  prefix: string;
  units: number;
  input: Shape4;
  layers: LayerConfig[];
}

const cases: GoldenCase[] = JSON.parse(
  Deno.readTextFileSync(new URL("../../data/stacks.json", import.meta.url)),
);

withGpu("StreamingCoder equals PyTorch, at once and unit by unit", async (gpu) => {
  const goldens = await readGoldens("stacks.safetensors");
  for (const { name, prefix, units, input, layers } of cases) {
    const tensors = new Map<string, CheckpointTensor>();
    for (const [key, { shape, data }] of goldens) {
      if (key.startsWith(`${prefix}.`)) tensors.set(key, toTensor(shape, Float32Array.from(data)));
    }
    const x = Float32Array.from(golden(goldens, `${prefix}.input`).data);
    const expected = golden(goldens, `${prefix}.output`);
    const each: Model = { prefix, layers, input, tensors };
    for (const spans of [[units], Array<number>(units).fill(1)]) {
      try {
        assertClose(await inSpans(gpu, each, x, spans), expected.data, {
          absolute: 1e-4,
          relative: 1e-4,
          shape: expected.shape,
        });
      } catch (error) {
        throw new Error(`${name} in ${spans.length} spans: ${error}`, { cause: error });
      }
    }
  }
});
