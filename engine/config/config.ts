/**
 * The shape of a checkpoint: `config.json` in types, and what can be derived from it.
 *
 * The backbone's keys are Hugging Face's for Qwen3, so that a Qwen3 folder is a valid backbone.
 * Validation (ranges, consistency, messages) lives in `validateConfig`.
 */
import type { SolverConfig } from "./solver.ts";

/** One layer of a streaming stack: a codec's encoder or decoder, or an observation's encoder.
 * Tensors are [time, height, width, channels], channels last; audio has height = width = 1. */
export type StackLayer =
  /** Convolution, causal in time; kernel and stride are [time, height, width]. Pads with
   * (kernel - stride) x dilation past frames in time, so that an output frame sees nothing after its
   * own stride of input frames, and with (kernel - stride) / 2 zeros on both sides in space: every
   * extent is divided by its stride exactly. Dilation spreads the taps in time only; above 1 it needs
   * a time stride of 1. */
  | {
    op: "conv";
    channels: number;
    kernel: [number, number, number];
    stride?: [number, number, number];
    dilation?: number;
  }
  /** x + conv2(silu(conv1(silu(rmsnorm(x))))): conv1 has `kernel` (stride 1) and `channels` (default:
   * the input's), conv2 is 1x1x1 back to the input's channels. */
  | { op: "residual"; kernel: [number, number, number]; dilation?: number; channels?: number }
  | { op: "silu" }
  /** RMSNorm over channels at every position, with a learned weight per channel. */
  | { op: "rmsnorm" }
  /** Blocks of [time, height, width] into channels: channel = ((c ft + dt) fh + dh) fw + dw. */
  | { op: "unshuffle"; factor: [number, number, number] }
  /** The inverse of unshuffle. */
  | { op: "shuffle"; factor: [number, number, number] }
  /** Frames of 2 hop samples into hop samples each, the halves of neighbours added (audio only). */
  | { op: "overlap_add"; hop: number }
  /** log(mel power + 1e-5) of periodic Hann windows that end where the hop ends, by triangles of
   * height 1 on HTK's mel scale from 0 to half of the sample rate (audio only). */
  | { op: "logmel"; window: number; fft: number; hop: number; mels: number };

/** A causal codec: encoder and decoder stacks around latents of `latent_channels`. */
export interface CodecConfig {
  latent_channels: number;
  encoder: StackLayer[];
  decoder: StackLayer[];
}

/** How observations of one medium become tokens: through the response codec's encoder, or a causal
 * stack of their own whose last channels feed the projection. */
export type ObservationEncoder = { encoder: "codec" } | { encoder: StackLayer[] };

/** `config.json` of a checkpoint. */
export interface ModelConfig {
  model_type: "wanstream";
  architectures: string[];
  // Backbone: Hugging Face's Qwen3 keys.
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  rms_norm_eps: number;
  rope_theta: number;
  /** How many of the head_dim / 2 rotary frequencies turn with [time, height, width], interleaved as
   * in Qwen3-VL; absent: all turn with time. */
  rope_scaling?: { mrope_section: [number, number, number]; mrope_interleaved: true } | null;
  vocab_size: number;
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
  /** Units kept in history, and how many first units never leave it. */
  history_units: number;
  sink_units: number;

  observation: {
    audio: { sample_rate: number } & ObservationEncoder;
    video: { width: number; height: number } & ObservationEncoder;
  };
  response: {
    audio: { sample_rate: number } & CodecConfig;
    video: { width: number; height: number } & CodecConfig;
  };
  solver: SolverConfig;
  /** Set by `init`: the weights are seeded random numbers, not trained. */
  random_weights_seed?: number;
}

/** Qwen3's own keys. */
export type BackboneConfig = Pick<
  ModelConfig,
  | "hidden_size"
  | "intermediate_size"
  | "num_hidden_layers"
  | "num_attention_heads"
  | "num_key_value_heads"
  | "head_dim"
  | "rms_norm_eps"
  | "rope_theta"
  | "rope_scaling"
  | "vocab_size"
  | "tie_word_embeddings"
>;

/** Storage type of weights and history on the GPU; sums are always f32. */
export type Storage = "f32" | "f16";

/** Storage type of the layers' weights: whole numbers with a scale per block, too. */
export type WeightStorage = Storage | "int8" | "int4";
