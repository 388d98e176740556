/** Wan2.1's VAE and TAEHV against their own implementations, and what is refused in their name. */
import { assert, assertEquals } from "@std/assert";
import { CodecPart } from "../../../engine/families/part.ts";
import { type Coder, coderOutput, coderParameters } from "../../../engine/layers/coder.ts";
import type { Shape4 } from "../../../engine/layers/ops/layer.ts";
import type { FileDtype } from "../../../engine/weights/safetensors.ts";
import type { CheckpointTensor } from "../../../engine/weights/weights.ts";
import { elements } from "../../../kernels/gpu/tensor.ts";
import { withGpu } from "../../kernels/support.ts";
import { golden, readGoldens } from "../../reference/golden_file.ts";
import { assertInputError, safetensorsFile } from "../tiny_checkpoint.ts";
import { inSpans, type Model } from "../layers/support.ts";

const data = new URL("../../data/video_codecs/", import.meta.url);

/** The encoder and decoder of a part for pictures of this size, on units of one latent. */
async function open(path: string | URL, height: number, width: number): Promise<[Model, Model]> {
  using part = await CodecPart.open(path, "video");
  const { codec } = part;
  const sides: Model[] = [];
  let input: Shape4 = [codec.hop, height, width, 3];
  for (const side of ["encoder", "decoder"] as const) {
    const coder: Coder = {
      name: `response.video.${side}`,
      layers: codec[side].layers,
      input,
      sampleRate: 1,
    };
    const tensors = new Map<string, CheckpointTensor>();
    for (const [name, { shape }] of Object.entries(coderParameters(coder).parameters)) {
      const rule = codec[side].tensors[name.slice(coder.name.length + 1)];
      assert(rule, name);
      const read = await part.read(rule);
      const bytes = new Uint8Array(new SharedArrayBuffer(read.length));
      bytes.set(read);
      tensors.set(name, { dtype: part.dtype(rule), shape, bytes });
    }
    const { keys } = codec;
    assertEquals(keys, { first_frame_alone: true });
    sides.push({ prefix: coder.name, layers: [...coder.layers], input, first: true, tensors });
    input = coderOutput(coder);
  }
  const [encoder, decoder] = sides;
  assert(encoder && decoder);
  return [encoder, decoder];
}

/** Distance of a to b, relative to b's length. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assertEquals(a.length, b.length);
  let [difference, length] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] ?? NaN) - (b[i] ?? NaN)) ** 2;
    length += (b[i] ?? NaN) ** 2;
  }
  return Math.sqrt(difference / length);
}

/** Runs `body` in an empty folder, and removes it. */
async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "wanstream-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

type Tensors = Parameters<typeof safetensorsFile>[0];

/** The tensors of a file of the goldens' folder. */
async function tensorsOf(path: string): Promise<Tensors> {
  using part = await CodecPart.open(new URL(path, data), "video");
  const tensors: Tensors = new Map();
  for (const [name, { dtype, shape, length }] of part.weights.entries) {
    const bytes = new Uint8Array(length);
    await part.weights.read(name, 0, bytes);
    tensors.set(name, { dtype, shape, bytes });
  }
  return tensors;
}

/** Wan's tensors by the names of the Wan2.1 repository. */
async function originalTensors(): Promise<Tensors> {
  const names: Record<string, string> = JSON.parse(
    await Deno.readTextFile(new URL("wan_original_names.json", data)),
  );
  const tensors = await tensorsOf("wan_vae");
  return new Map([...tensors].map(([name, tensor]) => [names[name] ?? "", tensor]));
}

/** Compares latents and pictures with the goldens, unit by unit and all at once. */
async function compare(
  gpu: Parameters<Parameters<typeof withGpu>[1]>[0],
  path: string | URL,
  name: string,
  given = "frames",
): Promise<void> {
  const goldens = await readGoldens("video_codecs/goldens.safetensors");
  const { shape: [frames = 0, height = 0, width = 0], data: pixels } = golden(goldens, given);
  const [encoder, decoder] = await open(path, height, width);
  const x = Float32Array.from(pixels, (byte) => byte / 127.5 - 1);
  const latents = golden(goldens, `${name}.latents`);
  const pictures = golden(goldens, `${name}.pictures`);
  const units = (frames - 1) / encoder.input[0];
  assertEquals(latents.shape[0], 1 + units);
  for (const spans of [Array<number>(units).fill(1), [units]]) {
    const z = await inSpans(gpu, encoder, x, spans);
    const y = await inSpans(gpu, decoder, Float32Array.from(latents.data), spans);
    const cut = y.map((v) => Math.max(-1, Math.min(1, v)));
    const errors = [distance(z, latents.data), distance(cut, pictures.data)];
    assert(errors.every((error) => error < 1e-5), `${name}: relative errors ${errors}`);
  }
}

