import { assertEquals, assertThrows } from "@std/assert";
import {
  clampSamples,
  packPixels,
  pixelWords,
  unpackPixels,
} from "../../../kernels/codec/pixels.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { integer, normal, random } from "../../reference/random.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

withGpu("unpackPixels() maps bytes onto [-1, 1] and packPixels() maps them back", async (gpu) => {
  const next = random(6);
  for (const [height, width] of [[1, 1], [1, 2], [3, 3], [8, 8], [65, 33]] as const) {
    const count = height * width * 3;
    const bytes = new Uint8Array(4 * pixelWords(height * width));
    for (let i = 0; i < count; i++) bytes[i] = i < 256 ? i : integer(next, 0, 255);
    const words = new Uint32Array(bytes.buffer);
    for (const offset of [4, 3]) {
      const pixels = surrounded(gpu, "pixels", [words.length], words, { offset });
      const values = poisoned(gpu, "values", [1, height, width, 3], { offset });
      const back = poisoned(gpu, "back", [words.length], { dtype: "u32", offset });
      run(
        gpu,
        unpackPixels(gpu, { label: "test", pixels, y: values }),
        ...packPixels(gpu, { label: "test", x: values, pixels: back }),
      );
      const expected = [...bytes.subarray(0, count)].map((byte) => byte / 127.5 - 1);
      assertClose(await readTensor(gpu, values), expected, { absolute: 1e-6 });
      assertEquals([...await readTensor(gpu, back)], [...words]);
    }
  }
});

withGpu("packPixels() rounds to the nearest byte and clamps what is outside", async (gpu) => {
  const values = [-2, -1, -0.999, 0, 0.5, 0.99, 1, 7.5, -Infinity, Infinity, 1e30, -0.004];
  const expected = values.map((v) => Math.floor(Math.min(255, Math.max(0, (v + 1) * 127.5)) + 0.5));
  const pixels = poisoned(gpu, "pixels", [3], { dtype: "u32" });
  const x = surrounded(gpu, "x", [12], Float32Array.from(values));
  run(gpu, ...packPixels(gpu, { label: "test", x, pixels }));
  const words = await readTensor(gpu, pixels);
  assertEquals([...new Uint8Array(words.buffer)], expected);
});

withGpu("clampSamples() keeps samples inside [-1, 1]", async (gpu) => {
  for (const count of [1, 6, 2560]) {
    const samples = normal(random(count), count);
    const y = poisoned(gpu, "y", [count]);
    run(gpu, clampSamples(gpu, { label: "test", x: surrounded(gpu, "x", [count], samples), y }));
    assertEquals(
      [...await readTensor(gpu, y)],
      [...samples].map((v) => Math.max(-1, Math.min(1, v))),
    );
  }
});

withGpu("unpackPixels() refuses words that don't match the values", (gpu) => {
  const pixels = poisoned(gpu, "pixels", [2], { dtype: "u32" });
  const y = poisoned(gpu, "y", [1, 1, 1, 3]);
  assertThrows(() => unpackPixels(gpu, { label: "test", pixels, y }), RangeError, "2 words");
});
