import { assertEquals } from "@std/assert";
import type { LayerConfig } from "../../../engine/config/config.ts";
import { conv, overlapAdd, residual, shuffle, unshuffle } from "../../../engine/models/layers.ts";
import { preset } from "../../../engine/models/presets.ts";
import { observationEncoder, responseDecoder } from "../../../engine/checkpoint/coders.ts";
import { unitLayout } from "../../../engine/checkpoint/unit.ts";
import { coderOutput, placeLayers } from "../../../engine/layers/coder.ts";
import type { Shape4 } from "../../../engine/layers/ops/layer.ts";
import { assertInputError, tinyConfig } from "../tiny_checkpoint.ts";

/** The output shape of every layer. */
function shapesOf(layers: LayerConfig[], input: Shape4, name = "x"): Shape4[] {
  return placeLayers({ name, layers, input }).map(({ output }) => output);
}

Deno.test("placeLayers() gives every layer's output", () => {
  const layers: LayerConfig[] = [
    unshuffle(4, 8, 8),
    conv(96),
    { op: "silu" },
    conv(128, [1, 4, 4], [1, 2, 2]),
    residual([2, 3, 3]),
    { op: "rmsnorm" },
    shuffle(2, 4, 8),
  ];
  assertEquals(shapesOf(layers, [4, 64, 32, 3], "x"), [
    [1, 8, 4, 768],
    [1, 8, 4, 96],
    [1, 8, 4, 96],
    [1, 4, 2, 128],
    [1, 4, 2, 128],
    [1, 4, 2, 128],
    [2, 16, 16, 2],
  ]);
  assertEquals(shapesOf([conv(160), overlapAdd(80)], [32, 1, 1, 96], "x").at(-1), [
    2560,
    1,
    1,
    1,
  ]);
  assertEquals(
    shapesOf(
      [{ op: "logmel", window: 400, fft: 512, hop: 160, mels: 24 }],
      [2560, 1, 1, 1],
      "x",
    ),
    [[16, 1, 1, 24]],
  );
});

Deno.test("placeLayers() names the layer that doesn't fit, and why", async () => {
  const codebooks = { codebooks: 3, semantic: 1, codebook_size: 8, codebook_dim: 8 };
  const transformer = {
    op: "transformer",
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 8,
    intermediate_size: 8,
    sliding_window: 4,
    rope_theta: 1e4,
    norm_eps: 1e-5,
  };
  const cases: [LayerConfig, Shape4, string][] = [
    [conv(8, [4, 1, 1], [4, 1, 1]), [6, 1, 1, 1], "time of 6 isn't divisible by stride 4"],
    [conv(8, [1, 4, 4], [1, 2, 2]), [1, 4, 5, 1], "width of 5 isn't divisible by stride 2"],
    [conv(8, [1, 1, 1], [2, 1, 1]), [2, 1, 1, 1], "kernel 1 is smaller than stride 2"],
    [conv(8, [1, 2, 1]), [1, 4, 4, 1], "differ by an odd number; make the kernel 3"],
    [residual([3, 4, 3]), [1, 4, 4, 1], "kernel 4 and stride 1 along height"],
    [
      { op: "conv", channels: 1, kernel: [3, 1, 1], stride: [2, 1, 1], dilation: 2 },
      [4, 1, 1, 1],
      "dilation 2 with time stride 2",
    ],
    [
      { op: "conv_transpose", channels: 4, kernel: 2, stride: 3 },
      [2, 1, 1, 4],
      "kernel 2 is smaller",
    ],
    [
      { op: "conv_transpose", channels: 4, kernel: 3, stride: 3, groups: 4 },
      [2, 1, 1, 6],
      "6 channels to 4 can't be parted into 4 groups",
    ],
    [{ op: "conv_transpose", channels: 4, kernel: 3, stride: 3 }, [2, 2, 1, 6], "not 2 x 1"],
    [transformer, [2, 1, 1, 6], "channels of the layer before is 6; it may be a multiple of 4"],
    [{ ...transformer, head_dim: 12 }, [2, 1, 1, 8], "head_dim is 12; it may be a multiple of 8"],
    [
      { ...transformer, num_key_value_heads: 3 },
      [2, 1, 1, 8],
      "num_key_value_heads 3 doesn't divide num_attention_heads 4",
    ],
    [{ op: "quantize", ...codebooks }, [2, 1, 1, 6], "channels of the layer before is 6"],
    [{ op: "quantize", ...codebooks, codebook_dim: 6 }, [2, 1, 1, 8], "codebook_dim is 6"],
    [
      { op: "dequantize", channels: 8, ...codebooks },
      [2, 1, 1, 4],
      "reads the codes of 3 codebooks, not 4 channels",
    ],
    [unshuffle(1, 3, 1), [1, 4, 4, 1], "height of 4 isn't divisible by factor 3"],
    [shuffle(2, 2, 1), [1, 4, 4, 6], "6 channels can't be shuffled"],
    [overlapAdd(80), [4, 1, 1, 100], "needs frames of 160 channels"],
    [overlapAdd(80), [4, 2, 1, 160], "audio has height and width 1, not 2 x 1"],
    [{ op: "logmel", window: 400, fft: 512, hop: 160, mels: 8 }, [100, 1, 1, 1], "hop 160"],
    [{ op: "logmel", window: 600, fft: 512, hop: 160, mels: 8 }, [160, 1, 1, 1], "window 600"],
    [{ op: "logmel", window: 400, fft: 512, hop: 160, mels: 8 }, [160, 1, 1, 2], "1 channel"],
  ];
  for (const [layer, input, why] of cases) {
    const layers: LayerConfig[] = [{ op: "silu" }, layer];
    await assertInputError(() => shapesOf(layers, input, "a.b"), `a.b[1] (${layer.op})`, why);
  }
});

Deno.test("responseDecoder() refuses a decoder that doesn't give back what the encoder read", async () => {
  const config = tinyConfig();
  assertEquals(responseDecoder(config, "audio").input, [2, 1, 1, 4]);
  assertEquals(responseDecoder(config, "video").input, [1, 2, 2, 6]);
  config.response.video.decoder = [conv(48), shuffle(1, 4, 4)];
  await assertInputError(
    () => responseDecoder(config, "video"),
    "response.video.decoder",
    "into [1,8,8,3], not back into [2,8,8,3]",
  );
  config.response.audio.latent_channels = 5;
  await assertInputError(() => unitLayout(config), "ends in 4 channels, but latent_channels is 5");
});

Deno.test("observationEncoder() takes the codec's only for media of the codec's size", async () => {
  const config = tinyConfig();
  const shape = (medium: "audio" | "video") => coderOutput(observationEncoder(config, medium));
  assertEquals([shape("audio"), shape("video")], [[1, 1, 1, 8], [1, 2, 2, 6]]);
  config.observation.video.width = 16;
  await assertInputError(() => unitLayout(config), "observation.video", "width and height");
});

Deno.test("nano observes 6 tokens a unit and responds with 6", () => {
  const layout = unitLayout(preset("nano"));
  assertEquals([layout.userAudio, layout.userVideoGrid], [2, [1, 2, 2]]);
  assertEquals([layout.agentAudio, layout.agentVideoGrid], [2, [1, 2, 2]]);
});
