/** A checkpoint composed of parts in their public layouts: README's lines, on tiny parts that a script makes. */
import { assert, assertEquals } from "@std/assert";
import { openCheckpoint, openConfig } from "../../../engine/checkpoint/checkpoint.ts";
import { frameOf } from "../../../engine/checkpoint/card.ts";
import { openTokenizer } from "../../../engine/checkpoint/tokenizer.ts";
import { openCodec } from "../../../engine/families/codec.ts";
import { CodecPart } from "../../../engine/families/part.ts";
import { resolveSettings } from "../../../engine/model/settings.ts";
import { WeightFiles } from "../../../engine/weights/weight_files.ts";
import { run as codec } from "../../../io/commands/codec.ts";
import { run as exportRun } from "../../../io/commands/export.ts";
import { run as init } from "../../../io/commands/init.ts";
import { inspect, inspectionSections, inspectionText } from "../../../io/commands/inspect.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { makeTinyParts } from "../../../scripts/tiny_parts.ts";
import { assertInputError } from "../../engine/tiny_checkpoint.ts";
import { withGpu } from "../../kernels/support.ts";
import { normal, random } from "../../reference/random.ts";
import { captured } from "../eval/players.ts";
import { folderTest } from "../media.ts";

/** The bytes of one tensor of a folder. */
async function bytesOf(folder: string, name: string): Promise<number[]> {
  using weights = await WeightFiles.open(folder);
  const chunks = await Array.fromAsync(weights.chunks(name));
  return [...new Uint8Array(await new Blob(chunks).arrayBuffer())];
}

const compose = (folder: string, backbone: string, ...more: string[]) => [
  ...["--preset", "nano", "--backbone", `${folder}/${backbone}`],
  ...["--audio-codec", `${folder}/mimi`, "--video-codec", `${folder}/wan-vae`, ...more],
];

folderTest("init composes a checkpoint of public parts, byte for byte", async (folder) => {
  await makeTinyParts(folder);
  for (const [backbone, family] of [["qwen3", "qwen3"], ["qwen2.5", "qwen2"]] as const) {
    const mine = `${folder}/mine-${backbone}`;
    const { result, err } = await captured(() =>
      init(compose(folder, backbone, "--dtype", "f32", "-o", mine))
    );
    assertEquals(result, 0);
    for (
      const text of [`backbone: ${backbone} (${family}), licence apache-2.0`, "random: stream"]
    ) {
      assert(err.includes(text), err);
    }
    const { config, tensors, tokenizer } = await openCheckpoint(mine);
    assertEquals(
      config.parts?.map(({ part, family, name, licence }) => [part, family, name, licence]),
      [
        ["backbone", family, backbone, "apache-2.0"],
        ["audio_codec", "mimi", "mimi", "apache-2.0"],
        ["video_codec", "wan_vae", "wan-vae", "apache-2.0"],
      ],
    );
    for (
      const [ours, part, theirs] of [
        ["model.layers.1.mlp.up_proj.weight", backbone, "model.layers.1.mlp.up_proj.weight"],
        ["response.audio.encoder.0.weight", "mimi", "encoder.layers.0.conv.weight"],
        ["response.video.encoder.0.weight", "wan-vae", "encoder.conv_in.weight"],
      ] as const
    ) {
      const tensor = tensors.get(ours);
      assertEquals([tensor?.dtype, [...tensor?.bytes ?? []]], [
        "BF16",
        await bytesOf(`${folder}/${part}`, theirs),
      ]);
    }
    const biased = tensors.has("model.layers.0.self_attn.k_proj.bias");
    const normed = tensors.has("model.layers.0.self_attn.k_norm.weight");
    assertEquals([biased, normed], family === "qwen2" ? [true, false] : [false, true]);
    // What is heard and seen goes through the codecs too; a token is 16 x 16 pixels.
    assertEquals([config.observation.audio.encoder, config.observation.video.encoder], [
      "codec",
      "codec",
    ]);
    assertEquals(config.response.video.latent_channels, 16 * 2 * 2);

    // A system prompt stands in the frame of the backbone's chat template.
    const { encode } = openTokenizer(tokenizer, config);
    const { promptIds } = resolveSettings({ config, tokenizer }, { prompt: "Be brief." });
    assertEquals(promptIds, encode("<|im_start|>system\nBe brief.<|im_end|>\n"));

    const report = await inspect(mine);
    assertEquals(report.parts.map(({ part }) => part), ["backbone", "audio_codec", "video_codec"]);
    assert(
      report.parts.every(({ flopsPerUnit, parameters }) => flopsPerUnit > 0 && parameters > 0),
    );
    const { total = 0 } = report.parameters;
    const counted = [
      ...report.parts.map(({ parameters }) => parameters),
      ...Object.values(report.random),
    ];
    assertEquals(counted.reduce((a, b) => a + b), total);
    const text = inspectionText(inspectionSections(mine, report));
    assert(text.includes("licence apache-2.0") && text.includes("stream embeddings"), text);

    // The codec in the checkpoint is the codec in its own folder.
    const stream = { unitMs: 160, fps: 25, width: 128, height: 128 };
    const [one, other] = [
      await openCodec(mine, "audio", stream),
      await openCodec(`${folder}/mimi`, "audio", stream),
    ];
    assertEquals(one.digest, other.digest);
  }
});

