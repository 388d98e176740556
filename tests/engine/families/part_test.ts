/** Codecs as parts: nano's own as the example of a family, and what is refused. */
import { assert, assertEquals } from "@std/assert";
import { openCheckpoint } from "../../../engine/checkpoint/checkpoint.ts";
import { media, responseDecoder, responseEncoder } from "../../../engine/checkpoint/coders.ts";
import { CodecPart, coderRules, permuted } from "../../../engine/families/part.ts";
import { normal, random } from "../../reference/random.ts";
import {
  assertInputError,
  safetensorsFile,
  tinyConfig,
  tinyTensors,
  withCheckpoint,
} from "../tiny_checkpoint.ts";

type Tensors = Awaited<ReturnType<typeof tinyTensors>>;

Deno.test("a checkpoint's codecs are parts whose tensors have the checkpoint's bytes", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const { config, tensors } = await openCheckpoint(folder);
    for (const medium of media) {
      using part = await CodecPart.open(folder, medium);
      const { channels, sampleRate, hop, multiple } = part.codec;
      assertEquals(
        { channels, sampleRate, hop, multiple },
        medium === "audio"
          ? { channels: 4, sampleRate: 8000, hop: 160, multiple: 1 }
          : { channels: 6, sampleRate: null, hop: 2, multiple: 4 },
      );
      for (const coder of [responseEncoder(config, medium), responseDecoder(config, medium)]) {
        const side = coder.name.endsWith("encoder") ? "encoder" : "decoder";
        const rules = coderRules(coder.name, part.codec[side], coder.input);
        const own = [...tensors.keys()].filter((name) => name.startsWith(`${coder.name}.`)).sort();
        assertEquals([...rules.keys()].sort(), own);
        for (const [name, { rule, shape }] of rules) {
          assertEquals([...await part.read(rule)], [...tensors.get(name)?.bytes ?? []]);
          assertEquals([part.dtype(rule), shape], ["F32", tensors.get(name)?.shape]);
        }
        const moved = coderRules(coder.name, part.codec[side], coder.input, 2);
        assertEquals(moved.size, rules.size);
        assert([...moved.keys()].every((name) => !/coder\.[01]\./.test(name)));
      }
    }
  });
});

Deno.test("permuted() moves and flips axes as an index at a time does", () => {
  const shape = [3, 2, 4, 5];
  const values = normal(random(1), 120);
  const cases: [number[], number?][] = [
    [[0, 1, 2, 3]],
    [[1, 0, 2, 3]],
    [[3, 1, 0, 2], 1],
    [[2, 3, 1, 0], 0],
    [[0, 1, 2, 3], 3],
  ];
  for (const [order, flip] of cases) {
    const bytes = new Uint8Array(Float32Array.from(values).buffer);
    const moved = new Float32Array(permuted(bytes, shape, order, 4, flip).buffer);
    const extents = order.map((axis) => shape[axis] ?? 0);
    for (let to = 0; to < moved.length; to++) {
      let rest = to;
      const place = extents.map(() => 0);
      for (let axis = 3; axis >= 0; axis--) {
        place[order[axis] ?? 0] = rest % (extents[axis] ?? 1);
        rest = Math.floor(rest / (extents[axis] ?? 1));
      }
      if (flip !== undefined) place[flip] = (shape[flip] ?? 0) - 1 - (place[flip] ?? 0);
      const from = place.reduce((at, index, axis) => at * (shape[axis] ?? 1) + index, 0);
      assertEquals(moved[to], Math.fround(values[from] ?? NaN));
    }
  }
});

const otherDtype = "another dtype";

/** Changes to a tiny checkpoint's folder, and what is said of it as an audio codec. */
const refused: [string, (tensors: Tensors, config: Record<string, unknown>) => void, string[]][] = [
  ["a missing tensor", (tensors) => tensors.delete("response.audio.encoder.1.weight"), [
    'model.safetensors: tensor "response.audio.encoder.1.weight" is missing',
    "needs it with shape [8,80,4,1,1]",
  ]],
  ["another shape", (tensors) => {
    const tensor = tensors.get("response.audio.encoder.1.weight");
    if (tensor) tensor.shape = [80, 8, 4, 1, 1];
  }, ["has shape [80,8,4,1,1]", "needs [8,80,4,1,1]"]],
  [otherDtype, () => {}, [
    '"response.audio.encoder.1.bias" has dtype "I32"',
    "needs one of F32, F16, BF16",
  ]],
  ["Moshi", (_, config) => config["model_type"] = "moshi", [
    "is Moshi, which isn't supported",
    "families of audio codecs: wanstream",
  ]],
  ["LTX-Video", (_, config) => {
    delete config["model_type"];
    config["_class_name"] = "AutoencoderKLLTXVideo";
  }, ["is LTX-Video's VAE, which isn't supported"]],
  ["SigLIP", (_, config) => config["model_type"] = "siglip_vision_model", [
    "is SigLIP, which isn't",
  ]],
  ["Mimi in its authors' layout", (tensors, config) => {
    delete config["model_type"];
    const tensor = tensors.get("response.audio.encoder.1.bias");
    if (tensor) tensors.set("quantizer.rvq_first.input_proj.weight", tensor);
  }, ["is Mimi in Kyutai's own layout", "take kyutai/mimi"]],
  ["something else", (_, config) => config["model_type"] = "x", [
    'is no codec that is known (type "x", ',
  ]],
];
for (const [what, change, says] of refused) {
  Deno.test(`a codec is refused with one line: ${what}`, async () => {
    await withCheckpoint(tinyConfig(), async (folder) => {
      const tensors = await tinyTensors(tinyConfig());
      const config: Record<string, unknown> = { ...tinyConfig() };
      change(tensors, config);
      await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(config));
      const bytes = await safetensorsFile(tensors);
      if (what === otherDtype) {
        const header = '"response.audio.encoder.1.bias":{"dtype":"';
        const at = new TextDecoder("latin1").decode(bytes).indexOf(header);
        bytes.set(new TextEncoder().encode("I32"), at + header.length);
      }
      await Deno.writeFile(`${folder}/model.safetensors`, bytes);
      await assertInputError(() => CodecPart.open(folder, "audio"), folder, ...says);
    });
  });
}

Deno.test("other formats of weights are named by how they begin", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    for (
      const [start, says] of [
        ["GGUF\x03\0\0\0", "is a GGUF file, which isn't supported"],
        ["PK\x03\x04\0\0\0\0", "is a PyTorch pickle"],
        ["\x80\x02\x8a\nl\xfc\x9cF", "is a PyTorch pickle"],
        ["version https://git-lfs", "is a Git LFS pointer"],
      ]
    ) {
      const bytes = Uint8Array.from(`${start}${"\0".repeat(32)}`, (c) => c.charCodeAt(0));
      await Deno.writeFile(`${folder}/vae.safetensors`, bytes);
      await assertInputError(
        () => CodecPart.open(`${folder}/vae.safetensors`, "video"),
        `vae.safetensors: ${says}`,
      );
    }
    await assertInputError(() => CodecPart.open(`${folder}/no`, "video"), "no: no such file");
  });
});
