/**
 * The thinker: encodes observations, runs the language/state pass that builds the slice, and decodes
 * responses. Its passes:
 *
 *   encode(u_k)          -> observation rows of the residual stream
 *   pass(k, y_{k-1})     -> agent text of k; K and V of [y_{k-1}, u_k, text k] enter history
 *   decode(y)            -> samples and frames
 */
import { latentParts } from "../model/embedding.ts";
import type { Model } from "../model/model.ts";
import type { CoderName } from "./snapshot.ts";
import { type Medium, observationEncoder, responseDecoder } from "../checkpoint/coders.ts";
import type { Coder } from "../layers/coder.ts";
import { StreamingCoder } from "../layers/streaming_coder.ts";
import { type Observation, TokenType } from "../checkpoint/unit.ts";
import { copy, Plan, submit } from "../../kernels/gpu/plan.ts";
import { clampSamples, packPixels, pixelWords, unpackPixels } from "../../kernels/codec/pixels.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { sample } from "../../kernels/tokens/sample.ts";
import { makeTensor, reshape, rows, type Tensor, upload } from "../../kernels/gpu/tensor.ts";
import { uniformBytes } from "../../kernels/gpu/uniform.ts";
import { tokenWords } from "../model/tick_tokens.ts";

/** What a pass gives. */
export interface PassResult {
  /** Agent text tokens of the unit. */
  tokens: number[];
  /** K and V of the tokens that the tick added, all layers; null when nobody needs them. */
  slice: ArrayBuffer | null;
}

/** A decoded unit. */
export interface Media {
  audio: Float32Array<ArrayBuffer>;
  frames: Uint8Array<ArrayBuffer>;
  /** Flat f32 latents that were decoded. */
  latents: Float32Array<ArrayBuffer>;
}

export class Thinker {
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
  readonly #pass: Plan;
  readonly #encoders: { audio: MediumEncoder; video: MediumEncoder };
  readonly #decoders: { audio: StreamingCoder; video: StreamingCoder };
  readonly #decode: Plan;
  readonly #media: { audio: Tensor; frames: Tensor };
  readonly #passReadback: Readback<readonly [Tensor, ...Tensor[]]>;
  readonly #mediaReadback: Readback<readonly [Tensor, Tensor, Tensor]>;
  readonly #fence: Readback;

  private constructor(readonly model: Model, sendsSlices: boolean) {
    const { gpu, checkpoint, layout, history } = model;
    const { config } = checkpoint;
    const D = config.hidden_size;
    const passRows = layout.response + layout.observation;
    const sliceRows = passRows + layout.agentText;

    this.latents = makeTensor(
      gpu,
      "response latents",
      [model.latents.length],
      "f32",
      uniformBytes,
    );
    this.logits = makeTensor(gpu, "text logits", [1, config.vocab_size]);
    this.#tokenTable = makeTensor(gpu, "pass tokens", [sliceRows, tokenWords], "i32");
    this.#typedIds = makeTensor(gpu, "typed ids", [layout.userText], "u32");
    this.#textIds = makeTensor(gpu, "agent text ids", [layout.agentText], "u32");
    this.#unit = makeTensor(gpu, "unit", [1], "u32");
    this.#slice = sendsSlices ? history.makeSlice("slice", sliceRows) : null;

    const x = makeTensor(gpu, "pass x", [passRows, D], "f32", uniformBytes);
    const observed = this.observed = rows(x, layout.response, layout.observation);
    const videoStart = layout.userText + layout.userAudio;
    this.#encoders = {
      audio: this.#encoder("audio", rows(observed, layout.userText, layout.userAudio)),
      video: this.#encoder("video", rows(observed, videoStart, layout.userVideo)),
    };
    this.#pass = new Plan("pass", this.#passSteps(x));

