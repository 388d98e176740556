/** Models whose video codec takes a stream's first frame alone: the persona's picture, before unit 0. */
import { assert, assertEquals } from "@std/assert";
import { UnitCodec } from "../../../engine/model/unit_codec.ts";
import { responseDecoder, responseEncoder } from "../../../engine/checkpoint/coders.ts";
import { Model } from "../../../engine/model/model.ts";
import { conv, shuffle } from "../../../engine/models/layers.ts";
import { computePrefill, personaLatents } from "../../../engine/roles/prefill.ts";
import type { Snapshot } from "../../../engine/roles/snapshot.ts";
import { Thinker } from "../../../engine/roles/thinker.ts";
import { openSession } from "../../../engine/session/model.ts";
import { toF32 } from "../../../engine/weights/weights.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { assertClose, withGpu } from "../../kernels/support.ts";
import { type Block, block, coderReference, joinReference } from "../../reference/coder.ts";
import { normal, random } from "../../reference/random.ts";
import { withAdapter } from "../session/adapter.ts";
import { randomCheckpoint, randomObservations, settingsFor, tinyConfig } from "../support.ts";
import { assertInputError } from "../tiny_checkpoint.ts";

const tiny = tinyConfig();
const observed = { ...tiny.observation.video, encoder: "codec" as const };
const config = tinyConfig({
  observation: { ...tiny.observation, video: observed },
  response: {
    ...tiny.response,
    video: {
      ...tiny.response.video,
      first_frame_alone: true,
      encoder: [
        conv(6, [1, 8, 8], [1, 8, 8]),
        { op: "halve_time" },
        conv(6, [3, 1, 1]),
        { op: "halve_time" },
        conv(12),
      ],
      decoder: [
        conv(6),
        { op: "double_time" },
        conv(6, [3, 1, 1]),
        { op: "double_time" },
        conv(192),
        shuffle(1, 8, 8),
      ],
    },
  },
});
const checkpoint = await randomCheckpoint(config, 12);
const next = random(51);
const frame = Uint8Array.from({ length: 16 * 16 * 3 }, () => 255 * next());

/** RGB24 frames as values. */
const pictures = (bytes: Uint8Array): Block =>
  block([bytes.length / frame.length, 16, 16, 3], Array.from(bytes, (b) => b / 127.5 - 1));

/** The response's encoder or decoder over a stream whose first frame comes alone, in float64. */
function reference(side: "encoder" | "decoder", x: Block): Block {
  const weights = (name: string) => {
    const tensor = checkpoint.tensors.get(`response.video.${side}.${name}`);
    assert(tensor, name);
    return toF32(tensor);
  };
  return coderReference(config.response.video[side], x, weights, 1, true);
}

/** Bytes of values in [-1, 1], as they would be before rounding. */
const toBytes = ({ data }: Block) => data.map((v) => Math.min(255, Math.max(0, (v + 1) * 127.5)));

const grey = new Uint8Array(frame.length).fill(128);

withGpu(
  "the persona's picture is the first frame of the codec's stream, or grey is",
  async (gpu) => {
    for (const personaFrame of [frame, null]) {
      const model = new Model(gpu, checkpoint, settingsFor(config, { personaFrame }));
      const thinker = await Thinker.create(model, false);
      await computePrefill(model, false, (first) => thinker.begin(first));
      const first = reference("encoder", pictures(personaFrame ?? grey));
      if (personaFrame) {
        const persona = await readTensor(gpu, personaLatents(model).video);
        assertClose(persona, first.data, { absolute: 1e-4 });
        assertEquals(model.window.sizes.personaTokens, 4);
      }
      // What the thinker decodes goes on from the first frame's latents.
      let latents = first;
      const given: [Float32Array, number[]][] = [];
      for (let unit = 0; unit < 2; unit++) {
        const response = normal(next, model.latents.length);
        const { video } = model.splitLatents(response);
        latents = joinReference(latents, block([1, 2, 2, 12], video));
        thinker.setLatents(response);
        const { frames } = await thinker.decode();
        given.push([response, [...frames]]);
        const expected = toBytes(reference("decoder", latents)).slice(
          (1 + 4 * unit) * frame.length,
        );
        assertClose(frames, expected, { absolute: 0.51 });
      }
      // The next session with the same settings begins as this one did.
      thinker.rewind();
      for (const [response, frames] of given) {
        thinker.setLatents(response);
        assertEquals([...(await thinker.decode()).frames], frames);
      }
      // What the user shows goes on from a grey frame.
      const shown = Uint8Array.from({ length: 8 * frame.length }, () => 255 * next());
      const encoded = reference("encoder", pictures(Uint8Array.from([...grey, ...shown]))).data;
      for (let unit = 0; unit < 2; unit++) {
        const frames = shown.slice(unit * 4 * frame.length, (unit + 1) * 4 * frame.length);
        thinker.encode({ audio: null, frames });
        const { output } = thinker.coders["encoder.video"];
        const wanted = encoded.slice((1 + unit) * 48, (2 + unit) * 48);
        assertClose(await readTensor(gpu, output), wanted, { absolute: 1e-4 });
      }
    }
  },
);

