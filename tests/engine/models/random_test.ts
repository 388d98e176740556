import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { preset, presetNames } from "../../../engine/models/presets.ts";
import { randomNumbers, randomTensor, toStorage } from "../../../engine/models/random.ts";
import { expectedTensors } from "../../../engine/checkpoint/tensors.ts";

async function sha256(chunks: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<string> {
  const bytes = await new Blob(await Array.fromAsync(chunks)).arrayBuffer();
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

Deno.test("randomNumbers() are a function of seed, name and index, wherever they are cut", () => {
  const all = randomNumbers(5, "a", 0, 1000, 1);
  assertEquals(randomNumbers(5, "a", 300, 700, 1), all.slice(300));
  assertNotEquals(randomNumbers(6, "a", 0, 1000, 1), all);
  assertNotEquals(randomNumbers(5, "b", 0, 1000, 1), all);
  assertEquals(randomNumbers(5, "a", 0, 1000, 2), all.map((x) => 2 * x));
});

Deno.test("randomNumbers() have mean 0, the deviation asked for, bell shape, no correlation", () => {
  for (const [seed, name] of [[0, "x"], [1, "x"], [0xffffffff, "model.layers.0.y"]] as const) {
    const n = 200_000;
    const numbers = randomNumbers(seed, name, 0, n, 2);
    const mean = (f: (x: number, i: number) => number) =>
      numbers.reduce((sum, x, i) => sum + f(x, i), 0) / n;
    const close = (actual: number, expected: number, deviations: number) =>
      assert(Math.abs(actual - expected) < deviations, `${actual} instead of ${expected}`);
    close(mean((x) => x), 0, 0.02);
    close(mean((x) => x * x), 4, 0.06);
    // Four uniforms: kurtosis 3 - 6 / 20.
    close(mean((x) => (x / 2) ** 4), 2.7, 0.06);
    for (const lag of [1, 2, 64, 4096]) close(mean((x, i) => x * (numbers[i + lag] ?? 0)), 0, 0.05);
  }
});

Deno.test("randomTensor() gives the same bytes on every machine", async () => {
  const digest = (dtype: "F32" | "F16" | "BF16") =>
    sha256(
      randomTensor(
        0,
        "model.embed_tokens.weight",
        { shape: [1 << 11, 1 << 10], fill: { std: 0.02 } },
        dtype,
      ),
    );
  // The digests that the same arithmetic gave in NumPy.
  assertEquals(
    await Promise.all([digest("F32"), digest("F16"), digest("BF16")]),
    [
      "77d867ad4e972cd7be49f79c5ac381597485800183a9d72a2ebaa718c931e45a",
      "59bcf7c7e5673f17f03f83147c3b25b20d75b441c06f640302798afaf27e5ffd",
      "11d9d4aedd7c6fbd866b5d5da5c0cb8af49fac9e9428bea132485d087f122347",
    ],
  );
});

Deno.test("expectedTensors() gives every tensor of every preset a scale that half precision holds", () => {
  for (const name of presetNames) {
    for (const [tensor, { fill }] of expectedTensors(preset(name))) {
      const ones = /norm\.weight$|layernorm\.weight$/.test(tensor);
      assertEquals(fill === "ones", ones, tensor);
      if (fill !== "ones") assert(fill.std > 1e-4 && fill.std < 4, `${tensor} ${fill.std}`);
    }
  }
});

Deno.test("toStorage() rounds to the nearest bfloat16, ties to even", () => {
  const bits = (x: number) =>
    new Uint16Array(toStorage(Float64Array.of(x), "BF16").buffer)[0]?.toString(16);
  assertEquals(bits(1), "3f80");
  assertEquals(bits(-2), "c000");
  // 1 + 2^-8 lies halfway between 3f80 and 3f81; 1 + 3 x 2^-8 between 3f81 and 3f82.
  assertEquals(bits(1 + 2 ** -8), "3f80");
  assertEquals(bits(1 + 3 * 2 ** -8), "3f82");
  assertEquals(bits(1 + 2 ** -8 + 2 ** -20), "3f81");
});
