/** Mimi against transformers' MimiModel (tests/data/mimi), and what is refused of it. */
import { assert, assertEquals } from "@std/assert";
import { CodecPart } from "../../../engine/families/part.ts";
import { Fields } from "../../../engine/config/config_fields.ts";
import { coderParameters } from "../../../engine/layers/coder.ts";
import type { Shape4 } from "../../../engine/layers/ops/layer.ts";
import { parseLayers } from "../../../engine/layers/registry.ts";
import { openCodec } from "../../../engine/families/codec.ts";
import { mimi } from "../../../engine/families/mimi.ts";
import { Gpu } from "../../../kernels/gpu/device.ts";
import { elements } from "../../../kernels/gpu/tensor.ts";
import { withGpu } from "../../kernels/support.ts";
import { golden, readGoldens } from "../../reference/golden_file.ts";
import { integer, normal, random } from "../../reference/random.ts";
import { coder, inSpans, type Model, partModel, toTensor } from "../layers/support.ts";
import { assertInputError } from "../tiny_checkpoint.ts";

const folder = new URL("../../data/mimi/", import.meta.url);
const goldens = await readGoldens("mimi/goldens.safetensors");
const numbers = (name: string) => Float32Array.from(golden(goldens, name).data);

/** Units of 160 ms that the goldens hold. */
const units = 12;
const [samples, frames, channels, codebooks] = [240, 2, 32, 6];

async function coders(
  path: string | URL = folder,
): Promise<Record<"encoder" | "decoder" | "coding" | "decoding", Model>> {
  using part = await CodecPart.open(path, "audio");
  const { encoder, decoder, coded, channels: width, hop, sampleRate } = part.codec;
  assert(coded);
  assertEquals([width, coded.channels, hop, sampleRate], [channels, codebooks, 120, 1500]);
  return {
    encoder: await partModel(part, encoder, "encoder", [samples, 1, 1, 1]),
    decoder: await partModel(part, decoder, "decoder", [frames, 1, 1, channels]),
    coding: await partModel(part, coded.encoder, "coding", [samples, 1, 1, 1]),
    decoding: await partModel(part, coded.decoder, "decoding", [frames, 1, 1, codebooks]),
  };
}

type Config = Record<string, unknown>;