withGpu(
  "a codec by itself begins with the first frame of the first unit, or with latents",
  async (gpu) => {
    const codec = new UnitCodec(gpu, {
      medium: "video",
      encoder: responseEncoder(config, "video"),
      decoder: responseDecoder(config, "video"),
      tensors: checkpoint.tensors,
    }, "f32");
    const shown = Uint8Array.from({ length: 8 * frame.length }, () => 255 * next());
    const stream = pictures(Uint8Array.from([...shown.slice(0, frame.length), ...shown]));
    const latents = reference("encoder", stream).data;
    const units = [shown.slice(0, 4 * frame.length), shown.slice(4 * frame.length)];
    const back: number[][] = [];
    for (let pass = 0; pass < 2; pass++) {
      for (const [unit, frames] of units.entries()) {
        const made = await codec.roundTrip(frames);
        assertClose(made.latents, latents.slice(48 * (1 + unit), 48 * (2 + unit)), {
          absolute: 1e-4,
        });
        if (pass === 0) back.push([...made.output]);
        else assertEquals([...made.output], back[unit]);
      }
      assertClose(codec.firstLatents ?? [], latents.slice(0, 48), { absolute: 1e-4 });
      codec.reset();
      assertEquals(codec.firstLatents, null);
    }
    assertEquals(codec.firstShape, [1, 2, 2, 12]);
    codec.beginFrom(Float32Array.from(latents.slice(0, 48)));
    for (const unit of units.keys()) {
      const from = Float32Array.from(latents.slice(48 * (1 + unit), 48 * (2 + unit)));
      assertClose(await codec.decode(from), back[unit] ?? [], { absolute: 1 });
    }
  },
);

withAdapter("a session of such a model that is resumed goes on byte for byte", async () => {
  const given = randomObservations(config, 4, 5);
  const options = { placement: "fused", persona: { frame }, seed: 4 } as const;
  const replay = async (resume: object, list = given) => {
    await using session = await openSession(checkpoint, options, resume);
    let snapshot: Promise<Snapshot> | undefined;
    async function* feed() {
      for (const [i, observation] of list.entries()) {
        if (i === 2) snapshot = session.snapshot();
        yield observation;
      }
    }
    const responses = await Array.fromAsync(session.respond(feed()));
    const units = responses.map(({ digest, frames }) => ({ digest, frames: [...frames] }));
    return { units, snapshot: await snapshot };
  };
  const whole = await replay({});
  const rest = await replay({ resume: whole.snapshot }, given.slice(2));
  assertEquals(rest.units, whole.units.slice(2));
});

Deno.test("first_frame_alone wants a codec that makes of one frame what it makes of a unit", async () => {
  const { response } = config;
  const video = (changes: object) => ({
    response: { ...response, video: { ...response.video, ...changes } },
  });
  await assertInputError(
    () => tinyConfig(video({ first_frame_alone: 1 })),
    "response.video.first_frame_alone is 1; it may be true or false",
  );
  await assertInputError(
    () =>
      tinyConfig(
        video({ encoder: tiny.response.video.encoder, decoder: tiny.response.video.decoder }),
      ),
    "response.video.encoder at the first frame[0] (unshuffle): time of 1 isn't divisible by factor 4",
  );
  const [first, ...others] = response.video.decoder;
  assert(first);
  await assertInputError(
    () => tinyConfig(video({ decoder: [first, { op: "first_frame", repeat: 2 }, ...others] })),
    "response.video.decoder turns the first frame's latents [1,2,2,12] into [2,16,16,3]",
  );
});
