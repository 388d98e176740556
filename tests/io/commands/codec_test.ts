/** The command `codec`: what comes back, its figures, latents out and in, and what it refuses. */
import { assert, assertEquals } from "@std/assert";
import { CodecPart } from "../../../engine/families/part.ts";
import { partInput } from "../../../engine/families/codec.ts";
import { WeightFiles } from "../../../engine/weights/weight_files.ts";
import { run } from "../../../io/commands/codec.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { assertInputError, tinyConfig, withCheckpoint } from "../../engine/tiny_checkpoint.ts";
import { withGpu } from "../../kernels/support.ts";
import { normal, random } from "../../reference/random.ts";
import { captured } from "../eval/players.ts";
import { ffmpeg, make, picture } from "../media.ts";
import { assertSchema } from "../schemas.ts";

/** Ten and a half units of noise at the tiny checkpoint's rate. */
async function voice(path: string): Promise<string> {
  const wav = await WavWriter.create(path, 8000);
  await wav.write(normal(random(2), 10.5 * 320, 0.1));
  await wav.close();
  return path;
}

async function codec(...args: string[]) {
  const { result: code, out, err } = await captured(() => run([...args, "--json"]));
  assertEquals(code, 0, err);
  const json = JSON.parse(out);
  assertSchema(json);
  return { json, err };
}

withGpu("codec gives figures, and latents that decode to what came back", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const input = await voice(`${folder}/voice.wav`);
    const tiny = ["--model", folder];
    const { json, err } = await codec(input, "-o", `${folder}/back.wav`, ...tiny);
    assertEquals([json.units, json.seconds, json.video], [11, 0.44, null]);
    assertEquals(json.audio.latents, {
      perSecond: 50,
      channels: 4,
      floatsPerSecond: 200,
      bitsPerSecond: null,
    });
    assert(json.audio.siSdr < 0 && json.audio.logMel > 0, "random weights");
    assert(err.includes("SI-SDR"), err);
    assertEquals(json.outputs, { response: `${folder}/back.wav` });

    await codec(input, "--latents", `${folder}/l.safetensors`, ...tiny);
    const latents = `${folder}/l.safetensors`;
    const again = await codec(latents, "-o", `${folder}/again.wav`, ...tiny);
    assertEquals([again.json.units, again.json.audio.siSdr], [11, null]);
    const [back, second] = await Promise.all(
      ["back", "again"].map(async (name) => await Deno.readFile(`${folder}/${name}.wav`)),
    );
    assertEquals(back, second);

    using file = await WeightFiles.open(latents);
    assertEquals([...file.entries].map(([name, { shape }]) => [name, shape]), [["audio", [
      11,
      2,
      4,
    ]]]);
    const metadata = JSON.parse([...file.headers.values()][0] ?? "")["__metadata__"];
    assertEquals(metadata["audio.digest"], json.audio.digest);
    assertEquals([metadata.unit_ms, metadata["audio.sample_rate"]], ["40", "8000"]);
    // Nothing waits beside it.
    const left = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) =>
      name.startsWith(".")
    );
    assertEquals(left, []);

    await withCheckpoint({ ...tinyConfig(), sink_units: 0 }, async (other) => {
      // Another model's shape, the same codecs: their digest is the same.
      await codec(latents, "-o", `${folder}/third.wav`, "--model", other);
      const config = tinyConfig();
      config.response.audio.encoder.pop();
      config.response.audio.encoder.push({ op: "conv", channels: 4, kernel: [1, 1, 1] }, {
        op: "silu",
      });
      await Deno.writeTextFile(`${other}/config.json`, JSON.stringify(config));
      await assertInputError(
        () => run([latents, "-o", `${folder}/x.wav`, "--model", other]),
        `${latents}: its audio latents are of the codec with digest "${json.audio.digest}"; ${other} has`,
      );
    });
    await assertInputError(
      () => run([`${folder}/model.safetensors`, "-o", `${folder}/x.wav`, ...tiny]),
      "model.safetensors: its metadata 'wanstream' is missing; it must be \"wanstream latents/1\"",
    );
    await assertInputError(
      () => run([input, "-o", `${folder}/x.y4m`, ...tiny]),
      "voice.wav: holds no video",
    );
    assert(![...Deno.readDirSync(folder)].some(({ name }) => name.startsWith("x.")));
  });
});

withGpu("codec takes pictures and sound through, and both as latents", async () => {
  if (!ffmpeg) return;
  await withCheckpoint(tinyConfig(), async (folder) => {
    const sound = await voice(`${folder}/voice.wav`);
    const input = `${folder}/talk.mkv`;
    await make(...picture(0.42, "16x16", 50), "-i", sound, "-c:v", "ffv1", input);
    const args = [input, "--model", folder, "--size", "16x8"];
    const latents = `${folder}/l.safetensors`;
    const { json } = await codec(...args, "-o", `${folder}/back.mkv`, "--latents", latents);
    assertEquals(json.video.latents, {
      perSecond: 25,
      channels: 6,
      floatsPerSecond: 25 * 6 * 8,
      bitsPerSecond: null,
    });
    assert(json.video.psnr > 3 && json.video.psnr < 20, "random weights");
    using file = await WeightFiles.open(latents);
    assertEquals(file.entries.get("video")?.shape, [json.units, 1, 2, 4, 6]);
  });
});

