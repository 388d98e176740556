/**
 * The thinker: encodes observations, runs the language/state pass that builds the slice, and decodes
 * responses. Its passes:
 *
 *   encode(u_k)          -> observation rows of the residual stream
 *   pass(k, y_{k-1})     -> agent text of k; K and V of [y_{k-1}, u_k, text k] enter history
 *   decode(y)            -> samples and frames
 */
import { media, type Medium, observationEncoder } from "../checkpoint/coders.ts";
import { TokenType } from "../checkpoint/unit.ts";
import { AttentionShares } from "../model/attention_shares.ts";
import type { StreamingCoder } from "../layers/streaming_coder.ts";
import { latentParts } from "../model/embedding.ts";
import type { Model } from "../model/model.ts";
import { type Media, UnitDecoder, UnitEncoder } from "../model/unit_coders.ts";
import { likelyTokens } from "./inspection.ts";
import type { UnitInput } from "./messages.ts";
import { grey } from "./prefill.ts";
import type { CoderName } from "./snapshot.ts";
import { copy, Plan, submit } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { sample } from "../../kernels/tokens/sample.ts";
import {
  makeTensor,
  reshape,
  rows,
  sharedTensor,
  type Tensor,
  upload,
} from "../../kernels/gpu/tensor.ts";
import { tokenWords } from "../model/tick_tokens.ts";

/** What a pass gives. */
export interface PassResult {
  /** Ids of the unit's agent text tokens. */
  textIds: number[];
  /** Of every token in each slot, [slots, vocabulary]; null where they are not asked for. */
  probabilities: Float32Array | null;
  /** What only the thinker sees of the response's making; null where it isn't asked for. */
  inspection: PassInspection | null;
  /** K and V of the tokens that the tick added, all layers; null without a performer to send it to. */
  slice: ArrayBuffer | null;
}

/** What a pass tells of its first text slot. */
export type PassInspection = ReturnType<typeof likelyTokens> & {
  /** Where its row looked, [layers, groups x ages]. */
  shares: Float32Array;
};

/** What a thinker gives beside what the ticks need. */
export interface Extras {
  /** Its text's probabilities. */
  details?: boolean;
  /** What its passes looked like. */
  inspect?: boolean;
  /** Its responses are silent and black: nothing is decoded. */
  textOnly?: boolean;
}

/** A unit with the flat f32 latents that it was decoded from. */
export type DecodedUnit = Media & { latents: Float32Array<ArrayBuffer> };

/** An observation's encoder with its plans. */
interface Observer {
  encoder: UnitEncoder;
  present: Plan;
  /** In place of it where the user gave nothing. */
  absent: Plan;
}

/**
 * The role that hears, sees, talks and shows: it holds the encoders and decoders with their streaming
 * state and the history that the performer copies. Its work of a tick is four calls, one plan each:
 * `setLatents` (y_{k-1}, from the performer), `encode`, `pass`, `decode`. Their order is the ticks'.
 */
export class Thinker {
  readonly model: Model;
  /** Latents of the last response, flat f32. */
  readonly latents: Tensor;
  /** Embedded observation [observation tokens, hidden] as `encode` leaves it; the pass adds the typed
   * text's rows and then works in place. */
  readonly observed: Tensor;
  /** [1, vocabulary] of the agent's text slot chosen last. */
  readonly logits: Tensor;
  readonly #tokenTable: Tensor;
  readonly #typedIds: Tensor;
  readonly #textIds: Tensor;
  readonly #unit: Tensor;
  readonly #slice: Tensor | null;
  /** [slots, vocabulary]; null: neither probabilities nor an inspection are asked for. */
  readonly #allLogits: Tensor | null;
  readonly #extras: Extras;
  readonly #looking: AttentionShares | null;
  readonly #pass: Plan;
  readonly #observers: Record<Medium, Observer>;
  readonly #decoder: UnitDecoder;
  readonly #decode: Plan;
  readonly #passReadback: Readback<readonly [Tensor, ...Tensor[]]>;
  readonly #mediaReadback: Readback<readonly [Tensor, ...Tensor[]]>;
  readonly #fence: Readback;
  /** Latents of the first frame of the response's pictures, where that comes alone. */
  #first: Tensor | null = null;

  private constructor(model: Model, sendsSlices: boolean, extras: Extras) {
    this.model = model;
    const { gpu, checkpoint: { config }, layout, history, weights, storage } = model;
    const D = config.hidden_size;
    const passRows = layout.response + layout.observation;
    const sliceRows = passRows + layout.agentText;

    this.latents = makeTensor(gpu, "response latents", [model.latents.length], "f32", "uniform");
    this.logits = sharedTensor(gpu, "text logits", [1, config.vocab_size]);
    this.#tokenTable = sharedTensor(gpu, "pass tokens", [sliceRows, tokenWords], "i32");
    this.#typedIds = sharedTensor(gpu, "typed ids", [layout.userText], "u32");
    this.#textIds = sharedTensor(gpu, "agent text ids", [layout.agentText], "u32");
    this.#unit = sharedTensor(gpu, "unit", [1], "u32");
    this.#slice = sendsSlices ? history.sharedSlice("slice", sliceRows) : null;
    this.#extras = extras;
    this.#looking = extras.inspect ? new AttentionShares(gpu, config, model.window) : null;
    this.#allLogits = extras.details || extras.inspect
      ? sharedTensor(gpu, "all text logits", [layout.agentText, config.vocab_size])
      : null;

    const x = makeTensor(gpu, "pass x", [passRows, D], "f32", "uniform");
    const observed = this.observed = rows(x, layout.response, layout.observation);
    const videoStart = layout.userText + layout.userAudio;
    this.#observers = {
      audio: this.#observer("audio", rows(observed, layout.userText, layout.userAudio)),
      video: this.#observer("video", rows(observed, videoStart, layout.userVideo)),
    };
    this.#pass = new Plan(this.#passSteps(x));

