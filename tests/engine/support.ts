/** What engine tests share: a tiny config, random checkpoints in memory, random observations. */
import type { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import { validateConfig } from "../../engine/checkpoint/config_check.ts";
import { byteFiller, byteTokenizerJson } from "../../engine/models/byte_tokenizer.ts";
import {
  conv,
  overlapAdd,
  residual,
  shuffle,
  silu,
  unshuffle,
} from "../../engine/models/layers.ts";
import { randomTensor } from "../../engine/models/random.ts";
import type { Settings } from "../../engine/model/settings.ts";
import { expectedTensors } from "../../engine/checkpoint/tensors.ts";
import { type Observation, unitLayout } from "../../engine/checkpoint/unit.ts";
import { integer, normal, random } from "../reference/random.ts";

/** A config that a CPU runs in milliseconds, with every kind of token: 2 + 2 + 4 observed, 2 of
 * text, 2 + 4 latents. */
export function tinyConfig(changes: Partial<ModelConfig> = {}): ModelConfig {
  return validateConfig({
    model_type: "wanstream",
    architectures: ["Wanstream"],
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    rope_scaling: { mrope_section: [4, 2, 2], mrope_interleaved: true },
    vocab_size: 272,
    tie_word_embeddings: true,
    unit_ms: 160,
    fps: 25,
    positions_per_unit: 4,
    user_text_slots: 2,
    agent_text_slots: 2,
    filler_token_id: byteFiller,
    history_units: 5,
    sink_units: 1,
    observation: {
      audio: {
        sample_rate: 16000,
        encoder: [
          { op: "logmel", window: 400, fft: 512, hop: 160, mels: 8 },
          conv(16, [8, 1, 1], [8, 1, 1]),
        ],
      },
      video: {
        width: 16,
        height: 16,
        encoder: [unshuffle(4, 8, 8), conv(16, [2, 1, 1]), silu],
      },
    },
    response: {
      audio: {
        sample_rate: 16000,
        latent_channels: 8,
        encoder: [unshuffle(1280, 1, 1), conv(16, [2, 1, 1]), conv(8)],
        decoder: [
          conv(16, [2, 1, 1]),
          residual([3, 1, 1]),
          conv(64),
          shuffle(4, 1, 1),
          conv(640),
          overlapAdd(320),
        ],
      },
      video: {
        width: 16,
        height: 16,
        latent_channels: 12,
        encoder: [unshuffle(4, 8, 8), conv(16), conv(12)],
        decoder: [conv(16, [2, 3, 3]), residual([1, 3, 3]), conv(768), shuffle(4, 8, 8)],
      },
    },
    solver: { name: "euler", steps: 2, shift: 1, guidance: 1 },
    ...changes,
  }, "tiny config");
}

/** A checkpoint with seeded random f32 weights, in shared memory. */
export async function randomCheckpoint(config: ModelConfig, seed: number): Promise<Checkpoint> {
  const tensors: Checkpoint["tensors"] = new Map();
  for (const [name, parameter] of expectedTensors(config)) {
    const { shape } = parameter;
    const length = shape.reduce((a, b) => a * b, 4);
    const bytes = new Uint8Array(new SharedArrayBuffer(length));
    let at = 0;
    for await (const chunk of randomTensor(seed, name, parameter, "F32")) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    tensors.set(name, { dtype: "F32", shape, bytes });
  }
  return { config, tensors, tokenizer: byteTokenizerJson(), digest: `random ${seed}` };
}

/** Settings as a session would resolve them. */
export function settingsFor(config: ModelConfig, changes: Partial<Settings> = {}): Settings {
  return {
    seed: 7,
    solver: config.solver,
    sampling: { temperature: 0, topK: 0, topP: 1 },
    schedule: "paper",
    storage: "f32",
    weights: "f32",
    historyUnits: config.history_units,
    sinkUnits: config.sink_units,
    promptIds: [],
    personaFrame: null,
    voice: null,
    ...changes,
  };
}

/** Random observations of whole units. */
export function randomObservations(
  config: ModelConfig,
  count: number,
  seed: number,
): Observation[] {
  const next = random(seed);
  const { userSamples, frames } = unitLayout(config);
  const { width, height } = config.observation.video;
  return Array.from({ length: count }, () => ({
    audio: normal(next, userSamples, 0.1),
    frames: Uint8Array.from(
      { length: frames * width * height * 3 },
      () => integer(next, 0, 255),
    ),
  }));
}
