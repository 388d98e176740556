/**
 * A new checkpoint with random weights, as a list of files to write: config, tokenizer, model card,
 * weights. With a Qwen3 folder as backbone, its `model.*` tensors are taken byte for byte and the
 * rest is random.
 */
import type { BackboneFolder } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../config/config.ts";
import { validateConfig } from "../checkpoint/config_check.ts";
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";
import type { FileDtype } from "../weights/safetensors.ts";
import type { TensorSpec } from "../weights/safetensors_writer.ts";
import { expectedTensors, parameterCounts } from "../checkpoint/tensors.ts";
import { addedToken, byteFiller, byteTokenizerJson } from "./byte_tokenizer.ts";
import { randomTensor } from "./random.ts";

export interface NewCheckpoint {
  config: ModelConfig;
  /** Small files, name to content. */
  files: Map<string, string>;
  tensors: TensorSpec[];
  /** The bytes of one of `tensors`, in chunks. */
  data(spec: TensorSpec): AsyncIterable<Uint8Array<ArrayBuffer>>;
}

export interface NewCheckpointOptions {
  /** The model's shape, and what it is called. */
  shape: ModelConfig;
  name: string;
  /** 0 to 2^32 - 1. */
  seed: number;
  dtype: FileDtype;
  backbone?: BackboneFolder;
}

const torchDtypes = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;
const chunkBytes = 4 << 20;

/**
 * @throws InputError when the backbone's sizes or vocabulary don't leave room for the stream's.
 */
export function newCheckpoint(options: NewCheckpointOptions): NewCheckpoint {
  const { seed, dtype, backbone } = options;
  let config = { ...options.shape, filler_token_id: byteFiller };
  let tokenizer = byteTokenizerJson();
  if (backbone) {
    config = { ...config, ...backbone.config };
    const half = config.head_dim / 2;
    const [height, width] = [Math.floor(half / 3), Math.floor(half / 3)];
    config.rope_scaling = {
      mrope_section: [half - height - width, height, width],
      mrope_interleaved: true,
    };
    const added = addFiller(backbone.tokenizer, config.vocab_size);
    tokenizer = added.tokenizer;
    config.filler_token_id = added.filler;
  }
  config = validateConfig(
    {
      ...config,
      torch_dtype: torchDtypes[dtype],
      trained_with: undefined,
      random_weights_seed: seed,
    },
    options.name,
  );
  const expected = expectedTensors(config);
  const stored = backbone?.weights.entries;
  const tensors = [...expected].map(([name, { shape }]) => ({
    name,
    shape,
    dtype: stored?.get(name)?.dtype ?? dtype,
  }));
  return {
    config,
    files: new Map([
      ["config.json", `${JSON.stringify(config, null, 2)}\n`],
      ["tokenizer.json", `${JSON.stringify(tokenizer, null, 1)}\n`],
      ["README.md", modelCard(config, options)],
    ]),
    tensors,
    data({ name, shape, dtype }) {
      if (backbone?.weights.entries.has(name)) return backboneTensor(backbone, name);
      return randomTensor(seed, name, expected.get(name) ?? { shape, fill: "ones" }, dtype);
    },
  };
}

async function* backboneTensor(
  { weights }: BackboneFolder,
  name: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const length = weights.entries.get(name)?.length ?? 0;
  for (let at = 0; at < length; at += chunkBytes) {
    const chunk = new Uint8Array(Math.min(chunkBytes, length - at));
    await weights.read(name, at, chunk);
    yield chunk;
  }
}

const filler = "<|sil|>";

/** Adds the filler to a tokenizer at its first unused id; Qwen's embedding has unused rows there. */
function addFiller(
  json: unknown,
  vocabSize: number,
): { tokenizer: Record<string, unknown>; filler: number } {
  const tokenizer = { ...(json as Record<string, unknown>) };
  const model = tokenizer.model as { vocab?: Record<string, number> } | undefined;
  const added = tokenizer.added_tokens;
  if (typeof model?.vocab !== "object" || !Array.isArray(added)) {
    throw new InputError(
      `tokenizer.json of the backbone: model.vocab is ${
        valueText(typeof model?.vocab)
      }; it must be ` +
        `an object, next to a list added_tokens, as in Qwen3's`,
    );
  }
  const ids = [...Object.values(model.vocab), ...added.map((token) => Number(token.id))];
  const id = 1 + ids.reduce((a, b) => Math.max(a, b), -1);
  if (id >= vocabSize) {
    throw new InputError(
      `tokenizer.json of the backbone: has ${id} ids, and vocab_size ${vocabSize} leaves none for ` +
        `${filler}; take a backbone whose embedding has unused rows, as Qwen3's`,
    );
  }
  return {
    tokenizer: { ...tokenizer, added_tokens: [...added, addedToken(id, filler)] },
    filler: id,
  };
}

function modelCard(config: ModelConfig, options: NewCheckpointOptions): string {
  const counts = [...parameterCounts(config)];
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  const { audio, video } = config.response;
  const weights = options.backbone
    ? `Its backbone (the \`model.*\` tensors) was taken from a Qwen3 checkpoint; all its other weights are **random** (seed ${options.seed})`
    : `Its weights are **random** (seed ${options.seed})`;
  return `# ${options.name}, random weights

A checkpoint for wanstream, made by \`init\` in the shape of ${options.name} with seed ${options.seed}.
${weights} and it was **not trained**: what it says, shows and sounds means nothing.
It serves to try the engine and to measure its speed.

Response: ${video.width}x${video.height} at ${config.fps} frames/s, sound at ${audio.sample_rate} Hz, in units of ${config.unit_ms} ms.

| part | parameters |
|---|---:|
${counts.map(([part, count]) => `| ${part} | ${count.toLocaleString("en-US")} |`).join("\n")}
| all | ${total.toLocaleString("en-US")} |
`;
}
