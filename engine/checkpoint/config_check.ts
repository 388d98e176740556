/**
 * Checks a checkpoint's `config.json`: each number has a range, numbers that belong together must fit
 * together, and sizes are limited so that a model of this config can be held in memory.
 */
import {
  type BackboneConfig,
  type CodecConfig,
  conditionings,
  type ModelConfig,
  type ObservationEncoder,
  partNames,
  type PartOrigin,
} from "../config/config.ts";
import { Fields } from "../config/config_fields.ts";
import { InputError } from "../config/errors.ts";
import { readSolver } from "../config/solver.ts";
import { placeFirst, placeLayers } from "../layers/coder.ts";
import { parseLayers } from "../layers/registry.ts";
import { elements } from "../../kernels/gpu/tensor.ts";
import { allCoders, media, mediumShape } from "./coders.ts";
import { parameterCount } from "./tensors.ts";
import { unitLayout } from "./unit.ts";

/** Limits of what a config may ask for; a larger number is a mistake or an attack. */
const limits = {
  parameters: 1e11,
  /** Elements between two layers of a codec, per unit. */
  activations: 2 ** 29,
  unitTokens: 2 ** 16,
  historyTokens: 2 ** 26,
};

/**
 * Checks a parsed `config.json` and returns the keys that the engine knows; others (Hugging Face
 * writes many) are left out.
 *
 * @param where The file's name, for messages.
 * @throws InputError that names the key, its value, and what it may be.
 */
export function validateConfig(json: unknown, where: string): ModelConfig {
  const top = new Fields(json, where);
  top.oneOf("model_type", ["wanstream"]);
  const backbone = readBackbone(top);
  const sink_units = top.whole("sink_units", [0, 1_000_000]);
  const random_weights_seed = top.has("random_weights_seed")
    ? { random_weights_seed: top.whole("random_weights_seed", [0, 0xffffffff]) }
    : {};
  const observation = top.object("observation");
  const response = top.object("response");
  const config: ModelConfig = {
    model_type: "wanstream",
    architectures: ["Wanstream"],
    ...backbone,
    ...(top.has("torch_dtype")
      ? { torch_dtype: top.oneOf("torch_dtype", ["float32", "float16", "bfloat16"]) }
      : {}),
    unit_ms: top.whole("unit_ms", [1, 10_000]),
    fps: top.number("fps", [1, 1000]),
    positions_per_unit: top.whole("positions_per_unit", [1, 1024]),
    user_text_slots: top.whole("user_text_slots", [0, 1024]),
    agent_text_slots: top.whole("agent_text_slots", [1, 1024]),
    filler_token_id: top.whole("filler_token_id", [0, backbone.vocab_size - 1]),
    history_units: top.whole("history_units", [sink_units + 2, 2_000_000]),
    sink_units,
    observation: {
      audio: { ...readAudio(observation.object("audio")), ...readObserver(observation, "audio") },
      video: { ...readVideo(observation.object("video")), ...readObserver(observation, "video") },
    },
    response: {
      audio: { ...readAudio(response.object("audio")), ...readCodec(response.object("audio")) },
      video: {
        ...readVideo(response.object("video")),
        ...readCodec(response.object("video")),
        ...readFirst(response.object("video")),
      },
    },
    solver: readSolver(top.object("solver")),
    ...(top.has("trained_with") ? { trained_with: top.someOf("trained_with", conditionings) } : {}),
    ...(top.has("prompt_frame") ? { prompt_frame: readFrame(top.object("prompt_frame")) } : {}),
    ...(top.has("parts") ? { parts: readParts(top) } : {}),
    ...random_weights_seed,
  };
  try {
    checkSizes(config);
  } catch (error) {
    // The functions that compute shapes don't know the file's name.
    if (error instanceof InputError) throw new InputError(`${where}: ${error.message}`);
    throw error;
  }
  return config;
}

function readFrame(frame: Fields) {
  return { before: frame.text("before", 4096), after: frame.text("after", 4096) };
}

