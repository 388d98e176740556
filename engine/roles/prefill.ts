/**
 * Prefill: the system prompt's tokens and the persona's latents (reference voice, reference image)
 * enter history as unit -1, in spans that bound the activations' memory. The thinker computes it and
 * hands the spans' K and V over; the performer only copies them.
 */
import type { Model } from "../model/model.ts";
import { type Medium, responseEncoder } from "../checkpoint/coders.ts";
import { tokenWords } from "../model/tick_tokens.ts";
import { UnitEncoder } from "../model/unit_coders.ts";
import { TokenType } from "../checkpoint/unit.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { copy, Plan, submit } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { makeTensor, reshape, rows, type Tensor, tensorFrom } from "../../kernels/gpu/tensor.ts";

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

/** Where prefill puts what only itself needs, and what frees it. */
function working({ gpu }: Model): [gpu: Gpu, free: () => void] {
  if (gpu.root === gpu) return [gpu, () => {}];
  const part = gpu.part();
  return [part, () => part.destroy()];
}

function spanTable(model: Model, gpu: Gpu, first: number, count: number): Tensor {
  const words = model.tokenTables.prefill().subarray(
    first * tokenWords,
    (first + count) * tokenWords,
  );
  return tensorFrom(gpu, "prefill tokens", [count, tokenWords], words);
}

/**
 * Computes prefill into the model's history. With `wantSlices` it returns each span's K and V.
 *
 * @param begin Called with the latents of the video codec's first frame, where that comes alone.
 */
export async function computePrefill(
  model: Model,
  wantSlices: boolean,
  begin?: (first: Tensor) => void,
): Promise<ArrayBuffer[]> {
  const { history, embedding, backbone, window, settings } = model;
  const [gpu, free] = working(model);
  history.writeWindow();
  const alone = model.checkpoint.config.response.video.first_frame_alone;
  const firstFrame = alone ? firstLatents(model, gpu) : null;
  if (firstFrame) begin?.(firstFrame);
  const slices: ArrayBuffer[] = [];
  for (const [first, count] of spans(model)) {
    const x = makeTensor(gpu, "prefill x", [count, model.checkpoint.config.hidden_size]);
    const tokenTable = spanTable(model, gpu, first, count);
    const isPrompt = first < window.sizes.promptTokens;
    const ids = isPrompt
      ? tensorFrom(
        gpu,
        "prompt ids",
        [count],
        Uint32Array.from(settings.promptIds.slice(first, first + count)),
      )
      : null;
    const slice = wantSlices ? history.makeSlice("prefill slice", count, gpu) : null;
    const plan = new Plan([
      ...(ids
        ? embedding.text("prompt", ids, TokenType.prompt, x)
        : embedding.latents("persona", personaLatents(model, gpu, firstFrame), 0, x)),
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
  }
  free();
  return slices;
}

/** Copies the thinker's prefill into this model's history: the one broadcast of history. */
export function receivePrefill(model: Model, slices: readonly ArrayBuffer[]): void {
  const { history } = model;
  const [gpu, free] = working(model);
  history.writeWindow();
  spans(model).forEach(([first, count], i) => {
    const slice = history.makeSlice("prefill slice", count, gpu);
    gpu.device.queue.writeBuffer(slice.buffer, 0, slices[i] ?? new ArrayBuffer(0));
    const tokenTable = spanTable(model, gpu, first, count);
    submit(gpu, new Plan(history.scatter("prefill", tokenTable, slice)));
  });
  free();
}

/**
 * Encodes the reference voice and image with the response codecs: latents as [tokens, channels].
 *
 * @param firstFrame The image's, where it is a stream's first frame that comes alone.
 */
export function personaLatents(
  model: Model,
  gpu: Gpu = model.gpu,
  firstFrame: Tensor | null = null,
): Record<Medium, Tensor> {
  const { layout: { agentSamples, frames }, settings: { voice, personaFrame } } = model;
  const voiceUnits = Array.from(
    { length: (voice?.length ?? 0) / agentSamples },
    (_, unit) =>
      (voice ?? new Float32Array()).subarray(unit * agentSamples).subarray(0, agentSamples),
  );
  const audio = encodeUnits(model, gpu, "audio", voiceUnits);
  if (personaFrame && model.checkpoint.config.response.video.first_frame_alone) {
    return { audio, video: firstFrame ?? firstLatents(model, gpu) };
  }
  const still = new Uint8Array(frames * (personaFrame?.length ?? 0));
  for (let frame = 0; personaFrame && frame < frames; frame++) {
    still.set(personaFrame, frame * personaFrame.length);
  }
  return { audio, video: encodeUnits(model, gpu, "video", personaFrame ? [still] : []) };
}

/** A picture without content: what stands before a stream where nothing else does. */
export const grey = (bytes: number) => new Uint8Array(bytes).fill(128);

/** Latents of the first frame where that comes alone, [tokens, channels]: of the persona's picture, or of
 * grey. */
function firstLatents(
  { checkpoint: { config }, latents, settings, weights, storage }: Model,
  gpu: Gpu,
): Tensor {
  const coder = responseEncoder(config, "video");
  const encoder = new UnitEncoder(gpu, "video", coder, weights, storage);
  const { width, height } = config.response.video;
  encoder.write(settings.personaFrame ?? grey(width * height * 3));
  const all = makeTensor(gpu, "first frame's latents", latents.video);
  const { output } = encoder.coder.first ?? encoder.coder;
  const taken = copy("first frame's latents", reshape(output, all.shape), all);
  submit(gpu, new Plan([...encoder.firstSteps ?? [], taken]));
  return all;
}

/** Latents of consecutive units of one medium, [tokens of all, channels]. */
function encodeUnits(
  { checkpoint: { config }, latents, weights, storage }: Model,
  gpu: Gpu,
  medium: Medium,
  units: readonly (Float32Array | Uint8Array)[],
): Tensor {
  const [tokens, channels] = latents[medium];
  const all = makeTensor(gpu, `persona ${medium}`, [units.length * tokens, channels]);
  if (units.length === 0) return all;
  const encoder = new UnitEncoder(gpu, medium, responseEncoder(config, medium), weights, storage);
  units.forEach((unit, i) => {
    encoder.write(unit);
    const target = rows(all, i * tokens, tokens);
    const taken = copy("persona latents", reshape(encoder.coder.output, target.shape), target);
    submit(gpu, new Plan([...encoder.steps, taken]));
  });
  return all;
}
