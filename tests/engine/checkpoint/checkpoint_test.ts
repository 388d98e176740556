import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { openBackbone, openCheckpoint } from "../../../engine/checkpoint/checkpoint.ts";
import { toF32 } from "../../../engine/weights/weights.ts";
import { byteTokenizerJson } from "../../../engine/models/byte_tokenizer.ts";
import { toStorage } from "../../../engine/models/random.ts";
import type { FileDtype } from "../../../engine/weights/safetensors.ts";
import { backboneTensors } from "../../../engine/checkpoint/tensors.ts";
import {
  assertInputError,
  safetensorsFile,
  tinyConfig,
  tinyTensors,
  withCheckpoint,
} from "../tiny_checkpoint.ts";

const weights = "model.safetensors";
const index = "model.safetensors.index.json";

/** Replaces a checkpoint's weights by two shards; `map` may alter the index before it is written. */
async function shard(folder: string, map: (index: Record<string, string>) => void): Promise<void> {
  const tensors = [...await tinyTensors(tinyConfig())];
  const halves = [tensors.slice(0, 20), tensors.slice(20)];
  const weightMap: Record<string, string> = {};
  for (const [i, half] of halves.entries()) {
    const file = `model-0000${i + 1}-of-00002.safetensors`;
    for (const [name] of half) weightMap[name] = file;
    await Deno.writeFile(`${folder}/${file}`, await safetensorsFile(new Map(half)));
  }
  map(weightMap);
  await Deno.writeTextFile(`${folder}/${index}`, JSON.stringify({ weight_map: weightMap }));
  await Deno.remove(`${folder}/${weights}`);
}

/** A checkpoint's folder with its weights changed before they are written. */
async function withTensors(
  change: (tensors: Awaited<ReturnType<typeof tinyTensors>>) => void,
  body: (folder: string) => Promise<void>,
): Promise<void> {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const tensors = await tinyTensors(tinyConfig());
    change(tensors);
    await Deno.writeFile(`${folder}/${weights}`, await safetensorsFile(tensors));
    await body(folder);
  });
}

Deno.test("openCheckpoint() gives back what was written, in shared memory", async () => {
  for (const dtype of ["F32", "F16", "BF16"] as const) {
    await withCheckpoint(tinyConfig(), async (folder) => {
      const tensors = await tinyTensors(tinyConfig(), dtype);
      await Deno.writeFile(`${folder}/${weights}`, await safetensorsFile(tensors));
      const opened = await openCheckpoint(new URL(`file://${folder}/`));
      assertEquals(opened.config, tinyConfig());
      assertEquals(opened.tokenizer, byteTokenizerJson());
      assertEquals([...opened.tensors.keys()].sort(), [...tensors.keys()].sort());
      for (const [name, { bytes, ...rest }] of opened.tensors) {
        const wrote = tensors.get(name);
        assertEquals({ ...rest, bytes: [...bytes] }, {
          dtype,
          shape: wrote?.shape ?? [],
          bytes: [...wrote?.bytes ?? []],
        });
        assert(bytes.buffer instanceof SharedArrayBuffer);
        assertEquals([bytes.byteOffset, bytes.buffer.byteLength], [0, bytes.length]);
      }
    });
  }
});

Deno.test("openCheckpoint() gives one digest for the same weights, however stored", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const { digest } = await openCheckpoint(folder);
    assertEquals(digest.length, 64);
    await Deno.writeTextFile(
      `${folder}/config.json`,
      JSON.stringify({ transformers_version: "5", ...tinyConfig() }, null, 2),
    );
    await shard(folder, () => {});
    const sharded = await openCheckpoint(folder);
    assertEquals(sharded.digest, digest);

    const other = { ...tinyConfig(), history_units: 5 };
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(other));
    assertNotEquals((await openCheckpoint(folder)).digest, digest);
  });
  const flip = (bytes: Uint8Array) => bytes[0] = (bytes[0] ?? 0) ^ 1;
  let before = "";
  await withTensors(() => {}, async (folder) => {
    before = (await openCheckpoint(folder)).digest;
  });
  await withTensors((tensors) => flip(tensors.get("no_sound_embedding")!.bytes), async (folder) => {
    assertNotEquals((await openCheckpoint(folder)).digest, before);
  });
});