function readParts(top: Fields): PartOrigin[] {
  return top.list("parts", [0, partNames.length]).map((json, i) => {
    const part = new Fields(json, top.where, `parts[${i}].`);
    return {
      part: part.oneOf("part", partNames),
      family: part.text("family", 64),
      name: part.text("name", 256),
      digest: part.text("digest", 64),
      licence: part.get("licence") === null ? null : part.text("licence", 64),
    };
  });
}

/**
 * Checks the `config.json` of a plain Qwen3 or Qwen2.5 folder.
 *
 * @throws InputError also when the model is neither, or is a variant of them with other layers.
 */
export function validateBackbone(json: unknown, where: string): BackboneConfig {
  const top = new Fields(json, where);
  if (top.oneOf("model_type", ["qwen3", "qwen2"]) === "qwen3") return readBackbone(top);
  const heads = top.whole("num_attention_heads", [1, 1024]);
  const width = top.whole("hidden_size", [1, 65536]);
  const head_dim = top.has("head_dim") ? top.get("head_dim") : width / heads;
  return {
    ...readBackbone(new Fields({ ...(json as object), head_dim }, where)),
    qkv_bias: true,
    qk_norm: false,
  };
}

function readBackbone(top: Fields): BackboneConfig {
  // Variants of Qwen3 that share its keys but not its arithmetic.
  if (top.has("attention_bias") && top.get("attention_bias") !== false) {
    throw top.error("attention_bias", "false: layers have no biases here");
  }
  if (top.has("hidden_act") && top.get("hidden_act") !== "silu") {
    throw top.error("hidden_act", '"silu"');
  }
  if (top.has("use_sliding_window") && top.get("use_sliding_window") !== false) {
    throw top.error("use_sliding_window", "false: every layer sees all of history here");
  }
  const heads = top.whole("num_attention_heads", [1, 1024]);
  const keyHeads = top.whole("num_key_value_heads", [1, 1024]);
  if (heads % keyHeads !== 0) {
    throw top.error("num_key_value_heads", `a divisor of num_attention_heads, ${heads}`);
  }
  // Kernels read numbers in fours, and heads in pairs of fours.
  const multiple = (key: string, of: number, most: number) => {
    const value = top.whole(key, [1, most]);
    if (value % of === 0) return value;
    throw top.error(key, `a multiple of ${of}, up to ${most}`);
  };
  const head_dim = multiple("head_dim", 8, 1024);
  return {
    hidden_size: multiple("hidden_size", 4, 65536),
    intermediate_size: multiple("intermediate_size", 4, 262144),
    num_hidden_layers: top.whole("num_hidden_layers", [1, 512]),
    num_attention_heads: heads,
    num_key_value_heads: keyHeads,
    head_dim,
    ...(top.has("qkv_bias") && top.boolean("qkv_bias") ? { qkv_bias: true } : {}),
    ...(top.has("qk_norm") && !top.boolean("qk_norm") ? { qk_norm: false } : {}),
    rms_norm_eps: top.number("rms_norm_eps", [1e-12, 0.1]),
    rope_theta: readTheta(top),
    rope_scaling: readScaling(top, head_dim),
    vocab_size: top.whole("vocab_size", [2, 2 ** 20]),
    tie_word_embeddings: top.boolean("tie_word_embeddings"),
  };
}

/** Newer Hugging Face files keep rope_theta inside rope_parameters. */
function readTheta(top: Fields): number {
  const given = top.has("rope_parameters") && top.get("rope_parameters") !== null;
  const nested = given && !top.has("rope_theta");
  if (given && top.object("rope_parameters").has("rope_type")) {
    top.object("rope_parameters").oneOf("rope_type", ["default"]);
  }
  return (nested ? top.object("rope_parameters") : top).number("rope_theta", [1, 1e12]);
}

