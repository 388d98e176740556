/**
 * Makes small parts with random weights in the layouts in which they are published, so that what takes
 * published parts can be tried where none were downloaded:
 *
 *     deno run -A scripts/tiny_parts.ts FOLDER
 *
 * gives FOLDER/qwen3, qwen2.5 (backbones with tokenizer and chat template), mimi, and wan-vae.
 */
import { backboneTensors } from "../engine/checkpoint/tensors.ts";
import { validateBackbone } from "../engine/checkpoint/config_check.ts";
import { coderOutput } from "../engine/layers/coder.ts";
import type { PartCoder } from "../engine/families/family.ts";
import { coderRules } from "../engine/families/part.ts";
import { mimi } from "../engine/families/mimi.ts";
import { wanVae } from "../engine/families/wan_vae.ts";
import { addedToken, byteSpecials, byteTokenizerJson } from "../engine/models/byte_tokenizer.ts";
import { randomTensor } from "../engine/models/random.ts";
import type { Shape4 } from "../engine/layers/ops/layer.ts";
import type { Parameter } from "../engine/weights/parameter.ts";
import { type TensorSpec, writeSafetensors } from "../engine/weights/safetensors_writer.ts";

const seed = 1;

const backbone = {
  hidden_act: "silu",
  hidden_size: 64,
  intermediate_size: 96,
  num_attention_heads: 4,
  num_hidden_layers: 2,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1e6,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
  vocab_size: 264,
};

const mimiConfig = {
  model_type: "mimi",
  architectures: ["MimiModel"],
  ...{ sampling_rate: 24000, frame_rate: 12.5, audio_channels: 1, upsampling_ratios: [8, 6, 5, 4] },
  ...{ hidden_size: 32, num_filters: 4, num_hidden_layers: 1, num_attention_heads: 4 },
  ...{ num_key_value_heads: 4, intermediate_size: 48, upsample_groups: 32, sliding_window: 250 },
  ...{ num_quantizers: 8, num_semantic_quantizers: 1, codebook_size: 64, codebook_dim: 16 },
  ...{ vector_quantization_hidden_dimension: 16, head_dim: 8 },
};

const wanConfig = {
  _class_name: "AutoencoderKLWan",
  ...{ base_dim: 8, z_dim: 16, dim_mult: [1, 2, 2, 2], num_res_blocks: 1 },
  ...{ attn_scales: [], temperal_downsample: [false, true, true], dropout: 0 },
  latents_mean: Array.from({ length: 16 }, (_, i) => (i - 8) / 10),
  latents_std: Array.from({ length: 16 }, (_, i) => 1 + i / 10),
};

const card = (what: string) =>
  `---\nlicense: apache-2.0\n---\n\n# ${what}\n\nRandom weights, to try layouts with.\n`;

const chatTemplate = "{%- for message in messages %}" +
  "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- endfor %}" +
  "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

/** Writes a folder: its texts, and random tensors in bf16. */
async function write(
  folder: string,
  weights: string,
  texts: Record<string, unknown>,
  parameters: ReadonlyMap<string, Parameter>,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries(texts)) {
    const text = typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`;
    await Deno.writeTextFile(`${folder}/${name}`, text);
  }
  const dtype = "BF16" as const;
  const specs = [...parameters].map(([name, { shape }]) => ({ name, shape, dtype }));
  using file = await Deno.create(`${folder}/${weights}`);
  const data = ({ name, shape }: TensorSpec) =>
    randomTensor(seed, name, parameters.get(name) ?? { shape, fill: "ones" }, dtype);
  await writeSafetensors(specs, data, {
    async write(bytes) {
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    },
  });
}

async function makeBackbone(folder: string, family: "qwen3" | "qwen2"): Promise<void> {
  const config = {
    ...backbone,
    model_type: family,
    architectures: [family === "qwen3" ? "Qwen3ForCausalLM" : "Qwen2ForCausalLM"],
    ...(family === "qwen3" ? { head_dim: 16, attention_bias: false } : {}),
  };
  // Bytes and special tokens, but for the filler, which 'init' adds.
  const tokenizer = {
    ...byteTokenizerJson(),
    added_tokens: byteSpecials.slice(1).map((content, i) => addedToken(256 + i, content)),
  };
  await write(folder, "model.safetensors", {
    "config.json": config,
    "tokenizer.json": tokenizer,
    "tokenizer_config.json": { chat_template: chatTemplate },
    "README.md": card(`A tiny ${family}`),
  }, backboneTensors(validateBackbone(config, folder)));
}

/** Their tensors, filled as the ones that they become. */
function theirTensors(sides: [PartCoder, Shape4][]): Map<string, Parameter> {
  const all = new Map<string, Parameter>();
  for (const [coder, input] of sides) {
    for (const { rule, fill } of coderRules("part", coder, input).values()) {
      for (const { name, shape } of rule.from) all.set(name, { shape, fill });
    }
  }
  return all;
}

async function makeMimi(folder: string): Promise<void> {
  const found = { where: folder, config: mimiConfig, tensors: new Map() };
  const { coded } = mimi.read(found, "audio");
  if (!coded) throw new Error("Mimi has a quantizer");
  const sound: Shape4 = [3840, 1, 1, 1];
  const codes = coderOutput({ name: "part", layers: coded.encoder.layers, input: sound });
  await write(
    folder,
    "model.safetensors",
    { "config.json": mimiConfig, "README.md": card("A tiny Mimi") },
    theirTensors([[coded.encoder, sound], [coded.decoder, codes]]),
  );
}

async function makeWanVae(folder: string): Promise<void> {
  const found = { where: folder, config: wanConfig, tensors: new Map() };
  const { encoder, decoder } = wanVae.read(found, "video");
  await write(
    folder,
    "diffusion_pytorch_model.safetensors",
    { "config.json": wanConfig, "README.md": card("A tiny VAE in Wan2.1's layout") },
    theirTensors([[encoder, [4, 64, 64, 3]], [decoder, [1, 8, 8, 16]]]),
  );
}

/** Makes all of them in a folder. */
export async function makeTinyParts(folder: string): Promise<void> {
  await makeBackbone(`${folder}/qwen3`, "qwen3");
  await makeBackbone(`${folder}/qwen2.5`, "qwen2");
  await makeMimi(`${folder}/mimi`);
  await makeWanVae(`${folder}/wan-vae`);
}

if (import.meta.main) await makeTinyParts(Deno.args[0] ?? "parts");