folderTest(
  "init takes a codec that is one file, and whose first frame comes alone",
  async (folder) => {
    const file = new URL("../../data/video_codecs/taehv.safetensors", import.meta.url).pathname;
    const mine = `${folder}/mine`;
    const args = ["--preset", "nano", "--video-codec", file, "--dtype", "f32", "-o", mine];
    assertEquals((await captured(() => init(args))).result, 0);
    const { config, tensors } = await openCheckpoint(mine);
    assertEquals(config.parts?.map(({ family, licence }) => [family, licence]), [["taehv", null]]);
    assertEquals(config.response.video.first_frame_alone, true);
    using weights = await WeightFiles.open(file);
    const bias = new Uint8Array(weights.entry("decoder.22.bias").length);
    await weights.read("decoder.22.bias", 0, bias);
    assert(
      tensors.entries().some(([name, { bytes }]) =>
        name.startsWith("response.video.decoder.") && bytes.join() === bias.join()
      ),
    );
    const { encoder } = await openCodec(mine, "video", {
      unitMs: 160,
      fps: 25,
      width: 128,
      height: 128,
    });
    assertEquals(encoder.first, [1, 128, 128, 3]);
  },
);

folderTest(
  "export gives the parts' files back, byte for byte but for what was changed",
  async (folder) => {
    await makeTinyParts(folder);
    const mine = `${folder}/mine`;
    const sharded = "tests/data/backbone-qwen3";
    const args = compose(folder, "qwen3").with(3, sharded);
    await captured(() => init([...args, "-o", mine]));
    const same = async (part: string, from: string) => {
      const to = `${folder}/out-${part}`;
      await captured(() => exportRun([mine, "--part", part, "-o", to]));
      const read = async (path: string) => JSON.parse(await Deno.readTextFile(path));
      assertEquals(await read(`${to}/config.json`), await read(`${from}/config.json`));
      const names = [...Deno.readDirSync(to)].map(({ name }) => name);
      const weights = names.filter((name) => name.endsWith(".safetensors"));
      for (const name of weights) {
        const [ours, theirs] = await Promise.all(
          [to, from].map((at) => Deno.readFile(`${at}/${name}`)),
        );
        assertEquals(ours, theirs, `${part} ${name}`);
      }
      return weights.length;
    };
    assertEquals(await same("backbone", sharded), 3);
    assertEquals(await same("audio-codec", `${folder}/mimi`), 1);
    assertEquals(await same("video-codec", `${folder}/wan-vae`), 1);
    // One value is another one: one file differs, in that place.
    const file = `${mine}/model.safetensors`;
    const bytes = await Deno.readFile(file);
    using weights = await WeightFiles.open(mine);
    const { begin } = weights.entry("response.audio.encoder.0.weight");
    bytes[begin] = (bytes[begin] ?? 0) ^ 1;
    await Deno.writeFile(file, bytes);
    await captured(() => exportRun([mine, "--part", "audio-codec", "-o", `${folder}/changed`]));
    const [changed, published] = await Promise.all(
      ["changed", "mimi"].map((at) => Deno.readFile(`${folder}/${at}/model.safetensors`)),
    );
    const different = [...changed ?? []].flatMap((byte, i) => byte === published?.[i] ? [] : [i]);
    using theirs = await WeightFiles.open(`${folder}/mimi`);
    assertEquals(different, [theirs.entry("encoder.layers.0.conv.weight").begin]);
    // What a checkpoint names is written nowhere else, and is checked as all else in it.
    const json = `${mine}/backbone.part.json`;
    const { config, headers } = JSON.parse(await Deno.readTextFile(json));
    const [header = ""] = Object.values<string>(headers);
    const more = header.replace("{", '{"more":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},');
    for (
      const [named, says] of [
        [{ "../x.safetensors": header }, "headers is {"],
        [{ "config.json": header }, "headers is {"],
        [{ "x.safetensors": 5 }, "headers is {"],
        [{}, "headers is {}; it may be texts by plain file names"],
        [null, "headers is null"],
        [{ "x.safetensors": more }, 'names the tensor "more" of 0 bytes'],
      ] as const
    ) {
      await Deno.writeTextFile(json, JSON.stringify({ config, headers: named }));
      await assertInputError(
        () => exportRun([mine, "--part", "backbone", "-o", `${folder}/x`]),
        says,
      );
    }
    assert(![...Deno.readDirSync(folder)].some(({ name }) => name.startsWith("x")));
    await assertInputError(
      () => exportRun([mine, "--part", "voice", "-o", `${folder}/x`]),
      "--part is voice; it may be backbone, audio-codec, video-codec",
    );
  },
);

