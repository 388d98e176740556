/**
 * A new checkpoint as a list of files to write: config, tokenizer, model card, weights. What published
 * parts bring (a backbone, an audio codec, a video codec) is taken byte for byte, the rest is random.
 */
import type { BackboneFolder } from "../checkpoint/checkpoint.ts";
import { partName, type PromptFrame, statedLicence, systemFrame } from "../checkpoint/card.ts";
import { media, type Medium } from "../checkpoint/coders.ts";
import { validateConfig } from "../checkpoint/config_check.ts";
import { partOf } from "../checkpoint/parts.ts";
import type { LayerConfig, ModelConfig, PartName, PartOrigin } from "../config/config.ts";
import { codecRules } from "../families/codec.ts";
import type { TensorRule } from "../families/family.ts";
import type { CodecPart } from "../families/part.ts";
import { InputError } from "../config/errors.ts";
import type { FileDtype } from "../weights/safetensors.ts";
import type { TensorSpec } from "../weights/safetensors_writer.ts";
import { expectedTensors, parameterCounts, tensorPart } from "../checkpoint/tensors.ts";
import { elements } from "../../kernels/gpu/tensor.ts";
import { keptFiles, keptText } from "./export.ts";
import { addedToken, byteFiller, byteTokenizerJson } from "./byte_tokenizer.ts";
import { randomTensor } from "./random.ts";

export interface NewCheckpoint {
  config: ModelConfig;
  /** Small files, name to content. */
  files: Map<string, string>;
  tensors: TensorSpec[];
  /** Tensors of parts that have no place in the checkpoint, by the file that keeps them. */
  rests: Map<string, Pick<NewCheckpoint, "tensors" | "data">>;
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
  codecs?: Partial<Record<Medium, CodecPart>>;
}

