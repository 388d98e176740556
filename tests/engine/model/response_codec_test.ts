/** The response codecs by themselves, unit by unit, against encoders and decoders over the whole span at once. */
import { assert, assertEquals } from "@std/assert";
import { ResponseCodec } from "../../../engine/model/response_codec.ts";
import { responseDecoder, responseEncoder } from "../../../engine/checkpoint/coders.ts";
import type { Coder } from "../../../engine/layers/coder.ts";
import type { Shape4 } from "../../../engine/layers/ops/layer.ts";
import { StreamingCoder } from "../../../engine/layers/streaming_coder.ts";
import { Weights } from "../../../engine/weights/weights.ts";
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
      const coder = (one: Coder) => {
        const [time, ...rest] = one.input;
        const three = { ...one, input: [3 * time, ...rest] as Shape4 };
        return new StreamingCoder(gpu, three, Weights.of(checkpoint.tensors), "f32");
      };
      const encode = coder(responseEncoder(config, medium));
      const decode = coder(responseDecoder(config, medium));
      const values = isAudio
        ? units.flatMap(({ audio }) => [...audio])
        : units.flatMap(({ frames }) => [...frames].map((byte) => byte / 127.5 - 1));
      upload(gpu, encode.input, Float32Array.from(values));
      const latents = copy("latents", encode.output, reshape(decode.input, encode.output.shape));
      submit(gpu, new Plan([...encode.steps, latents, ...decode.steps]));
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