folderTest("init refuses parts that don't fit, and writes nothing", async (folder) => {
  await makeTinyParts(folder);
  const config = { ...await openConfig("engine/models/nano-1"), unit_ms: 40, fps: 25 };
  await Deno.writeTextFile(`${folder}/short.json`, JSON.stringify(config));
  await Deno.writeTextFile(`${folder}/model.gguf`, `GGUF${"\0".repeat(40)}`);
  const to = ["-o", `${folder}/x`];
  const empty = `${folder}/empty`;
  await Deno.mkdir(empty);
  await Deno.copyFile(`${folder}/mimi/config.json`, `${empty}/config.json`);
  await Deno.writeTextFile(`${empty}/model.safetensors.index.json`, '{"weight_map":{}}');
  const gguf = `${folder}/gguf`;
  await Deno.mkdir(gguf);
  for (const name of ["config.json", "tokenizer.json"]) {
    await Deno.copyFile(`${folder}/qwen3/${name}`, `${gguf}/${name}`);
  }
  await Deno.copyFile(`${folder}/model.gguf`, `${gguf}/model.gguf`);
  const tokenizer = `${folder}/qwen2.5/tokenizer.json`;
  const { model } = JSON.parse(await Deno.readTextFile(tokenizer));
  await Deno.writeTextFile(tokenizer, JSON.stringify({ model, added_tokens: [null] }));
  const second = `${folder}/qwen-null`;
  await Deno.mkdir(second);
  await Deno.copyFile(`${folder}/qwen3/config.json`, `${second}/config.json`);
  await Deno.copyFile(`${folder}/qwen3/model.safetensors`, `${second}/model.safetensors`);
  await Deno.writeTextFile(
    `${second}/tokenizer.json`,
    '{"model":{"vocab":null},"added_tokens":[]}',
  );
  const weights = await WeightFiles.open(`${folder}/wan-vae`);
  const { path, begin } = weights.entry("encoder.conv_in.weight");
  weights.close();
  const spoilt = await Deno.readFile(path);
  spoilt.set([0x80, 0x7f], begin);
  await Deno.writeFile(path, spoilt);
  for (
    const [args, ...says] of [
      [
        ["--preset", "nano", "--video-codec", `${folder}/mimi`, ...to],
        "mimi: holds no video codec (mimi)",
      ],
      [
        ["--preset", "nano", "--audio-codec", `${folder}/model.gguf`, ...to],
        "model.gguf: is a GGUF file, which isn't supported",
      ],
      [
        ["--preset", "nano", "--audio-codec", empty, ...to],
        "empty/model.safetensors.index.json: weight_map is {}",
      ],
      [
        ["--preset", "nano", "--backbone", `${folder}/model.gguf`, ...to],
        "model.gguf: is a GGUF file, which isn't supported",
      ],
      [
        ["--preset", "nano", "--backbone", gguf, ...to],
        "gguf/model.gguf: is a GGUF file, which isn't supported",
      ],
      [
        ["--preset", "nano", "--backbone", `${folder}/qwen3/model.safetensors`, ...to],
        "qwen3/model.safetensors: is a file; give the folder",
      ],
      [
        ["--preset", "nano", "--backbone", `${folder}/qwen2.5`, ...to],
        "tokenizer.json of the backbone: its ids must be whole numbers",
      ],
      [
        ["--preset", "nano", "--backbone", second, ...to],
        "tokenizer.json of the backbone: its ids must be whole numbers",
      ],
      [
        ["--preset", "nano", "--video-codec", `${folder}/wan-vae`, ...to],
        'tensor "encoder.conv_in.weight" holds Infinity at index 0',
      ],
      [
        ["--preset", "nano", "--backbone", `${folder}/mimi`, ...to],
        'mimi/config.json: model_type is "mimi"; it may be "qwen3" or "qwen2"',
      ],
    ] as [string[], ...string[]][]
  ) await assertInputError(() => init(args), ...says);
  for (const [name, says] of [["mimi", "it must be a whole number"]] as const) {
    using part = await CodecPart.open(`${folder}/${name}`, "audio");
    assertEquals(part.family, "mimi");
    await assertInputError(
      () =>
        openCodec(`${folder}/${name}`, "audio", { unitMs: 100, fps: 25, width: 64, height: 64 }),
      "the audio codec 'mimi' makes a latent of every 1920 samples at 24000 Hz, 12.5 a second",
      "a unit of 100 ms has 2400 samples, which is 1.25 latents",
      says,
    );
  }
  assert(![...Deno.readDirSync(folder)].some(({ name }) => name.startsWith("x")));
});