Deno.test("openCheckpoint() needs read permission alone", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const module = new URL("../../../engine/checkpoint/checkpoint.ts", import.meta.url).href;
    const code = `import { openCheckpoint } from "${module}";
      const { digest } = await openCheckpoint(Deno.args[0]); Deno.stdout.writeSync(
      new TextEncoder().encode(digest));`;
    const script = `${folder}/script.ts`;
    await Deno.writeTextFile(script, code);
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--no-lock",
        `--allow-read=${folder}`,
        script,
        folder,
      ],
    }).output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assertEquals(said, (await openCheckpoint(folder)).digest);
  });
});

Deno.test("openCheckpoint() names a missing folder, file, or one that is no file", async () => {
  await assertInputError(() => openCheckpoint("/no/such"), "/no/such/config.json: no such file");
  await assertInputError(() => openCheckpoint(new URL("https://example.com/x")), "on this machine");
  await withCheckpoint(tinyConfig(), async (folder) => {
    await assertInputError(
      () => openCheckpoint(`${folder}/config.json`),
      "config.json/config.json: no such file",
    );
    await Deno.remove(`${folder}/${weights}`);
    await assertInputError(() => openCheckpoint(folder), `neither ${weights} nor ${index}`);
    await Deno.mkdir(`${folder}/${weights}`);
    await assertInputError(() => openCheckpoint(folder), weights, "isn't a regular file");
    await Deno.remove(`${folder}/tokenizer.json`);
    await assertInputError(() => openCheckpoint(folder), "tokenizer.json: no such file");
  });
});

Deno.test("openCheckpoint() refuses files that are no JSON", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    await Deno.writeTextFile(`${folder}/tokenizer.json`, "{");
    await assertInputError(() => openCheckpoint(folder), "tokenizer.json: isn't valid JSON");
    await Deno.writeTextFile(`${folder}/tokenizer.json`, '{"\n\u001b[31m": x');
    await assertInputError(() => openCheckpoint(folder), "tokenizer.json: isn't valid JSON");
    await Deno.writeTextFile(`${folder}/config.json`, "");
    await assertInputError(() => openCheckpoint(folder), "config.json: isn't valid JSON");
    await Deno.writeTextFile(`${folder}/config.json`, " ".repeat(2 << 20));
    await assertInputError(() => openCheckpoint(folder), "config.json: has 2097152 bytes");
  });
});

Deno.test("openCheckpoint() refuses a weight that is infinite or not a number, by its tensor", async () => {
  const name = "response.audio.input.weight";
  for (const value of [NaN, Infinity, -Infinity]) {
    const damage = (tensors: Awaited<ReturnType<typeof tinyTensors>>) => {
      const tensor = tensors.get(name);
      assert(tensor);
      new DataView(tensor.bytes.buffer).setFloat32(4 * 7, value, true);
    };
    await withTensors(damage, async (folder) => {
      await assertInputError(() => openCheckpoint(folder), name, `holds ${value} at index 7`);
    });
  }
});

Deno.test("openCheckpoint() names a Git LFS pointer, and reads over a byte-order mark", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    for (const name of ["config.json", "tokenizer.json"]) {
      const text = await Deno.readTextFile(`${folder}/${name}`);
      await Deno.writeTextFile(`${folder}/${name}`, `\uFEFF${text}`);
    }
    await openCheckpoint(folder);
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    for (const name of [weights, "tokenizer.json", "config.json"]) {
      await Deno.writeTextFile(`${folder}/${name}`, pointer);
      await assertInputError(() => openCheckpoint(folder), name, "Git LFS pointer", "git lfs pull");
    }
  });
});

