/**
 * The shape of a checkpoint: the types of `config.json`.
 *
 * The backbone's keys are Hugging Face's for Qwen3, so that a Qwen3 folder is a valid backbone.
 * Validation (ranges, consistency, messages) lives in `validateConfig`.
 */
import type { SolverConfig } from "./solver.ts";

/**
 * One layer of an encoder or decoder: its op, and the keys that the op's file in engine/layers/ops/
 * reads.
 * Tensors are [time, height, width, channels], channels last; audio has height = width = 1.
 */
export type LayerConfig = { readonly op: string; readonly [key: string]: unknown };

/** A causal codec: encoder and decoder around latents of `latent_channels`. */
export interface CodecConfig {
  /** Channels of its latents. */
  latent_channels: number;
  /** From samples or pictures to latents. */
  encoder: LayerConfig[];
  /** From latents to samples or pictures. */
  decoder: LayerConfig[];
}

/** How observations of one medium become tokens: through the response codec's encoder, or a causal
 * encoder of their own whose last channels feed the projection. */
export type ObservationEncoder = { encoder: "codec" } | { encoder: LayerConfig[] };

/** What a session may be given beside sound and pictures; each is of use to a checkpoint that was trained
 * with it. */
export type Conditioning = "prompt" | "persona" | "voice" | "user_text";
/** All of them. */
export const conditionings: readonly Conditioning[] = ["prompt", "persona", "voice", "user_text"];

/** A part of a checkpoint that can be a published model. */
export type PartName = "backbone" | "audio_codec" | "video_codec";
/** All of them. */
export const partNames: readonly PartName[] = ["backbone", "audio_codec", "video_codec"];

/** Where a part came from. */
export interface PartOrigin {
  /** Which part of the checkpoint. */
  part: PartName;
  /** Of models, e.g. "qwen3" or "mimi". */
  family: string;
  /** Its folder's or file's name. */
  name: string;
  /** SHA-256 (hex) over the names, types, shapes and bytes of its tensors. */
  digest: string;
  /** As its card states it; null: it states none. */
  licence: string | null;
}

/** `config.json` of a checkpoint. */
export interface ModelConfig {
  /** What the folder holds. */
  model_type: "wanstream";
  /** Hugging Face's key. */
  architectures: string[];
  // Backbone: Hugging Face's Qwen3 keys.
  /** Width of the residual stream. */
  hidden_size: number;
  /** Inner width of the feed-forward layers. */
  intermediate_size: number;
  /** Transformer layers. */
  num_hidden_layers: number;
  /** Heads of queries. */
  num_attention_heads: number;
  /** Heads of keys and values. */
  num_key_value_heads: number;
  /** Width of a head. */
  head_dim: number;
  /** q, k and v are projected with biases, as in Qwen2.5; absent: without. */
  qkv_bias?: true;
  /** False: heads of q and k have no norm, as in Qwen2.5; absent: they have Qwen3's. */
  qk_norm?: false;
  /** Epsilon of the norms. */
  rms_norm_eps: number;
  /** Base of the rotary frequencies. */
  rope_theta: number;
  /** How many of the head_dim / 2 rotary frequencies turn with [time, height, width], interleaved as
   * in Qwen3-VL; absent: all turn with time. */
  rope_scaling?: { mrope_section: [number, number, number]; mrope_interleaved: true } | null;
  /** Token ids. */
  vocab_size: number;
  /** The text head is the embedding's table. */
  tie_word_embeddings: boolean;
  /** Storage type of the weights in the checkpoint. */
  torch_dtype?: "float32" | "float16" | "bfloat16";

  // Stream.
  /** Length of a unit in ms (160). */
  unit_ms: number;
  /** Video frames per second, both ways; unit_ms x fps / 1000 is whole. */
  fps: number;
  /** Rotary time positions that a unit spans (4: one per video frame at 25 fps). */
  positions_per_unit: number;
  /** Typed tokens that fit in one unit; more spill into the next units. */
  user_text_slots: number;
  /** Agent text tokens per unit. */
  agent_text_slots: number;
  /** Token that says nothing now. */
  filler_token_id: number;
  /** Units kept in history. */
  history_units: number;
  /** How many first units never leave history. */
  sink_units: number;

  /** What the user gives, and how it becomes tokens. */
  observation: {
    audio: { sample_rate: number } & ObservationEncoder;
    video: { width: number; height: number } & ObservationEncoder;
  };
  /** What the agent gives, and its codecs. With `first_frame_alone` the video codec takes one frame by
   * itself before the first unit: the persona's picture, or grey. */
  response: {
    audio: { sample_rate: number } & CodecConfig;
    video: { width: number; height: number; first_frame_alone?: true } & CodecConfig;
  };
  /** What stands around a system prompt, from the backbone's chat template; absent: nothing. */
  prompt_frame?: { before: string; after: string };
  /** Published models that it was composed of. Says nothing of the shape. */
  parts?: readonly PartOrigin[];
  /** The solver's defaults. */
  solver: SolverConfig;
  /** What its training knew beside sound and pictures; absent: not known. Says nothing of the shape. */
  trained_with?: readonly Conditioning[];
  /** Set by `init`: the weights are seeded random numbers, not trained. */
  random_weights_seed?: number;
}

/** Qwen3's own keys, and what Qwen2.5 has otherwise. */
export type BackboneConfig = Pick<
  ModelConfig,
  | "hidden_size"
  | "intermediate_size"
  | "num_hidden_layers"
  | "num_attention_heads"
  | "num_key_value_heads"
  | "head_dim"
  | "qkv_bias"
  | "qk_norm"
  | "rms_norm_eps"
  | "rope_theta"
  | "rope_scaling"
  | "vocab_size"
  | "tie_word_embeddings"
>;
