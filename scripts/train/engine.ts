/**
 * Answers the training's questions about the engine: reads one JSON object on stdin, writes one on stdout.
 *
 * {config, where, tokenizer} -> {config, tokens, tensors, coders}: checks that the engine runs such a
 * checkpoint; of each encoder and decoder its name, layers, tensors' shapes and the shape of its output;
 * {codecs: folder} -> {audio, video}: the digests by which latents name a checkpoint's codecs;
 * {tokenizer, filler, texts} -> {ids}: each text's tokens.
 *
 *     deno run --allow-read --allow-env scripts/train/engine.ts < question.json
 */
import { openConfig } from "../../engine/checkpoint/checkpoint.ts";
import {
  media,
  observationEncoder,
  responseDecoder,
  responseEncoder,
} from "../../engine/checkpoint/coders.ts";
import { validateConfig } from "../../engine/checkpoint/config_check.ts";
import { paperCheckpoint } from "../../engine/checkpoint/paper.ts";
import { expectedTensors } from "../../engine/checkpoint/tensors.ts";
import { openTokenizer } from "../../engine/checkpoint/tokenizer.ts";
import { unitLayout } from "../../engine/checkpoint/unit.ts";
import { InputError } from "../../engine/config/errors.ts";
import { openCodec } from "../../engine/families/codec.ts";
import { type Coder, coderOutput, coderParameters } from "../../engine/layers/coder.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { tickOnPaper } from "../../engine/roles/tick_plan.ts";

interface Question {
  config?: unknown;
  where?: string;
  tokenizer: unknown;
  filler?: number;
  texts?: string[];
  codecs?: string;
}

async function answer(
  { config: given, where = "config.json", tokenizer, filler, texts, codecs }: Question,
) {
  if (codecs !== undefined) {
    const { unit_ms, fps, response } = await openConfig(codecs);
    const { width, height } = response.video;
    const stream = { unitMs: unit_ms, fps, width, height };
    const digests = media.map(async (medium) =>
      [medium, (await openCodec(codecs, medium, stream)).digest] as const
    );
    return Object.fromEntries(await Promise.all(digests));
  }
  if (texts) {
    const { encode } = openTokenizer(tokenizer, {
      vocab_size: Infinity,
      filler_token_id: filler ?? 0,
    });
    return { ids: texts.map(encode) };
  }
  const config = validateConfig(given, where);
  openTokenizer(tokenizer, config);
  try {
    await tickOnPaper(config, resolveSettings(paperCheckpoint(config), { precision: "f32" }));
  } catch (error) {
    // Building a tick's plans finds what a kernel can't do; its message names numbers, and no keys.
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(
      `${where}: the engine has no kernel for it (${error.message}); make head_dim a multiple of 8 ` +
        `and the other widths multiples of 4`,
    );
  }
  const tensors = [...expectedTensors(config)].map(([name, { shape }]) => [name, shape] as const);
  const shapes = (coder: Coder) =>
    Object.entries(coderParameters(coder).parameters).map(([name, { shape }]) => [name, shape]);
  return {
    config,
    tokens: unitLayout(config).tokens,
    coders: media.flatMap((medium) => [
      responseEncoder(config, medium),
      responseDecoder(config, medium),
      observationEncoder(config, medium),
    ]).map((coder) => [coder.name, coder.layers, shapes(coder), coderOutput(coder)]),
    tensors: tensors.sort(([a], [b]) => (a < b ? -1 : 1)),
  };
}

try {
  const question = await new Response(Deno.stdin.readable).json();
  await Deno.stdout.write(new TextEncoder().encode(JSON.stringify(await answer(question))));
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  await Deno.stderr.write(new TextEncoder().encode(`${error.message}\n`));
  Deno.exit(2);
}
