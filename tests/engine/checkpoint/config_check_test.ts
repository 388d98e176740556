import { assertEquals } from "@std/assert";
import { validateConfig } from "../../../engine/checkpoint/config_check.ts";
import { preset, presetNames } from "../../../engine/models/presets.ts";
import { assertInputError, tinyConfig } from "../tiny_checkpoint.ts";

type Json = Record<string, unknown>;

/** The tiny config with the value at a path of keys replaced; undefined removes the key. */
function withValue(path: string, value: unknown): unknown {
  const config = JSON.parse(JSON.stringify(tinyConfig()));
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  let at: Json = config;
  for (const key of keys) at = at[key] as Json;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return config;
}

const check = (json: unknown) => validateConfig(json, "m/config.json");

Deno.test("validateConfig() returns the config and leaves Hugging Face's other keys out", () => {
  assertEquals(check(withValue("transformers_version", "4.51.0")), tinyConfig());
  const nested = withValue("rope_theta", undefined) as Json;
  assertEquals(check({ ...nested, rope_parameters: { rope_theta: 5e5 } }).rope_theta, 5e5);
  const untyped = check(withValue("torch_dtype", undefined));
  assertEquals("torch_dtype" in untyped, false);
  for (const known of [[], ["user_text"], ["prompt", "voice"]]) {
    assertEquals<unknown>(check(withValue("trained_with", known)).trained_with, known);
  }
});

Deno.test("validateConfig() takes every preset as it is", () => {
  for (const name of presetNames) {
    assertEquals(check(JSON.parse(JSON.stringify(preset(name)))), preset(name));
  }
});

Deno.test("validateConfig() names every key that is missing", async () => {
  const optional = new Set(["architectures", "rope_scaling", "torch_dtype"]);
  for (const key of Object.keys(tinyConfig())) {
    if (optional.has(key)) check(withValue(key, undefined));
    else await assertInputError(() => check(withValue(key, undefined)), `m/config.json: ${key}`);
  }
  for (
    const key of [
      "observation.audio.sample_rate",
      "observation.audio.encoder",
      "observation.video.width",
      "response.audio.latent_channels",
      "response.video.decoder",
      "solver.steps",
    ]
  ) {
    await assertInputError(
      () => check(withValue(key, undefined)),
      `: ${key} is missing; it may be`,
    );
  }
});

