import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { openCheckpoint } from "../../../engine/checkpoint/checkpoint.ts";
import { byteTokenizerJson } from "../../../engine/models/byte_tokenizer.ts";
import { preset } from "../../../engine/models/presets.ts";
import { openTokenizer } from "../../../engine/checkpoint/tokenizer.ts";
import { run } from "../../../io/commands/init.ts";
import { inspect, inspectionSections, inspectionText } from "../../../io/commands/inspect.ts";
import { assertInputError } from "../../engine/tiny_checkpoint.ts";

async function inTempFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "wanstream-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const names = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();

Deno.test("init writes a whole checkpoint: the same for one seed, another for another", async () => {
  await inTempFolder(async (folder) => {
    const digests: string[] = [];
    for (const [name, seed] of [["a", 0], ["b", 0], ["c", 1]]) {
      const output = `${folder}/deep/${name}/`;
      assertEquals(await run(["--preset", "nano", "--seed", `${seed}`, "-o", output]), 0);
      const { digest, config, tokenizer } = await openCheckpoint(output);
      assertEquals(config.random_weights_seed, seed);
      openTokenizer(tokenizer, config);
      digests.push(digest);
    }
    assertEquals(digests[0], digests[1]);
    assertNotEquals(digests[0], digests[2]);
    assertEquals(await names(`${folder}/deep`), ["a", "b", "c"]);
    assertEquals(await names(`${folder}/deep/a`), [
      ...["README.md", "config.json", "model.safetensors", "tokenizer.json"],
    ]);
    const card = await Deno.readTextFile(`${folder}/deep/c/README.md`);
    assert(card.includes("**random** (seed 1)") && card.includes("**not trained**"));
  });
});

Deno.test("the checkpoint in the repository has its preset's shape, and says when its weights are random", async () => {
  const folder = new URL("../../../engine/models/nano-1/", import.meta.url);
  const { config, tokenizer, tensors } = await openCheckpoint(folder);
  openTokenizer(tokenizer, config);
  const { random_weights_seed: seed, torch_dtype: _, trained_with: _t, ...shape } = config;
  assertEquals<Partial<typeof config>>(shape, preset("nano"));
  let bytes = 0;
  for (const tensor of tensors.values()) bytes += tensor.bytes.length;
  assert(bytes < 16e6);
  const card = await Deno.readTextFile(new URL("README.md", folder));
  assertEquals(card.includes("not trained"), seed !== undefined);
});

Deno.test("init takes any shape that a config.json says", async () => {
  await inTempFolder(async (folder) => {
    const config = { ...preset("nano"), num_hidden_layers: 1, filler_token_id: 3 };
    await Deno.writeTextFile(`${folder}/mine.json`, JSON.stringify(config));
    assertEquals(await run(["--config", `${folder}/mine.json`, "-o", `${folder}/out`]), 0);
    const opened = await openCheckpoint(`${folder}/out`);
    assertEquals(opened.config.num_hidden_layers, 1);
    // The filler is the byte tokenizer's.
    assertEquals(opened.config.filler_token_id, 256);
    await assertInputError(
      () => run(["--config", `${folder}/other.json`, "-o", `${folder}/x`]),
      "other.json: no such file",
    );
  });
});

Deno.test("init takes a Qwen3 folder's weights byte for byte, and gives its tokenizer a filler", async () => {
  await inTempFolder(async (folder) => {
    const golden = new URL("../../data/backbone/", import.meta.url);
    for (const name of ["config.json", "model.safetensors"]) {
      await Deno.copyFile(new URL(name, golden), `${folder}/${name}`);
    }
    const json = byteTokenizerJson();
    const model = json.model as { vocab: Record<string, number> };
    // The golden backbone has 64 tokens: bytes from the space on.
    model.vocab = Object.fromEntries(
      Object.entries(model.vocab).filter(([, id]) => id >= 32 && id < 95)
        .map(([letter], id) => [letter, id]),
    );
    await Deno.writeTextFile(
      `${folder}/tokenizer.json`,
      JSON.stringify({ ...json, added_tokens: [] }),
    );
    const args = ["--preset", "nano", "--dtype", "f32", "--backbone", folder];
    assertEquals(await run([...args, "-o", `${folder}/out`]), 0);
    const { config, tensors, tokenizer } = await openCheckpoint(`${folder}/out`);
    assertEquals([config.hidden_size, config.vocab_size, config.head_dim], [64, 64, 16]);
    assertEquals(config.rope_scaling?.mrope_section, [4, 2, 2]);
    assertEquals(config.filler_token_id, 63);
    const { encode, decode } = openTokenizer(tokenizer, config);
    assertEquals(encode("A<|sil|>B"), [33, 63, 34]);
    assertEquals(decode([33, 63, 34]), "AB");
    const norm = tensors.get("model.norm.weight");
    assertEquals(norm?.dtype, "BF16");
    const source = await Deno.readFile(new URL("model.safetensors", golden));
    const tail = source.subarray(-norm!.bytes.length);
    assertEquals([...norm!.bytes], [...tail]);
    assertEquals(tensors.get("type_embedding.weight")?.dtype, "F32");

    model.vocab["x"] = 63;
    await Deno.writeTextFile(
      `${folder}/tokenizer.json`,
      JSON.stringify({ ...json, added_tokens: [] }),
    );
    await assertInputError(
      () => run([...args, "-o", `${folder}/other`]),
      "has 64 ids, and vocab_size 64 leaves none for <|sil|>",
    );
    assert(!(await names(folder)).some((name) => name.startsWith("other")));
  });
});