withGpu(
  "Wan2.1's VAE equals diffusers' AutoencoderKLWan, unit by unit and at once",
  async (gpu) => {
    await compare(gpu, new URL("wan_vae", data), "wan_vae");
  },
);

withGpu("Wan2.1's VAE by the names of its own repository gives the same", async (gpu) => {
  await inFolder(async (folder) => {
    const file = `${folder}/wan_2.1_vae.safetensors`;
    await Deno.writeFile(file, await safetensorsFile(await originalTensors()));
    await compare(gpu, file, "wan_vae");
    // And diffusers' weights without their config: sizes are read from the shapes.
    await Deno.copyFile(
      new URL("wan_vae/diffusion_pytorch_model.safetensors", data),
      `${folder}/alone.safetensors`,
    );
    using alone = await CodecPart.open(`${folder}/alone.safetensors`, "video");
    using whole = await CodecPart.open(new URL("wan_vae", data), "video");
    assertEquals(alone.codec, whole.codec);
  });
});

withGpu("TAEHV equals its own code, with pictures in patches too", async (gpu) => {
  await compare(gpu, new URL("taehv.safetensors", data), "taehv");
  await compare(gpu, new URL("taehv_patches.safetensors", data), "taehv_patches", "small.frames");
});

Deno.test("what a codec of pictures takes is told", async () => {
  const facts = async (path: string) => {
    using part = await CodecPart.open(new URL(path, data), "video");
    const { hop, multiple, channels, sampleRate } = part.codec;
    return { family: part.family, hop, multiple, channels, sampleRate };
  };
  const common = { hop: 4, channels: 16, sampleRate: null };
  assertEquals(await facts("wan_vae"), { family: "wan_vae", multiple: 8, ...common });
  assertEquals(await facts("taehv.safetensors"), { family: "taehv", multiple: 8, ...common });
  assertEquals(await facts("taehv_patches.safetensors"), {
    family: "taehv",
    multiple: 16,
    ...common,
  });
});

type Change = (tensors: Tensors, config: Record<string, unknown>) => void;

/** Replaces a tensor by zeros of another shape or type. */
const becomes =
  (name: string, shape: readonly number[], dtype: FileDtype = "F32"): Change => (tensors) => {
    const bytes = new Uint8Array(elements(shape) * (dtype === "F32" ? 4 : 2));
    tensors.set(name, { dtype, shape, bytes });
  };

