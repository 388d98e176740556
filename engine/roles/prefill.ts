/**
 * Prefill: the system prompt's tokens and the persona's latents (reference voice, reference image)
 * enter history as unit -1, in spans that bound the activations' memory. The thinker computes it and
 * hands the spans' K and V over; the performer only copies them.
 */
import type { Model } from "../model/model.ts";
import { responseEncoder } from "../checkpoint/coders.ts";
import { StreamingCoder } from "../layers/streaming_coder.ts";
import { tokenWords } from "../model/tick_tokens.ts";
import { TokenType } from "../checkpoint/unit.ts";
import { unpackPixels } from "../../kernels/codec/pixels.ts";
import { copy, Plan, submit } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import {
  makeTensor,
  reshape,
  rows,
  type Tensor,
  tensorFrom,
  upload,
} from "../../kernels/gpu/tensor.ts";

/** Prompt tokens that run through the layers together. */
const promptSpan = 128;

/** Spans of prefill [first, count]: the prompt in pieces, then all persona latents, which see each
 * other. */
function spans(model: Model): [first: number, count: number][] {
  const { promptTokens, personaTokens } = model.window.sizes;
  const list: [number, number][] = [];
  for (let first = 0; first < promptTokens; first += promptSpan) {
    list.push([first, Math.min(promptSpan, promptTokens - first)]);
  }
  if (personaTokens > 0) list.push([promptTokens, personaTokens]);
  return list;
}

function spanTable(model: Model, first: number, count: number): Tensor {
  const words = model.tokenTables.prefill().subarray(
    first * tokenWords,
    (first + count) * tokenWords,
  );
  return tensorFrom(model.gpu, "prefill tokens", [count, tokenWords], words);
}

/** Computes prefill into the model's history. With `wantSlices` it returns each span's K and V. */
export async function computePrefill(model: Model, wantSlices: boolean): Promise<ArrayBuffer[]> {
  const { gpu, history, embedding, backbone, window, settings } = model;
  history.writeWindow();
  const slices: ArrayBuffer[] = [];
  for (const [first, count] of spans(model)) {
    const x = makeTensor(gpu, "prefill x", [count, model.checkpoint.config.hidden_size]);
    const tokenTable = spanTable(model, first, count);
    const isPrompt = first < window.sizes.promptTokens;
    const ids = isPrompt
      ? tensorFrom(
        gpu,
        "prompt ids",
        [count],
        Uint32Array.from(settings.promptIds.slice(first, first + count)),
      )
      : null;
    const slice = wantSlices ? history.makeSlice("prefill slice", count) : null;
    const plan = new Plan("prefill", [
      ...(ids
        ? embedding.text("prompt", ids, TokenType.prompt, x)
        : embedding.latents("persona", personaLatents(model), 0, x)),
      ...backbone.span(history, {
        label: "prefill",
        x,
        tokenTable,
        wanted: { first: 0, count: 0 },
      }),
      ...(slice ? history.gather("prefill", tokenTable, slice) : []),
    ]);
    if (!slice) {
      submit(gpu, plan);
      continue;
    }
    const readback = new Readback(gpu, [slice]);
    slices.push(...await readback.run(plan));
    readback.destroy();
    gpu.free(slice.buffer);
  }
  return slices;
}

/** Copies the thinker's prefill into this model's history: the one broadcast of history. */
export function receivePrefill(model: Model, slices: readonly ArrayBuffer[]): void {
  const { gpu, history } = model;
  history.writeWindow();
  spans(model).forEach(([first, count], i) => {
    const slice = history.makeSlice("prefill slice", count);
    gpu.device.queue.writeBuffer(slice.buffer, 0, slices[i] ?? new ArrayBuffer(0));
    const tokenTable = spanTable(model, first, count);
    submit(gpu, new Plan("prefill", history.scatter("prefill", tokenTable, slice)));
  });
}

/** Encodes the reference voice and image with the response codecs: latents as [tokens, channels]. */
export function personaLatents(model: Model): { audio: Tensor; video: Tensor } {
  const { gpu, checkpoint: { config }, layout, settings, storage, weights } = model;
  const { audio, video } = config.response;
  const voice = settings.voice ?? new Float32Array(0);
  const voiceUnits = voice.length / layout.agentSamples;
  const audioLatents = makeTensor(
    gpu,
    "voice latents",
    [voiceUnits * layout.agentAudio, audio.latent_channels],
  );
  if (voiceUnits > 0) {
    const encoder = new StreamingCoder(gpu, responseEncoder(config, "audio"), weights, storage);
    for (let unit = 0; unit < voiceUnits; unit++) {
      const samples = voice.subarray(unit * layout.agentSamples, (unit + 1) * layout.agentSamples);
      upload(gpu, encoder.input, samples);
      const target = rows(audioLatents, unit * layout.agentAudio, layout.agentAudio);
      submit(
        gpu,
        new Plan("voice", [
          ...encoder.steps,
          copy("voice latents", reshape(encoder.output, target.shape), target),
        ]),
      );
    }
  }
  const videoRows = settings.personaFrame ? layout.agentVideo : 0;
  const videoLatents = makeTensor(gpu, "image latents", [videoRows, video.latent_channels]);
  if (settings.personaFrame) {
    const { width, height } = video;
    const encoder = new StreamingCoder(gpu, responseEncoder(config, "video"), weights, storage);
    const still = new Uint8Array(layout.frames * width * height * 3);
    for (let frame = 0; frame < layout.frames; frame++) {
      still.set(settings.personaFrame, frame * width * height * 3);
    }
    const words = new Uint32Array(Math.ceil(still.length / 4));
    new Uint8Array(words.buffer).set(still);
    const pixels = tensorFrom(gpu, "persona frames", [words.length], words);
    submit(
      gpu,
      new Plan("image", [
        unpackPixels(gpu, { label: "persona", pixels, y: encoder.input }),
        ...encoder.steps,
        copy("image latents", reshape(encoder.output, videoLatents.shape), videoLatents),
      ]),
    );
  }
  return { audio: audioLatents, video: videoLatents };
}
