/**
 * A unit of stream: what goes in, what comes out, the order of its tokens, their positions, and the
 * one rule that says which token may see which.
 *
 * Order inside a unit: user text, user audio, user video | agent text | agent audio, agent video.
 * The bars part the three groups: observation, language, response latents.
 */
import type { ModelConfig } from "../config/config.ts";
import { Fields } from "../config/config_fields.ts";
import { type Medium, observationEncoder, responseDecoder } from "./coders.ts";
import { coderOutput } from "../layers/coder.ts";
import type { Grid, Shape4 } from "../layers/ops/layer.ts";
import { elements } from "../../kernels/gpu/tensor.ts";

/** What the user gave in one unit (u_k). */
export interface Observation {
  /** Mono samples at `observation.audio.sample_rate`, exactly one unit; null: no sound. They must be
   * finite; what is over full scale is cut to [-1, 1]. */
  audio: Float32Array | null;
  /** RGB24 frames [frames per unit, height, width, 3] at the observation's size; null: no picture. */
  frames: Uint8Array | null;
  /** Text typed in this unit. */
  text?: string;
}

/** Milliseconds that one unit spent in each stage; `total` runs from the beginning of its encoding to
 * the response's emission. */
export interface StageTimes {
  /** Of the observation. */
  encode: number;
  /** The language/state pass. */
  pass: number;
  /** Slice to the performer. */
  sendSlice: number;
  /** Of the latents. */
  solve: number;
  /** Latents to the thinker. */
  sendLatents: number;
  /** Of the response. */
  decode: number;
  /** Before `total`: from the observation's arrival to the beginning of its encoding, behind the units
   * before it. Where nothing paces the input, it says how much of it is waiting. */
  queue: number;
  /** Everything in `total` that no stage accounts for: with `paper`, until the next tick decodes. */
  wait: number;
  /** All of it. */
  total: number;
}

/** What the agent gives in one unit (y_k). */
export interface Response {
  /** Its number, from 0 on. */
  unit: number;
  /** The unit's agent text, filler left out; empty when nothing is said. */
  text: string;
  /** Token ids of the agent's text slots. */
  tokens: number[];
  /** Mono samples in [-1, 1] at `response.audio.sample_rate`, exactly one unit. */
  audio: Float32Array;
  /** RGB24 frames [frames per unit, height, width, 3]. */
  frames: Uint8Array;
  /** SHA-256 (hex) of the unit's latents as little-endian f32: audio, then video. */
  digest: string;
  /** Tokens visible in history when the response was solved. */
  historyTokens: number;
  /** Where its time went. */
  stages: StageTimes;
  /** Only in a session that was opened with `details`. */
  details?: ResponseDetails;
  /** Only in a session that was opened with `inspect`. */
  inspection?: Inspection;
}

/** What a response brings on request. */
export interface ResponseDetails {
  /** The unit's latents, [tokens, channels] of each medium; `digest` is of these. */
  latents: { audio: Float32Array; video: Float32Array };
  /** Of every token of the vocabulary in each slot of agent text, [slots, vocabulary], before
   * temperature, top-k and top-p. */
  probabilities: Float32Array;
  /** Typed text that had no slot up to this unit: it comes in the next ones. */
  waiting: string;
}

/** The axes of `Inspection.attention.shares`, before and after the layers. */
export const attentionAxes = {
  /** What looks: the row that the unit's first word is read at (the last observation token), and the
   * rows of the response's latents in the solver's last evaluation. */
  queries: ["language", "latents"],
  /** What is looked at. */
  groups: [
    "userText",
    "userAudio",
    "userVideo",
    "agentText",
    "agentAudio",
    "agentVideo",
    "prefill",
  ],
  /** When it was: in this unit, in the 5 units before it, or earlier (prefill always is). */
  ages: ["this unit", "the last 5", "older"],
} as const;

/** RMS (root of the mean square) of what moves the latents of one medium in one evaluation. */
export interface PathSpeed {
  /** Of the velocity that the solver uses. */
  velocity: number;
  /** Of what guidance changed: the velocity that is used minus that of the network with the unit's
   * observation and text. Null where there is no guidance. */
  guidance: number | null;
}