/** What is changed in which codec, and what is said of it. */
const refused: [string, "wan_vae" | "original" | "taehv", Change, string[]][] = [
  ["a missing tensor", "wan_vae", (tensors) => tensors.delete("quant_conv.bias"), [
    'diffusion_pytorch_model.safetensors: tensor "quant_conv.bias" is missing',
    "'wan_vae' needs it with shape [32]",
  ]],
  ["one too many", "wan_vae", becomes("encoder.extra.weight", [2]), [
    'tensor "encoder.extra.weight" is one too many',
  ]],
  ["another shape", "wan_vae", becomes("encoder.conv_in.weight", [4, 3, 3, 3], "BF16"), [
    'tensor "encoder.conv_in.weight" has shape [4,3,3,3]',
    "needs [4,3,3,3,3]",
  ]],
  ["Wan2.2's config", "wan_vae", (_, config) => config["is_residual"] = true, [
    "wan_vae/config.json: is_residual is true; it may be false: other VAEs of this class, Wan2.2's",
  ]],
  ["patches", "wan_vae", (_, config) => config["patch_size"] = 2, [
    "patch_size is 2; it may be null",
  ]],
  ["attention in other places", "wan_vae", (_, config) => config["attn_scales"] = [0.5], [
    "attn_scales is [0.5]; it may be []",
  ]],
  ["a width of none", "wan_vae", (_, config) => config["base_dim"] = 0, [
    "base_dim is 0; it may be a whole number from 1 to 4096",
  ]],
  ["levels that don't fit", "wan_vae", (_, config) => config["temperal_downsample"] = [true], [
    "temperal_downsample is [true]; it may be a list of 3 entries",
  ]],
  ["multipliers of another kind", "wan_vae", (_, config) => config["dim_mult"] = [1, "x", 2, 2], [
    'dim_mult is [1,"x",2,2]; it may be a list of whole numbers from 1 to 64',
  ]],
  ["means of other channels", "wan_vae", (_, config) => config["latents_mean"] = [0], [
    "latents_mean is [0]; it may be a list of 16 entries",
  ]],
  ["a deviation of zero", "wan_vae", (_, config) => {
    config["latents_std"] = Array<number>(16).fill(0);
  }, ["latents_std is [0,0,0"]],
  ["other sizes than the weights have", "wan_vae", (_, config) => config["base_dim"] = 8, [
    "has shape [4,3,3,3,3]; the video codec 'wan_vae' needs [8,3,3,3,3]",
  ]],
  ["LTX-Video", "wan_vae", (_, config) => config["_class_name"] = "AutoencoderKLLTXVideo", [
    "is LTX-Video's VAE, which isn't supported",
  ]],
  ["Wan2.2's own names", "original", becomes("encoder.downsamples.0.downsamples.0.x", [1]), [
    'has the tensor "encoder.downsamples.0.downsamples.0.x", which is of Wan2.2\'s VAE',
  ]],
  ["latents of unknown deviation", "original", becomes("conv2.weight", [8, 8, 1, 1, 1]), [
    "its latents have 8 channels, whose mean and deviation aren't in the weights",
  ]],
  ["blocks that differ by level", "original", (tensors) => {
    tensors.delete("encoder.downsamples.0.residual.6.weight");
  }, ["encoder.downsamples.* have [0] residual blocks"]],
  ["a missing tensor of TAEHV", "taehv", (tensors) => tensors.delete("decoder.22.bias"), [
    'video.safetensors: tensor "decoder.22.bias" is missing',
    "'taehv' needs it with shape [3]",
  ]],
  ["resampling of another kind", "taehv", becomes("encoder.2.conv.weight", [4, 12, 1, 1]), [
    'tensor "encoder.2.conv.weight" has shape [4,12,1,1]',
    "takes 1 or 2 frames together",
  ]],
  ["sides of other lengths", "taehv", becomes("decoder.7.conv.weight", [16, 8, 1, 1]), [
    "its encoder takes 4 frames together and its decoder makes 8 of a latent",
  ]],
  ["a stack of matrices", "taehv", becomes("encoder.17.weight", [4]), [
    'tensor "encoder.17.weight" has shape [4]; it needs 4 axes',
  ]],
  ["the wide decoder", "taehv", becomes("decoder.1.conv.0.weight", [2, 1, 7, 7]), [
    "is of TAEHV's 'super' decoder; it isn't supported: take the plain one",
  ]],
];

Deno.test("codecs of pictures are refused with one line that names what and where", async () => {
  await inFolder(async (folder) => {
    const [wan, original, taehv] = [
      await tensorsOf("wan_vae"),
      await originalTensors(),
      await tensorsOf("taehv.safetensors"),
    ];
    const config = await Deno.readTextFile(new URL("wan_vae/config.json", data));
    await Deno.mkdir(`${folder}/wan_vae`);
    for (const [what, kind, change, says] of refused) {
      const tensors = new Map(kind === "wan_vae" ? wan : kind === "original" ? original : taehv);
      const changed: Record<string, unknown> = JSON.parse(config);
      change(tensors, changed);
      const path = kind === "wan_vae" ? `${folder}/wan_vae` : `${folder}/video.safetensors`;
      const file = kind === "wan_vae" ? `${path}/diffusion_pytorch_model.safetensors` : path;
      await Deno.writeFile(file, await safetensorsFile(tensors));
      await Deno.writeTextFile(`${folder}/wan_vae/config.json`, JSON.stringify(changed));
      try {
        await assertInputError(() => CodecPart.open(path, "video"), folder, ...says);
      } catch (error) {
        throw new Error(`${what}: ${error}`, { cause: error });
      }
    }
    await assertInputError(
      () => CodecPart.open(new URL("taehv.safetensors", data), "audio"),
      "holds no audio codec (taehv)",
    );
  });
});
