/**
 * Configs to start from: the one of `nano`, the trained checkpoint beside this file, which two CPU cores
 * run in real time; and others at the scale of the paper (Qwen3-0.6B's and -1.7B's backbone, its v0.1 and
 * v0.2 picture sizes, latents of a 16th or a 32nd) to measure speed with. The paper's codecs are unpublished: these are plain causal
 * convolutional ones.
 */
import { validateConfig } from "../checkpoint/config_check.ts";
import type { ModelConfig } from "../config/config.ts";
import { defaultSolver } from "../config/solver.ts";
import { byteFiller } from "./byte_tokenizer.ts";
import { conv, double, halve, overlapAdd, residual, shuffle, silu, unshuffle } from "./layers.ts";
import nano from "./nano-1/config.json" with { type: "json" };

export const presetNames = [
  "nano",
  "v0.1-0.6b",
  "v0.1-0.6b-32x",
  "v0.1-1.7b",
  "v0.1-1.7b-32x",
  "v0.2-0.6b",
  "v0.2-0.6b-32x",
  "v0.2-1.7b",
  "v0.2-1.7b-32x",
] as const;
export type PresetName = typeof presetNames[number];

/** The config of a preset, a fresh copy. */
export function preset(name: PresetName): ModelConfig {
  switch (name) {
    case "nano":
      // A preset doesn't say how weights are stored, nor how they were made.
      return validateConfig(
        {
          ...nano,
          torch_dtype: undefined,
          trained_with: undefined,
          random_weights_seed: undefined,
        },
        "nano/config.json",
      );
    case "v0.1-0.6b":
      return paperScale("0.6b", 192, 336, 16, 64);
    case "v0.1-0.6b-32x":
      return paperScale("0.6b", 192, 352, 32, 64);
    case "v0.1-1.7b":
      return paperScale("1.7b", 192, 336, 16, 64);
    case "v0.1-1.7b-32x":
      return paperScale("1.7b", 192, 352, 32, 64);
    case "v0.2-0.6b":
      return paperScale("0.6b", 640, 368, 16, 32);
    case "v0.2-0.6b-32x":
      return paperScale("0.6b", 640, 384, 32, 32);
    case "v0.2-1.7b":
      return paperScale("1.7b", 640, 368, 16, 32);
    case "v0.2-1.7b-32x":
      return paperScale("1.7b", 640, 384, 32, 32);
  }
}

/** Widths of Qwen3's backbones; their layers, heads and tokenizer are the same. */
const widths = {
  "0.6b": { hidden_size: 1024, intermediate_size: 3072 },
  "1.7b": { hidden_size: 2048, intermediate_size: 6144 },
} as const;

/** Qwen3's backbone with a picture of width x height and latents a 16th or a 32nd of that, which deeper
 * coders make. The paper's pictures are no whole 32nds: those presets have the next larger ones. */
function paperScale(
  backbone: keyof typeof widths,
  width: number,
  height: number,
  compression: 16 | 32,
  historyUnits: number,
): ModelConfig {
  const deep = compression === 32;
  const channels = deep ? 128 : 64;
  return {
    model_type: "wanstream",
    architectures: ["Wanstream"],
    unit_ms: 160,
    fps: 25,
    positions_per_unit: 4,
    filler_token_id: byteFiller,
    sink_units: 2,
    solver: defaultSolver,
    ...widths[backbone],
    num_hidden_layers: 28,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    rope_scaling: { mrope_section: [24, 20, 20], mrope_interleaved: true },
    vocab_size: 151936,
    tie_word_embeddings: true,
    user_text_slots: 8,
    agent_text_slots: 2,
    history_units: historyUnits,
    observation: {
      audio: {
        sample_rate: 16000,
        encoder: [
          { op: "logmel", window: 400, fft: 512, hop: 160, mels: 80 },
          ...[conv(512, [3, 1, 1]), silu, conv(512, [8, 1, 1], [4, 1, 1]), residual([3, 1, 1])],
        ], // 4 x 512
      },
      video: {
        width: 224,
        height: 224,
        encoder: [
          unshuffle(4, 8, 8), // 1 x 28 x 28 x 768
          ...[conv(256), silu, halve(384), silu, residual([2, 3, 3])],
          ...[halve(512), residual([2, 3, 3])], // 1 x 7 x 7 x 512
        ],
      },
    },
    response: {
      audio: {
        sample_rate: 24000,
        latent_channels: 64,
        encoder: [
          unshuffle(120, 1, 1), // 32 x 120
          ...[conv(256, [2, 1, 1]), residual([3, 1, 1]), residual([3, 1, 1], 3), silu],
          ...[conv(384, [8, 1, 1], [4, 1, 1]), residual([3, 1, 1]), residual([3, 1, 1], 3), silu],
          ...[conv(512, [4, 1, 1], [2, 1, 1]), residual([3, 1, 1])], // 4 x 512
          conv(64),
        ],
        decoder: [
          ...[conv(512, [2, 1, 1]), residual([3, 1, 1])],
          ...[conv(768), shuffle(2, 1, 1), residual([3, 1, 1]), residual([3, 1, 1], 3)], // 8 x 384
          ...[conv(1024), shuffle(4, 1, 1)], // 32 x 256
          ...[residual([3, 1, 1]), residual([3, 1, 1], 3), silu],
          ...[conv(240), overlapAdd(120)],
        ],
      },
      video: {
        width,
        height,
        latent_channels: channels,
        encoder: [
          unshuffle(4, 8, 8),
          ...[conv(256), residual([1, 3, 3]), residual([2, 3, 3]), silu],
          ...[halve(512), residual([1, 3, 3]), residual([2, 3, 3])],
          ...(deep ? [halve(768), residual([2, 3, 3])] : []),
          conv(channels),
        ],
        decoder: [
          ...(deep ? [conv(768, [2, 3, 3]), residual([2, 3, 3]), ...double(512)] : []),
          ...[conv(512, [2, 3, 3]), residual([1, 3, 3]), residual([2, 3, 3])],
          ...[...double(256), residual([1, 3, 3]), residual([2, 3, 3]), silu],
          ...[conv(768), shuffle(4, 8, 8)],
        ],
      },
    },
  };
}