    const { video } = config.response;
    this.#decoders = {
      audio: this.#coder(responseDecoder(config, "audio")),
      video: this.#coder(responseDecoder(config, "video")),
    };
    this.#media = {
      audio: makeTensor(gpu, "agent samples", [layout.agentSamples]),
      frames: makeTensor(
        gpu,
        "agent frames",
        [pixelWords(layout.frames * video.width * video.height)],
        "u32",
      ),
    };
    this.#decode = new Plan("decode", this.#decodeSteps());
    const slices = this.#slice ? [this.#slice] : [];
    this.#passReadback = new Readback(gpu, [this.#textIds, ...slices]);
    this.#mediaReadback = new Readback(gpu, [
      this.#media.audio,
      this.#media.frames,
      this.latents,
    ]);
    this.#fence = new Readback(gpu, [this.#unit]);
  }

  /** Builds a thinker; with `sendsSlices` every pass reads its slice back for a performer. */
  static async create(model: Model, sendsSlices: boolean): Promise<Thinker> {
    const thinker = new Thinker(model, sendsSlices);
    await thinker.#passReadback.prepare();
    await thinker.#mediaReadback.prepare();
    await thinker.#fence.prepare();
    return thinker;
  }

  #coder(coder: Coder): StreamingCoder {
    const { gpu, weights, storage } = this.model;
    return new StreamingCoder(gpu, coder, weights, storage);
  }

  #encoder(medium: Medium, y: Tensor): MediumEncoder {
    const { gpu, checkpoint, layout, embedding } = this.model;
    const { width, height } = checkpoint.config.observation.video;
    const coder = this.#coder(observationEncoder(checkpoint.config, medium));
    const channels = coder.output.shape.at(-1) ?? 0;
    const features = reshape(coder.output, [y.shape[0] ?? 0, channels]);
    const present = [...coder.steps, ...embedding.observed(medium, features, y)];
    const absent = new Plan(`no user ${medium}`, embedding.observed(medium, null, y));
    if (medium === "audio") {
      return { coder, input: coder.input, present: new Plan("encode audio", present), absent };
    }
    const input = makeTensor(
      gpu,
      "user frames",
      [pixelWords(layout.frames * width * height)],
      "u32",
    );
    const unpack = unpackPixels(gpu, { label: "user", pixels: input, y: coder.input });
    return { coder, input, present: new Plan("encode video", [unpack, ...present]), absent };
  }

  #passSteps(x: Tensor) {
    const { gpu, checkpoint, layout, history, backbone, embedding, latents, settings } = this.model;
    const { hidden_size: D } = checkpoint.config;
    const passRows = layout.response + layout.observation;
    const normed = makeTensor(gpu, "text normed", [1, D], "f32", uniformBytes);
    const { logits } = this;
    const textX = makeTensor(gpu, "text x", [1, D], "f32", uniformBytes);
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

  #decodeSteps() {
    const { gpu, latents } = this.model;
    const { audio, video } = this.#decoders;
    const parts = latentParts(this.latents, latents);
    return [
      copy("audio latents", parts.audio, reshape(audio.input, parts.audio.shape)),
      copy("video latents", parts.video, reshape(video.input, parts.video.shape)),
      ...audio.steps,
      clampSamples(gpu, { label: "agent", x: audio.output, y: this.#media.audio }),
      ...video.steps,
      ...packPixels(gpu, { label: "agent", x: video.output, pixels: this.#media.frames }),
    ];
  }

  /** Encodes u_k into its rows of the residual stream. Only submits. Lengths must be a unit's. */
  encode({ audio, frames }: Observation): void {
    const { gpu } = this.model;
    const given = { audio, video: frames };
    const plans = (["audio", "video"] as const).map((medium) => {
      const { input, present, absent } = this.#encoders[medium];
      const data = given[medium];
      if (!data) return absent;
      gpu.device.queue.writeBuffer(
        input.buffer,
        input.offset * 4,
        data as Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>,
      );
      return present;
    });
    submit(gpu, ...plans);
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
    const [ids, slice] = await this.#passReadback.run(this.#pass);
    return { tokens: [...new Uint32Array(ids)], slice: slice ?? null };
  }

  /** Puts a response's latents where pass and decode read them. */
  setLatents(source: Float32Array | Tensor): void {
    const { gpu } = this.model;
    if (source instanceof Float32Array) return upload(gpu, this.latents, source);
    submit(gpu, new Plan("latents", [copy("latents", source, this.latents)]));
  }

  /** Decodes `latents` into samples and frames; each response exactly once, in order. */
  async decode(): Promise<Media> {
    const [audio, frames, latents] = await this.#mediaReadback.run(this.#decode);
    const { width, height } = this.model.checkpoint.config.response.video;
    return {
      audio: new Float32Array(audio),
      frames: new Uint8Array(frames, 0, this.model.layout.frames * width * height * 3),
      latents: new Float32Array(latents),
    };
  }

  /** The encoders and decoders that carry state from unit to unit. */
  get coders(): Record<CoderName, StreamingCoder> {
    return {
      "encoder.audio": this.#encoders.audio.coder,
      "encoder.video": this.#encoders.video.coder,
      "decoder.audio": this.#decoders.audio,
      "decoder.video": this.#decoders.video,
    };
  }

  /** The plans of a tick, for benchmarks. */
  get plans(): { encode: Plan[]; pass: Plan; decode: Plan } {
    const { audio, video } = this.#encoders;
    return { encode: [audio.present, video.present], pass: this.#pass, decode: this.#decode };
  }
}

interface MediumEncoder {
  coder: StreamingCoder;
  /** Where the observation's samples or packed pixels are written. */
  input: Tensor;
  present: Plan;
  absent: Plan;
}