const torchDtypes = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/** A tensor that comes from a part. */
interface Taken {
  dtype: FileDtype;
  bytes(): AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/**
 * @throws InputError when the parts and the stream's sizes don't fit together.
 */
export async function newCheckpoint(options: NewCheckpointOptions): Promise<NewCheckpoint> {
  const { seed, dtype, backbone, codecs = {} } = options;
  let config = { ...options.shape, filler_token_id: byteFiller };
  let tokenizer = byteTokenizerJson();
  const parts: PartOrigin[] = [];
  const taken = new Map<string, Taken>();
  const kept = new Map<string, string>();
  const rests: NewCheckpoint["rests"] = new Map();
  const note = async (
    part: PartName,
    { family, where, weights }: Pick<CodecPart, "family" | "where" | "weights">,
    published: unknown,
    used: ReadonlySet<string>,
  ) => {
    if (family !== "wanstream") {
      const { json, rest } = keptFiles(part);
      kept.set(json, keptText(published, weights));
      const tensors = [...weights.all].filter(([name]) => !used.has(name)).map(
        ([name, { dtype, shape }]) => ({ name, dtype, shape }),
      );
      rests.set(rest, { tensors, data: ({ name }) => weights.chunks(name) });
    }
    const [digest, licence] = [await weights.digest(), await statedLicence(where)];
    parts.push({ part, family, name: partName(where), digest, licence });
  };
  if (backbone) {
    const added = addFiller(backbone.tokenizer, backbone.config.vocab_size);
    config = withBackbone(config, backbone, await systemFrame(backbone.where), added.filler);
    tokenizer = added.tokenizer;
    // A head that is tied is the embedding once more.
    await note("backbone", backbone, backbone.published, new Set(backbone.weights.all.keys()));
    for (const [name, { dtype }] of backbone.weights.entries) {
      taken.set(name, { dtype, bytes: () => backbone.weights.chunks(name) });
    }
  }
  for (const medium of media) {
    const part = codecs[medium];
    if (!part) continue;
    const placed = placeCodec(config, part);
    config = placed.config;
    const used = placed.rules.values().flatMap(({ from }) => from.map(({ name }) => name));
    await note(`${medium}_codec`, part, part.config, new Set(used));
    for (const [name, rule] of placed.rules) {
      const bytes = async function* () {
        yield await part.read(rule);
      };
      taken.set(name, { dtype: part.dtype(rule), bytes });
    }
  }
  config = validateConfig(
    {
      ...config,
      torch_dtype: torchDtypes[dtype],
      trained_with: undefined,
      parts: parts.length > 0 ? parts : undefined,
      random_weights_seed: seed,
    },
    options.name,
  );
  const expected = expectedTensors(config);
  const tensors = [...expected].map(([name, { shape }]) => ({
    name,
    shape,
    dtype: taken.get(name)?.dtype ?? dtype,
  }));
  return {
    config,
    files: new Map([
      ["config.json", `${JSON.stringify(config, null, 2)}\n`],
      ["tokenizer.json", `${JSON.stringify(tokenizer, null, 1)}\n`],
      ["README.md", modelCard(config, options)],
      ...kept,
    ]),
    rests,
    tensors,
    data({ name, shape, dtype }) {
      return taken.get(name)?.bytes() ??
        randomTensor(seed, name, expected.get(name) ?? { shape, fill: "ones" }, dtype);
    },
  };
}

function withBackbone(
  shape: ModelConfig,
  { config: theirs }: BackboneFolder,
  frame: PromptFrame | null,
  filler: number,
): ModelConfig {
  const { qkv_bias: _, qk_norm: _n, prompt_frame: _f, ...rest } = shape;
  const half = theirs.head_dim / 2;
  const third = Math.floor(half / 3);
  return {
    ...rest,
    ...theirs,
    rope_scaling: { mrope_section: [half - 2 * third, third, third], mrope_interleaved: true },
    filler_token_id: filler,
    ...(frame ? { prompt_frame: frame } : {}),
  };
}

/** Pixels along an edge of the picture that a token stands for, where a codec's latents are smaller. */
const tokenEdge = 16;

/**
 * A config with a part as the codec of its medium, for what is observed too, and the rules of the codec's
 * tensors by our names. Neighbouring latents of a video codec are put together, so that a token stands for
 * 16 x 16 pixels where the picture can be parted so.
 */
function placeCodec(
  config: ModelConfig,
  part: CodecPart,
): { config: ModelConfig; rules: Map<string, TensorRule> } {
  const { medium, sampleRate, channels, multiple, keys } = part.codec;
  const { width, height } = config.response.video;
  const stream = { unitMs: config.unit_ms, fps: config.fps, width, height };
  const wanted = Math.max(1, Math.floor(tokenEdge / multiple));
  const fits = [width, height].every((n) => n % (multiple * wanted) === 0);
  const patch = medium === "video" && fits ? wanted : 1;
  const factor = [1, patch, patch];
  const [encoder, decoder] = [part.codec.encoder, part.codec.decoder];
  const block = (op: string): LayerConfig[] => patch > 1 ? [{ op, factor }] : [];
  const codec = {
    ...keys,
    latent_channels: channels * patch * patch,
    encoder: [...encoder.layers, ...block("unshuffle")],
    decoder: [...block("shuffle"), ...decoder.layers],
  };
  const all = codecRules(part, stream, patch > 1 ? 1 : 0);
  const rules = new Map([...all].map(([name, { rule }]) => [name, rule]));
  const { observation, response } = config;
  const sides = medium === "audio"
    ? {
      observation: {
        ...observation,
        audio: { sample_rate: sampleRate ?? 0, encoder: "codec" as const },
      },
      response: { ...response, audio: { sample_rate: sampleRate ?? 0, ...codec } },
    }
    : {
      observation: { ...observation, video: { width, height, encoder: "codec" as const } },
      response: { ...response, video: { width, height, ...codec } },
    };
  return { config: { ...config, ...sides }, rules };
}

/** Parameters that no part brought, by what they are. */
export function randomParameters(config: ModelConfig): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [name, { shape }] of expectedTensors(config)) {
    if (config.random_weights_seed === undefined || partOf(config, name)) continue;
    const what = tensorPart(name);
    counts.set(what, (counts.get(what) ?? 0) + elements(shape));
  }
  return counts;
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
  const vocab = typeof model?.vocab === "object" ? model.vocab : null;
  const ids = vocab && Array.isArray(added)
    ? [...Object.values(vocab), ...added.map((token) => token?.id)]
    : [NaN];
  if (!Array.isArray(added) || !ids.every((id) => Number.isSafeInteger(id) && id >= 0)) {
    throw new InputError(
      `tokenizer.json of the backbone: its ids must be whole numbers from 0 on, in an object ` +
        `model.vocab and a list added_tokens, as in Qwen3's`,
    );
  }
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
  const seeded = `**random** (seed ${options.seed})`;
  const { parts = [] } = config;
  const weights = parts.length > 0
    ? `Published parts were taken as they are; all its other weights are ${seeded}`
    : `Its weights are ${seeded}`;
  const origins = parts.map(({ part, family, name, digest, licence }) =>
    `| ${part} | ${family} | ${name} | ${licence ?? "not stated"} | ${digest} |\n`
  );
  const origin = parts.length > 0
    ? `
| part | family | from | licence | SHA-256 of its tensors |
|---|---|---|---|---|
${origins.join("")}
Random: ${
      [...randomParameters(config)].map(([what, n]) => `${what} ${n.toLocaleString("en-US")}`)
        .join(", ")
    }.
`
    : "";
  return `# ${options.name}, random weights

A checkpoint for wanstream, made by \`init\` in the shape of ${options.name} with seed ${options.seed}.
${weights} and it was **not trained**: what it says, shows and sounds means nothing.
It serves to try the engine, to measure its speed, and as a training's beginning.
${origin}
Response: ${video.width}x${video.height} at ${config.fps} frames/s, sound at ${audio.sample_rate} Hz, in units of ${config.unit_ms} ms.

| part | parameters |
|---|---:|
${counts.map(([part, count]) => `| ${part} | ${count.toLocaleString("en-US")} |`).join("\n")}
| all | ${total.toLocaleString("en-US")} |
`;
}