    const parts = latentParts(this.latents, model.latents);
    this.#decoder = new UnitDecoder(gpu, config, weights, storage, parts);
    this.#decode = new Plan(this.#decoder.steps);
    const optional = [this.#slice, this.#allLogits, this.#looking?.shares ?? null]
      .filter((tensor) => tensor !== null);
    this.#passReadback = new Readback(gpu, [this.#textIds, ...optional]);
    const media = extras.textOnly ? [] : this.#decoder.outputs;
    this.#mediaReadback = new Readback(gpu, [this.latents, ...media]);
    this.#fence = new Readback(gpu, [this.#unit]);
  }

  /** Builds a thinker; with `sendsSlices` every pass reads its slice back for a performer, with
   * `extras` what they ask for. */
  static async create(model: Model, sendsSlices: boolean, extras: Extras = {}): Promise<Thinker> {
    const thinker = new Thinker(model, sendsSlices, extras);
    await thinker.#passReadback.prepare();
    await thinker.#mediaReadback.prepare();
    await thinker.#fence.prepare();
    return thinker;
  }

  #observer(medium: Medium, y: Tensor): Observer {
    const { gpu, checkpoint: { config }, embedding, weights, storage } = this.model;
    const coder = observationEncoder(config, medium);
    const encoder = new UnitEncoder(gpu, medium, coder, weights, storage);
    const { output } = encoder.coder;
    const features = reshape(output, [y.shape[0] ?? 0, output.shape.at(-1) ?? 0]);
    const embed = (what: Tensor | null) => embedding.observed(medium, what, y);
    return {
      encoder,
      present: new Plan([...encoder.steps, ...embed(features)]),
      absent: new Plan(embed(null)),
    };
  }

  #passSteps(x: Tensor) {
    const { gpu, checkpoint, layout, history, backbone, embedding, latents, settings } = this.model;
    const { hidden_size: D } = checkpoint.config;
    const passRows = layout.response + layout.observation;
    const normed = sharedTensor(gpu, "text normed", [1, D], "f32", "uniform");
    const { logits } = this;
    const textX = sharedTensor(gpu, "text x", [1, D], "f32", "uniform");
    const slots = layout.agentText;
    const steps = [
      ...embedding.latents(
        "previous",
        latentParts(this.latents, latents),
        0,
        rows(x, 0, layout.response),
      ),
      ...(layout.userText > 0
        ? embedding.text(
          "typed",
          this.#typedIds,
          TokenType.userText,
          rows(x, layout.response, layout.userText),
        )
        : []),
      ...backbone.span(history, {
        label: "pass",
        x,
        tokenTable: rows(this.#tokenTable, 0, passRows),
        wanted: { first: passRows - 1, count: 1 },
        looking: this.#looking ? { first: passRows - 1, count: 1, to: this.#looking } : undefined,
      }),
    ];
    // The logits of a slot are read at the token just before it: for the first, the last
    // observation token.
    let last = rows(x, passRows - 1, 1);
    for (let slot = 0; slot < slots; slot++) {
      const id = rows(this.#textIds, slot, 1);
      steps.push(
        backbone.finalNorm(`text ${slot}`, last, normed),
        ...embedding.logits(`text ${slot}`, normed, logits),
        ...(this.#allLogits ? [copy("logits", logits, rows(this.#allLogits, slot, 1))] : []),
        ...sample(gpu, {
          label: `text ${slot}`,
          logits,
          id,
          unit: this.#unit,
          slot,
          seed: settings.seed,
          ...settings.sampling,
        }),
        ...embedding.text(`text ${slot}`, id, TokenType.agentText, textX),
        ...backbone.span(history, {
          label: `text ${slot}`,
          x: textX,
          tokenTable: rows(this.#tokenTable, passRows + slot, 1),
          wanted: { first: 0, count: slot + 1 < slots ? 1 : 0 },
        }),
      );
      last = textX;
    }
    if (this.#slice) steps.push(...history.gather("slice", this.#tokenTable, this.#slice));
    return steps;
  }

  /** Begins the streams of pictures where their first frame comes alone. @param first Its latents. */
  begin(first: Tensor): void {
    const { gpu } = this.model;
    this.#first ??= makeTensor(gpu, "first frame's latents", first.shape);
    submit(gpu, new Plan([copy("first frame's latents", first, this.#first)]));
    this.#begin();
  }

  #begin(): void {
    if (!this.#first) return;
    const { gpu, checkpoint: { config } } = this.model;
    const { encoder } = this.#observers.video;
    const { width, height } = config.observation.video;
    if (encoder.firstSteps) encoder.write(grey(width * height * 3));
    const decode = this.#decoder.video.takeFirst(this.#first);
    submit(gpu, new Plan([...encoder.firstSteps ?? [], ...decode]));
  }

  /** Encodes u_k into its rows of the residual stream. Only submits. Lengths must be a unit's. */
  encode({ audio, frames }: Pick<UnitInput, "audio" | "frames">): void {
    const given = { audio, video: frames };
    const plans = media.map((medium) => {
      const { encoder, present, absent } = this.#observers[medium];
      const data = given[medium];
      if (!data) return absent;
      encoder.write(data);
      return present;
    });
    submit(this.model.gpu, ...plans);
  }

  /** Waits until everything submitted is done, so that stages can be timed apart. Where a readback
   * costs Deno's 10 ms sleep it does nothing: the time then counts for the next stage. */
  async fence(): Promise<void> {
    if (this.#fence.skipsSleep) await this.#fence.run();
  }

  /**
   * The language/state pass of unit k over [y_{k-1}, u_k, agent text of k]; y_{k-1} is what
   * `latents` holds, u_k what was encoded last.
   *
   * @param typed Ids of the user text typed in the unit, at most the config's slots.
   */
  async pass(unit: number, typed: readonly number[]): Promise<PassResult> {
    const { gpu, window, history, tokenTables, layout } = this.model;
    window.advance(unit, typed.length);
    history.writeWindow();
    upload(gpu, this.#tokenTable, tokenTables.pass(unit));
    if (layout.userText > 0) {
      const ids = new Uint32Array(layout.userText);
      ids.set(typed);
      upload(gpu, this.#typedIds, ids);
    }
    upload(gpu, this.#unit, new Uint32Array([unit]));
    this.#looking?.write(unit);
    const [ids, ...more] = await this.#passReadback.run(this.#pass);
    const slice = this.#slice ? more.shift() : undefined;
    const [logits, shares] = more;
    const { vocab_size, filler_token_id } = this.model.checkpoint.config;
    const probabilities = logits ? softmax(new Float32Array(logits), vocab_size) : null;
    return {
      textIds: [...new Uint32Array(ids)],
      probabilities: this.#extras.details ? probabilities : null,
      inspection: probabilities && shares
        ? {
          ...likelyTokens(probabilities.subarray(0, vocab_size), filler_token_id),
          shares: new Float32Array(shares),
        }
        : null,
      slice: slice ?? null,
    };
  }

  /** Puts a response's latents where pass and decode read them. */
  setLatents(source: Float32Array | Tensor): void {
    const { gpu } = this.model;
    if (source instanceof Float32Array) return upload(gpu, this.latents, source);
    submit(gpu, new Plan([copy("latents", source, this.latents)]));
  }

  /** Decodes `latents` into samples and frames; each response exactly once, in order. */
  async decode(): Promise<DecodedUnit> {
    const [read, audio, frames] = await this.#mediaReadback.run(
      ...this.#extras.textOnly ? [] : [this.#decode],
    );
    const latents = new Float32Array(read);
    if (audio && frames) return { ...this.#decoder.media(audio, frames), latents };
    const { layout, checkpoint: { config } } = this.model;
    const { width, height } = config.response.video;
    return {
      audio: new Float32Array(layout.agentSamples),
      frames: new Uint8Array(layout.frames * width * height * 3),
      latents,
    };
  }

  /** Goes back to before the first unit; prefill stays in history. */
  rewind(): void {
    const { window, history, latents } = this.model;
    window.rewind();
    history.writeWindow();
    this.setLatents(new Float32Array(latents.length));
    for (const coder of Object.values(this.coders)) coder.reset();
    this.#begin();
  }

  /** The encoders and decoders that carry state from unit to unit. */
  get coders(): Record<CoderName, StreamingCoder> {
    return {
      "encoder.audio": this.#observers.audio.encoder.coder,
      "encoder.video": this.#observers.video.encoder.coder,
      "decoder.audio": this.#decoder.coders.audio,
      "decoder.video": this.#decoder.coders.video,
    };
  }

  /** The plans of a tick, for benchmarks. */
  get plans(): { encode: Plan[]; pass: Plan; decode: Plan } {
    const encode = media.map((medium) => this.#observers[medium].present);
    return { encode, pass: this.#pass, decode: this.#decode };
  }
}

/** Each row's softmax, in place. */
function softmax(logits: Float32Array, row: number): Float32Array {
  for (let at = 0; at < logits.length; at += row) {
    const values = logits.subarray(at, at + row);
    const most = values.reduce((a, b) => Math.max(a, b));
    const sum = values.reduce((total, value) => total + Math.exp(value - most), 0);
    values.forEach((value, i) => values[i] = Math.exp(value - most) / sum);
  }
  return logits;
}