/** What a response's making looked like from inside, on request. */
export interface Inspection {
  /** Where attention went: shares of its mass, a mean over heads and the query's rows. */
  attention: {
    layers: number;
    /** [queries, layers, groups, ages] as `attentionAxes` names them. The shares of one query in one
     * layer sum to 1. */
    shares: Float32Array;
  };
  /** The solver's evaluations of the network: `step` counts them from 0; tau runs from 1 (noise) to 0. */
  path: { step: number; tau: number; audio: PathSpeed; video: PathSpeed }[];
  /** The likeliest tokens of the unit's first text slot, likeliest first: 8, or the whole vocabulary
   * where it is smaller. Probabilities are those before temperature, top-k and top-p. */
  top: { token: number; text: string; probability: number }[];
  /** Probability of the filler in that slot: that nothing is said. */
  filler: number;
  /** Entropy of that slot in nats. */
  entropy: number;
}

/** Modality of a token, the row of the type embedding. */
export const TokenType = {
  userText: 0,
  userAudio: 1,
  userVideo: 2,
  agentText: 3,
  agentAudio: 4,
  agentVideo: 5,
  prompt: 6,
} as const;
export type TokenType = typeof TokenType[keyof typeof TokenType];
export const tokenTypes = 7;

/** Groups of a unit in their order in the sequence. */
export type Group = "observation" | "language" | "response";

/** Where a token stands: its unit (prefill is -1), its group, and its index within the group. */
export interface Place {
  unit: number;
  group: Group;
  index: number;
}

/** Tokens of one unit by modality, and the rows they take in the unit's block of history. */
export interface UnitLayout {
  /** Tokens of typed text. */
  userText: number;
  /** Tokens of the user's sound. */
  userAudio: number;
  /** Tokens of the user's picture. */
  userVideo: number;
  /** Tokens of the agent's text. */
  agentText: number;
  /** Tokens of the agent's sound. */
  agentAudio: number;
  /** Tokens of the agent's picture. */
  agentVideo: number;
  /** userText + userAudio + userVideo. */
  observation: number;
  /** agentAudio + agentVideo. */
  response: number;
  /** All tokens of a unit. */
  tokens: number;
  /** Grid [time, height, width] of the user's video tokens. */
  userVideoGrid: [number, number, number];
  /** Grid [time, height, width] of the agent's video tokens. */
  agentVideoGrid: [number, number, number];
  /** Video frames per unit. */
  frames: number;
  /** The user's samples per unit. */
  userSamples: number;
  /** The agent's samples per unit. */
  agentSamples: number;
}

/** One unit of media on the user's or the agent's side of the stream. */
export interface StreamShape {
  /** Length of a unit in ms. */
  unitMs: number;
  /** Video frames per second. */
  fps: number;
  /** Video frames per unit. */
  frames: number;
  /** Columns of a frame. */
  width: number;
  /** Rows of a frame. */
  height: number;
  /** Mono samples per second. */
  sampleRate: number;
  /** Mono samples per unit. */
  samples: number;
}

/** A unit's tokens, and its media: observations have the shape `user`, responses the shape `agent`. */
export interface StreamLayout extends UnitLayout {
  /** Of observations. */
  user: StreamShape;
  /** Of responses. */
  agent: StreamShape;
}

/**
 * Counts the tokens, frames and samples of one unit of a checkpoint.
 *
 * @throws InputError when it is no checkpoint's config, or the shapes of its encoders and decoders don't
 * fit together.
 */
