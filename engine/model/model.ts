/** A checkpoint on one device. */
import { Backbone } from "./backbone.ts";
import type { Medium } from "../checkpoint/coders.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { Weights } from "../weights/weights.ts";
import type { FloatType } from "../../kernels/gpu/tensor.ts";
import { Embedding, type LatentShape, latentShape } from "./embedding.ts";
import { History } from "./history.ts";
import type { Settings } from "./settings.ts";
import { solverProgram } from "../config/solver.ts";
import { TickTokens } from "./tick_tokens.ts";
import { type UnitLayout, unitLayout } from "../checkpoint/unit.ts";
import { type HistoryWindow, historyWindow, voiceUnits } from "./window.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";

/**
 * What both roles need of a checkpoint on one device: the weights of the layers and of the embeddings,
 * the history with its window, and the tables of a tick's tokens. Each role of a `split` session has its
 * own; both roles of a `fused` one share it. The codecs belong to the thinker.
 */
export class Model {
  readonly gpu: Gpu;
  readonly checkpoint: Checkpoint;
  readonly settings: Settings;
  readonly weights: Weights;
  readonly layout: UnitLayout;
  readonly latents: LatentShape;
  readonly backbone: Backbone;
  readonly embedding: Embedding;
  readonly window: HistoryWindow;
  readonly history: History;
  readonly tokenTables: TickTokens;
  readonly storage: FloatType;

  constructor(
    gpu: Gpu,
    checkpoint: Checkpoint,
    settings: Settings,
  ) {
    this.gpu = gpu;
    this.checkpoint = checkpoint;
    this.settings = settings;
    const { config } = checkpoint;
    this.weights = Weights.of(checkpoint.tensors);
    this.storage = settings.storage;
    this.layout = unitLayout(config);
    this.latents = latentShape(checkpoint, this.layout);
    const taus = new Set([0]);
    for (const step of solverProgram(settings.solver)) {
      if (step.op === "evaluate") taus.add(step.tau);
    }
    const { audio, video } = config.response;
    const channels = [audio.latent_channels, video.latent_channels] as const;
    this.backbone = new Backbone(gpu, config, this.weights, settings.weights, channels);
    this.embedding = new Embedding(
      gpu,
      config,
      this.weights,
      this.latents,
      [...taus],
      settings.storage,
    );
    this.window = historyWindow(this.layout, settings);
    this.history = new History(gpu, config, this.window, settings.storage);
    this.tokenTables = new TickTokens(
      config,
      this.layout,
      this.window,
      voiceUnits(this.layout, settings),
    );
  }

  /** The audio and the video part of a unit's flat latents. */
  splitLatents(latents: Float32Array): Record<Medium, Float32Array> {
    const [tokens, channels] = this.latents.audio;
    const audio = tokens * channels;
    return { audio: latents.slice(0, audio), video: latents.slice(audio) };
  }
}