Deno.test("init says what is wrong with its arguments, and writes nothing", async () => {
  await inTempFolder(async (folder) => {
    const nano = ["--preset", "nano"];
    await Deno.writeTextFile(`${folder}/note.txt`, "mine");
    await assertInputError(() => run([]), "needs --preset: one of nano");
    await assertInputError(() => run(nano), "needs -o DIR");
    await assertInputError(() => run([...nano, "--config", "c.json"]), "not both");
    await assertInputError(() => run(["--preset", "huge", "-o", "x"]), "'huge'");
    await assertInputError(() => run([...nano, "x"]), "no operand 'x'");
    await assertInputError(() => run([...nano, "--seed", "-1", "-o", "x"]), "--seed: -1");
    await assertInputError(
      () => run([...nano, "-o", folder]),
      `${folder}: holds note.txt already`,
      "--force",
    );
    await assertInputError(() => run([...nano, "-o", `${folder}/note.txt`]), "is a file");
    await assertInputError(() => run([...nano, "-o", `${folder}/note.txt/x`]), "can't be");
    await assertInputError(
      () => run([...nano, "-o", `${folder}/x`, "--backbone", folder]),
      "config.json: no such file",
    );
    assertEquals(await names(folder), ["note.txt"]);
    assertEquals(await run([...nano, "-o", folder, "--force"]), 0);
    assertEquals((await names(folder)).length, 5);
    assertEquals(await Deno.readTextFile(`${folder}/note.txt`), "mine");
  });
});

Deno.test("init leaves nothing behind when it is interrupted", async () => {
  await inTempFolder(async (folder) => {
    const module = new URL("../../../io/commands/init.ts", import.meta.url).href;
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        `import { run } from "${module}";
         Deno.exit(await run(["--preset", "v0.1-0.6b", "-o", "${folder}/big"]));`,
      ],
      stdout: "null",
      stderr: "null",
    }).spawn();
    let ended = false;
    child.status.then(() => ended = true);
    while (!ended && (await names(folder)).length === 0) {
      await new Promise((done) => setTimeout(done, 20));
    }
    child.kill("SIGINT");
    assertEquals((await child.status).code, 130);
    assertEquals(await names(folder), []);
  });
});

Deno.test("inspect counts what the tensors hold, and prints it", async () => {
  await inTempFolder(async (folder) => {
    await run(["--preset", "nano", "--dtype", "f32", "-o", `${folder}/nano`]);
    const report = await inspect(`${folder}/nano`);
    const { tensors } = await openCheckpoint(`${folder}/nano`);
    let bytes = 0;
    for (const tensor of tensors.values()) bytes += tensor.bytes.length;
    assertEquals(report.parameters["total"], bytes / 4);
    assertEquals(report.storedBytes, bytes);
    const { total, ...parts } = report.parameters;
    assertEquals(Object.values(parts).reduce((a, b) => a + b, 0), total);
    assertEquals(report.bytes.f32.weights, bytes);
    assertEquals(report.bytes.f16.history, 560 * 2 * 4 * 64 * 2);
    assertEquals(report.bytes.f16.historyPerMinute, 375 * 14 * 2 * 4 * 64 * 2);
    assertEquals(JSON.parse(JSON.stringify(report)), report);
    const text = inspectionText(inspectionSections("nano", report));
    for (const part of ["RANDOM (seed 0)", "6,724,816", "total        14", "solve, per step"]) {
      assert(text.includes(part), `${part} in\n${text}`);
    }
  });
});
