/**
 * What a checkpoint costs per unit, counted from its config: floating-point operations by stage,
 * memory, history. A multiply-add is two operations; matrix products, convolutions, attention and
 * transforms are counted, elementwise work (under a hundredth of it) isn't.
 */
import type { ModelConfig } from "../config/config.ts";
import { solvers } from "../config/solver.ts";
import { observationEncoder, responseDecoder } from "../checkpoint/coders.ts";
import { type Coder, coderOutput, placeLayers } from "../layers/coder.ts";
import { elements } from "../../kernels/gpu/tensor.ts";
import { backboneTensors, parameterCount } from "../checkpoint/tensors.ts";
import { unitLayout } from "../checkpoint/unit.ts";

export interface UnitCosts {
  /** Operations of the observation's encoders. */
  encode: number;
  /** Of the language/state pass over [y_{k-1}, u_k, agent text k], with full history. */
  pass: number;
  /** Of one network evaluation of the solver (both row sets with guidance), with full history. */
  evaluation: number;
  evaluationsPerStep: number;
  /** Of one solver step, and of the solve in all. */
  step: number;
  solve: number;
  /** Of the response's decoders. */
  decode: number;
}

/** Operations per unit by stage, at the config's solver and a full history. */
export function unitCosts(config: ModelConfig): UnitCosts {
  const layout = unitLayout(config);
  const { hidden_size: width, vocab_size: vocabulary } = config;
  const history = historyTokens(config);
  const project = (tokens: number, inputs: number, outputs: number) =>
    2 * tokens * inputs * outputs;

  const latents = (["audio", "video"] as const).map((medium) => ({
    medium,
    tokens: medium === "audio" ? layout.agentAudio : layout.agentVideo,
    channels: config.response[medium].latent_channels,
  }));
  const embedLatents = latents.reduce(
    (sum, { tokens, channels }) => sum + project(tokens, channels, width),
    0,
  );

  let encode = 0;
  for (const medium of ["audio", "video"] as const) {
    const coder = observationEncoder(config, medium);
    const [t, h, w, channels] = coderOutput(coder);
    encode += coderOperations(coder) + project(t * h * w, channels, width);
  }

  const language = layout.agentText * project(1, width, vocabulary);
  const pass = embedLatents + rowOperations(config, layout.tokens, history) + language;

  const sets = config.solver.guidance === 1 ? 1 : 2;
  const rows = sets * layout.response;
  // Latents in and velocities out are projections of the same size.
  const evaluation = rowOperations(config, rows, history + layout.response) +
    2 * sets * embedLatents;
  const { evaluationsPerStep } = solvers[config.solver.name];
  const step = evaluationsPerStep * evaluation;

  const decode = latents.reduce(
    (sum, { medium }) => sum + coderOperations(responseDecoder(config, medium)),
    0,
  );
  const solve = config.solver.steps * step;
  return { encode, pass, evaluation, evaluationsPerStep, step, solve, decode };
}

/** Operations of `rows` tokens through the Transformer, each seeing `keys` tokens. */
function rowOperations(config: ModelConfig, rows: number, keys: number): number {
  let matrices = 0;
  for (const [name, { shape }] of backboneTensors(config)) {
    if (name.startsWith("model.layers.") && shape.length === 2) matrices += elements(shape);
  }
  const queries = config.num_attention_heads * config.head_dim;
  const attention = 4 * keys * queries * config.num_hidden_layers;
  return rows * (2 * matrices + attention);
}

/** Operations of an encoder or decoder on one unit. */
export function coderOperations(coder: Coder): number {
  return placeLayers(coder).reduce((sum, { layer, op, input, output }) => {
    const [frames, height, width, channels] = output;
    if (layer.op === "logmel") {
      // A real transform of n points takes about 2.5 n log2 n.
      const fft = Number(layer["fft"]);
      return sum + frames * (2.5 * fft * Math.log2(fft) + 2 * channels * (fft / 2 + 1));
    }
    const parameters = Object.values(
      op.parameters?.(layer, input[3], { input: 1, goal: 1 }) ?? {},
    );
    const weights = parameters.filter(({ shape }) => shape.length === 5);
    const perPosition = weights.reduce((all, { shape }) => all + 2 * elements(shape), 0);
    return sum + frames * height * width * perPosition;
  }, 0);
}

/** Tokens of a full history without prefill. */
export function historyTokens(config: ModelConfig): number {
  return config.history_units * unitLayout(config).tokens;
}

/** Bytes of one token's keys and values in all layers. */
export function tokenHistoryBytes(config: ModelConfig, storage: "f32" | "f16"): number {
  const numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim;
  return numbers * (storage === "f32" ? 4 : 2);
}

/** Bytes of all weights in a storage type. */
export function weightBytes(config: ModelConfig, storage: "f32" | "f16"): number {
  return parameterCount(config) * (storage === "f32" ? 4 : 2);
}
