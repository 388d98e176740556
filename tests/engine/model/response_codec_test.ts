/** The response codecs by themselves, unit by unit, against their stacks over the whole span at once. */
import { assert, assertEquals } from "@std/assert";
import { ResponseCodec } from "../../../engine/model/response_codec.ts";
import { StreamingStack } from "../../../engine/layers/streaming.ts";
import { unitLayout } from "../../../engine/checkpoint/unit.ts";
import { copy, Plan, submit } from "../../../kernels/gpu/plan.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { reshape, upload } from "../../../kernels/gpu/tensor.ts";
import { assertClose, withGpu } from "../../kernels/support.ts";
import { integer, normal, random } from "../../reference/random.ts";
import { randomCheckpoint, tinyConfig } from "../support.ts";

withGpu("ResponseCodec gives unit by unit what encoder and decoder give at once", async (gpu) => {
  const config = tinyConfig();
  const checkpoint = await randomCheckpoint(config, 5);
  const layout = unitLayout(config);
  const { width, height } = config.response.video;
  const next = random(9);
  const units = Array.from({ length: 3 }, () => ({
    audio: normal(next, layout.agentSamples, 0.1),
    frames: Uint8Array.from(
      { length: layout.frames * width * height * 3 },
      () => integer(next, 0, 255),
    ),
  }));

  const codec = await ResponseCodec.open(checkpoint, { precision: "f32" });
  try {
    const run = async () => {
      const out = [];
      for (const unit of units) out.push(await codec.roundTrip(unit));
      return out;
    };
    const first = await run();
    codec.reset();
    const again = await run();
    assertEquals(again, first);

    for (const medium of ["audio", "video"] as const) {
      const isAudio = medium === "audio";
      const { encoder, decoder, latent_channels: channels } = config.response[medium];
      const [t, h, w] = isAudio ? [layout.agentAudio, 1, 1] : layout.agentVideoGrid;
      const stack = (
        part: "encoder" | "decoder",
        input: [number, number, number, number],
      ) =>
        new StreamingStack(gpu, {
          prefix: `response.${medium}.${part}`,
          layers: part === "encoder" ? encoder : decoder,
          checkpoint,
          input,
          storage: "f32",
        });
      const encode = stack(
        "encoder",
        isAudio ? [3 * layout.agentSamples, 1, 1, 1] : [3 * layout.frames, height, width, 3],
      );
      const decode = stack("decoder", [3 * t, h, w, channels]);
      const values = isAudio
        ? units.flatMap(({ audio }) => [...audio])
        : units.flatMap(({ frames }) => [...frames].map((byte) => byte / 127.5 - 1));
      upload(gpu, encode.input, Float32Array.from(values));
      const latents = copy("latents", encode.output, reshape(decode.input, encode.output.shape));
      submit(gpu, new Plan("all", [...encode.steps, latents, ...decode.steps]));
      const whole = [...await readTensor(gpu, decode.output)];
      const clamped = whole.map((x) => Math.min(1, Math.max(-1, x)));
      if (isAudio) {
        assertClose(first.flatMap(({ audio }) => [...audio]), clamped, { absolute: 1e-4 });
      } else {
        const bytes = first.flatMap(({ frames }) => [...frames]);
        assertEquals(bytes.length, clamped.length);
        const furthest = bytes.reduce(
          (most, byte, i) => Math.max(most, Math.abs(byte - (clamped[i] ?? NaN) * 127.5 - 127.5)),
          0,
        );
        assert(furthest <= 0.6, `${furthest}`);
      }
    }
  } finally {
    codec.close();
  }
});