withGpu("codec keeps the latents of a first frame that comes alone", async () => {
  if (!ffmpeg) return;
  const folder = await Deno.makeTempDir({ prefix: "wanstream-" });
  try {
    const input = `${folder}/talk.mkv`;
    await make(...picture(0.48, "24x16", 25), "-c:v", "ffv1", input);
    const at = (name: string) =>
      new URL(`../../data/video_codecs/${name}`, import.meta.url).pathname;
    const args = ["--video-codec", at("taehv.safetensors"), "--size", "24x16"];
    const latents = `${folder}/l.safetensors`;
    const { json } = await codec(input, ...args, "-o", `${folder}/a.y4m`, "--latents", latents);
    assertEquals(json.units, 3);
    using file = await WeightFiles.open(latents);
    assertEquals(file.entries.get("video")?.shape, [3, 1, 2, 3, 16]);
    assertEquals(file.entries.get("video.first")?.shape, [1, 2, 3, 16]);
    await codec(latents, ...args, "-o", `${folder}/b.y4m`);
    const [a, b] = await Promise.all(
      ["a", "b"].map((name) => Deno.readFile(`${folder}/${name}.y4m`)),
    );
    assertEquals(a, b);
    await assertInputError(
      () =>
        run([latents, "--video-codec", at("wan_vae"), "--size", "24x16", "-o", `${folder}/c.y4m`]),
      "its video latents are of the codec with digest",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

withGpu("codec --codes gives a quantizer's codes, which are decoded again", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const wav = await WavWriter.create(`${folder}/voice.wav`, 1500);
    await wav.write(normal(random(2), 3 * 240, 0.3));
    await wav.close();
    const mimi = new URL("../../data/mimi", import.meta.url).pathname;
    const args = ["--codes", "--audio-codec", mimi];
    const codes = `${folder}/codes.safetensors`;
    const { json } = await codec(`${folder}/voice.wav`, "--latents", codes, ...args);
    assertEquals(json.audio.latents, {
      perSecond: 12.5,
      channels: 6,
      floatsPerSecond: 75,
      bitsPerSecond: 450,
    });
    using file = await WeightFiles.open(codes);
    assertEquals(file.entries.get("audio")?.shape, [3, 2, 6]);
    const bytes = new Uint8Array(3 * 2 * 6 * 4);
    await file.read("audio", 0, bytes);
    const numbers = new Float32Array(bytes.buffer);
    assert(numbers.every((n) => Number.isInteger(n) && n >= 0 && n < 64), `${numbers}`);
    assert(new Set(numbers).size > 10, `${numbers}`);
    const back = await codec(codes, "-o", `${folder}/back.wav`, ...args);
    assertEquals(back.json.units, 3);
    await assertInputError(
      () => run([codes, "-o", `${folder}/x.wav`, "--audio-codec", mimi]),
      "its audio latents are of the codec with digest",
    );
    await assertInputError(
      () => run([`${folder}/voice.wav`, "--latents", `${folder}/x.safetensors`, "--codes"]),
      "the audio codec 'wanstream' has no quantizer",
    );
  });
});

Deno.test("codec says what is wrong with its arguments", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const input = await voice(`${folder}/voice.wav`);
    const tiny = ["--model", folder];
    for (
      const [args, says] of [
        [[], "codec needs an input"],
        [[input], "codec needs -o FILE, what comes back, or --latents FILE"],
        [[input, "more", "-o", "x.wav"], "'more' is one too many"],
        [["l.safetensors", "--latents", "m.safetensors"], "codec of latents needs -o"],
        [["l.safetensors", "-o", "x.wav", "--latents", "m.safetensors"], "takes no --latents"],
        [[input, "-o", "-", "--json"], "standard output takes one of them"],
        [[input, "-o", "x.mkv", "--size", "7", ...tiny], "--size: '7' should be WxH"],
        [[input, "-o", "x.mkv", "--size", "12x6", ...tiny], "multiples of 4, not 12x6"],
        [[`${folder}/no.wav`, "-o", "x.wav", ...tiny], "no.wav"],
      ] as const
    ) await assertInputError(() => run([...args]), says);
    using part = await CodecPart.open(folder, "audio");
    await assertInputError(
      () => partInput(part, { unitMs: 30, fps: 50, width: 8, height: 8 }),
      "the audio codec 'wanstream' makes a latent of every 160 samples at 8000 Hz, 50 a second; a " +
        "unit of 30 ms has 240 samples, which is 1.5 latents; it must be a whole number",
    );
  });
});
