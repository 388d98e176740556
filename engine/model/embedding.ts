/**
 * Into and out of the residual stream: text, observation features and latents become rows; rows
 * become logits and velocities. A token's modality is told by its type embedding (and its position),
 * never by routing.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../config/config.ts";
import type { Weights } from "../weights/weights.ts";
import { media, type Medium, observationEncoder, perMedium } from "../checkpoint/coders.ts";
import { tauFeatures } from "../checkpoint/tensors.ts";
import { TokenType, tokenTypes, type UnitLayout } from "../checkpoint/unit.ts";
import { coderOutput } from "../layers/coder.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { timeFeatures } from "../../kernels/tokens/embed.ts";
import { embed, fillRows } from "../../kernels/tokens/embed.ts";
import { matmul, type PackedWeight, packWeight } from "../../kernels/matmul/matmul.ts";
import { Plan, type Step, submit } from "../../kernels/gpu/plan.ts";
import {
  type FloatType,
  makeTensor,
  reshape,
  rows,
  type Tensor,
  tensorFrom,
} from "../../kernels/gpu/tensor.ts";

interface Projection {
  weight: PackedWeight;
  bias: Tensor;
}

/** Flat latents of one unit: audio [tokens, channels], then video [tokens, channels]. */
export interface LatentShape {
  audio: [tokens: number, channels: number];
  video: [tokens: number, channels: number];
  /** Floats in all. */
  length: number;
}

/** Shape of one unit's latents. */
export function latentShape(checkpoint: Checkpoint, layout: UnitLayout): LatentShape {
  const { audio, video } = checkpoint.config.response;
  const a: [number, number] = [layout.agentAudio, audio.latent_channels];
  const v: [number, number] = [layout.agentVideo, video.latent_channels];
  return { audio: a, video: v, length: a[0] * a[1] + v[0] * v[1] };
}

/** The audio and the video part of flat latents, as matrices. */
export function latentParts(z: Tensor, shape: LatentShape): Record<Medium, Tensor> {
  const audioLength = shape.audio[0] * shape.audio[1];
  return {
    audio: reshape(rows(z, 0, audioLength), shape.audio),
    video: reshape(rows(z, audioLength, shape.length - audioLength), shape.video),
  };
}

/**
 * The weights on both sides of the layers. In: a text token is its row of the vocabulary's table; an
 * observation token a projection of its encoder's channels; a response token a projection of its latents
 * plus an embedding of tau; each plus the embedding of its type. Out: logits by the vocabulary's head
 * (the same table, where they are tied), velocities by one projection per medium.
 */
export class Embedding {
  private readonly gpu: Gpu;
  private readonly shape: LatentShape;
  private readonly taus: readonly number[];
  readonly #table: PackedWeight;
  readonly #head: PackedWeight;
  readonly #types: Tensor;
  readonly #absent: Record<Medium, Tensor>;
  readonly #observed: Record<Medium, Projection>;
  readonly #latentIn: Record<Medium, PackedWeight>;
  /** Input bias + type + tau embedding: a row per tau of `taus` for sound, then one each for pictures. */
  readonly #latentBias: Tensor;
  readonly #velocity: Record<Medium, Projection>;