Deno.test("a chat template gives the frame of a system prompt, or is refused", async () => {
  const chatml =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
  assertEquals(frameOf(chatml, "x"), { before: "<|im_start|>system\n", after: "<|im_end|>\n" });
  await assertInputError(() => frameOf("{{ messages", "x.jinja"), "x.jinja: can't be rendered");
  await assertInputError(
    () => frameOf("hello", "x.jinja"),
    "x.jinja: doesn't give a system prompt",
  );
  await assertInputError(() => frameOf("x".repeat(70_000), "x.jinja"), "has 70000 letters");
});

withGpu("codec takes public codecs: a round trip, latents out and in", async () => {
  const folder = await Deno.makeTempDir({ prefix: "wanstream-test-" });
  try {
    await makeTinyParts(folder);
    const wav = await WavWriter.create(`${folder}/voice.wav`, 24000);
    await wav.write(normal(random(5), 3 * 3840, 0.1));
    await wav.close();
    const mimi = ["--audio-codec", `${folder}/mimi`];
    const quiet = (args: string[]) => captured(() => codec([...args, ...mimi]));
    const [voice, latents] = [`${folder}/voice.wav`, `${folder}/l.safetensors`];
    const { result, err } = await quiet([voice, "-o", `${folder}/a.wav`, "--latents", latents]);
    assertEquals(result, 0, err);
    assert(err.includes("mimi: 12.5 latents of 32 channels a second, 400 floats a second"), err);
    await quiet([latents, "-o", `${folder}/b.wav`]);
    assertEquals(await Deno.readFile(`${folder}/a.wav`), await Deno.readFile(`${folder}/b.wav`));
    // Codes are numbers of the codebooks' entries.
    const codes = `${folder}/c.safetensors`;
    await quiet([voice, "--latents", codes, "--codes"]);
    using file = await WeightFiles.open(codes);
    const bytes = await Deno.readFile(codes);
    const at = new DataView(bytes.buffer, file.entry("audio").begin);
    for (const wrong of [64, -1, 0.5, NaN]) {
      at.setFloat32(4, wrong, true);
      await Deno.writeFile(codes, bytes);
      await assertInputError(
        () => quiet([codes, "-o", `${folder}/c.wav`, "--codes"]),
        `audio holds ${wrong} in unit 0, index 1; a code is a whole number below 64`,
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