Deno.test("openCheckpoint() refuses weights that are cut off at any place", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const bytes = await Deno.readFile(`${folder}/${weights}`);
    for (const length of [0, 5, 8, 100, Math.floor(bytes.length / 2), bytes.length - 1]) {
      await Deno.writeFile(`${folder}/${weights}`, bytes.subarray(0, length));
      await assertInputError(() => openCheckpoint(folder), `${folder}/${weights}: `);
    }
  });
});

Deno.test("openCheckpoint() allocates nothing for a header that lies about its length", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const bytes = await Deno.readFile(`${folder}/${weights}`);
    new DataView(bytes.buffer).setBigUint64(0, 1n << 62n, true);
    await Deno.writeFile(`${folder}/${weights}`, bytes);
    const before = Deno.memoryUsage().rss;
    await assertInputError(() => openCheckpoint(folder), "header length is 4611686018427387904");
    assert(Deno.memoryUsage().rss - before < 1e8);
  });
});

Deno.test("openCheckpoint() names a tensor that is missing, superfluous or of another shape", async () => {
  const name = "response.audio.input.weight";
  await withTensors((tensors) => tensors.delete(name), async (folder) => {
    await assertInputError(() => openCheckpoint(folder), weights, name, "missing", "shape [16,4]");
  });
  await withTensors((tensors) => {
    const tensor = tensors.get(name)!;
    tensor.shape = tensor.shape.toReversed();
  }, async (folder) => {
    await assertInputError(() => openCheckpoint(folder), name, "has shape [4,16]", "[16,4]");
  });
  const extra = { dtype: "F32" as const, shape: [1], bytes: new Uint8Array(4) };
  await withTensors((tensors) => tensors.set("model.layers.1.x", extra), async (folder) => {
    await assertInputError(() => openCheckpoint(folder), 'call for the tensor "model.layers.1.x"');
  });
  // Hugging Face writes the head of tied embeddings too.
  await withTensors((tensors) => tensors.set("lm_head.weight", extra), async (folder) => {
    assertEquals((await openCheckpoint(folder)).tensors.has("lm_head.weight"), false);
  });
});

Deno.test("openCheckpoint() refuses weights in a type that isn't a weight's", async () => {
  const name = "model.norm.weight";
  await withCheckpoint(tinyConfig(), async (folder) => {
    const file = await Deno.readFile(`${folder}/${weights}`);
    const text = new TextDecoder("latin1").decode(file);
    const at = text.indexOf('"dtype":"F32"', text.indexOf(name));
    file.set(new TextEncoder().encode('"dtype":"I32"'), at);
    await Deno.writeFile(`${folder}/${weights}`, file);
    await assertInputError(() => openCheckpoint(folder), name, 'dtype "I32"', "F32, F16, BF16");
  });
});

Deno.test("openCheckpoint() refuses shards outside the folder and shards that don't hold up", async () => {
  const name = "model.norm.weight";
  for (
    const path of ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", ".safetensors", 5]
  ) {
    await withCheckpoint(tinyConfig(), async (folder) => {
      await shard(folder, (map) => map[name] = path as string);
      await assertInputError(
        () => openCheckpoint(folder),
        `${folder}/${index}: tensor "${name}" lies in ${JSON.stringify(path)}`,
      );
    });
  }
  await withCheckpoint(tinyConfig(), async (folder) => {
    await shard(folder, (map) => map[name] = "model-00003.safetensors");
    await assertInputError(() => openCheckpoint(folder), "model-00003.safetensors: no such file");
  });
  await withCheckpoint(tinyConfig(), async (folder) => {
    await shard(folder, (map) => {
      map["no_sound_embedding"] = map["model.norm.weight"] ?? "";
      map["model.norm.weight"] = "model-00002-of-00002.safetensors";
    });
    await assertInputError(() => openCheckpoint(folder), "is missing, though");
  });
  await withCheckpoint(tinyConfig(), async (folder) => {
    await shard(folder, () => {});
    const two = `${folder}/model-00002-of-00002.safetensors`;
    await Deno.copyFile(`${folder}/model-00001-of-00002.safetensors`, two);
    await assertInputError(() => openCheckpoint(folder), "-00002.safetensors: tensor", "too; one");
  });
  await withCheckpoint(tinyConfig(), async (folder) => {
    await shard(folder, () => {});
    await Deno.writeTextFile(`${folder}/${index}`, '{"weight_map":[]}');
    await assertInputError(() => openCheckpoint(folder), "weight_map is []");
  });
});

