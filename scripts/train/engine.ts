/**
 * Answers the training's questions about the engine: reads one JSON object on stdin, writes one on stdout.
 *
 * {config, where, tokenizer} -> {config, tokens, tensors}: checks that the engine runs such a checkpoint;
 * {tokenizer, filler, texts} -> {ids}: each text's tokens.
 *
 *     deno run --allow-read --allow-env scripts/train/engine.ts < question.json
 */
import { validateConfig } from "../../engine/checkpoint/config_check.ts";
import { paperCheckpoint } from "../../engine/checkpoint/paper.ts";
import { expectedTensors } from "../../engine/checkpoint/tensors.ts";
import { openTokenizer } from "../../engine/checkpoint/tokenizer.ts";
import { unitLayout } from "../../engine/checkpoint/unit.ts";
import { InputError } from "../../engine/config/errors.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { tickOnPaper } from "../../engine/roles/tick_plan.ts";

interface Question {
  config?: unknown;
  where?: string;
  tokenizer: unknown;
  filler?: number;
  texts?: string[];
}

async function answer(
  { config: given, where = "config.json", tokenizer, filler, texts }: Question,
) {
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
  return {
    config,
    tokens: unitLayout(config).tokens,
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