export function unitLayout(config: ModelConfig): StreamLayout {
  const fields = new Fields(config, "config");
  for (const side of ["observation", "response"]) {
    for (const medium of ["audio", "video"]) fields.object(side).object(medium);
  }
  const observed = (medium: Medium) => coderOutput(observationEncoder(config, medium));
  const latents = (medium: Medium) => responseDecoder(config, medium).input;
  const grid = ([time, height, width]: Readonly<Shape4>): Grid => [time, height, width];
  const [userAudio] = observed("audio");
  const [agentAudio] = latents("audio");
  const userVideoGrid = grid(observed("video"));
  const agentVideoGrid = grid(latents("video"));
  const userVideo = elements(userVideoGrid);
  const agentVideo = elements(agentVideoGrid);
  const observation = config.user_text_slots + userAudio + userVideo;
  const response = agentAudio + agentVideo;
  const { unit_ms: unitMs, fps } = config;
  const frames = (unitMs * fps) / 1000;
  const shape = ({ audio, video }: ModelConfig["observation" | "response"]): StreamShape => {
    const { width, height } = video;
    const { sample_rate: sampleRate } = audio;
    return {
      unitMs,
      fps,
      frames,
      width,
      height,
      sampleRate,
      samples: (unitMs * sampleRate) / 1000,
    };
  };
  const [user, agent] = [shape(config.observation), shape(config.response)];
  return {
    userText: config.user_text_slots,
    userAudio,
    userVideo,
    agentText: config.agent_text_slots,
    agentAudio,
    agentVideo,
    observation,
    response,
    tokens: observation + config.agent_text_slots + response,
    userVideoGrid,
    agentVideoGrid,
    frames,
    userSamples: user.samples,
    agentSamples: agent.samples,
    user,
    agent,
  };
}

/** Rank of an empty history slot: above every limit, so that nothing sees it. */
export const emptyRank = 0x7fffffff;

/**
 * The causal rank of a token: the one statement of the visibility rule.
 *
 * A query sees a key exactly when rank(key) <= rank(query). Within a unit ranks rise from the
 * observation (all its tokens share one: free sight) over each language token (causal) to the
 * response latents (all share one). Prefill is unit -1 and may hold any number of language tokens.
 *
 * @param languageTokens Language tokens of the place's unit: the agent's text slots, or in prefill
 * the prompt's tokens.
 * @param slots The agent's text slots per unit (how many ranks a unit spans is `slots` + 2).
 */
export function causalRank(place: Place, languageTokens: number, slots: number): number {
  // Counted back from the last rank of the unit, so that a prompt of any length ends before unit 0.
  const end = (place.unit + 1) * (slots + 2) - 1;
  if (place.group === "response") return end;
  if (place.group === "language") return end - languageTokens + place.index;
  return end - languageTokens - 1;
}

/**
 * What one query may see: every key whose rank is at most `limit`, and every key of rank `own`.
 * `own` is what makes noisy latents, which never enter history, see each other.
 */
export interface Sight {
  limit: number;
  own: number;
}

/** True when a query with this sight sees a key of this rank: what the attention kernel computes. */
export function visible(query: Sight, keyRank: number): boolean {
  return keyRank <= query.limit || keyRank === query.own;
}

/** The sight of a clean token: everything up to its own rank. */
export function cleanSight(rank: number): Sight {
  return { limit: rank, own: rank };
}

/** Ranks of the noisy rows, above all of history's and below the empty one. */
export const noisyRank = { conditional: emptyRank - 2, unconditional: emptyRank - 1 } as const;

/**
 * The sight of a noisy token of unit `unit`: history, its unit's observation and text, and the noisy
 * tokens of its own set. The unconditional set (classifier-free guidance) sees neither observation
 * nor text of its unit.
 */
export function noisySight(unit: number, slots: number, conditional: boolean): Sight {
  const last: Place = conditional
    ? { unit, group: "language", index: slots - 1 }
    : { unit: unit - 1, group: "response", index: 0 };
  return {
    limit: causalRank(last, slots, slots),
    own: conditional ? noisyRank.conditional : noisyRank.unconditional,
  };
}

/** Rotary position of a token: time, height, width in positions (whole numbers). */
export type Position = [time: number, height: number, width: number];

/** Positions of text and audio tokens: `count` of them spread evenly over the unit from `start`. */
export function linePositions(start: number, span: number, count: number): Position[] {
  return Array.from({ length: count }, (_, i) => {
    const time = start + Math.floor((i * span) / count);
    return [time, time, time];
  });
}

/** Positions of video tokens on a [time, height, width] grid: rows and columns count from the
 * token's time, so that picture and sound of one moment stay near each other however late it is. */
export function gridPositions(
  start: number,
  span: number,
  grid: [number, number, number],
): Position[] {
  const positions: Position[] = [];
  for (let t = 0; t < grid[0]; t++) {
    const time = start + Math.floor((t * span) / grid[0]);
    for (let h = 0; h < grid[1]; h++) {
      for (let w = 0; w < grid[2]; w++) positions.push([time, time + h, time + w]);
    }
  }
  return positions;
}