Deno.test("toF32() converts every storage type exactly", () => {
  const numbers = [0, -0, 1, -2.5, 65504, 2 ** -24, 2 ** -14, 1 / 3, Infinity, -Infinity];
  const shape = [numbers.length];
  const convert = (dtype: FileDtype) => {
    const bytes = toStorage(Float64Array.from(numbers), dtype);
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    return [...toF32({ dtype, shape, bytes: shared })];
  };
  assertEquals(convert("F32"), numbers.map(Math.fround));
  assertEquals(convert("F16"), numbers.map(Math.f16round));
  // bfloat16 keeps 8 bits of the significand.
  assertEquals(convert("BF16"), [
    ...[0, -0, 1, -2.5, 65536, 2 ** -24, 2 ** -14, 0.333984375],
    ...[Infinity, -Infinity],
  ]);
});

Deno.test("openBackbone() opens a Hugging Face Qwen3 folder as it is", async () => {
  const tiny = tinyConfig();
  await withCheckpoint(tiny, async (folder) => {
    const config = {
      architectures: ["Qwen3ForCausalLM"],
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 151643,
      head_dim: tiny.head_dim,
      hidden_act: "silu",
      hidden_size: tiny.hidden_size,
      intermediate_size: tiny.intermediate_size,
      max_position_embeddings: 40960,
      model_type: "qwen3",
      num_attention_heads: tiny.num_attention_heads,
      num_hidden_layers: tiny.num_hidden_layers,
      num_key_value_heads: tiny.num_key_value_heads,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 1000000,
      sliding_window: null,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      use_cache: true,
      use_sliding_window: false,
      vocab_size: tiny.vocab_size,
    };
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(config));
    const all = await tinyTensors(tiny, "BF16");
    const names = [...backboneTensors(tiny).keys()];
    const backbone = new Map(names.map((name) => [name, all.get(name)!]));
    await Deno.writeFile(`${folder}/${weights}`, await safetensorsFile(backbone));
    const opened = await openBackbone(folder);
    try {
      assertEquals(opened.config.rope_theta, 1e6);
      assertEquals([...opened.weights.entries.keys()], names.sort());
      const bytes = new Uint8Array(6);
      await opened.weights.read("model.norm.weight", 2, bytes);
      assertEquals([...bytes], [...all.get("model.norm.weight")!.bytes.subarray(2, 8)]);
    } finally {
      opened.weights.close();
    }
    // As AutoModel saves it: without "model." before the names.
    const bare = new Map([...backbone].map(([name, t]) => [name.replace(/^model\./, ""), t]));
    await Deno.writeFile(`${folder}/${weights}`, await safetensorsFile(bare));
    using renamed = (await openBackbone(folder)).weights;
    assertEquals([...renamed.entries.keys()], names.sort());
    for (
      const [key, value] of [["attention_bias", true], ["model_type", "llama"], [
        "hidden_act",
        "gelu",
      ]]
    ) {
      const other = { ...config, [String(key)]: value };
      await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(other));
      await assertInputError(() => openBackbone(folder), `${key} is ${JSON.stringify(value)}`);
    }
  });
});