function readScaling(
  top: Fields,
  headDim: number,
): NonNullable<ModelConfig["rope_scaling"]> | null {
  if (!top.has("rope_scaling") || top.get("rope_scaling") === null) return null;
  const scaling = top.object("rope_scaling");
  scaling.refuseOthers("mrope_section", "mrope_interleaved", "rope_type", "type");
  for (const key of ["rope_type", "type"]) {
    if (scaling.has(key)) scaling.oneOf(key, ["default"]);
  }
  if (scaling.get("mrope_interleaved") !== true) throw scaling.error("mrope_interleaved", "true");
  const half = headDim / 2;
  const section = scaling.triple("mrope_section", [0, half]);
  const [time, height, width] = section;
  if (time + height + width !== half) {
    throw scaling.error("mrope_section", `three numbers that sum to head_dim / 2, ${half}`);
  }
  // Height has frequencies 1, 4, 7, ... and width 2, 5, 8, ...: the last must be one of the half.
  if ((height > 0 && 3 * height - 2 >= half) || (width > 0 && 3 * width - 1 >= half)) {
    throw scaling.error(
      "mrope_section",
      `at most ${Math.floor((half + 1) / 3)} for height and ${Math.floor(half / 3)} for width: ` +
        `every third of ${half} interleaved frequencies`,
    );
  }
  return { mrope_section: section, mrope_interleaved: true };
}

function readAudio(audio: Fields): { sample_rate: number } {
  return { sample_rate: audio.whole("sample_rate", [1000, 384_000]) };
}

function readVideo(video: Fields): { width: number; height: number } {
  return { width: video.whole("width", [1, 8192]), height: video.whole("height", [1, 8192]) };
}

function readObserver(observation: Fields, medium: "audio" | "video"): ObservationEncoder {
  const fields = observation.object(medium);
  if (typeof fields.get("encoder") === "string") {
    return { encoder: fields.oneOf("encoder", ["codec"]) };
  }
  return { encoder: parseLayers(fields, "encoder") };
}

function readCodec(codec: Fields): CodecConfig {
  return {
    latent_channels: codec.whole("latent_channels", [1, 4096]),
    encoder: parseLayers(codec, "encoder"),
    decoder: parseLayers(codec, "decoder"),
  };
}

function readFirst(video: Fields): { first_frame_alone?: true } {
  const alone = video.has("first_frame_alone") && video.boolean("first_frame_alone");
  return alone ? { first_frame_alone: true } : {};
}

/** Checks numbers against each other: whole units, layers that fit, sizes that can be held. */
function checkSizes(config: ModelConfig): void {
  for (const medium of media) {
    for (const side of ["observation", "response"] as const) mediumShape(config, side, medium);
  }
  for (const coder of allCoders(config)) {
    [...placeLayers(coder), ...placeFirst(coder)].forEach(({ layer, op, input, output }, i) => {
      const state = Object.values(op.state?.(layer, input) ?? {});
      const carried = state.reduce((sum, shape) => sum + elements(shape), 0);
      const numbers = Math.max(elements(output), elements(input) + carried);
      if (numbers > limits.activations) {
        throw new InputError(
          `${coder.name}[${
            i % coder.layers.length
          }] (${layer.op}) would hold ${numbers} numbers per unit; it may hold ` +
            `${limits.activations}: make its kernel, dilation, channels or extents smaller`,
        );
      }
    });
  }
  const { tokens } = unitLayout(config);
  if (tokens > limits.unitTokens) {
    throw new InputError(
      `a unit would have ${tokens} tokens; it may have ${limits.unitTokens}: stride the encoders more`,
    );
  }
  if (tokens * config.history_units > limits.historyTokens) {
    throw new InputError(
      `history_units ${config.history_units} of ${tokens} tokens each; history may have ` +
        `${limits.historyTokens} tokens, ${Math.floor(limits.historyTokens / tokens)} units`,
    );
  }
  const parameters = parameterCount(config);
  if (parameters > limits.parameters) {
    throw new InputError(
      `the model would have ${parameters} parameters; it may have ${limits.parameters}`,
    );
  }
}