/** A copy of the folder with other keys in its config and other text in the header of its weights. */
async function withCopy(
  config: Config,
  header: Record<string, string>,
  use: (copy: string) => Promise<void>,
): Promise<void> {
  const copy = await Deno.makeTempDir();
  try {
    const own: Config = JSON.parse(await Deno.readTextFile(new URL("config.json", folder)));
    await Deno.writeTextFile(`${copy}/config.json`, JSON.stringify({ ...own, ...config }));
    const bytes = await Deno.readFile(new URL("model.safetensors", folder));
    for (const [from, to] of Object.entries(header)) {
      assertEquals(from.length, to.length);
      const at = new TextDecoder("latin1").decode(bytes).indexOf(from);
      assert(at > 0, from);
      bytes.set(new TextEncoder().encode(to), at);
    }
    await Deno.writeFile(`${copy}/model.safetensors`, bytes);
    await use(copy);
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

/** |actual - expected| / |expected|. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assertEquals(actual.length, expected.length);
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += ((actual[i] ?? NaN) - (expected[i] ?? NaN)) ** 2;
    size += (expected[i] ?? NaN) ** 2;
  }
  return Math.sqrt(difference / size);
}

/** Runs golden `x` through a coder at once, unit by unit and in random spans, and compares with golden `y`. */
async function compare(gpu: Gpu, model: Model, x: string, y: string, most: number): Promise<void> {
  const next = random(model.prefix.length);
  const spans: number[] = [];
  for (let left = units; left > 0; left -= spans.at(-1) ?? 0) spans.push(integer(next, 1, left));
  const input = numbers(x);
  for (const cut of [[units], Array<number>(units).fill(1), spans]) {
    const error = relativeError(await inSpans(gpu, model, input, cut), numbers(y));
    assert(error <= most, `${y} of ${x} in spans of ${cut}: relative error ${error}`);
  }
}

withGpu("Mimi's encoder and decoder equal transformers', wherever a stream is cut", async (gpu) => {
  const { encoder, decoder } = await coders();
  await compare(gpu, encoder, "sound", "latents", 1e-5);
  await compare(gpu, decoder, "latents", "decoded", 1e-5);
});

withGpu("Mimi with replicated padding equals transformers'", async (gpu) => {
  await withCopy({ pad_mode: "replicate" }, {}, async (copy) => {
    const { encoder, decoder } = await coders(copy);
    await compare(gpu, encoder, "sound", "replicate.latents", 1e-5);
    await compare(gpu, decoder, "replicate.latents", "replicate.decoded", 1e-5);
  });
});

withGpu("Mimi's codes are transformers', and so is the sound of them", async (gpu) => {
  const { coding, decoding } = await coders();
  await compare(gpu, coding, "sound", "codes", 0);
  await compare(gpu, decoding, "codes", "decoded_codes", 1e-5);
});

withGpu("a later sample changes nothing of Mimi before it", async (gpu) => {
  const { encoder, decoder } = await coders();
  for (const [model, x, rest] of [[encoder, "sound", 120], [decoder, "latents", 32]] as const) {
    const before = await inSpans(gpu, model, numbers(x), [units]);
    const changed = numbers(x);
    // The first sample of frame 13.
    changed[13 * rest] = 3;
    const after = await inSpans(gpu, model, changed, [units]);
    const kept = 13 * before.length / 24;
    assertEquals(after.slice(0, kept), before.slice(0, kept));
    assert(after.some((value, i) => i >= kept && value !== before[i]));
  }
});

withGpu("a Mimi's first weights keep signals at about unit size", async (gpu) => {
  using part = await CodecPart.open(folder, "audio");
  const { encoder, decoder, coded } = part.codec;
  assert(coded);
  const chain = [...coded.encoder.layers, ...coded.decoder.layers];
  for (const layers of [[...encoder.layers], [...decoder.layers], chain]) {
    const isDecoder = layers[0]?.op === "conv_transpose";
    const input: Shape4 = isDecoder ? [frames, 1, 1, channels] : [samples, 1, 1, 1];
    const next = random(7);
    const tensors: Model["tensors"] = new Map();
    for (
      const [name, { shape, fill }] of Object.entries(
        coderParameters({ name: "first", layers, input }).parameters,
      )
    ) {
      const count = elements(shape);
      const data = fill === "ones"
        ? new Float32Array(count).fill(1)
        : normal(next, count, fill.std);
      tensors.set(name, toTensor(shape, data));
    }
    const x = normal(next, units * elements(input));
    const y = await inSpans(gpu, { prefix: "first", layers, input, tensors }, x, [units]);
    const size = Math.sqrt(y.reduce((sum, value) => sum + value ** 2, 0) / y.length);
    assert(size > 0.3 && size < 3, `${layers[0]?.op}: ${size}`);
  }
});

Deno.test("Mimi's layers are what a config.json may hold", async () => {
  using part = await CodecPart.open(folder, "audio");
  const { encoder, decoder, coded } = part.codec;
  for (const side of [encoder, decoder, coded?.encoder, coded?.decoder]) {
    const layers = [...side?.layers ?? []];
    assertEquals(parseLayers(new Fields({ layers }, "config.json"), "layers"), layers);
  }
  for (
    const [layer, says] of [
      [{ op: "transformer", sliding_window: 1 }, "num_hidden_layers is missing; it may be a whole"],
      [{ op: "conv_transpose", channels: 0 }, "channels is 0; it may be a whole number from 1"],
      [{ op: "quantize", codebooks: 2, semantic: 3 }, "semantic is 3; it may be a whole number"],
      [{ op: "conv", channels: 1, kernel: [1, 1, 1], padding: "reflect" }, '"replicate"'],
      [{ op: "elu", slope: 1 }, 'has the key "slope"'],
    ] as const
  ) {
    const fields = new Fields({ layers: [layer] }, "config.json");
    await assertInputError(() => parseLayers(fields, "layers"), "config.json: layers[0]", says);
  }
});

withGpu("a Mimi on paper launches what it launches on a device", async (gpu) => {
  for (const model of Object.values(await coders())) {
    const launches = (gpu: Gpu) => {
      const made = coder(gpu, model);
      const steps = made.steps.filter((step) => step.kind === "dispatch")
        .map(({ label, flops, bytes, groups }) => ({ label, flops, bytes, groups }));
      made.destroy();
      return steps;
    };
    assertEquals(launches(Gpu.onPaper(gpu)), launches(gpu));
  }
});

/** Changes to the folder's config and to the text of its weights' header; refused with these words. */
const refused: [string, Config, Record<string, string>, string[]][] = [
  ["a convolution that isn't causal", { use_causal_conv: false }, {}, [
    "config.json: use_causal_conv is false; it may be true",
  ]],
  ["a mirrored padding", { pad_mode: "reflect" }, {}, [
    'pad_mode is "reflect"; it may be "constant" or "replicate"',
  ]],
  ["two channels", { audio_channels: 2 }, {}, ["audio_channels is 2; it may be 1"]],
  ["another activation", { hidden_act: "silu" }, {}, ['hidden_act is "silu"; it may be "gelu"']],
  ["trimmed elsewhere", { trim_right_ratio: 0.5 }, {}, ["trim_right_ratio is 0.5; it may be 1"]],
  ["another frame rate", { _frame_rate: 10 }, {}, [
    "_frame_rate is 10; it may be the 25 frames a second",
  ]],
  ["scaled positions", { rope_parameters: { rope_type: "yarn", rope_theta: 1e4 } }, {}, [
    'rope_parameters.rope_type is "yarn"; it may be "default"',
  ]],
  ["a rate that no frame fits", { sampling_rate: 1501 }, {}, [
    "sampling_rate is 1501; it may be a multiple of 60",
  ]],
  ["ratios that are no numbers", { upsampling_ratios: [5, "4"] }, {}, [
    'upsampling_ratios is [5,"4"]; it may be a list of whole numbers',
  ]],
  ["a size out of range", { hidden_size: 0 }, {}, ["hidden_size is 0; it may be a whole number"]],
  ["groups that don't divide", { upsample_groups: 5 }, {}, ["upsample_groups is 5"]],
  ["Moshi", { model_type: "moshi" }, {}, ["is Moshi, which isn't supported"]],
  ["another size", { intermediate_size: 52 }, {}, [
    'tensor "encoder_transformer.layers.0.mlp.fc1.weight" has shape [48,32]',
    "the audio codec 'mimi' needs [52,32]",
  ]],
  ["a missing tensor", {}, { '"upsample.conv.weight"': '"upsample.conv.wrong "' }, [
    'model.safetensors: tensor "upsample.conv.weight" is missing',
    "needs it with shape [32,4,4]",
  ]],
  ["a missing codebook", { num_quantizers: 7 }, {}, [
    'tensor "quantizer.acoustic_residual_vector_quantizer.layers.4.codebook.embed_sum" is missing',
  ]],
  ["a codebook too many", { num_quantizers: 5 }, {}, [
    "quantizer.acoustic_residual_vector_quantizer.layers.3.codebook",
    "is one too many",
  ]],
  ["another dtype", {}, {
    '"downsample.conv.weight":{"dtype":"BF16"': '"downsample.conv.weight":{"dtype":"I16" ',
  }, ['tensor "downsample.conv.weight" has dtype "I16"', "needs one of F32, F16, BF16"]],
];

for (const [what, config, header, says] of refused) {
  Deno.test(`a Mimi is refused with one line: ${what}`, () =>
    withCopy(
      config,
      header,
      (copy) => assertInputError(() => CodecPart.open(copy, "audio"), copy, ...says),
    ));
}

Deno.test("a Mimi is refused where a unit holds no whole number of its latents", async () => {
  const stream = { unitMs: 100, fps: 30, width: 8, height: 8 };
  await assertInputError(
    () => openCodec(folder, "audio", stream),
    "the audio codec 'mimi' makes a latent of every 120 samples at 1500 Hz, 12.5 a second; a unit " +
      "of 100 ms has 150 samples, which is 1.25 latents",
  );
});

Deno.test("a Mimi's config may leave everything out: it is then the published one", () => {
  const found = { where: "x", config: { model_type: "mimi" }, tensors: new Map() };
  assert(mimi.recognises(found));
  const { hop, sampleRate, channels, encoder, decoder, coded } = mimi.read(found, "audio");
  // What transformers writes for a key that it was not given.
  const nulls = { _frame_rate: null, head_dim: null, upsampling_ratios: null, codebook_dim: null };
  const same = { ...found, config: { model_type: "mimi", ...nulls } };
  assertEquals(mimi.read(same, "audio").encoder, encoder);
  assertEquals([hop, sampleRate, channels, coded?.channels], [1920, 24000, 512, 32]);
  const count = ({ tensors }: typeof encoder) =>
    Object.values(tensors).flatMap(({ from }) => from.map(({ shape }) => elements(shape)))
      .reduce((a, b) => a + b);
  assertEquals(count(encoder) + count(decoder), 78_784_321);
});