Deno.test("validateConfig() names key, value and range of impossible numbers", async () => {
  const cases: [string, unknown, string][] = [
    ["model_type", "qwen3", 'model_type is "qwen3"; it may be "wanstream"'],
    ["hidden_size", 0, "hidden_size is 0; it may be a whole number from 1 to 65536"],
    ["hidden_size", 18, "hidden_size is 18; it may be a multiple of 4, up to 65536"],
    ["intermediate_size", 18, "intermediate_size is 18; it may be a multiple of 4"],
    ["rope_parameters", { rope_type: "yarn" }, 'rope_type is "yarn"; it may be "default"'],
    ["hidden_size", 1e9, "hidden_size is 1000000000"],
    ["hidden_size", "16", 'hidden_size is "16"'],
    ["hidden_size", 16.5, "hidden_size is 16.5"],
    ["num_hidden_layers", -1, "num_hidden_layers is -1"],
    ["num_attention_heads", 0, "num_attention_heads is 0"],
    ["num_key_value_heads", 3, "num_key_value_heads is 3; it may be a divisor"],
    ["head_dim", 12, "head_dim is 12; it may be a multiple of 8"],
    ["rms_norm_eps", 0, "rms_norm_eps is 0"],
    ["rms_norm_eps", null, "rms_norm_eps is null"],
    ["rope_theta", -1, "rope_theta is -1"],
    ["rope_scaling", { mrope_section: [2, 1, 1] }, "rope_scaling.mrope_interleaved is missing"],
    ["rope_scaling.mrope_section", [2, 1, 2], "sum to head_dim / 2, 4"],
    ["rope_scaling.mrope_section", [1, 2, 1], "at most 1 for height and 1 for width"],
    ["rope_scaling.mrope_section", [4, 0], "three whole numbers"],
    ["rope_scaling", { rope_type: "yarn", factor: 4 }, 'rope_scaling has the key "factor"'],
    ["rope_scaling.rope_type", "yarn", 'rope_type is "yarn"; it may be "default"'],
    ["trained_with", "prompt", 'trained_with is "prompt"; it may be a list of some of "prompt"'],
    ["trained_with", ["voice", "faces"], "it may be a list of some of"],
    ["trained_with", ["voice", "voice"], "it may be a list of some of"],
    ["vocab_size", 2 ** 40, "vocab_size is 1099511627776"],
    ["tie_word_embeddings", 1, "tie_word_embeddings is 1; it may be true or false"],
    ["torch_dtype", "int8", '"float32" or "float16" or "bfloat16"'],
    ["attention_bias", true, "attention_bias is true"],
    ["hidden_act", "gelu", 'hidden_act is "gelu"'],
    ["use_sliding_window", true, "use_sliding_window is true"],
    ["unit_ms", 41, "hold 2.05 frames"],
    ["fps", 0, "fps is 0"],
    ["fps", 30, "1.2 frames"],
    ["agent_text_slots", 0, "agent_text_slots is 0"],
    ["filler_token_id", 264, "filler_token_id is 264; it may be a whole number from 0 to 263"],
    ["history_units", 2, "history_units is 2; it may be a whole number from 3"],
    ["history_units", 2_000_000_000, "history_units is 2000000000"],
    ["sink_units", -1, "sink_units is -1"],
    ["observation", [], "observation is []; it must be an object"],
    ["observation.audio.sample_rate", 8010, "a unit of 40 ms would hold 320.4 samples"],
    ["observation.audio.encoder", "mel", 'encoder is "mel"; it may be "codec"'],
    ["observation.audio.encoder", [], "a list of 1 to 256 entries"],
    ["observation.video.width", 16, 'observation.video.encoder is "codec", but its width'],
    ["response.video.width", 9, "width of 9 isn't divisible by factor 4"],
    ["response.video.height", 100_000, "response.video.height is 100000"],
    ["response.audio.latent_channels", 5, "ends in 4 channels"],
    ["response.audio.encoder.0.factor", [79, 1, 1], "encoder[0] (unshuffle): time of 320"],
    [
      "response.audio.encoder.1.op",
      "attention",
      'encoder[1].op is "attention"; it may be "silu" or',
    ],
    [
      "response.audio.encoder.1.strides",
      [1, 1, 1],
      'encoder[1] has the key "strides"; it may have op, channels',
    ],
    ["response.audio.encoder.1.a\nb", 0, 'encoder[1] has the key "a\\nb"'],
    ["response.audio.encoder.1.channels", 0, "encoder[1].channels is 0"],
    ["response.audio.encoder.1.kernel", [0, 1, 1], "encoder[1].kernel is [0,1,1]"],
    ["response.audio.encoder.1.dilation", 2, "dilation 2 with time stride 2"],
    ["response.audio.encoder.2", null, "encoder[2] is null; it must be an object"],
    ["response.video.encoder.2.dilation", 1e6, "encoder[2].dilation is 1000000"],
    ["observation.audio.encoder.0.fft", 200, "fft is 200; it may be a power of two"],
    [
      "observation.audio.encoder.0.mels",
      200,
      "mels is 200; it may be a whole number from 1 to 128",
    ],
    ["solver.name", "rk4", 'solver.name is "rk4"; it may be "euler" or "midpoint"'],
    ["solver.steps", 0, "solver.steps is 0"],
    ["solver.shift", 0, "solver.shift is 0"],
    ["solver.guidance", -1, "solver.guidance is -1"],
    // What would fail when a session opens is refused here.
    ["solver.shift", 0.005, "solver.shift is 0.005; it may be a number from 0.01 to 100"],
    ["solver.shift", 101, "solver.shift is 101"],
    ["solver.guidance", 101, "solver.guidance is 101; it may be a number from 0 to 100"],
    ["random_weights_seed", -1, "random_weights_seed is -1"],
  ];
  for (const [path, value, why] of cases) {
    await assertInputError(() => check(withValue(path, value)), "m/config.json: ", why);
  }
});

Deno.test("validateConfig() refuses sizes that no machine could hold, part by part in range", async () => {
  const wide = tinyConfig();
  wide.response.audio.encoder = [
    { op: "unshuffle", factor: [80, 1, 1] },
    { op: "conv", channels: 65536, kernel: [4096, 1, 1], stride: [2, 1, 1] },
    { op: "residual", kernel: [4096, 1, 1], dilation: 4096 },
    { op: "conv", channels: 4, kernel: [1, 1, 1] },
  ];
  await assertInputError(() => check(wide), "response.audio.encoder[2] (residual) would hold");
  const deep = { ...tinyConfig(), hidden_size: 65536, intermediate_size: 262144 };
  await assertInputError(() => check({ ...deep, num_hidden_layers: 512 }), "parameters");
  const long = { ...tinyConfig(), history_units: 2_000_000, user_text_slots: 1000 };
  await assertInputError(() => check(long), "history_units 2000000", "66");
  const tokens = tinyConfig();
  tokens.response.video = {
    width: 1024,
    height: 1024,
    latent_channels: 3,
    encoder: [{ op: "silu" }],
    decoder: [{ op: "silu" }],
  };
  tokens.observation.video = { width: 8, height: 8, encoder: [{ op: "silu" }] };
  await assertInputError(() => check(tokens), "a unit would have 2097", "stride the encoders");
});

Deno.test("validateConfig() refuses JSON that is no object", async () => {
  for (const json of [null, [], "x", 3]) {
    await assertInputError(() => check(json), "m/config.json: is", "must be an object");
  }
});