  /**
   * @param taus The taus at which latents will be embedded; 0 (clean) is always there.
   */
  constructor(
    gpu: Gpu,
    config: ModelConfig,
    weights: Weights,
    shape: LatentShape,
    taus: readonly number[],
    storage: FloatType,
  ) {
    this.gpu = gpu;
    this.shape = shape;
    this.taus = taus;
    const c = config;
    const D = c.hidden_size;
    const channels = (medium: Medium) => c.response[medium].latent_channels;
    const vector = (name: string, shape: number[] = [D]) =>
      gpu.shared(name, (owner) => tensorFrom(owner, name, shape, weights.get(name, shape)));
    const weight = (name: string, outputs: number, inputs: number) =>
      gpu.shared(name, (owner) => {
        const matrix = weights.get(name, [outputs, inputs]);
        return packWeight(owner, name, matrix, outputs, inputs, storage);
      });
    const projection = (name: string, outputs: number, inputs: number): Projection => ({
      weight: weight(`${name}.weight`, outputs, inputs),
      bias: vector(`${name}.bias`, [outputs]),
    });
    this.#table = weight("model.embed_tokens.weight", c.vocab_size, D);
    this.#head = c.tie_word_embeddings ? this.#table : weight("lm_head.weight", c.vocab_size, D);
    this.#types = vector("type_embedding.weight", [tokenTypes, D]);
    this.#absent = { audio: vector("no_sound_embedding"), video: vector("no_picture_embedding") };
    this.#observed = perMedium((medium) => {
      const features = coderOutput(observationEncoder(config, medium))[3];
      return projection(`observation.${medium}.projection`, D, features);
    });
    this.#velocity = perMedium((medium) =>
      projection(`response.${medium}.output`, channels(medium), D)
    );
    this.#latentIn = perMedium((medium) =>
      weight(`response.${medium}.input.weight`, D, channels(medium))
    );
    this.#latentBias = gpu.shared(`latent biases at ${taus}`, (owner) => {
      const made = makeTensor(owner, "latent biases", [media.length * taus.length, D]);
      const working = gpu.part();
      const biases = this.#biasSteps(
        working,
        made,
        projection("tau_embedding.linear1", D, tauFeatures),
        projection("tau_embedding.linear2", D, D),
        perMedium((medium) => vector(`response.${medium}.input.bias`)),
        D,
      );
      submit(gpu, new Plan(biases));
      working.destroy();
      return made;
    });
  }

  #biasSteps(
    gpu: Gpu,
    made: Tensor,
    linear1: Projection,
    linear2: Projection,
    inputBias: Record<Medium, Tensor>,
    D: number,
  ): Step[] {
    const { taus } = this;
    const count = taus.length;
    const features = makeTensor(gpu, "tau features", [count, tauFeatures]);
    const inner = makeTensor(gpu, "tau inner", [count, D]);
    const tauRows = makeTensor(gpu, "tau embedding", [count, D]);
    const steps: Step[] = [
      timeFeatures(gpu, { label: "tau", tau: taus, y: features }),
      ...matmul(gpu, {
        label: "tau 1",
        x: features,
        ...linear1,
        activation: "silu",
        y: inner,
      }),
      ...matmul(gpu, { label: "tau 2", x: inner, ...linear2, y: tauRows }),
    ];
    for (const medium of media) {
      const constant = makeTensor(gpu, `${medium} constant`, [1, D]);
      const type = this.#type(medium === "audio" ? TokenType.agentAudio : TokenType.agentVideo);
      steps.push(
        fillRows(gpu, { label: medium, row: inputBias[medium], add: type, y: constant }),
      );
      for (let i = 0; i < count; i++) {
        steps.push(fillRows(gpu, {
          label: `${medium} tau ${i}`,
          row: reshape(constant, [D]),
          add: reshape(rows(tauRows, i, 1), [D]),
          y: rows(made, this.#biasRow(medium, i), 1),
        }));
      }
    }
    return steps;
  }

  #biasRow(medium: Medium, tau: number): number {
    return media.indexOf(medium) * this.taus.length + tau;
  }

  #tauIndex(label: string, tau: number): number {
    const index = this.taus.indexOf(tau);
    if (index < 0) throw new RangeError(`${label} at tau ${tau} were not announced`);
    return index;
  }

  /** What is added to embedded latents at a tau: rows of one tensor, of sound and of pictures. */
  latentBiases(tau: number): { biases: Tensor; biasRows: readonly [number, number] } {
    const index = this.#tauIndex("latents", tau);
    const biasRows = [this.#biasRow("audio", index), this.#biasRow("video", index)] as const;
    return { biases: this.#latentBias, biasRows };
  }

  #type(type: TokenType): Tensor {
    const row = rows(this.#types, type, 1);
    return reshape(row, row.shape.slice(1));
  }

  /** Text tokens: ids u32 [n] -> y [n, hidden]. */
  text(label: string, ids: Tensor, type: TokenType, y: Tensor): Step[] {
    return [embed(this.gpu, { label, ids, table: this.#table, add: this.#type(type), y })].flat();
  }

  /** Observation features [n, channels] -> y [n, hidden]; null: the fixed 'nothing there' rows. */
  observed(medium: Medium, features: Tensor | null, y: Tensor): Step[] {
    const type = this.#type(medium === "audio" ? TokenType.userAudio : TokenType.userVideo);
    const label = `user ${medium}`;
    if (!features) {
      return [fillRows(this.gpu, { label, row: this.#absent[medium], add: type, y })];
    }
    const { weight, bias } = this.#observed[medium];
    return [
      fillRows(this.gpu, { label, row: bias, add: type, y }),
      ...matmul(this.gpu, { label, x: features, weight, y, accumulate: true }),
    ];
  }

  /** Latents at a tau -> rows y: `count` audio rows and then video rows. */
  latents(label: string, z: Record<Medium, Tensor>, tau: number, y: Tensor): Step[] {
    const index = this.#tauIndex("latents", tau);
    let at = 0;
    return media.flatMap((medium) => {
      const [count = 0] = z[medium].shape;
      const target = rows(y, at, count);
      at += count;
      if (count === 0) return [];
      return matmul(this.gpu, {
        label: `${label} ${medium}`,
        x: z[medium],
        weight: this.#latentIn[medium],
        bias: reshape(rows(this.#latentBias, this.#biasRow(medium, index), 1), [
          target.shape[1] ?? 0,
        ]),
        y: target,
      });
    });
  }

  /** Normed rows (audio tokens, then video tokens) -> flat velocities; with a coefficient
   * y += coefficient x velocity, a solver's step. */
  velocity(label: string, normed: Tensor, y: Tensor, coefficient?: number): Step[] {
    const parts = latentParts(y, this.shape);
    const audioRows = this.shape.audio[0];
    return media.flatMap((medium) =>
      matmul(this.gpu, {
        label: `${label} ${medium}`,
        x: medium === "audio"
          ? rows(normed, 0, audioRows)
          : rows(normed, audioRows, this.shape.video[0]),
        ...this.#velocity[medium],
        y: parts[medium],
        ...(coefficient === undefined ? {} : { accumulate: true, factor: coefficient }),
      })
    );
  }

  /** One normed row -> logits [1, vocabulary]. */
  logits(label: string, normed: Tensor, logits: Tensor): Step[] {
    return matmul(this.gpu, { label, x: normed, weight: this.#head, y: logits });
  }
}
