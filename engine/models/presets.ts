/**
 * Configs to start from: `nano`, which two CPU cores run in real time, and two at the scale of the
 * paper (Qwen3-0.6B's backbone, its v0.1 and v0.2 picture sizes) to measure speed with. The paper's
 * codecs are unpublished: these are plain causal convolutional ones.
 */
import type { ModelConfig } from "../config/config.ts";
import { defaultSolver } from "../config/solver.ts";
import { byteFiller } from "./byte_tokenizer.ts";
import { conv, double, halve, overlapAdd, residual, shuffle, silu, unshuffle } from "./layers.ts";

export const presetNames = ["nano", "v0.1-0.6b", "v0.2-0.6b"] as const;
export type PresetName = typeof presetNames[number];

/** The config of a preset, a fresh copy. */
export function preset(name: PresetName): ModelConfig {
  switch (name) {
    case "nano":
      return structuredClone(nano);
    case "v0.1-0.6b":
      return qwen06b(192, 336, 64);
    case "v0.2-0.6b":
      return qwen06b(640, 368, 32);
  }
}

const common = {
  model_type: "wanstream",
  architectures: ["Wanstream"],
  unit_ms: 160,
  fps: 25,
  positions_per_unit: 4,
  filler_token_id: byteFiller,
  sink_units: 2,
  solver: defaultSolver,
} satisfies Partial<ModelConfig>;

/** 14 tokens a unit: 1 of text in, 2 + 4 observed, 1 of text out, 2 + 4 latents. */
const nano: ModelConfig = {
  ...common,
  // Without guidance the voice went on for a moment in one interruption of twenty (NOTES).
  solver: { ...common.solver, guidance: 1.5 },
  hidden_size: 192,
  intermediate_size: 512,
  num_hidden_layers: 4,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 32,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  rope_scaling: { mrope_section: [8, 4, 4], mrope_interleaved: true },
  vocab_size: 384,
  tie_word_embeddings: true,
  user_text_slots: 1,
  agent_text_slots: 1,
  history_units: 40,
  // A long talk must look like the short ones of training: nothing old stays.
  sink_units: 0,
  observation: {
    audio: {
      sample_rate: 16000,
      // Log-mel frames of 10 ms, eight of them to a token.
      encoder: [
        { op: "logmel", window: 400, fft: 512, hop: 160, mels: 40 }, // 16 x 40
        ...[residual([5, 1, 1], 1, 128), residual([5, 1, 1], 3, 128)],
        ...[conv(192, [8, 1, 1], [8, 1, 1]), silu], // 2 x 192
      ],
    },
    video: {
      width: 64,
      height: 64,
      encoder: [
        unshuffle(4, 8, 8), // 1 x 8 x 8 x 768
        ...[conv(64), silu, halve(96), silu], // 1 x 4 x 4 x 96
        residual([2, 3, 3]),
        halve(128), // 1 x 2 x 2 x 128
      ],
    },
  },
  response: {
    audio: {
      sample_rate: 16000,
      latent_channels: 32,
      encoder: [
        unshuffle(80, 1, 1), // 32 x 80
        ...[conv(128, [2, 1, 1]), residual([3, 1, 1]), residual([3, 1, 1], 3), silu],
        ...[conv(192, [8, 1, 1], [4, 1, 1]), residual([3, 1, 1]), silu], // 8 x 192
        ...[conv(256, [8, 1, 1], [4, 1, 1]), residual([2, 1, 1])], // 2 x 256
        conv(32),
      ],
      decoder: [
        ...[conv(256, [2, 1, 1]), residual([2, 1, 1])],
        ...[conv(768), shuffle(4, 1, 1), residual([3, 1, 1]), residual([3, 1, 1], 3)], // 8 x 192
        ...[conv(512), shuffle(4, 1, 1)], // 32 x 128
        ...[residual([3, 1, 1]), residual([3, 1, 1], 3), residual([3, 1, 1], 9), silu],
        ...[conv(160), overlapAdd(80)],
      ],
    },
    video: {
      width: 128,
      height: 128,
      latent_channels: 32,
      encoder: [
        unshuffle(4, 8, 8), // 1 x 16 x 16 x 768
        ...[conv(64), residual([1, 3, 3]), silu],
        ...[halve(96), residual([1, 3, 3]), silu],
        ...[halve(128), residual([1, 3, 3]), silu],
        ...[halve(160), silu, conv(32)], // 1 x 2 x 2 x 32
      ],
      decoder: [
        ...[conv(160, [2, 3, 3]), residual([2, 3, 3])],
        ...[...double(128), residual([1, 3, 3])], // 1 x 4 x 4 x 128
        ...[...double(96), residual([2, 3, 3])], // 1 x 8 x 8 x 96
        ...[...double(64), residual([1, 3, 3])], // 1 x 16 x 16 x 64
        ...[...double(48), residual([1, 3, 3]), silu], // 1 x 32 x 32 x 48
        ...[conv(192), shuffle(4, 4, 4)],
      ],
    },
  },
};

/** Qwen3-0.6B's backbone with a picture of width x height and latents a 16th of that. */
function qwen06b(width: number, height: number, historyUnits: number): ModelConfig {
  return {
    ...common,
    hidden_size: 1024,
    intermediate_size: 3072,
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
        latent_channels: 64,
        encoder: [
          unshuffle(4, 8, 8),
          ...[conv(256), residual([1, 3, 3]), residual([2, 3, 3]), silu],
          ...[halve(512), residual([1, 3, 3]), residual([2, 3, 3])],
          conv(64),
        ],
        decoder: [
          ...[conv(512, [2, 3, 3]), residual([1, 3, 3]), residual([2, 3, 3])],
          ...[...double(256), residual([1, 3, 3]), residual([2, 3, 3]), silu],
          ...[conv(768), shuffle(4, 8, 8)],
        ],
      },
    },
  };
}
