/** A checkpoint of a few thousand parameters for tests, and the files of any checkpoint. */
import type { ModelConfig } from "../../engine/config/config.ts";
import { byteTokenizerJson } from "../../engine/models/byte_tokenizer.ts";
import {
  conv,
  overlapAdd,
  residual,
  shuffle,
  silu,
  unshuffle,
} from "../../engine/models/layers.ts";
import { randomTensor } from "../../engine/models/random.ts";
import type { FileDtype } from "../../engine/weights/safetensors.ts";
import { safetensorsHeader } from "../../engine/weights/safetensors_writer.ts";
import { expectedTensors } from "../../engine/checkpoint/tensors.ts";

/** One layer of width 16; units of 40 ms: 320 samples at 8 kHz, 2 frames of 8 x 8 at 50 fps. */
export function tinyConfig(): ModelConfig {
  return {
    model_type: "wanstream",
    architectures: ["Wanstream"],
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    rope_scaling: { mrope_section: [2, 1, 1], mrope_interleaved: true },
    vocab_size: 264,
    tie_word_embeddings: true,
    torch_dtype: "float32",
    unit_ms: 40,
    fps: 50,
    positions_per_unit: 2,
    user_text_slots: 1,
    agent_text_slots: 1,
    filler_token_id: 256,
    history_units: 4,
    sink_units: 1,
    observation: {
      audio: {
        sample_rate: 8000,
        encoder: [
          { op: "logmel", window: 200, fft: 256, hop: 80, mels: 8 },
          conv(8, [4, 1, 1], [4, 1, 1]),
        ],
      },
      video: { width: 8, height: 8, encoder: "codec" },
    },
    response: {
      audio: {
        sample_rate: 8000,
        latent_channels: 4,
        encoder: [unshuffle(80, 1, 1), conv(8, [4, 1, 1], [2, 1, 1]), silu, conv(4)],
        decoder: [conv(16, [2, 1, 1]), shuffle(2, 1, 1), conv(160), overlapAdd(80)],
      },
      video: {
        width: 8,
        height: 8,
        latent_channels: 6,
        encoder: [unshuffle(2, 4, 4), conv(8), residual([2, 3, 3]), { op: "rmsnorm" }, conv(6)],
        decoder: [conv(96), shuffle(2, 4, 4)],
      },
    },
    solver: { name: "euler", steps: 4, shift: 1, guidance: 1 },
  };
}

/** Names, dtype and bytes of every tensor of a config, random from a seed. */
export async function tinyTensors(
  config: ModelConfig,
  dtype: FileDtype = "F32",
): Promise<
  Map<string, { dtype: FileDtype; shape: readonly number[]; bytes: Uint8Array<ArrayBuffer> }>
> {
  const tensors = new Map();
  for (const [name, parameter] of expectedTensors(config)) {
    const chunks = await Array.fromAsync(randomTensor(7, name, parameter, dtype));
    tensors.set(name, {
      dtype,
      shape: parameter.shape,
      bytes: new Uint8Array(await new Blob(chunks).arrayBuffer()),
    });
  }
  return tensors;
}

/** The content of a safetensors file. */
export async function safetensorsFile(
  tensors: Map<
    string,
    { dtype: FileDtype; shape: readonly number[]; bytes: Uint8Array<ArrayBuffer> }
  >,
): Promise<Uint8Array<ArrayBuffer>> {
  const specs = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const bytes = [...tensors.values()].map((tensor) => tensor.bytes);
  return new Uint8Array(await new Blob([safetensorsHeader(specs), ...bytes]).arrayBuffer());
}

/** Runs `body` in a folder that holds a whole checkpoint, and removes it afterwards. */
export async function withCheckpoint(
  config: ModelConfig,
  body: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "wanstream-" });
  try {
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(config));
    await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(byteTokenizerJson()));
    const weights = await safetensorsFile(await tinyTensors(config));
    await Deno.writeFile(`${folder}/model.safetensors`, weights);
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Asserts that `body` throws an InputError of one line that says each of `parts`. */
export async function assertInputError(
  body: () => unknown,
  ...parts: string[]
): Promise<void> {
  let thrown: unknown;
  try {
    await body();
  } catch (error) {
    thrown = error;
  }
  if (!(thrown instanceof Error) || thrown.name !== "InputError") {
    throw new Error(`expected an InputError that says ${parts}, got ${thrown}`);
  }
  if (thrown.message.includes("\n")) throw new Error(`more than one line: ${thrown.message}`);
  for (const part of parts) {
    if (!thrown.message.includes(part)) {
      throw new Error(`expected "${part}" in: ${thrown.message}`);
    }
  }
}
